//! What the supervisor tells the server, and the names of the files the two and the backends share.

use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

/// What to do with a text that has more tokens than the model's context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLongText {
    /// Keep the first tokens and the end-of-text token, as the reference does.
    #[default]
    Truncate,
    /// Fail.
    Error,
}

/// What becomes of transparent pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transparency {
    /// The colours below them show, as with PIL's `convert("RGB")`.
    #[default]
    Drop,
    /// The image is laid on white.
    White,
}

/// What becomes of gray of more than 8 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gray16 {
    /// Its upper bits are taken.
    #[default]
    Scale,
    /// It is cut at 255, as by PIL's `convert("RGB")`.
    Pil,
}

/// What becomes of an image that ends too early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTruncated {
    /// It is refused.
    #[default]
    Error,
    /// What there is of it is decoded.
    Decode,
}

/// The server's settings. The supervisor writes them to the server's standard input, one JSON object a line: the first
/// line before the server starts to listen, another one after each reload of PostgreSQL's configuration. The end of
/// standard input ends the server.
///
/// During an upgrade, the supervisor of one release starts the server of another: what is missing has its default, and
/// what is unknown is ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Folders that are searched for models, in this order.
    pub model_roots: Vec<PathBuf>,
    /// Whether the first of them is the default of `clip_search.model_dir`, which need not exist.
    pub model_dir_is_default: bool,
    /// The ONNX Runtime library.
    pub onnxruntime_library: PathBuf,
    /// `auto`, `cpu`, `cuda`, `cuda:N`, `cuda:all`, or several `cuda:N` separated by commas.
    pub device: String,
    /// Which of a model's files to use: `auto`, `fp32`, `fp16`, …
    pub precision: String,
    /// Threads of one inference on the CPU and of decoding; 0 means one for each core.
    pub threads: u32,
    /// Most items in one run of a model.
    pub max_batch: u32,
    /// What to do with a text over the model's context length.
    pub on_long_text: OnLongText,
    /// What becomes of transparent pixels.
    pub transparency: Transparency,
    /// Whether an image is turned as EXIF says.
    pub apply_orientation: bool,
    /// What becomes of gray of more than 8 bits.
    pub gray16: Gray16,
    /// What becomes of an image that ends too early.
    pub on_truncated: OnTruncated,
    /// Whether large JPEG files are decoded in a part of their size.
    pub jpeg_scaling: bool,
    /// Longest encoded image in bytes.
    pub max_image_bytes: u64,
    /// Most pixels of a decoded image.
    pub max_image_pixels: u64,
    /// Longest processor time that decoding one image may take, in milliseconds.
    pub image_timeout_ms: u64,
    /// Whether server and decoders give up what they do not need of the system's files and calls.
    pub sandbox: bool,
    /// End the process after so many seconds without a request; 0 means never.
    pub idle_timeout_s: u32,
    /// How long one run of an encoder may take while interactive requests that would wait for it keep coming, in milliseconds.
    pub bulk_step_ms: u32,
    /// Most bytes of requests that were accepted and are not answered.
    pub max_queue_bytes: u64,
    /// Most resident memory in bytes that loading a model and accepting requests may lead to; 0 means no limit.
    pub max_server_memory: u64,
    /// Most bytes of GPU memory that an encoder may take on each of its devices; 0 means no limit.
    pub max_gpu_memory: u64,
    /// Most connections open at a time.
    pub max_connections: u32,
    /// Most bytes of remembered embeddings of texts; 0 means that none are.
    pub text_cache_bytes: u64,
    /// Log requests that take so many milliseconds, from the first byte to the last; `None` logs none.
    pub log_min_duration_ms: Option<u64>,
    /// How often the supervisor has started the server again.
    pub restarts: u32,
    /// How images are fetched by URL.
    pub fetch: FetchConfig,
}

impl Config {
    /// A number for what decides the vector of an input: other settings have another one, as good as always. Processes of one
    /// release agree on it.
    pub fn of_vectors(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let files = (&self.model_roots, &self.onnxruntime_library, &self.device, &self.precision);
        (files, self.on_long_text, self.reading()).hash(&mut hasher);
        hasher.finish()
    }

    /// What decides the pixels that are read from an image.
    pub fn reading(&self) -> impl Hash + PartialEq + use<> {
        (self.transparency, self.apply_orientation, self.gray16, self.on_truncated, self.jpeg_scaling)
    }
}

/// How images are fetched by URL. Whether a session may is decided by PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FetchConfig {
    /// Hosts and networks that may be connected to although they are not public, separated by commas.
    pub allow: String,
    /// Ports, and ranges of them, that may be connected to, separated by commas.
    pub ports: String,
    /// For one URL, redirects and retries included.
    pub timeout_ms: u64,
    /// For one attempt to connect.
    pub connect_timeout_ms: u64,
    /// Most redirects of one URL.
    pub max_redirects: u32,
    /// Most URLs being fetched at a time.
    pub connections: u32,
    /// The same, of one host.
    pub connections_per_host: u32,
    /// Further attempts after a failure that may pass.
    pub retries: u32,
    /// The header `User-Agent`.
    pub user_agent: String,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            allow: String::new(),
            ports: "80,443".to_owned(),
            timeout_ms: Self::TIMEOUT_MS,
            connect_timeout_ms: Self::CONNECT_TIMEOUT_MS,
            max_redirects: Self::MAX_REDIRECTS,
            connections: Self::CONNECTIONS,
            connections_per_host: Self::CONNECTIONS_PER_HOST,
            retries: Self::RETRIES,
            user_agent: Self::USER_AGENT.to_owned(),
        }
    }
}

/// Defaults, also of PostgreSQL's settings.
impl FetchConfig {
    /// Of `timeout_ms`.
    pub const TIMEOUT_MS: u64 = 30_000;
    /// Of `connect_timeout_ms`.
    pub const CONNECT_TIMEOUT_MS: u64 = 5_000;
    /// Of `max_redirects`.
    pub const MAX_REDIRECTS: u32 = 5;
    /// Of `connections`.
    pub const CONNECTIONS: u32 = 32;
    /// Of `connections_per_host`.
    pub const CONNECTIONS_PER_HOST: u32 = 4;
    /// Of `retries`.
    pub const RETRIES: u32 = 2;
    /// Where the setting is empty.
    pub const USER_AGENT: &str = concat!("clip_search/", env!("CARGO_PKG_VERSION"));
}

/// Defaults, also of PostgreSQL's settings.
impl Config {
    /// Of `max_batch`.
    pub const MAX_BATCH: u32 = 32;
    /// Of `max_image_bytes`.
    pub const MAX_IMAGE_BYTES: u64 = 64 << 20;
    /// Of `max_image_pixels`: from there on PIL warns of a decompression bomb.
    pub const MAX_IMAGE_PIXELS: u64 = 89_478_485;
    /// Of `image_timeout_ms`.
    pub const IMAGE_TIMEOUT_MS: u64 = 30_000;
    /// Of `bulk_step_ms`.
    pub const BULK_STEP_MS: u32 = 100;
    /// Of `max_queue_bytes`.
    pub const MAX_QUEUE_BYTES: u64 = 256 << 20;
    /// Of `max_connections`.
    pub const MAX_CONNECTIONS: u32 = 1000;
    /// Of `text_cache_bytes`.
    pub const TEXT_CACHE_BYTES: u64 = 32 << 20;
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model_roots: Vec::new(),
            model_dir_is_default: false,
            onnxruntime_library: PathBuf::from("libonnxruntime.so"),
            device: "auto".to_owned(),
            precision: "auto".to_owned(),
            threads: 0,
            max_batch: Self::MAX_BATCH,
            on_long_text: OnLongText::Truncate,
            transparency: Transparency::Drop,
            apply_orientation: true,
            gray16: Gray16::Scale,
            on_truncated: OnTruncated::Error,
            jpeg_scaling: false,
            max_image_bytes: Self::MAX_IMAGE_BYTES,
            max_image_pixels: Self::MAX_IMAGE_PIXELS,
            image_timeout_ms: Self::IMAGE_TIMEOUT_MS,
            sandbox: true,
            idle_timeout_s: 0,
            bulk_step_ms: Self::BULK_STEP_MS,
            max_queue_bytes: Self::MAX_QUEUE_BYTES,
            max_server_memory: 0,
            max_gpu_memory: 0,
            max_connections: Self::MAX_CONNECTIONS,
            text_cache_bytes: Self::TEXT_CACHE_BYTES,
            log_min_duration_ms: None,
            restarts: 0,
            fetch: FetchConfig::default(),
        }
    }
}

impl Config {
    /// Whether a running server cannot take these settings in place of `before`: a library is opened once in a process, and
    /// what a sandbox has shut stays shut.
    pub fn needs_another_process(&self, before: &Self) -> bool {
        let needs_gpu = |config: &Self| config.device != "cpu";
        self.onnxruntime_library != before.onnxruntime_library
            || self.sandbox != before.sandbox
            || self.sandbox && (self.model_roots != before.model_roots || needs_gpu(self) && !needs_gpu(before))
    }
}

/// Where the processes of one cluster meet. The folder is named relative to the data directory, which is the working
/// directory of every PostgreSQL process: a Unix socket's path may have 107 bytes at most, a data directory's more.
/// Its prefix is the one that pg_basebackup and pg_rewind leave out.
pub struct SocketPaths;

impl SocketPaths {
    /// The folder, mode 0700.
    pub const DIRECTORY: &str = "pgsql_tmp_clip_search";
    /// The server's socket, mode 0600.
    pub const SOCKET: &str = "pgsql_tmp_clip_search/server.sock";
    /// Locked by the supervisor as long as it lives; holds its process id.
    pub const LOCK: &str = "pgsql_tmp_clip_search/supervisor.lock";
    /// A [`SupervisorState`] as JSON.
    pub const STATE: &str = "pgsql_tmp_clip_search/supervisor.json";
}

/// What the supervisor is doing, for backends that find no server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupervisorState {
    /// The server was started; it listens or soon will.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// The server ended and will be started again.
    BackingOff {
        /// How it ended.
        reason: String,
        /// Milliseconds between its end and the next start.
        delay_ms: u64,
    },
    /// The server cannot be started; it is tried again after the delay.
    CannotStart {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The server ended because nobody asked it anything; it starts again when somebody does.
    Idle,
}

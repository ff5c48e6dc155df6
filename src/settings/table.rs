//! Each setting once: its name, default, range, who may set it, and what `pg_settings` says of it.
//!
//! What changes a vector is server-wide (`Sighup`): the functions that name their model are IMMUTABLE, so no session may
//! get another vector than its neighbour. A session's own come first: a backend may need no others.

use super::check::check_model;
use super::define::{define, settings, variable};
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use protocol::{Config, FetchConfig};
use std::ffi::CString;

/// What becomes of a text over the context length.
#[derive(Clone, Copy, PartialEq, PostgresGucEnum)]
pub enum LongText {
    #[name = c"truncate"]
    Truncate,
    #[name = c"error"]
    Error,
}

/// What becomes of transparent pixels.
#[derive(Clone, Copy, PartialEq, PostgresGucEnum)]
pub enum TransparentPixels {
    #[name = c"drop"]
    Drop,
    #[name = c"white"]
    White,
}

/// What becomes of gray of more than 8 bits.
#[derive(Clone, Copy, PartialEq, PostgresGucEnum)]
pub enum DeepGray {
    #[name = c"scale"]
    Scale,
    #[name = c"pil"]
    Pil,
}

/// What becomes of an image that ends too early.
#[derive(Clone, Copy, PartialEq, PostgresGucEnum)]
pub enum TruncatedImage {
    #[name = c"error"]
    Error,
    #[name = c"decode"]
    Decode,
}

settings! {
    define_session:

    MODEL: string {
        name: c"clip_search.model",
        default: c"clip-search/emoji",
        check: Some(check_model),
        context: Userset,
        flags: GucFlags::default(),
        short: c"Sets the model of functions that are called without one, as owner/name.",
        long: c"The name is the model's path below clip_search.model_dir; clip_models() lists what is installed. \
              Vectors of different models cannot be compared.",
    }

    REQUEST_TIMEOUT: int {
        name: c"clip_search.request_timeout",
        default: 300_000,
        min: 0,
        max: i32::MAX,
        context: Userset,
        flags: GucFlags::UNIT_MS,
        short: c"Sets the maximum time to wait for the inference server's answer to one request; 0 disables the \
            limit.",
        long: c"The first request of a model waits until the model is loaded.",
    }

    START_TIMEOUT: int {
        name: c"clip_search.start_timeout",
        default: 30_000,
        min: 100,
        max: i32::MAX,
        context: Userset,
        flags: GucFlags::UNIT_MS,
        short: c"Sets the maximum time to wait for the inference server to listen.",
        long: c"The server listens before it loads a model, so the default is long even for slow disks.",
    }

    ENABLE_BATCH_SCAN: bool {
        name: c"clip_search.enable_batch_scan",
        default: true,
        context: Userset,
        flags: GucFlags::EXPLAIN,
        short: c"Enables plans that embed many rows in one request.",
        long: c"EXPLAIN shows such plans as Custom Scan (ClipEmbed). Takes effect with the next statement.",
    }

    BATCH_MEMORY: int {
        name: c"clip_search.batch_memory",
        default: 64 << 10,
        min: 64,
        max: i32::MAX,
        context: Userset,
        flags: GucFlags::UNIT_KB | GucFlags::EXPLAIN,
        short: c"Sets the maximum memory for the rows that one plan node reads ahead, including what is sent of \
            them.",
        long: c"A row that takes more is a batch of its own. Takes effect with the next statement.",
    }
}

settings! {
    define_others, OTHER_NAMES:

    DEVICE: string {
        name: c"clip_search.device",
        default: c"auto",
        check: None,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets where models run: auto, cpu, cuda, cuda:N, cuda:all, or several cuda:N separated by commas.",
        long: c"auto uses CUDA if the ONNX Runtime library offers it and there is a GPU, and the CPU otherwise; \
            cuda is an error if CUDA cannot be used. Takes effect on reload, which loads the models again.",
    }

    PRECISION: string {
        name: c"clip_search.precision",
        default: c"auto",
        check: None,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets which of a model's ONNX files are used: auto, fp32, fp16, int8, uint8, quantized, …",
        long: c"auto uses fp32 if the model has it. Precisions give slightly different vectors: embed again after \
            a change. Takes effect on reload.",
    }

    ON_LONG_TEXT: choice {
        name: c"clip_search.on_long_text",
        values: LongText,
        default: LongText::Truncate,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets what happens to a text of more tokens than the model's context length: truncate or error.",
        long: c"truncate keeps the first tokens and the end-of-text token, as the reference implementation does. \
            Takes effect on reload.",
    }

    QUEUE_TIMEOUT: int {
        name: c"clip_search.queue_timeout",
        default: 30_000,
        min: 1,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_MS,
        short: c"Sets the maximum time that a table's triggers, constraints and types may take for one batch of \
            queued rows.",
        long: c"Counts reading and writing rows, not the inference server. What takes longer is cancelled; 5 s \
            later the worker is ended and replaced. Takes effect on reload.",
    }

    WATCHDOG_TIMEOUT: int {
        name: c"clip_search.watchdog_timeout",
        default: 30_000,
        min: 0,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_MS,
        short: c"Sets the maximum time that the inference server may leave its supervisor's pings unanswered; 0 \
            disables the check.",
        long: c"The server is then killed and started again. A server that loads a model or is busy answers pings. \
            Takes effect on reload.",
    }

    TRANSPARENCY: choice {
        name: c"clip_search.transparency",
        values: TransparentPixels,
        default: TransparentPixels::Drop,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets what happens to an image's transparent pixels: drop or white.",
        long: c"drop leaves out the alpha channel, so that the colours below it show, as PIL's convert(\"RGB\") \
            and most users of CLIP do; white lays the image on white, as people see it on a page. Changes vectors: \
            embed again. Takes effect on reload.",
    }

    APPLY_ORIENTATION: bool {
        name: c"clip_search.apply_orientation",
        default: true,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Turns photographs as their EXIF data say before they are embedded.",
        long: c"off is what the reference implementation does; many photographs of phones then lie on their side. \
            Changes vectors: embed again. Takes effect on reload.",
    }

    GRAY16: choice {
        name: c"clip_search.gray16",
        values: DeepGray,
        default: DeepGray::Scale,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets how gray images of more than 8 bits are read: scale or pil.",
        long: c"scale uses the upper 8 bits, as image viewers do; pil cuts values off at 255, as PIL's \
            convert(\"RGB\") does, so that nearly all of an X-ray or a depth map is white. Changes vectors: embed \
            again. Takes effect on reload.",
    }

    ON_TRUNCATED: choice {
        name: c"clip_search.on_truncated",
        values: TruncatedImage,
        default: TruncatedImage::Error,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets what happens to a JPEG or PNG that is damaged or ends too early: error or decode.",
        long: c"error refuses it; decode embeds the part that can be read, with a WARNING. Takes effect on reload.",
    }

    JPEG_SCALING: bool {
        name: c"clip_search.jpeg_scaling",
        default: false,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Decodes large JPEG files in a half, a quarter or an eighth of their size.",
        long: c"The smallest of these that is still at least twice what the model reads, which takes less time. \
            Changes vectors a little. Takes effect on reload.",
    }

    THREADS: int {
        name: c"clip_search.threads",
        default: 0,
        min: 0,
        max: 1024,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the number of threads of one inference on the CPU and of decoding; 0 means one per core.",
        long: c"Lower it to leave cores to PostgreSQL. Takes effect on reload, which loads the models again.",
    }

    MAX_BATCH: int {
        name: c"clip_search.max_batch",
        default: Config::MAX_BATCH as i32,
        min: 1,
        max: 4096,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the maximum number of items in one batch.",
        long: c"A larger batch uses more memory, keeps a GPU busier, and makes others wait longer. Takes effect on \
            reload.",
    }

    MAX_IMAGE_BYTES: int {
        name: c"clip_search.max_image_bytes",
        default: Config::MAX_IMAGE_BYTES as i32,
        min: 1,
        max: 1 << 30,
        context: Sighup,
        flags: GucFlags::UNIT_BYTE,
        short: c"Sets the maximum size of an encoded image.",
        long: c"Takes effect on reload.",
    }

    MAX_IMAGE_PIXELS: int {
        name: c"clip_search.max_image_pixels",
        default: Config::MAX_IMAGE_PIXELS as i32,
        min: 1,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the maximum number of pixels (width times height) of an image.",
        long: c"Checked against the image's header before memory is allocated. Decoding takes up to 16 bytes for \
            each pixel, which also limits the memory of a decoder. Takes effect on reload.",
    }

    IMAGE_TIMEOUT: int {
        name: c"clip_search.image_timeout",
        default: Config::IMAGE_TIMEOUT_MS as i32,
        min: 1,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_MS,
        short: c"Sets the maximum time to decode one image.",
        long: c"Counts processor time, and at most four times as long by the clock. An image that takes longer is \
            an error. Takes effect on reload.",
    }

    IDLE_TIMEOUT: int {
        name: c"clip_search.server_idle_timeout",
        default: 0,
        min: 0,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_S,
        short: c"Sets the time without requests after which the inference server ends and frees its memory; 0 \
            disables this.",
        long: c"The next request starts the server and loads its model again. Takes effect on reload.",
    }

    BULK_STEP: int {
        name: c"clip_search.bulk_step_ms",
        default: Config::BULK_STEP_MS as i32,
        min: 1,
        max: 60_000,
        context: Sighup,
        flags: GucFlags::UNIT_MS,
        short: c"Sets the target time of one batch while searches keep coming.",
        long: c"A search waits for one batch of bulk work at most; on the CPU, texts and images do not wait for each other. \
            Such a batch takes less time than this, as measured, or has one item. Without searches for ten seconds, \
            batches have the size that was measured to be the fastest. Takes effect on reload.",
    }

    TEXT_CACHE: int {
        name: c"clip_search.text_cache_size",
        default: (Config::TEXT_CACHE_BYTES >> 10) as i32,
        min: 0,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_KB,
        short: c"Sets the inference server's memory for embeddings of texts that were asked for before; 0 disables \
            it.",
        long: c"An embedding of 512 dimensions takes about 2 kB. Takes effect on reload, which empties the cache.",
    }

    LOG_MIN_DURATION: int {
        name: c"clip_search.log_min_duration",
        default: -1,
        min: -1,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_MS,
        short: c"Logs requests to the inference server that take at least this long; -1 logs none, 0 logs all.",
        long: c"Measured from the arrival of a request to the end of its answer, and written to PostgreSQL's log \
            without the texts. Takes effect on reload.",
    }

    MAX_QUEUE: int {
        name: c"clip_search.max_queue_bytes",
        default: (Config::MAX_QUEUE_BYTES >> 10) as i32,
        min: 64,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_KB,
        short: c"Sets the maximum memory for requests that the inference server has accepted and not answered.",
        long: c"Further callers wait in their statement, up to clip_search.request_timeout. Takes effect on \
            reload.",
    }

    MAX_MEMORY: int {
        name: c"clip_search.max_server_memory",
        default: 0,
        min: 0,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_KB,
        short: c"Sets the memory above which the inference server loads no further model and accepts no further \
            large request; 0 disables the limit.",
        long: c"Models that have not been used for longest are unloaded to make room. Decoding an image and \
            running a model briefly take more. Takes effect on reload.",
    }

    MAX_GPU_MEMORY: int {
        name: c"clip_search.max_gpu_memory",
        default: 0,
        min: 0,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_KB,
        short: c"Sets the maximum memory of each encoder on each GPU; 0 disables the limit.",
        long: c"Counts the encoder's weights and the values between its layers; if those do not fit, batches get \
            smaller. Takes effect on reload, which loads the models again.",
    }

    MAX_CONNECTIONS: int {
        name: c"clip_search.max_connections_server",
        default: Config::MAX_CONNECTIONS as i32,
        min: 1,
        max: 65_536,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the maximum number of connections to the inference server.",
        long: c"Beyond it, the connection that has been idle longest is closed, and its backend connects again \
            with its next request. If all are in use, a new one is refused. Takes effect on reload.",
    }

    MODEL_DIR: string {
        name: c"clip_search.model_dir",
        default: c"",
        check: None,
        context: Sighup,
        flags: GucFlags::SUPERUSER_ONLY,
        short: c"Sets the folder of installed models, each in <model_dir>/<owner>/<name>.",
        long: c"An absolute path; empty means clip_search_models in the data directory. Searched before the folder \
            of the models that came with the extension. Takes effect on reload.",
    }

    RUNTIME: string {
        name: c"clip_search.onnxruntime_library",
        default: c"",
        check: None,
        context: Sighup,
        flags: GucFlags::SUPERUSER_ONLY,
        short: c"Sets the path of the ONNX Runtime library; empty means the one installed with the extension.",
        long: c"For a GPU, name the libonnxruntime.so of a build with CUDA. Takes effect on reload, which restarts \
            the server.",
    }

    PROGRAM: string {
        name: c"clip_search.server_program",
        default: c"",
        check: None,
        context: Sighup,
        flags: GucFlags::SUPERUSER_ONLY,
        short: c"Sets the path of clip-search-server; empty means the one installed with the extension.",
        long: c"Takes effect when the server starts the next time.",
    }

    HUB_ENDPOINT: string {
        name: c"clip_search.hub_endpoint",
        default: c"",
        check: None,
        context: Suset,
        flags: GucFlags::SUPERUSER_ONLY,
        short: c"Sets the hub or mirror that clip_install_model installs from; empty means the Hugging Face hub.",
        long: c"An http or https URL, without user name and password.",
    }

    HUB_TOKEN_FILE: string {
        name: c"clip_search.hub_token_file",
        default: c"",
        check: None,
        context: Suset,
        flags: GucFlags::SUPERUSER_ONLY,
        short: c"Sets the file with the token that clip_install_model sends to the hub, for restricted \
            repositories.",
        long: c"Its first line is the token; the user that PostgreSQL runs as reads it. Empty means the variable \
            HF_TOKEN of the server's environment.",
    }

    SANDBOX: bool {
        name: c"clip_search.sandbox",
        default: true,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Restricts the inference server and its decoders to the files and system calls that they need.",
        long: c"They can then read models and libraries and no other files, by Landlock and seccomp if the kernel \
            has them. Takes effect on reload, which restarts the server.",
    }

    URL_FETCH: bool {
        name: c"clip_search.url_fetch",
        default: false,
        context: Suset,
        flags: GucFlags::default(),
        short: c"Allows fetching images by URL.",
        long: c"Whoever may fetch can make the database server send requests. Besides this setting, EXECUTE on \
            clip_fetch_image and clip_fetch_images has to be granted.",
    }

    URL_ALLOW: string {
        name: c"clip_search.url_allow",
        default: c"",
        check: None,
        context: Sighup,
        flags: GucFlags::SUPERUSER_ONLY,
        short: c"Sets the hosts and networks that may be fetched from although they are not public, separated by \
            commas.",
        long: c"For example images.local, *.cdn.local, 10.1.0.0/16, 127.0.0.1:8080. Otherwise only public \
            addresses are connected to: no loopback, private, link-local or metadata address. Takes effect on \
            reload.",
    }

    URL_PORTS: string {
        name: c"clip_search.url_ports",
        default: c"80,443",
        check: None,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the ports, and ranges of ports, that may be fetched from, separated by commas.",
        long: c"For example 80,443,8000-8999. A port that clip_search.url_allow names with a host is allowed on \
            that host, too. Takes effect on reload.",
    }

    URL_USER_AGENT: string {
        name: c"clip_search.url_user_agent",
        default: c"",
        check: None,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the User-Agent header of fetches; empty means clip_search/VERSION.",
        long: c"Some hosts want to know whom to contact. Takes effect on reload.",
    }

    URL_TIMEOUT: int {
        name: c"clip_search.url_timeout",
        default: FetchConfig::TIMEOUT_MS as i32,
        min: 1,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_MS,
        short: c"Sets the maximum time for one URL, with its redirects and retries.",
        long: c"Takes effect on reload.",
    }

    URL_CONNECT_TIMEOUT: int {
        name: c"clip_search.url_connect_timeout",
        default: FetchConfig::CONNECT_TIMEOUT_MS as i32,
        min: 1,
        max: i32::MAX,
        context: Sighup,
        flags: GucFlags::UNIT_MS,
        short: c"Sets the maximum time for one attempt to connect to a host.",
        long: c"Takes effect on reload.",
    }

    URL_MAX_REDIRECTS: int {
        name: c"clip_search.url_max_redirects",
        default: FetchConfig::MAX_REDIRECTS as i32,
        min: 0,
        max: 20,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the maximum number of redirects that are followed for one URL.",
        long: c"Each is checked like the URL itself. Takes effect on reload.",
    }

    URL_CONNECTIONS: int {
        name: c"clip_search.url_connections",
        default: FetchConfig::CONNECTIONS as i32,
        min: 1,
        max: 1024,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the maximum number of URLs that the server fetches at a time.",
        long: c"Each may hold an image of clip_search.max_image_bytes in memory. Takes effect on reload.",
    }

    URL_CONNECTIONS_PER_HOST: int {
        name: c"clip_search.url_connections_per_host",
        default: FetchConfig::CONNECTIONS_PER_HOST as i32,
        min: 1,
        max: 1024,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the maximum number of URLs that the server fetches from one host at a time.",
        long: c"Raise it for hosts of your own. Takes effect on reload.",
    }

    URL_RETRIES: int {
        name: c"clip_search.url_retries",
        default: FetchConfig::RETRIES as i32,
        min: 0,
        max: 10,
        context: Sighup,
        flags: GucFlags::default(),
        short: c"Sets the number of further attempts if a host does not answer, or answers 429 or 5xx.",
        long: c"Each follows a pause that doubles, or that the host asks for with Retry-After. Takes effect on \
            reload.",
    }
}

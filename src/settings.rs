//! The `clip_search.*` settings. Each says what it bounds, in what unit, and when it takes effect.
//!
//! What changes a vector is server-wide (`sighup`): the functions that name their model are IMMUTABLE, so no session may
//! get another vector than its neighbour.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use protocol::{Config, FetchConfig, OnLongText, Transparency};
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, PostgresGucEnum)]
enum LongText {
    #[name = c"truncate"]
    Truncate,
    #[name = c"error"]
    Error,
}

#[derive(Clone, Copy, PartialEq, PostgresGucEnum)]
enum TransparentPixels {
    #[name = c"drop"]
    Drop,
    #[name = c"white"]
    White,
}

static MODEL: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"clip-search/emoji"));
static MODEL_DIR: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static DEVICE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"auto"));
static PRECISION: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"auto"));
static RUNTIME: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static PROGRAM: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static ON_LONG_TEXT: GucSetting<LongText> = GucSetting::<LongText>::new(LongText::Truncate);
static TRANSPARENCY: GucSetting<TransparentPixels> = GucSetting::<TransparentPixels>::new(TransparentPixels::Drop);
static APPLY_ORIENTATION: GucSetting<bool> = GucSetting::<bool>::new(true);
static THREADS: GucSetting<i32> = GucSetting::<i32>::new(0);
static MAX_BATCH: GucSetting<i32> = GucSetting::<i32>::new(32);
static MAX_IMAGE_BYTES: GucSetting<i32> = GucSetting::<i32>::new(64 << 20);
static MAX_IMAGE_PIXELS: GucSetting<i32> = GucSetting::<i32>::new(89_478_485);
static REQUEST_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(300_000);
static START_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(30_000);
static URL_FETCH: GucSetting<bool> = GucSetting::<bool>::new(false);
static URL_ALLOW: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static URL_USER_AGENT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));
static URL_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(30_000);
static URL_CONNECT_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(5_000);
static URL_MAX_REDIRECTS: GucSetting<i32> = GucSetting::<i32>::new(5);
static URL_CONNECTIONS: GucSetting<i32> = GucSetting::<i32>::new(32);
static URL_CONNECTIONS_PER_HOST: GucSetting<i32> = GucSetting::<i32>::new(4);
static URL_RETRIES: GucSetting<i32> = GucSetting::<i32>::new(2);
static IDLE_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(0);

/// Defines all settings and reserves their prefix.
pub fn register() {
    register_choices();
    register_reading();
    register_limits();
    register_paths();
    register_fetching();
    register_fetching_limits();
    reserve_prefix();
}

fn register_choices() {
    GucRegistry::define_string_guc(
        c"clip_search.model",
        c"The model of the functions that are not given one, as owner/name.",
        c"The name is the model's path below clip_search.model_dir; clip_models() lists what is installed. \
          Vectors of different models cannot be compared.",
        &MODEL,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"clip_search.device",
        c"Where models run: auto, cpu, cuda or cuda:N.",
        c"auto takes CUDA where the ONNX Runtime library offers it and a GPU is there, and the CPU otherwise; \
          cuda is an error where CUDA cannot be had. Takes effect on reload, which loads the models anew.",
        &DEVICE,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"clip_search.precision",
        c"Which of a model's ONNX files are used: auto, fp32, fp16, int8, uint8, quantized, …",
        c"auto takes fp32 where the model has it. Precisions give slightly different vectors: embed again after a \
          change. Takes effect on reload.",
        &PRECISION,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"clip_search.on_long_text",
        c"What to do with a text of more tokens than the model reads: truncate or error.",
        c"truncate keeps the first tokens and the end-of-text token, as the reference implementation does. \
          Takes effect on reload.",
        &ON_LONG_TEXT,
        GucContext::Sighup,
        GucFlags::default(),
    );
}

fn register_reading() {
    GucRegistry::define_enum_guc(
        c"clip_search.transparency",
        c"What becomes of a picture's transparent pixels: drop or white.",
        c"drop leaves out the alpha channel, so that the colours below it show, as PIL's convert(\"RGB\") and most users of \
          CLIP do; white lays the picture on white, as people see it on a page. Changes vectors: embed again. Takes \
          effect on reload.",
        &TRANSPARENCY,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"clip_search.apply_orientation",
        c"Whether a photograph is turned the way its EXIF data say before it is embedded.",
        c"off is what the reference implementation does, which sees many telephones' pictures lying on their side. \
          Changes vectors: embed again. Takes effect on reload.",
        &APPLY_ORIENTATION,
        GucContext::Sighup,
        GucFlags::default(),
    );
}

fn register_limits() {
    GucRegistry::define_int_guc(
        c"clip_search.threads",
        c"Threads of the server for one inference on the CPU, and for decoding; 0 means one for each core.",
        c"Lower it to leave cores to PostgreSQL. Takes effect on reload, which loads the models anew.",
        &THREADS,
        0,
        1024,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"clip_search.max_batch",
        c"Most items in one run of a model.",
        c"A larger batch uses more memory, keeps a GPU busier, and makes others wait longer. Takes effect on reload.",
        &MAX_BATCH,
        1,
        4096,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"clip_search.max_image_bytes",
        c"Longest encoded picture that is accepted, in bytes.",
        c"Takes effect on reload.",
        &MAX_IMAGE_BYTES,
        1,
        1 << 30,
        GucContext::Sighup,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_int_guc(
        c"clip_search.max_image_pixels",
        c"Most pixels (width times height) of a picture that is decoded.",
        c"Checked against the picture's header, before memory is taken: a decoded picture needs three to eight bytes \
          for each pixel. Takes effect on reload.",
        &MAX_IMAGE_PIXELS,
        1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"clip_search.request_timeout",
        c"Longest wait for the server's answer to one request; 0 means no limit.",
        c"The first request of a model waits until the model is loaded.",
        &REQUEST_TIMEOUT,
        0,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"clip_search.start_timeout",
        c"Longest wait for the server to start listening.",
        c"The server listens before it loads a model, so this is long even for slow disks.",
        &START_TIMEOUT,
        100,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"clip_search.server_idle_timeout",
        c"End the server after this time without a request, to give its memory back; 0 means never.",
        c"The next request starts it again and loads its model. Takes effect on reload.",
        &IDLE_TIMEOUT,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
}

fn register_paths() {
    GucRegistry::define_string_guc(
        c"clip_search.model_dir",
        c"Folder of installed models: <model_dir>/<owner>/<name>/config.json and beside it.",
        c"Searched before the folder of the models that came with the extension. Takes effect on reload.",
        &MODEL_DIR,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"clip_search.onnxruntime_library",
        c"Path of the ONNX Runtime library; empty means the one that was installed with the extension.",
        c"For a GPU, name the libonnxruntime.so of a build with CUDA. Takes effect on reload, which restarts the server.",
        &RUNTIME,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"clip_search.server_program",
        c"Path of clip-search-server; empty means the one that was installed with the extension.",
        c"Takes effect when the server starts the next time.",
        &PROGRAM,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
}

fn register_fetching() {
    GucRegistry::define_bool_guc(
        c"clip_search.url_fetch",
        c"Whether pictures are fetched by URL.",
        c"Whoever may fetch can make the database server send requests. Besides this setting, EXECUTE on \
          clip_fetch_image and clip_fetch_images has to be granted.",
        &URL_FETCH,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"clip_search.url_allow",
        c"Hosts and networks to fetch from although they are not public, separated by commas.",
        c"Such as images.local, *.cdn.local, 10.1.0.0/16, 127.0.0.1:8080. Without it only public addresses are \
          connected to: no loopback, private, link-local or metadata address. Takes effect on reload.",
        &URL_ALLOW,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"clip_search.url_user_agent",
        c"The User-Agent header of fetches; empty means clip_search/VERSION.",
        c"Some hosts want to know whom to write to. Takes effect on reload.",
        &URL_USER_AGENT,
        GucContext::Sighup,
        GucFlags::default(),
    );
}

fn register_fetching_limits() {
    let define = |name, short, long, setting, min, max, flags| {
        GucRegistry::define_int_guc(name, short, long, setting, min, max, GucContext::Sighup, flags);
    };
    define(
        c"clip_search.url_timeout",
        c"Longest time for one URL, with its redirects and retries.",
        c"Takes effect on reload.",
        &URL_TIMEOUT,
        1,
        i32::MAX,
        GucFlags::UNIT_MS,
    );
    define(
        c"clip_search.url_connect_timeout",
        c"Longest time for one attempt to connect to a host.",
        c"Takes effect on reload.",
        &URL_CONNECT_TIMEOUT,
        1,
        i32::MAX,
        GucFlags::UNIT_MS,
    );
    define(
        c"clip_search.url_max_redirects",
        c"Most redirects that are followed for one URL.",
        c"Each is checked like the URL itself. Takes effect on reload.",
        &URL_MAX_REDIRECTS,
        0,
        20,
        GucFlags::default(),
    );
    define(
        c"clip_search.url_connections",
        c"Most URLs that the server fetches at a time.",
        c"Each may hold a picture of clip_search.max_image_bytes in memory. Takes effect on reload.",
        &URL_CONNECTIONS,
        1,
        1024,
        GucFlags::default(),
    );
    define(
        c"clip_search.url_connections_per_host",
        c"Most URLs that the server fetches from one host at a time.",
        c"Raise it for hosts of your own. Takes effect on reload.",
        &URL_CONNECTIONS_PER_HOST,
        1,
        1024,
        GucFlags::default(),
    );
    define(
        c"clip_search.url_retries",
        c"Further attempts where a host does not answer, or answers 429 or 5xx.",
        c"After a pause that doubles, or that the host asks for with Retry-After. Takes effect on reload.",
        &URL_RETRIES,
        0,
        10,
        GucFlags::default(),
    );
}

fn reserve_prefix() {
    // SAFETY: both take a C string and copy what they keep; we are in _PG_init, where Postgres expects the call.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14"))]
        pgrx::pg_sys::EmitWarningsOnPlaceholders(c"clip_search".as_ptr());
        #[cfg(not(any(feature = "pg13", feature = "pg14")))]
        pgrx::pg_sys::MarkGUCPrefixReserved(c"clip_search".as_ptr());
    }
}

/// The session's model.
pub fn model() -> String {
    MODEL.get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// How long a request may take; `None` means without limit.
pub fn request_timeout() -> Option<Duration> {
    match REQUEST_TIMEOUT.get() {
        0 => None,
        ms => Some(Duration::from_millis(ms as u64)),
    }
}

/// How long to wait for the server to listen.
pub fn start_timeout() -> Duration {
    Duration::from_millis(START_TIMEOUT.get() as u64)
}

/// Longest encoded picture in bytes.
pub fn max_image_bytes() -> usize {
    MAX_IMAGE_BYTES.get() as usize
}

/// Whether this session may fetch by URL.
pub fn url_fetch() -> bool {
    URL_FETCH.get()
}

/// The program that the supervisor starts.
pub fn server_program() -> PathBuf {
    path(&PROGRAM).unwrap_or_else(|| package_dir().join("clip-search-server"))
}

/// When this process last read the configuration files, in microseconds. A vector that was made before may have been
/// made under other settings.
pub fn loaded_at() -> i64 {
    // SAFETY: a number that only this process writes, while it reads its configuration.
    unsafe { pgrx::pg_sys::PgReloadTime }
}

/// Whether the configuration was reloaded under this session so short a time ago that the server may not know it yet.
pub fn may_be_on_its_way() -> bool {
    // SAFETY: a number that is set once, when the process starts, and the time.
    let (started, now) = unsafe { (pgrx::pg_sys::MyStartTimestamp, pgrx::pg_sys::GetCurrentTimestamp()) };
    loaded_at() > started && now - loaded_at() < 1_000_000
}

/// The server's settings as they are now.
pub fn server_config() -> Config {
    let mut model_roots: Vec<PathBuf> = path(&MODEL_DIR).into_iter().collect();
    model_roots.push(share_dir().join("clip_search/models"));
    let text = |setting: &GucSetting<Option<CString>>| {
        setting.get().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    };
    Config {
        model_roots,
        onnxruntime_library: path(&RUNTIME).unwrap_or_else(|| package_dir().join("libonnxruntime.so")),
        device: text(&DEVICE),
        precision: text(&PRECISION),
        threads: THREADS.get() as u32,
        max_batch: MAX_BATCH.get() as u32,
        on_long_text: match ON_LONG_TEXT.get() {
            LongText::Truncate => OnLongText::Truncate,
            LongText::Error => OnLongText::Error,
        },
        transparency: match TRANSPARENCY.get() {
            TransparentPixels::Drop => Transparency::Drop,
            TransparentPixels::White => Transparency::White,
        },
        apply_orientation: APPLY_ORIENTATION.get(),
        max_image_bytes: MAX_IMAGE_BYTES.get() as u64,
        max_image_pixels: MAX_IMAGE_PIXELS.get() as u64,
        idle_timeout_s: IDLE_TIMEOUT.get() as u32,
        fetch: FetchConfig {
            allow: text(&URL_ALLOW),
            timeout_ms: URL_TIMEOUT.get() as u64,
            connect_timeout_ms: URL_CONNECT_TIMEOUT.get() as u64,
            max_redirects: URL_MAX_REDIRECTS.get() as u32,
            connections: URL_CONNECTIONS.get() as u32,
            connections_per_host: URL_CONNECTIONS_PER_HOST.get() as u32,
            retries: URL_RETRIES.get() as u32,
            user_agent: Some(text(&URL_USER_AGENT))
                .filter(|agent| !agent.is_empty())
                .unwrap_or_else(|| FetchConfig::USER_AGENT.to_owned()),
        },
    }
}

fn path(setting: &GucSetting<Option<CString>>) -> Option<PathBuf> {
    setting.get().filter(|value| !value.is_empty()).map(|value| to_path(&value))
}

fn to_path(value: &CStr) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(value.to_bytes()))
}

/// `$(pg_config --pkglibdir)/clip_search`: the server and the ONNX Runtime library.
fn package_dir() -> PathBuf {
    // SAFETY: pkglib_path is a NUL-terminated array that the postmaster fills before it loads any library.
    to_path(unsafe { CStr::from_ptr(&raw const pgrx::pg_sys::pkglib_path as *const _) }).join("clip_search")
}

/// `$(pg_config --sharedir)`.
fn share_dir() -> PathBuf {
    let mut buffer = [0; pgrx::pg_sys::MAXPGPATH as usize];
    // SAFETY: my_exec_path is a NUL-terminated array; get_share_path writes at most MAXPGPATH bytes, NUL included.
    unsafe {
        pgrx::pg_sys::get_share_path(&raw const pgrx::pg_sys::my_exec_path as *const _, buffer.as_mut_ptr());
        to_path(CStr::from_ptr(buffer.as_ptr()))
    }
}

//! The `clip_search.*` settings.
//!
//! ```text
//! table   each setting: name, default, range, who may set it, descriptions
//! define  what makes variables and definitions of it
//! check   what is looked at where one is set
//! paths   where the files are that came with the extension
//! ```

mod check;
mod define;
mod paths;
mod table;

use crate::compat;
pub use paths::bundled_models;
use paths::{data_dir, package_dir, to_path};
use pgrx::guc::GucSetting;
use pgrx::pg_sys;
use protocol::{Config, FetchConfig, Gray16, OnLongText, OnTruncated, Transparency};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use table::*;

/// Where models are installed unless `clip_search.model_dir` says otherwise: in the data directory. The server can write
/// there, on every system and in every container, and it is kept when the software is replaced. It is in base backups: what
/// a restored cluster or a new standby answers depends on these very files.
const DEFAULT_MODEL_DIR: &str = "clip_search_models";

/// Which settings are defined: none or not yet all of a session, those of a session, all.
static DEFINED: AtomicU8 = AtomicU8::new(0);
static NEXT_ANALYSIS: OnceLock<pg_sys::post_parse_analyze_hook_type> = OnceLock::new();

/// Defines all settings and reserves their prefix.
///
/// Before PostgreSQL 16 each definition sorts all settings again: those that sessions cannot set take milliseconds. A
/// backend that has just loaded the library leaves them until something asks for them. Not where some have a value
/// already, from a file or a session: parallel workers check these as they start, and a value cannot be taken over in the
/// midst of a parallel query.
pub fn register() {
    define_session();
    DEFINED.store(1, Ordering::Relaxed);
    // SAFETY: numbers and pointers of this process; the text of the statement is NULL or NUL-terminated.
    unsafe {
        let is_backend = !pg_sys::process_shared_preload_libraries_in_progress && pg_sys::MyBgworkerEntry.is_null();
        let has_values =
            || OTHER_NAMES.iter().any(|name| !pg_sys::GetConfigOption(name.as_ptr(), true, false).is_null());
        if !compat::SORTS_SETTINGS || !is_backend || may_ask(pg_sys::debug_query_string) || has_values() {
            return define_all();
        }
        NEXT_ANALYSIS.get_or_init(|| pg_sys::post_parse_analyze_hook);
        pg_sys::post_parse_analyze_hook = Some(analysed);
    }
}

/// Has those defined that are left. Not in the midst of defining a session's, whose values are checked then: reserving the
/// prefix removes what is not defined yet.
fn define_all() {
    if DEFINED.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        define_others();
        compat::reserve_prefix(c"clip_search");
    }
}

compat::post_parse_analyze_hook!(analysed, NEXT_ANALYSIS, define_if_asked);

/// # Safety
/// The state of an analysis.
unsafe fn define_if_asked(state: *mut pg_sys::ParseState, _query: *mut pg_sys::Query) {
    // SAFETY: by the caller's promise.
    if DEFINED.load(Ordering::Relaxed) < 2 && unsafe { may_ask((*state).p_sourcetext) } {
        define_all();
    }
}

/// Whether a statement may read or set settings: SHOW, SET, RESET, `current_setting`, `pg_settings` and the like.
///
/// # Safety
/// NULL or a NUL-terminated text.
unsafe fn may_ask(statement: *const c_char) -> bool {
    // SAFETY: by the caller's promise.
    !statement.is_null() && mentions_settings(unsafe { CStr::from_ptr(statement) }.to_bytes())
}

fn mentions_settings(statement: &[u8]) -> bool {
    let is = |part: &[u8], word: &[u8]| part.eq_ignore_ascii_case(word);
    let is_offset = |at: usize| at >= 3 && is(&statement[at - 3..at], b"off");
    let sets = || statement.windows(3).enumerate().any(|(at, part)| is(part, b"set") && !is_offset(at));
    sets() || statement.windows(4).any(|part| is(part, b"show"))
}

/// The session's model.
pub fn model() -> String {
    MODEL.get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether a model of this name is there, whatever is in it.
fn is_installed(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
    let is_name = name.split('/').count() == 2 && name.split('/').all(is_part);
    is_name && [model_dir(), bundled_models()].iter().any(|root| root.join(name).is_dir())
}

/// How long a request may take; `None` means without limit.
pub fn request_timeout() -> Option<Duration> {
    match REQUEST_TIMEOUT.get() {
        0 => None,
        ms => Some(Duration::from_millis(ms as u64)),
    }
}

/// How long the code of a table may take for a batch of its queue.
pub fn queue_timeout() -> Duration {
    define_all();
    Duration::from_millis(QUEUE_TIMEOUT.get() as u64)
}

/// How long the server may leave the supervisor's pings unanswered; `None` means without limit.
pub fn watchdog_timeout() -> Option<Duration> {
    define_all();
    Some(Duration::from_millis(WATCHDOG_TIMEOUT.get() as u64)).filter(|timeout| !timeout.is_zero())
}

/// How long to wait for the server to listen.
pub fn start_timeout() -> Duration {
    Duration::from_millis(START_TIMEOUT.get() as u64)
}

/// Longest encoded image in bytes.
pub fn max_image_bytes() -> usize {
    define_all();
    MAX_IMAGE_BYTES.get() as usize
}

/// Whether plans are changed so that they embed many rows in one request.
pub fn enable_batch_scan() -> bool {
    ENABLE_BATCH_SCAN.get()
}

/// Memory in bytes for the rows that a plan's node reads ahead.
pub fn batch_memory() -> usize {
    BATCH_MEMORY.get() as usize * 1024
}

/// Whether this session may fetch by URL.
pub fn url_fetch() -> bool {
    define_all();
    URL_FETCH.get()
}

/// The program that the supervisor starts.
pub fn server_program() -> PathBuf {
    define_all();
    path(&PROGRAM).unwrap_or_else(|| package_dir().join("clip-search-server"))
}

/// The folder of installed models. It need not exist.
pub fn model_dir() -> PathBuf {
    define_all();
    path(&MODEL_DIR).unwrap_or_else(|| data_dir().join(DEFAULT_MODEL_DIR))
}

/// The hub that models are installed from; `None` is the usual one.
pub fn hub_endpoint() -> Option<String> {
    define_all();
    HUB_ENDPOINT.get().filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

/// The file with the token for restricted repositories.
pub fn hub_token_file() -> Option<PathBuf> {
    define_all();
    path(&HUB_TOKEN_FILE)
}

/// When this process last read the configuration files, in microseconds. A vector that was made before may have been
/// made under other settings.
pub fn loaded_at() -> i64 {
    // SAFETY: a number that only this process writes, while it reads its configuration.
    unsafe { pg_sys::PgReloadTime }
}

/// [`Config::of_vectors`] of the settings as this process has read them last. The server has others for a moment after a
/// reload, and before, where this process is in the middle of a statement.
pub fn of_vectors() -> u64 {
    thread_local! {
        static KNOWN: Cell<Option<(i64, u64)>> = const { Cell::new(None) };
    }
    match KNOWN.get() {
        Some((since, known)) if since == loaded_at() => known,
        _ => {
            let number = server_config().of_vectors();
            KNOWN.set(Some((loaded_at(), number)));
            number
        }
    }
}

/// The server's settings as they are now.
pub fn server_config() -> Config {
    define_all();
    let model_roots = vec![model_dir(), bundled_models()];
    let text = |setting: &GucSetting<Option<CString>>| {
        setting.get().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    };
    Config {
        model_roots,
        model_dir_is_default: path(&MODEL_DIR).is_none(),
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
        gray16: match GRAY16.get() {
            DeepGray::Scale => Gray16::Scale,
            DeepGray::Pil => Gray16::Pil,
        },
        on_truncated: match ON_TRUNCATED.get() {
            TruncatedImage::Error => OnTruncated::Error,
            TruncatedImage::Decode => OnTruncated::Decode,
        },
        jpeg_scaling: JPEG_SCALING.get(),
        max_image_bytes: MAX_IMAGE_BYTES.get() as u64,
        max_image_pixels: MAX_IMAGE_PIXELS.get() as u64,
        image_timeout_ms: IMAGE_TIMEOUT.get() as u64,
        sandbox: SANDBOX.get(),
        idle_timeout_s: IDLE_TIMEOUT.get() as u32,
        bulk_step_ms: BULK_STEP.get() as u32,
        max_queue_bytes: kibibytes(&MAX_QUEUE),
        max_server_memory: kibibytes(&MAX_MEMORY),
        max_gpu_memory: kibibytes(&MAX_GPU_MEMORY),
        max_connections: MAX_CONNECTIONS.get() as u32,
        text_cache_bytes: kibibytes(&TEXT_CACHE),
        log_min_duration_ms: u64::try_from(LOG_MIN_DURATION.get()).ok(),
        // The supervisor counts.
        restarts: 0,
        fetch: FetchConfig {
            allow: text(&URL_ALLOW),
            ports: text(&URL_PORTS),
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

fn kibibytes(setting: &GucSetting<i32>) -> u64 {
    setting.get() as u64 * 1024
}

fn path(setting: &GucSetting<Option<CString>>) -> Option<PathBuf> {
    setting.get().filter(|value| !value.is_empty()).map(|value| to_path(&value))
}

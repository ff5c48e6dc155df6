//! The definition of each setting: what it bounds, in what unit, who may set it, and when it takes effect.

use super::*;
use crate::compat;
use crate::errors::{Error, ModelError, Raise};
use crate::scope::OnceInStatement;
use pgrx::guc::{GucContext, GucFlags, GucRegistry};
use pgrx::{pg_guard, pg_sys};
use std::ffi::{CStr, c_char, c_void};

/// Defines all settings and reserves their prefix.
pub fn register() {
    register_choices();
    register_watching();
    register_reading();
    register_limits();
    register_serving();
    register_bounds();
    register_batches();
    register_paths();
    register_sandbox();
    register_fetching();
    register_fetching_limits();
    reserve_prefix();
}

/// Warns of a model that is not installed, once in a statement. Settings are often made before what they need is there, so
/// it is no error; and a restart, a reload or the start of a session says nothing.
#[pg_guard]
unsafe extern "C-unwind" fn check_model(
    value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: plain numbers; `value` points to the new value, which is null or a NUL-terminated string.
    let name = unsafe {
        let is_asked = source >= pg_sys::GucSource::PGC_S_INTERACTIVE && pg_sys::ParallelWorkerNumber < 0;
        if !is_asked || (*value).is_null() {
            return true;
        }
        CStr::from_ptr(*value).to_string_lossy().into_owned()
    };
    thread_local! {
        static WARNED: OnceInStatement = const { OnceInStatement::new() };
    }
    if !name.is_empty() && !is_installed(&name) && WARNED.with(OnceInStatement::is_first) {
        Error::from(ModelError::NotInstalled { name }).warn();
    }
    true
}

fn register_choices() {
    // SAFETY: the hooks are guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"clip_search.model",
            c"The model of the functions that are not given one, as owner/name.",
            c"The name is the model's path below clip_search.model_dir; clip_models() lists what is installed. \
              Vectors of different models cannot be compared.",
            &MODEL,
            GucContext::Userset,
            GucFlags::default(),
            Some(check_model),
            None,
            None,
        );
    }
    GucRegistry::define_string_guc(
        c"clip_search.device",
        c"Where models run: auto, cpu, cuda, cuda:N, cuda:all, or several cuda:N separated by commas.",
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

fn register_watching() {
    GucRegistry::define_int_guc(
        c"clip_search.queue_timeout",
        c"Longest time that triggers, constraints and types of a table may take for one batch of its queued rows.",
        c"Reading and writing together, without what the server takes. Then what runs is cancelled, and 5 s later the worker is \
          ended, and another takes its place. Takes effect on reload.",
        &QUEUE_TIMEOUT,
        1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"clip_search.watchdog_timeout",
        c"Longest time that the inference server may leave pings of its supervisor unanswered; 0 means no limit.",
        c"Then it is killed and started again. A server that loads a model or is busy answers them. Takes effect on reload.",
        &WATCHDOG_TIMEOUT,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
}

fn register_reading() {
    GucRegistry::define_enum_guc(
        c"clip_search.transparency",
        c"What becomes of an image's transparent pixels: drop or white.",
        c"drop leaves out the alpha channel, so that the colours below it show, as PIL's convert(\"RGB\") and most users of \
          CLIP do; white lays the image on white, as people see it on a page. Changes vectors: embed again. Takes \
          effect on reload.",
        &TRANSPARENCY,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"clip_search.apply_orientation",
        c"Whether a photograph is turned the way its EXIF data say before it is embedded.",
        c"off is what the reference implementation does, which sees many telephones' images lying on their side. \
          Changes vectors: embed again. Takes effect on reload.",
        &APPLY_ORIENTATION,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"clip_search.gray16",
        c"What becomes of gray images of more than 8 bits: scale or pil.",
        c"scale takes the upper 8 bits, as people see such an image in a viewer; pil cuts off what is above 255, as PIL's \
          convert(\"RGB\") does, so that nearly all of an X-ray or a depth map is white. Changes vectors: embed again. \
          Takes effect on reload.",
        &GRAY16,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"clip_search.on_truncated",
        c"What becomes of a JPEG or PNG that is damaged or ends too early: error or decode.",
        c"error refuses it; decode embeds what there is of it, with a WARNING. Takes effect on reload.",
        &ON_TRUNCATED,
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
        c"Longest encoded image that is accepted, in bytes.",
        c"Takes effect on reload.",
        &MAX_IMAGE_BYTES,
        1,
        1 << 30,
        GucContext::Sighup,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_int_guc(
        c"clip_search.max_image_pixels",
        c"Most pixels (width times height) of an image that is decoded.",
        c"Checked against the image's header, before memory is taken: decoding takes up to 16 bytes for each pixel, which \
          also bounds the memory of a decoder. Takes effect on reload.",
        &MAX_IMAGE_PIXELS,
        1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"clip_search.image_timeout",
        c"Longest time to decode one image.",
        c"Counts processor time, and at most four times as long by the clock. An image that takes longer is an error of its \
          own. Takes effect on reload.",
        &IMAGE_TIMEOUT,
        1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
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

fn register_serving() {
    GucRegistry::define_int_guc(
        c"clip_search.bulk_step_ms",
        c"How long one run of a model may take.",
        c"Others wait for its end, so a search waits for one step at most. As many items run at a time as took less when they \
          were measured, and one at least: on a GPU, full batches. Takes effect on reload.",
        &BULK_STEP,
        1,
        60_000,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"clip_search.text_cache_size",
        c"Memory of the server for embeddings of texts that were asked for before; 0 turns it off.",
        c"An embedding of 512 dimensions takes about 2 kB. Takes effect on reload, which empties it.",
        &TEXT_CACHE,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"clip_search.log_min_duration",
        c"Log requests to the server that take at least so long; -1 logs none, 0 all.",
        c"From the arrival of a request to the end of its answer, as a line in PostgreSQL's log, without the texts. Takes \
          effect on reload.",
        &LOG_MIN_DURATION,
        -1,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_MS,
    );
}

fn register_bounds() {
    GucRegistry::define_int_guc(
        c"clip_search.max_queue_bytes",
        c"Most memory for requests that the server has accepted and not answered.",
        c"Beyond it, callers wait within their statement, until clip_search.request_timeout. Takes effect on reload.",
        &MAX_QUEUE,
        64,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"clip_search.max_server_memory",
        c"Memory that the server may have for it to load one more model or accept one more large request; 0 means no limit.",
        c"Models that were not used for longest are unloaded to make room. What decoding an image and running a model take \
          for a moment comes on top. Takes effect on reload.",
        &MAX_MEMORY,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"clip_search.max_gpu_memory",
        c"Most memory that an encoder may take on each GPU that it runs on; 0 means no limit.",
        c"The weights of the encoder count, and so do the values between them: where those do not fit, batches get smaller. \
          Takes effect on reload, which loads the models anew.",
        &MAX_GPU_MEMORY,
        0,
        i32::MAX,
        GucContext::Sighup,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"clip_search.max_connections_server",
        c"Most connections of sessions to the server.",
        c"Beyond it, the connection that has rested longest is closed, and its session connects again with its next request. \
          Where all are in use, a new one is refused. Takes effect on reload.",
        &MAX_CONNECTIONS,
        1,
        65_536,
        GucContext::Sighup,
        GucFlags::default(),
    );
}

fn register_batches() {
    GucRegistry::define_bool_guc(
        c"clip_search.enable_batch_scan",
        c"Whether plans may embed many rows in one request.",
        c"EXPLAIN shows such plans as Custom Scan (ClipEmbed). Takes effect with the next statement.",
        &ENABLE_BATCH_SCAN,
        GucContext::Userset,
        GucFlags::EXPLAIN,
    );
    GucRegistry::define_int_guc(
        c"clip_search.batch_memory",
        c"Most memory for the rows that one node of a plan reads ahead, with what is sent of them.",
        c"A row that takes more is a batch of its own. Takes effect with the next statement.",
        &BATCH_MEMORY,
        64,
        i32::MAX,
        GucContext::Userset,
        GucFlags::UNIT_KB | GucFlags::EXPLAIN,
    );
}

fn register_paths() {
    GucRegistry::define_string_guc(
        c"clip_search.model_dir",
        c"Folder of installed models: <model_dir>/<owner>/<name>/config.json and beside it.",
        c"An absolute path; empty means clip_search_models in the data directory. Searched before the folder of the models \
          that came with the extension. Takes effect on reload.",
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
    GucRegistry::define_string_guc(
        c"clip_search.hub_endpoint",
        c"Address of the hub or mirror that clip_install_model installs from; empty means the Hugging Face hub.",
        c"An http or https URL, without user name and password.",
        &HUB_ENDPOINT,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"clip_search.hub_token_file",
        c"File with the token that clip_install_model shows to the hub, for restricted repositories.",
        c"Its first line is the token; the user that PostgreSQL runs as reads it. Empty means HF_TOKEN of the server's \
          environment, if that is set.",
        &HUB_TOKEN_FILE,
        GucContext::Suset,
        GucFlags::SUPERUSER_ONLY,
    );
}

fn register_sandbox() {
    GucRegistry::define_bool_guc(
        c"clip_search.sandbox",
        c"Whether the server and its decoders give up the rights that they do not need.",
        c"They then read models and libraries and no other files, by Landlock and seccomp where the kernel has them. Takes \
          effect on reload, which restarts the server.",
        &SANDBOX,
        GucContext::Sighup,
        GucFlags::default(),
    );
}

fn register_fetching() {
    GucRegistry::define_bool_guc(
        c"clip_search.url_fetch",
        c"Whether images are fetched by URL.",
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
        c"clip_search.url_ports",
        c"Ports to fetch from, and ranges of them, separated by commas.",
        c"Such as 80,443,8000-8999. A port that clip_search.url_allow names with a host is fetched from on that host, too. \
          Takes effect on reload.",
        &URL_PORTS,
        GucContext::Sighup,
        GucFlags::default(),
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
        c"Each may hold an image of clip_search.max_image_bytes in memory. Takes effect on reload.",
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
    compat::reserve_prefix(c"clip_search");
}

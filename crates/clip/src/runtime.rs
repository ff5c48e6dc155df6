//! The ONNX Runtime library of this process.

use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::{Error, Result};

/// Most messages of ONNX Runtime that are kept to explain an error.
const KEPT_MESSAGES: usize = 16;

/// ONNX Runtime, opened. Cheap to clone; the library stays open until the process ends.
#[derive(Clone, Debug)]
pub struct Runtime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    version: String,
    environment: Environment,
}

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);
/// The latest errors that ONNX Runtime logged. Some of its errors say less than what it logs before them.
static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Runtime {
    /// Opens the ONNX Runtime library, once per process: later calls with the same path answer with the same runtime.
    ///
    /// What ONNX Runtime logs as a warning or worse goes to stderr.
    ///
    /// # Errors
    /// [`Error::RuntimeLibrary`] where the file is missing, is not an ONNX Runtime or is older than 1.24, and where
    /// another library was opened before.
    pub fn init(library: &Path) -> Result<Runtime> {
        let refused = |reason: String| Error::RuntimeLibrary { path: library.to_owned(), reason };
        // Also makes the path absolute: ort would look for a relative one beside the executable.
        let path = library.canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => refused("there is no such file".to_owned()),
            _ => refused(error.to_string()),
        })?;
        if !path.is_file() {
            return Err(refused("it is not a regular file".to_owned()));
        }
        let mut opened = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*opened {
            return if runtime.0.path == path {
                Ok(runtime.clone())
            } else {
                Err(refused(format!("this process already uses {}", runtime.0.path.display())))
            };
        }
        // ort panics on some of what this finds.
        let version = probe(&path).map_err(refused)?;
        let builder = ort::init_from(&path).map_err(|error| refused(error.to_string()))?;
        let environment = builder
            .with_name("clip_search")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|error| refused(error.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        let runtime = Runtime(Arc::new(Inner { path, version, environment }));
        *opened = Some(runtime.clone());
        Ok(runtime)
    }

    /// The runtime that this process has opened, if it has.
    pub fn current() -> Option<Runtime> {
        RUNTIME.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Version of the library, such as `1.31.1`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The library's file, with links resolved.
    pub fn library(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.0.environment
    }
}

/// Forgets the errors that were logged so far, on this or any other thread.
pub(crate) fn forget_messages() {
    MESSAGES.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The errors that were logged since, the latest last.
pub(crate) fn logged_messages() -> Vec<String> {
    MESSAGES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn log(level: LogLevel, _category: &str, _id: &str, _location: &str, message: &str) {
    if matches!(level, LogLevel::Error | LogLevel::Fatal) {
        let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() == KEPT_MESSAGES {
            messages.remove(0);
        }
        messages.push(message.to_owned());
    }
    if !matches!(level, LogLevel::Verbose | LogLevel::Info) {
        eprintln!("ONNX Runtime: {message}");
    }
}

/// Opens the library, asks for its version, and checks that it has the interface that ort was built for.
#[allow(unsafe_code)]
fn probe(path: &Path) -> Result<String, String> {
    type GetApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;

    // SAFETY: opening a library runs its initialisers. The file is the one that the administrator named as ONNX Runtime;
    // whoever can set that name may have this process run any code.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| describe(&error))?;
    // SAFETY: only ONNX Runtime exports this name, with this type since its version 1.0.
    let get_base = unsafe { library.get::<GetApiBase>(b"OrtGetApiBase\0") }
        .map_err(|_| "it is not an ONNX Runtime library (no OrtGetApiBase)".to_owned())?;
    // SAFETY: the function takes nothing and returns a pointer to a static of the library, which is still open.
    let base = unsafe { get_base().as_ref() }.ok_or("OrtGetApiBase returned nothing")?;
    // SAFETY: both members have these types in every version; the text is a static of the library, ended by a zero.
    let version = unsafe {
        let text: *const c_char = (base.GetVersionString)();
        CStr::from_ptr(text).to_string_lossy().into_owned()
    };
    // SAFETY: as above; an unknown number gives a null pointer and nothing else.
    let api = unsafe { (base.GetApi)(ort::MINOR_VERSION) };
    if api.is_null() || minor_version(&version) < Some(ort::MINOR_VERSION) {
        return Err(format!("it is ONNX Runtime {version}, at least 1.{} is needed", ort::MINOR_VERSION));
    }
    Ok(version)
}

fn minor_version(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

/// The loader's own text.
fn describe(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

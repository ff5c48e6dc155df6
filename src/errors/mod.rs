//! Every error of the extension, and the one table that gives each its SQLSTATE, DETAIL and HINT.

mod argument;
mod model;
mod raised;
mod table_error;
mod watch;

pub use argument::ArgumentError;
pub use model::ModelError;
pub use raised::Raised;
pub use table_error::TableError;
pub use watch::Watch;

use crate::text;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode as Code};
use protocol::{ErrorClass, Failure};
use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

/// Result of the extension.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between SQL and the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a failure.
    #[error("{}", .0.message)]
    Server(Failure),
    /// One element of an array failed; counted from 1, NULL elements included.
    #[error("{error}")]
    Element {
        /// Position in the array.
        index: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// An image over `clip_search.max_image_bytes`, found before it was sent.
    #[error("image has {bytes} bytes, more than {max}")]
    ImageTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A text that no model would read to its end.
    #[error("text has {bytes} bytes, more than {max}")]
    TextTooLarge {
        /// Its length in UTF-8.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A text with bytes that no character stands for: in SQL_ASCII, where bytes have no meaning and need not be UTF-8,
    /// or a damaged value.
    #[error("text is not UTF-8: invalid byte {byte:#04x} at position {position}")]
    NotUtf8 {
        /// The first such byte.
        byte: u8,
        /// Where it is, counted from 1.
        position: usize,
        /// Whether the database's encoding is not SQL_ASCII.
        is_encoding_known: bool,
    },
    /// The request does not fit into a message.
    #[error("request of {0} bytes is too long")]
    RequestTooLong(usize),
    /// An array of more than one dimension.
    #[error("array must have one dimension, not {0}")]
    ArrayDimensions(i32),
    /// The connection broke, and broke again after a new attempt.
    #[error("lost the connection to clip-search-server")]
    Lost(String),
    /// The server is of another release than this library.
    #[error("clip-search-server is of release {theirs}, this session's library of {ours}", ours = protocol::RELEASE)]
    Mismatch {
        /// The server's release.
        theirs: String,
    },
    /// No answer in time.
    #[error("clip-search-server did not answer within {} ms", .0.as_millis())]
    NoAnswer(Duration),
    /// No server listens, and none came up in time.
    #[error("clip-search-server did not start within {} ms", .waited.as_millis())]
    NotStarted {
        /// How long we waited.
        waited: Duration,
        /// What the supervisor says.
        detail: String,
    },
    /// The server's program cannot be executed.
    #[error("could not start \"{}\": {reason}", .program.display())]
    CannotStart {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// No slot for the supervisor.
    #[error("no background worker slot is free for the supervisor of clip-search-server")]
    NoWorkerSlot,
    /// No supervisor runs, so nothing can be restarted.
    #[error("no supervisor of clip-search-server is running")]
    NoSupervisor,
    /// A file of the cluster's own, such as the folder of the socket.
    #[error("could not {action}: {reason}")]
    File {
        /// What was tried, with the file's name.
        action: String,
        /// What the operating system said.
        reason: String,
    },
    /// An argument that makes no sense.
    #[error(transparent)]
    ArgumentError(#[from] ArgumentError),
    /// A model that could not be installed, verified or removed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A table that cannot be filled.
    #[error(transparent)]
    TableError(#[from] TableError),
    /// One of the extension's own tables is not as the extension's script made it.
    #[error("table {table} is not safe to use")]
    InternalTable {
        /// Its name.
        table: &'static str,
        /// What is the matter with it.
        problem: String,
    },
    /// The `vector` type is not what this library knows.
    #[error("unexpected vector of {0} dimensions")]
    VectorDimension(usize),
}

impl Error {
    /// The same error, of an array's element at this position, counted from 1.
    pub fn of_element(self, index: usize) -> Self {
        Self::Element { index, error: Box::new(self) }
    }

    /// Whether it is the image's fault, and not that of the server, the model or the settings of the model.
    pub fn is_the_images_fault(&self) -> bool {
        match self {
            Self::Server(failure) => is_the_images_fault(failure.class),
            Self::Element { error, .. } => error.is_the_images_fault(),
            Self::ImageTooLarge { .. } => true,
            _ => false,
        }
    }

    /// The SQLSTATE.
    pub fn code(&self) -> Code {
        match self {
            Self::Server(failure) => sqlstate(failure.class),
            Self::Element { error, .. } => error.code(),
            Self::ImageTooLarge { .. } | Self::TextTooLarge { .. } | Self::RequestTooLong(_) => {
                Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED
            }
            Self::NotUtf8 { .. } => Code::ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
            Self::ArrayDimensions(_) => Code::ERRCODE_ARRAY_ELEMENT_ERROR,
            Self::Lost(_) | Self::NotStarted { .. } => Code::ERRCODE_CONNECTION_FAILURE,
            Self::Mismatch { .. } | Self::NoSupervisor | Self::InternalTable { .. } => {
                Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
            }
            Self::NoAnswer(_) => Code::ERRCODE_INSUFFICIENT_RESOURCES,
            Self::CannotStart { .. } => Code::ERRCODE_SYSTEM_ERROR,
            Self::NoWorkerSlot => Code::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            Self::File { .. } => Code::ERRCODE_IO_ERROR,
            Self::ArgumentError(argument) => argument.code(),
            Self::TableError(table_error) => table_error.code(),
            Self::Model(error) => error.code(),
            Self::VectorDimension(_) => Code::ERRCODE_INTERNAL_ERROR,
        }
    }

    /// Tells the client without failing.
    pub fn warn(self) {
        ErrorReport::from(self).report(PgLogLevel::WARNING);
    }

    /// Raises the error in Postgres.
    pub fn raise(self) -> ! {
        ErrorReport::from(self).report(PgLogLevel::ERROR);
        unreachable!("ERROR does not return")
    }
}

/// Errors tell nothing of this library's frames and of where it was built, whatever `RUST_BACKTRACE` says: pgrx would put
/// it into the DETAIL that the client sees. The server, which inherits the environment, still heeds it.
pub fn disable_backtraces() {
    const VARIABLES: [&str; 2] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"];
    let values = VARIABLES.map(std::env::var_os);
    // SAFETY: in _PG_init, in a process without threads.
    unsafe {
        VARIABLES.iter().for_each(|name| std::env::remove_var(name));
        // Looks at the variables once and for all.
        drop(std::backtrace::Backtrace::capture());
        for (name, value) in VARIABLES.iter().zip(values) {
            value.into_iter().for_each(|value| std::env::set_var(name, value));
        }
    }
}

/// Raises the error, or gives the value.
pub fn or_raise<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| error.raise())
}

/// Whether a failure is that of one image or text: other items of the request may be fine.
pub fn is_the_images_fault(class: ErrorClass) -> bool {
    use ErrorClass::{BadEmbedding, BadImage, LimitExceeded, UnsupportedImage};
    matches!(class, BadEmbedding | BadImage | UnsupportedImage | LimitExceeded)
}

/// The five characters of a SQLSTATE, which Postgres packs into a number.
pub fn sqlstate_text(code: i32) -> String {
    // SAFETY: what comes back is a NUL-terminated string in a static buffer.
    unsafe { CStr::from_ptr(pgrx::pg_sys::unpack_sql_state(code)).to_string_lossy().into_owned() }
}

fn sqlstate(class: ErrorClass) -> Code {
    match class {
        ErrorClass::BadImage => Code::ERRCODE_INVALID_BINARY_REPRESENTATION,
        ErrorClass::UnsupportedImage => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
        ErrorClass::LimitExceeded => Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        ErrorClass::InvalidModelName => Code::ERRCODE_INVALID_PARAMETER_VALUE,
        ErrorClass::NoSuchModel => Code::ERRCODE_UNDEFINED_OBJECT,
        ErrorClass::BadModel => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        ErrorClass::BadEmbedding => Code::ERRCODE_DATA_EXCEPTION,
        ErrorClass::DeviceUnavailable | ErrorClass::RuntimeUnavailable => Code::ERRCODE_SYSTEM_ERROR,
        ErrorClass::OutOfMemory => Code::ERRCODE_OUT_OF_MEMORY,
        ErrorClass::InvalidSetting | ErrorClass::InvalidUrl => Code::ERRCODE_INVALID_PARAMETER_VALUE,
        ErrorClass::UrlNotAllowed => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
        ErrorClass::UrlFailed => Code::ERRCODE_IO_ERROR,
        ErrorClass::Busy => Code::ERRCODE_INSUFFICIENT_RESOURCES,
        ErrorClass::TooManyConnections => Code::ERRCODE_TOO_MANY_CONNECTIONS,
        ErrorClass::Cancelled => Code::ERRCODE_QUERY_CANCELED,
        ErrorClass::Protocol => Code::ERRCODE_PROTOCOL_VIOLATION,
        ErrorClass::Internal => Code::ERRCODE_INTERNAL_ERROR,
    }
}

impl From<Error> for ErrorReport {
    #[track_caller]
    fn from(error: Error) -> Self {
        let fact = text::for_message(error.to_string());
        let code = error.code();
        let report = |detail: Option<String>, hint: Option<&str>| {
            let mut report = ErrorReport::new(code, fact.clone(), "clip_search");
            if let Some(detail) = detail {
                report = report.set_detail(text::for_message(detail));
            }
            if let Some(hint) = hint {
                report = report.set_hint(text::for_message(hint.to_owned()));
            }
            report
        };
        match error {
            Error::Server(failure) => report(failure.detail, failure.hint.as_deref()),
            Error::Element { index, error } => {
                let report = Self::from(*error);
                let mut detail = format!("This is element {index} of the array.");
                if let Some(more) = report.detail() {
                    detail = format!("{detail} {more}");
                }
                report.set_detail(detail)
            }
            Error::ImageTooLarge { .. } => report(None,
                Some("Scale the image down, or raise clip_search.max_image_bytes."),
            ),
            Error::TextTooLarge { .. } => report(None,
                Some("Pass its beginning, such as left(the_text, 1000): a model reads some dozen words."),
            ),
            Error::NotUtf8 { is_encoding_known, .. } => report(None,
                (!is_encoding_known).then_some(
                    "The database's encoding, SQL_ASCII, does not say what bytes mean, and clip_search takes them for UTF-8. \
                     Convert them, as in convert_from(convert(convert_to(the_text, 'SQL_ASCII'), 'LATIN1', 'UTF8'), 'UTF8').",
                ),
            ),
            Error::RequestTooLong(_) => {
                report(None, Some("Pass fewer or smaller items at a time."))
            }
            Error::ArrayDimensions(_) => {
                report(None, Some("Pass a list, such as ARRAY['a', 'b']."))
            }
            Error::Lost(reason) => report(Some(reason),
                Some("The server is being restarted; run the statement again. The server log says why it ended."),
            ),
            Error::Mismatch { .. } => report(None,
                Some(
                    "After an upgrade, run SELECT clip_restart_server() as a superuser, and reconnect sessions that are \
                     older than the upgrade; with clip_search in shared_preload_libraries, restart PostgreSQL.",
                ),
            ),
            Error::NoAnswer(_) => report(None,
                Some("Try again when there is less to do, ask for fewer items, or raise clip_search.request_timeout."),
            ),
            Error::NotStarted { detail, .. } => report(Some(detail),
                Some("See the server log, and raise clip_search.start_timeout if the machine is slow."),
            ),
            Error::CannotStart { .. } => report(None,
                Some("Run make install for this PostgreSQL, or correct clip_search.server_program."),
            ),
            Error::NoWorkerSlot => report(None,
                Some("Raise max_worker_processes, or add clip_search to shared_preload_libraries."),
            ),
            Error::NoSupervisor => report(None,
                Some("The next call of clip_embed_text starts it."),
            ),
            Error::ArgumentError(argument) => report(None, Some(&argument.hint())),
            Error::TableError(table_error) => report(None, Some(&table_error.hint())),
            Error::InternalTable { problem, .. } => report(Some(problem),
                Some("Have a superuser create the extension again, with DROP EXTENSION clip_search and CREATE EXTENSION clip_search."),
            ),
            Error::Model(error) => report(None, error.hint().as_deref()),
            Error::File { .. } => report(None, None),
            Error::VectorDimension(_) => report(None, None),
        }
    }
}

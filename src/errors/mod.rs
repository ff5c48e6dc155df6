//! Raises the errors of [`::errors::backend`], whose tables have the SQLSTATE, message, DETAIL and HINT of each.

mod raised;
mod watch;

pub use ::errors::CommandClass;
pub use ::errors::backend::{
    ArgumentError, CommandFailure, Error, ModelError, TableError, UrlError, is_the_images_fault,
};
pub use raised::Raised;
pub use watch::Watch;

use crate::encoding;
use ::errors::Report;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode as Code};
use std::ffi::CStr;

/// Result of the extension.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How an error reaches the client.
pub trait Raise {
    /// Tells the client without failing.
    fn warn(self);

    /// Raises the error in Postgres.
    fn raise(self) -> !;
}

impl Raise for Error {
    fn warn(self) {
        report(&self).report(PgLogLevel::WARNING);
    }

    fn raise(self) -> ! {
        report(&self).report(PgLogLevel::ERROR);
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

/// The five characters of a SQLSTATE, which Postgres packs into a number.
pub fn sqlstate_text(code: i32) -> String {
    // SAFETY: what comes back is a NUL-terminated string in a static buffer.
    unsafe { CStr::from_ptr(pgrx::pg_sys::unpack_sql_state(code)).to_string_lossy().into_owned() }
}

#[track_caller]
fn report(error: &Error) -> ErrorReport {
    let code = Code::from(error.sqlstate().packed());
    let mut report = ErrorReport::new(code, encoding::for_message(error.to_string()), "clip_search");
    if let Some(detail) = error.detail() {
        report = report.set_detail(encoding::for_message(detail));
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(encoding::for_message(hint));
    }
    report
}

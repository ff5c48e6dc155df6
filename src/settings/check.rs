//! What is looked at where a setting is set.

use super::is_installed;
use crate::errors::{Error, ModelError, Raise};
use crate::scope::OnceInStatement;
use pgrx::{pg_guard, pg_sys};
use std::ffi::{CStr, c_char, c_void};

/// Warns of a model that is not installed, once in a statement. Settings are often made before what they need is there, so
/// it is no error; and a restart, a reload or the start of a session says nothing.
#[pg_guard]
pub unsafe extern "C-unwind" fn check_model(
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

//! What `pg_stat_activity` says that a process waits for. PostgreSQL 17 and later show a name of ours; before, it is
//! `Extension` for every extension.

use pgrx::pg_sys;

/// A session waits for the server.
pub fn server() -> u32 {
    named(c"ClipSearchServer")
}

/// The supervisor waits for something to do.
pub fn supervisor() -> u32 {
    named(c"ClipSearchSupervisorMain")
}

/// A session waits for a command on a model.
pub fn model_command() -> u32 {
    named(c"ClipSearchModelCommand")
}

/// A worker waits for entries in the queue.
pub fn worker() -> u32 {
    named(c"ClipSearchWorkerMain")
}

/// The launcher waits for nothing in particular.
pub fn launcher() -> u32 {
    named(c"ClipSearchLauncherMain")
}

#[cfg(any(feature = "pg17", feature = "pg18"))]
fn named(name: &'static std::ffi::CStr) -> u32 {
    use std::cell::RefCell;
    use std::collections::HashMap;

    thread_local! {
        static KNOWN: RefCell<HashMap<&'static std::ffi::CStr, u32>> = RefCell::default();
    }
    if let Some(number) = KNOWN.with_borrow(|known| known.get(name).copied()) {
        return number;
    }
    // SAFETY: a NUL-terminated name; the same name gets the same number in every process.
    let number = unsafe { pg_sys::WaitEventExtensionNew(name.as_ptr()) };
    KNOWN.with_borrow_mut(|known| known.insert(name, number));
    number
}

#[cfg(not(any(feature = "pg17", feature = "pg18")))]
fn named(_: &'static std::ffi::CStr) -> u32 {
    pg_sys::PG_WAIT_EXTENSION
}

//! The SQLSTATE of what is raised: pgrx passes on those of PostgreSQL's own list, and XX000 for all others, such as a
//! function's own.

use pgrx::{pg_guard, pg_sys};
use std::cell::Cell;
use std::ffi::c_void;

thread_local! {
    static LATEST: Cell<i32> = const { Cell::new(0) };
}

/// As long as it lives, what Postgres raises is noted. To be dropped within what catches it.
pub struct Watch(Box<pg_sys::ErrorContextCallback>);

impl Watch {
    /// From now on.
    pub fn begin() -> Self {
        LATEST.set(0);
        // SAFETY: Postgres's list of those who have something to say of an error, of this process; `drop` takes it off.
        unsafe {
            let mut entry = Box::new(pg_sys::ErrorContextCallback {
                previous: pg_sys::error_context_stack,
                callback: Some(note),
                arg: std::ptr::null_mut(),
            });
            pg_sys::error_context_stack = &raw mut *entry;
            Self(entry)
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: what was there before.
        unsafe { pg_sys::error_context_stack = self.0.previous };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn note(_nothing: *mut c_void) {
    // SAFETY: called while something is raised, or said.
    LATEST.set(unsafe { pg_sys::geterrcode() });
}

/// The code of what was raised or said last under a watch; that of a success, or of a warning, is none.
pub fn latest() -> Option<i32> {
    const CLASS: i32 = 0xfff;
    // "00", "01" and "02", of six bits a character
    Some(LATEST.get()).filter(|code| ![0, 1 << 6, 2 << 6].contains(&(code & CLASS)))
}

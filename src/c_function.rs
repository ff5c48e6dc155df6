//! The code of functions in C: what SQL calls them tells nothing.

use pgrx::pg_sys::{self, Oid};

/// The address of the code that a function executes; `None` where PostgreSQL knows of none.
///
/// # Panics
/// By PostgreSQL's error, where there is no such function.
pub fn address(function: Oid) -> Option<usize> {
    let mut info = pg_sys::FmgrInfo::default();
    // SAFETY: a function that exists, and a struct for it to be described in.
    unsafe { pg_sys::fmgr_info(function, &raw mut info) };
    info.fn_addr.map(|address| address as usize)
}

//! Something that may fail without ending the transaction.

use crate::errors::{Raised, Watch};
use pgrx::{PgTryBuilder, pg_sys};
use std::panic::AssertUnwindSafe;

/// Runs something in a subtransaction: what it has written is undone where it raises. A cancel is raised on, and what
/// `is_fatal` says.
///
/// # Errors
/// What was raised.
pub fn attempt<T>(is_fatal: fn(&Raised) -> bool, body: impl FnOnce() -> T) -> Result<T, Raised> {
    // SAFETY: as PL/pgSQL does for a block with EXCEPTION: what was current is current again at the end.
    let (context, owner) = unsafe {
        let before = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = before.0;
        before
    };
    let body = AssertUnwindSafe(body);
    let run = || {
        let AssertUnwindSafe(body) = body;
        let _watch = Watch::begin();
        let value = body();
        // SAFETY: the one begun above.
        unsafe { pg_sys::ReleaseCurrentSubTransaction() };
        Ok(value)
    };
    let result = PgTryBuilder::new(AssertUnwindSafe(run))
        .catch_others(|error| {
            let raised = Raised::from(&error);
            // SAFETY: the one begun above, which the error has left open.
            unsafe {
                pg_sys::CurrentMemoryContext = context;
                pg_sys::RollbackAndReleaseCurrentSubTransaction();
            }
            if raised.is_cancel() || is_fatal(&raised) {
                error.rethrow();
            }
            Err(raised)
        })
        .execute();
    // SAFETY: both live as long as the transaction around.
    unsafe {
        pg_sys::CurrentMemoryContext = context;
        pg_sys::CurrentResourceOwner = owner;
    }
    result
}

//! `clip_skip_replicated`: keeps a publisher's queue and failures out of a subscriber's.

use super::super::sql_function;
use super::row::Row;
use crate::errors::{ArgumentError, Result};
use crate::internal_tables;
use pgrx::pg_sys::{self, Datum};

sql_function!(clip_skip_replicated, pg_finfo_clip_skip_replicated, |call| {
    Row::of(call.0).ok_or(ArgumentError::NotFiredAsTrigger.into()).and_then(|row| run(&row))
});

/// What the process that applies changes notes itself, for a table that it writes to, is kept.
fn run(row: &Row) -> Result<Datum> {
    // SAFETY: reads a variable of this process.
    let is_replicated = unsafe { pg_sys::IsLogicalWorker() } && !internal_tables::is_at_work();
    Ok(if is_replicated { Datum::null() } else { row.unchanged() })
}

/// Tells those who look at the triggers of the extension's tables which one is ours.
pub fn register() {
    internal_tables::set_own_trigger(clip_skip_replicated as *const () as usize);
}

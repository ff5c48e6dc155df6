//! `clip_skip_replicated`: keeps a publisher's queue and failures out of a subscriber's.

use super::super::{is_c_function, sql_function};
use super::row::Row;
use crate::errors::{ArgumentError, Result};
use crate::internal_tables;
use pgrx::pg_sys::{self, Datum, Oid};

sql_function!(clip_skip_replicated, pg_finfo_clip_skip_replicated, |call| {
    Row::of(call.0).ok_or(ArgumentError::NotFiredAsTrigger.into()).and_then(|row| run(&row))
});

/// What the process that applies changes notes itself, for a table that it writes to, is kept.
fn run(row: &Row) -> Result<Datum> {
    // SAFETY: reads a variable of this process.
    let is_replicated = unsafe { pg_sys::IsLogicalWorker() } && !internal_tables::is_at_work();
    Ok(if is_replicated { Datum::null() } else { row.unchanged() })
}

/// Whether it is this function.
pub fn is_this(function: Oid) -> bool {
    is_c_function(function, clip_skip_replicated as *const () as usize)
}

//! What EXPLAIN says of the node.

use super::reader::Reader;
use pgrx::pg_sys::{self, ExplainState};
use std::ffi::CStr;

/// The batch's bounds; and after execution, the number of batches and how long the server was waited for.
///
/// # Safety
/// What EXPLAIN passes.
pub unsafe fn explain(reader: &mut Reader, state: *mut ExplainState) {
    // SAFETY: as promised; the strings are NUL-terminated.
    unsafe {
        integer(state, c"Batch Size", None, reader.most_rows());
        integer(state, c"Batch Memory", Some(c"kB"), reader.memory() / 1024);
        if (*state).analyze {
            let figures = reader.figures();
            integer(state, c"Batches", None, figures.batches() as usize);
            if (*state).timing {
                let waited = figures.waited().as_secs_f64() * 1000.0;
                pg_sys::ExplainPropertyFloat(c"Server Wait".as_ptr(), c"ms".as_ptr(), waited, 3, state);
            }
        }
    }
}

unsafe fn integer(state: *mut ExplainState, name: &CStr, unit: Option<&CStr>, value: usize) {
    // SAFETY: as above.
    unsafe {
        let unit = unit.map_or(std::ptr::null(), CStr::as_ptr);
        pg_sys::ExplainPropertyInteger(name.as_ptr(), unit, value as i64, state);
    }
}

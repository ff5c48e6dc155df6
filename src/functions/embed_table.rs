//! `clip_embed_table`: the procedure.

use super::arguments::{Arguments, required, within};
use super::sql_function;
use crate::errors::{Result, TableError};
use crate::ingest::{self, Names, Options};
use crate::text;
use pgrx::pg_sys::{self, Datum};
use std::ffi::CStr;

sql_function!(clip_embed_table, pg_finfo_clip_embed_table, embed_table);

fn embed_table(call: Arguments) -> Result<Datum> {
    if is_atomic(call) {
        return Err(TableError::InTransaction { procedure: "clip_embed_table" }.into());
    }
    let options = Options {
        table: required(call.oid(0), "tbl")?,
        names: Names {
            source: required(call.name(1), "source_column")?,
            embedding: required(call.name(2), "embedding_column")?,
            model: call.model(3),
            kind: call.text(4),
            image: call.name(5),
            provenance: call.name(6),
        },
        batch_size: within(call.int(7), "batch_size", 1, 1_000_000)? as usize,
        retries: required(call.boolean(8), "retry_errors")?,
    };
    ingest::run(&options)?;
    Ok(Datum::null())
}

/// Whether the procedure may not end transactions.
fn is_atomic(call: Arguments) -> bool {
    // SAFETY: the context of a procedure's call is a CallContext; where it is none, this is no CALL.
    unsafe {
        let context = (*call.0).context;
        context.is_null()
            || (*context).type_ != pg_sys::NodeTag::T_CallContext
            || (*context.cast::<pg_sys::CallContext>()).atomic
    }
}

/// The extension's schema, quoted: that of the function at hand. It may have another name a moment later: what is found
/// by it has to be looked at.
pub fn schema(call: Arguments) -> String {
    // SAFETY: the function that is being called is in a schema; the names are NUL-terminated and palloc'd.
    unsafe {
        let name = pg_sys::get_namespace_name(pg_sys::get_func_namespace((*(*call.0).flinfo).fn_oid));
        text::from_c(CStr::from_ptr(pg_sys::quote_identifier(name)))
    }
}

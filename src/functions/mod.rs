//! What SQL calls. `sql/clip_search--*.sql` declares each function; the names there and here are the same.

mod arguments;
mod calibrate;
mod classify;
mod duplicates;
mod embed;
mod embed_table;
mod evaluate;
mod fetch;
mod gallery;
mod hybrid;
mod image_frames;
mod image_info;
mod index_stats;
mod kept_threshold;
mod made_with;
mod models;
mod not_words;
mod other_model;
mod relevant;
mod search;
mod server;
mod statistics;
mod sync;
mod sync_triggers;
mod threshold;
mod thumbnail;
mod trigger;
mod vectors;

pub use embed::EmbedFunction;
pub use trigger::register;

use crate::errors::{Result, or_raise};
use arguments::Arguments;
use pgrx::pg_sys::{Datum, FunctionCallInfo};

/// Exports a function in the version-1 calling convention.
///
/// pgrx's own macro maps SQL types to Rust types; here it would need a type for `vector[]`, whose OID differs between
/// databases, and would convert text before its encoding has been looked at.
macro_rules! sql_function {
    ($name:ident, $info:ident, $body:expr) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $info() -> *const pgrx::pg_sys::Pg_finfo_record {
            const RECORD: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }

        /// # Safety
        /// To be called by Postgres, as a function of SQL.
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        #[pgrx::pg_guard]
        pub unsafe extern "C-unwind" fn $name(call: pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum {
            $crate::functions::run(call, $body)
        }
    };
}
pub(crate) use sql_function;

/// SQL for the model that the expression of a generated column names, `d` being its row of pg_attrdef. Without a backslash:
/// what that means is a setting.
macro_rules! generated_model {
    () => {
        "pg_catalog.substring(pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
         'clip_embed_(?:image|text)[(].*, ''([^'']+)''::text[)]')"
    };
}
use generated_model;

/// `None` is NULL.
fn run<R: Into<Option<Datum>>>(call: FunctionCallInfo, body: impl FnOnce(Arguments) -> Result<R>) -> Datum {
    or_raise(body(Arguments(call))).into().unwrap_or_else(|| {
        // SAFETY: the call at hand.
        unsafe { (*call).isnull = true };
        Datum::null()
    })
}

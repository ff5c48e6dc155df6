//! `clip_search_hybrid`: what a text describes and what has its words, in one list.
//!
//! ```text
//! argument  0    1      2             3 … 10                     11                 12            13               14
//!           tbl  query  text_columns  k … skip of clip_search    similarity_weight  words_weight  trigrams_weight  text_search_config
//!           15          16
//!           candidates  model
//! ```

use super::arguments::{Arguments, required, within};
use super::search::{prepare, text};
use super::sql_function;
use crate::errors::{ArgumentError, Result};
use crate::result_rows::Rows;
use crate::search::{self, Hybrid, Options};
use pgrx::pg_sys::Datum;

sql_function!(clip_search_hybrid, pg_finfo_clip_search_hybrid, rows);

/// Which argument is `k`.
const K: usize = 3;
/// Most that the rank in one search can count.
const MAX_WEIGHT: f64 = 1000.0;

fn rows(call: Arguments) -> Result<Datum> {
    let mut search = prepare(call, K, 16)?;
    let candidates = within(call.bigint(15), "candidates", 1, Options::MAX_K)?;
    let options = &mut search.options;
    let (k, skip) = (options.k, options.skip);
    // A page behind the candidates would be empty.
    (options.k, options.skip) = (candidates.max(k.saturating_add(skip)).min(Options::MAX_K), 0);
    let hybrid = Hybrid {
        query: required(call.text(1), "query")?,
        text_columns: required(call.texts(2, "text_columns")?, "text_columns")?,
        k,
        skip,
        similarity_weight: weight("similarity_weight", required(call.double(11), "similarity_weight")?, false)?,
        words_weight: weight("words_weight", required(call.double(12), "words_weight")?, true)?,
        trigrams_weight: call.double(13).map(|value| weight("trigrams_weight", value, true)).transpose()?,
        config: call.oid(14).unwrap_or_else(search::current_config),
    };
    let hybrid = hybrid.resolve(&search.table)?;
    let query = text(call, &search)?;
    search::hybrid(&search.table, &query, &search.options, &hybrid, &mut Rows::begin(call.0))?;
    Ok(Datum::null())
}

fn weight(name: &'static str, value: f64, may_be_zero: bool) -> Result<f64> {
    if (0.0..=MAX_WEIGHT).contains(&value) && (may_be_zero || value > 0.0) {
        return Ok(value);
    }
    let range = if may_be_zero { format!("0 to {MAX_WEIGHT}") } else { format!("above 0, and at most {MAX_WEIGHT}") };
    Err(ArgumentError::OutOfRange { name, value: value.to_string(), range }.into())
}

//! `clip_search_relevant`: a page of the rows that are similar enough to a text, image or embedding, sorted by columns.
//!
//! ```text
//! argument  0 … 9               10        11          12
//!           as of clip_search   order_by  candidates  model
//! ```

use super::arguments::{Arguments, within};
use super::kept_threshold::{self, QueryKind};
use super::search::{K, Query, image, prepare, text, vector};
use super::sql_function;
use crate::errors::{ArgumentError, Result};
use crate::result_rows::Rows;
use crate::search::{self, Options, Page};
use pgrx::pg_sys::Datum;

sql_function!(clip_search_relevant_text, pg_finfo_clip_search_relevant_text, |call| rows(
    call,
    text,
    Some(QueryKind::Text)
));
sql_function!(clip_search_relevant_image, pg_finfo_clip_search_relevant_image, |call| rows(
    call,
    image,
    Some(QueryKind::Image)
));
sql_function!(clip_search_relevant_vector, pg_finfo_clip_search_relevant_vector, |call| rows(call, vector, None));

/// Where no similarity is given, it is the one that is kept for this kind of query.
fn rows(call: Arguments, query: Query, kind: Option<QueryKind>) -> Result<Datum> {
    let mut search = prepare(call, K, 12)?;
    let candidates = within(call.bigint(11), "candidates", 1, Options::MAX_K)?;
    let options = &mut search.options;
    let page = Page { k: options.k, skip: options.skip, order_by: call.text(10) };
    (options.k, options.skip) = (candidates, 0);
    page.check(&search.table)?;
    if search.options.min_similarity.is_none() {
        let kind = kind.ok_or(ArgumentError::NoThresholdOfVector)?;
        let column = search.table.column(&search.column)?;
        search.options.min_similarity = Some(kept_threshold::of(&search.table, column, kind, &search.model)?);
    }
    let query = query(call, &search)?;
    search::page(&search.table, &query, &search.options, &page, &mut Rows::begin(call.0))?;
    Ok(Datum::null())
}

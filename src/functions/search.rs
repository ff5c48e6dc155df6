//! `clip_search`, `clip_search_json`: a search of a table by text, image or embedding.
//!
//! ```text
//! argument  0    1      2  3               4       5        6                 7          8        9     10
//!           tbl  query  k  min_similarity  filter  columns  embedding_column  id_column  exclude  skip  model
//! ```

use super::arguments::{Arguments, required, within};
use super::not_words;
use super::rows::Rows;
use super::sql_function;
use crate::embedding;
use crate::errors::Result;
use crate::memo::Modality;
use crate::search::{self, Options, Table};
use pgrx::pg_sys::Datum;

sql_function!(clip_search_text, pg_finfo_clip_search_text, |call| rows(call, text));
sql_function!(clip_search_image, pg_finfo_clip_search_image, |call| rows(call, image));
sql_function!(clip_search_vector, pg_finfo_clip_search_vector, |call| rows(call, vector));
sql_function!(clip_search_json_text, pg_finfo_clip_search_json_text, |call| json(call, text));
sql_function!(clip_search_json_image, pg_finfo_clip_search_json_image, |call| json(call, image));
sql_function!(clip_search_json_vector, pg_finfo_clip_search_json_vector, |call| json(call, vector));

/// The embedding of what is searched for. The second value is the dimension of the column, where it has one.
type Query = fn(Arguments, Option<usize>) -> Result<Vec<f32>>;

fn text(call: Arguments, dimension: Option<usize>) -> Result<Vec<f32>> {
    let query = required(call.text(1), "query")?;
    not_words::check(&query, dimension)?;
    Ok(embedding::of_one(&call.model(10), Modality::Text, query.into_bytes())?.to_vec())
}

fn image(call: Arguments, _: Option<usize>) -> Result<Vec<f32>> {
    let query = required(call.bytes(1), "query")?;
    Ok(embedding::of_one(&call.model(10), Modality::Image, query)?.to_vec())
}

fn vector(call: Arguments, _: Option<usize>) -> Result<Vec<f32>> {
    required(call.vector(1), "query")
}

fn rows(call: Arguments, query: Query) -> Result<Datum> {
    let (table, options, dimension) = prepare(call)?;
    let query = query(call, dimension)?;
    search::rows(&table, &query, &options, &mut Rows::begin(call.0))?;
    Ok(Datum::null())
}

fn json(call: Arguments, query: Query) -> Result<Option<Datum>> {
    let (table, options, dimension) = prepare(call)?;
    search::to_json(&table, &query(call, dimension)?, &options)
}

/// Looks at the cheap arguments first: what is wrong with them is said before a model is loaded. The number is the dimension
/// of the column.
fn prepare(call: Arguments) -> Result<(Table, Options, Option<usize>)> {
    let options = Options {
        k: within(call.bigint(2), "k", 1, Options::MAX_K)?,
        skip: within(call.bigint(9), "skip", 0, Options::MAX_SKIP)?,
        min_similarity: call.double(3),
        filter: call.datum(4),
        columns: call.texts(5, "columns")?,
        embedding_column: call.name(6),
        id_column: call.name(7),
        exclude: call.datum(8),
    };
    options.check()?;
    let table = Table::read(required(call.oid(0), "tbl")?)?;
    let (_, embeddings) = table.embedding_column(options.embedding_column.as_deref())?;
    let dimension = embeddings.dimension;
    table.key(options.id_column.as_deref())?;
    Ok((table, options, dimension))
}

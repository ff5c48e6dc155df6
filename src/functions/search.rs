//! `clip_search`, `clip_search_json`: a search of a table by text, image or embedding.
//!
//! ```text
//! argument  0    1      2  3               4       5        6                 7          8        9     10
//!           tbl  query  k  min_similarity  filter  columns  embedding_column  id_column  exclude  skip  model
//! ```
//!
//! Of several texts, images or embeddings the eleventh is their weights, and the model follows.

use super::arguments::{Arguments, bytes_of, required, within};
use super::not_words;
use super::other_model;
use super::sql_function;
use super::vectors::{combination, weights};
use crate::embedding;
use crate::errors::{ArgumentError, Result};
use crate::memo::Modality;
use crate::result_rows::Rows;
use crate::search::{self, Id, Options, Table};
use crate::text;
use crate::vector;
use pgrx::pg_sys::{self, Datum};
use std::rc::Rc;

sql_function!(clip_search_text, pg_finfo_clip_search_text, |call| rows(call, text));
sql_function!(clip_search_image, pg_finfo_clip_search_image, |call| rows(call, image));
sql_function!(clip_search_vector, pg_finfo_clip_search_vector, |call| rows(call, vector));
sql_function!(clip_search_halfvec, pg_finfo_clip_search_halfvec, |call| rows(call, half_vector));
sql_function!(clip_search_texts, pg_finfo_clip_search_texts, |call| combined(call, texts));
sql_function!(clip_search_images, pg_finfo_clip_search_images, |call| combined(call, images));
sql_function!(clip_search_vectors, pg_finfo_clip_search_vectors, |call| combined(call, vectors));
sql_function!(clip_search_json_text, pg_finfo_clip_search_json_text, |call| json(call, text));
sql_function!(clip_search_json_image, pg_finfo_clip_search_json_image, |call| json(call, image));
sql_function!(clip_search_json_vector, pg_finfo_clip_search_json_vector, |call| json(call, vector));
sql_function!(clip_search_json_halfvec, pg_finfo_clip_search_json_halfvec, |call| json(call, half_vector));

/// Which argument is `k`.
pub const K: usize = 2;
/// Which is the model, of functions that end with it.
const MODEL: usize = 10;
/// Which are the weights, of functions that have them in its place.
const WEIGHTS: usize = 10;

/// What a call searches, once its cheap arguments were looked at.
pub struct Search {
    pub table: Rc<Table>,
    pub options: Options,
    /// The column of embeddings.
    pub column: String,
    /// Its dimension, where it has one.
    dimension: Option<usize>,
    pub model: String,
}

/// The embedding of what is searched for.
pub type Query = fn(Arguments, &Search) -> Result<Vec<f32>>;

pub fn text(call: Arguments, search: &Search) -> Result<Vec<f32>> {
    let query = required(call.text(1), "query")?;
    not_words::check(&query, search.dimension)?;
    embed(search, Modality::Text, query.into_bytes())
}

pub fn image(call: Arguments, search: &Search) -> Result<Vec<f32>> {
    embed(search, Modality::Image, required(call.bytes(1), "query")?)
}

pub fn vector(call: Arguments, _: &Search) -> Result<Vec<f32>> {
    required(call.vector(1), "query")
}

fn half_vector(call: Arguments, _: &Search) -> Result<Vec<f32>> {
    required(call.half_vector(1), "query")
}

fn embed(search: &Search, modality: Modality, query: Vec<u8>) -> Result<Vec<f32>> {
    other_model::tell(&search.table, &search.column, &search.model)?;
    Ok(embedding::of_one(&search.model, modality, query)?.to_vec())
}

/// The embeddings of several items that are searched for together.
type Queries = fn(Arguments, &Search) -> Result<Vec<Vec<f32>>>;

fn texts(call: Arguments, search: &Search) -> Result<Vec<Vec<f32>>> {
    let texts = required(call.texts(1, "query")?, "query")?;
    texts.iter().try_for_each(|text| not_words::check(text, search.dimension))?;
    embed_all(search, Modality::Text, texts.into_iter().map(String::into_bytes))
}

fn images(call: Arguments, search: &Search) -> Result<Vec<Vec<f32>>> {
    // SAFETY: the elements are bytea by the SQL declaration.
    let images = required(call.list(1, "query", |datum| unsafe { bytes_of(datum) })?, "query")?;
    embed_all(search, Modality::Image, images.into_iter())
}

fn vectors(call: Arguments, _: &Search) -> Result<Vec<Vec<f32>>> {
    // SAFETY: the elements are vectors by the SQL declaration.
    required(call.list(1, "query", |datum| unsafe { vector::from_datum(datum) })?, "query")
}

fn embed_all(search: &Search, modality: Modality, queries: impl Iterator<Item = Vec<u8>>) -> Result<Vec<Vec<f32>>> {
    other_model::tell(&search.table, &search.column, &search.model)?;
    embedding::of_all(&search.model, modality, queries)
}

fn combined(call: Arguments, queries: Queries) -> Result<Datum> {
    let search = prepare(call, K, WEIGHTS + 1)?;
    let count = required(call.elements(1)?, "query")?.len();
    if count == 0 {
        return Err(ArgumentError::Empty { name: "query" }.into());
    }
    let weights = weights(call, WEIGHTS, count)?;
    let query = combination(&queries(call, &search)?, &weights)?;
    search::rows(&search.table, &query, &search.options, &mut Rows::begin(call.0))?;
    Ok(Datum::null())
}

fn rows(call: Arguments, query: Query) -> Result<Datum> {
    let search = prepare(call, K, MODEL)?;
    let query = query(call, &search)?;
    search::rows(&search.table, &query, &search.options, &mut Rows::begin(call.0))?;
    Ok(Datum::null())
}

fn json(call: Arguments, query: Query) -> Result<Option<Datum>> {
    let search = prepare(call, K, MODEL)?;
    search::to_json(&search.table, &query(call, &search)?, &search.options)
}

/// Ids of any type: by the text of each, since making JSON of a value may run code of whoever owns its type.
fn excluded(call: Arguments, index: usize) -> Result<Option<Id>> {
    let Some((datum, type_id)) = call.datum(index).map(|datum| (datum, call.type_of(index))) else { return Ok(None) };
    // SAFETY: the base type and the type of elements, if any, of an existing type.
    let (base, element) = unsafe {
        let base = pg_sys::getBaseType(type_id);
        (base, pg_sys::get_element_type(base))
    };
    Ok(Some(match base {
        pg_sys::JSONOID | pg_sys::JSONBOID => Id::Json(text::of_value(base, datum)),
        _ if element == pg_sys::InvalidOid => Id::of_text(text::of_value(base, datum)),
        _ => {
            let texts = call.element_texts(index)?.unwrap_or_default();
            Id::Json(serde_json::to_string(&texts).expect("texts"))
        }
    }))
}

/// Looks at the cheap arguments first: what is wrong with them is said before a model is loaded. Those of `clip_search` from
/// `k` to `skip` begin at `first`; `model` is the place of the model.
pub fn prepare(call: Arguments, first: usize, model: usize) -> Result<Search> {
    let options = Options {
        k: within(call.bigint(first), "k", 1, Options::MAX_K)?,
        min_similarity: call.double(first + 1),
        filter: call.datum(first + 2),
        columns: call.texts(first + 3, "columns")?,
        embedding_column: call.name(first + 4),
        id_column: call.name(first + 5),
        exclude: excluded(call, first + 6)?,
        skip: within(call.bigint(first + 7), "skip", 0, Options::MAX_SKIP)?,
    };
    options.check()?;
    let table = Table::known(required(call.oid(0), "tbl")?)?;
    let (column, embeddings) = table.embedding_column(options.embedding_column.as_deref())?;
    let (column, dimension) = (column.name.clone(), embeddings.dimension);
    table.key(options.id_column.as_deref())?;
    Ok(Search { table, options, column, dimension, model: call.model(model) })
}

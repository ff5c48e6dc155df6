//! `clip_search`, `clip_search_json`: a search of a table by text, image or embedding.
//!
//! ```text
//! argument  0    1      2  3               4       5        6                 7          8        9     10
//!           tbl  query  k  min_similarity  filter  columns  embedding_column  id_column  exclude  skip  model
//! ```

use super::arguments::{Arguments, required, within};
use super::not_words;
use super::other_model;
use super::sql_function;
use crate::embedding;
use crate::errors::Result;
use crate::memo::Modality;
use crate::result_rows::Rows;
use crate::search::{self, Id, Options, Table};
use crate::text;
use pgrx::pg_sys::{self, Datum};
use std::rc::Rc;

sql_function!(clip_search_text, pg_finfo_clip_search_text, |call| rows(call, text));
sql_function!(clip_search_image, pg_finfo_clip_search_image, |call| rows(call, image));
sql_function!(clip_search_vector, pg_finfo_clip_search_vector, |call| rows(call, vector));
sql_function!(clip_search_halfvec, pg_finfo_clip_search_halfvec, |call| rows(call, half_vector));
sql_function!(clip_search_json_text, pg_finfo_clip_search_json_text, |call| json(call, text));
sql_function!(clip_search_json_image, pg_finfo_clip_search_json_image, |call| json(call, image));
sql_function!(clip_search_json_vector, pg_finfo_clip_search_json_vector, |call| json(call, vector));
sql_function!(clip_search_json_halfvec, pg_finfo_clip_search_json_halfvec, |call| json(call, half_vector));

/// Which argument is the model, of functions that end with it.
const MODEL: usize = 10;

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

fn rows(call: Arguments, query: Query) -> Result<Datum> {
    let search = prepare(call, MODEL)?;
    let query = query(call, &search)?;
    search::rows(&search.table, &query, &search.options, &mut Rows::begin(call.0))?;
    Ok(Datum::null())
}

fn json(call: Arguments, query: Query) -> Result<Option<Datum>> {
    let search = prepare(call, MODEL)?;
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

/// Looks at the cheap arguments first: what is wrong with them is said before a model is loaded. The first ten are those of
/// `clip_search`; `model` is the place of the model.
pub fn prepare(call: Arguments, model: usize) -> Result<Search> {
    let options = Options {
        k: within(call.bigint(2), "k", 1, Options::MAX_K)?,
        skip: within(call.bigint(9), "skip", 0, Options::MAX_SKIP)?,
        min_similarity: call.double(3),
        filter: call.datum(4),
        columns: call.texts(5, "columns")?,
        embedding_column: call.name(6),
        id_column: call.name(7),
        exclude: excluded(call, 8)?,
    };
    options.check()?;
    let table = Table::known(required(call.oid(0), "tbl")?)?;
    let (column, embeddings) = table.embedding_column(options.embedding_column.as_deref())?;
    let (column, dimension) = (column.name.clone(), embeddings.dimension);
    table.key(options.id_column.as_deref())?;
    Ok(Search { table, options, column, dimension, model: call.model(model) })
}

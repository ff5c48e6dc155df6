//! `clip_evaluate_index`: what searches find, of what they should, with each setting of a vector index.
//!
//! ```text
//! argument  0    1        2    3         4                 5          6
//!           tbl  queries  ids  settings  embedding_column  id_column  model
//! ```

use super::arguments::{Arguments, required};
use super::sql_function;
use super::{not_words, other_model};
use crate::embedding;
use crate::errors::{ArgumentError, Result};
use crate::result_rows::Rows;
use crate::search::{self, Options, Table};
use crate::spi::LocalSettings;
use crate::text;
use pgrx::pg_sys::{self, Datum};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

sql_function!(clip_evaluate_index, pg_finfo_clip_evaluate_index, rows);

/// Rows of a search that are looked at, and what is told of them: the share of ids among the first so many.
const DEPTHS: [usize; 3] = [1, 5, 10];
const DEPTH: usize = DEPTHS[2];
/// What a setting is called that is searched without an index.
const EXACT: &str = "exact";
/// What settings begin with, besides which none is anybody's to try here.
const PREFIXES: [&str; 2] = ["hnsw.", "ivfflat."];

/// A text, its embedding, and the ids that it should find.
struct Query {
    embedding: Vec<f32>,
    wanted: Vec<Datum>,
}

/// What is found with one setting.
struct Found {
    /// The ids for each query, in order.
    ids: Vec<Vec<String>>,
    /// Milliseconds of each search.
    times: Vec<f64>,
}

fn rows(call: Arguments) -> Result<Datum> {
    let table = Table::known(required(call.oid(0), "tbl")?)?;
    let texts = required(call.texts(1, "queries")?, "queries")?;
    let ids = required(call.list(2, "ids", |datum| datum)?, "ids")?;
    if texts.len() != ids.len() {
        return Err(ArgumentError::QueryIds { queries: texts.len(), ids: ids.len() }.into());
    }
    if texts.is_empty() {
        return Err(ArgumentError::Empty { name: "queries" }.into());
    }
    let settings = match call.texts(3, "settings")? {
        Some(lines) => lines.iter().map(|line| Ok((line.clone(), parse(line)?))).collect::<Result<_>>()?,
        None => vec![("current settings".to_owned(), Vec::new())],
    };
    let options = Options {
        k: DEPTH as i32,
        columns: Some(Vec::new()),
        embedding_column: call.name(4),
        id_column: call.name(5),
        ..Options::default()
    };
    let (column, embeddings) = table.embedding_column(options.embedding_column.as_deref())?;
    table.key(options.id_column.as_deref())?;
    texts.iter().try_for_each(|text| not_words::check(text, embeddings.dimension))?;
    let model = call.model(6);
    other_model::tell(&table, &column.name, &model)?;
    let queries = queries(&model, texts, ids)?;

    let mut rows = Rows::begin(call.0);
    let exact = find(&table, &queries, &options, true)?;
    let mut tell = |name: &str, found: &Found| {
        let row = score(&queries, found, &exact);
        rows.push(|| {
            [Some(text::to_datum(name))].into_iter().chain(row.iter().map(|value| Some(*value))).collect::<Vec<_>>()
        });
    };
    tell(EXACT, &exact);
    for (name, settings) in settings {
        let local = LocalSettings::begin();
        // Not known before pgvector is there.
        crate::vector::load_library();
        settings.iter().for_each(|(name, value)| local.set(&text::to_c(name), &text::to_c(value)));
        tell(&name, &find(&table, &queries, &options, false)?);
    }
    Ok(Datum::null())
}

/// Names and values of `hnsw.ef_search=100, hnsw.iterative_scan=off`.
fn parse(line: &str) -> Result<Vec<(String, String)>> {
    let setting = |one: &str| {
        let (name, value) = one.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        PREFIXES.iter().any(|prefix| name.starts_with(prefix)).then(|| (name, value.trim().to_owned()))
    };
    let wrong = || ArgumentError::IndexSetting { value: line.to_owned() }.into();
    line.split(',').map(|one| setting(one).ok_or_else(wrong)).collect()
}

/// Equal texts are one query, with the ids of all.
fn queries(model: &str, texts: Vec<String>, ids: Vec<Datum>) -> Result<Vec<Query>> {
    let mut places: std::collections::HashMap<String, usize> = Default::default();
    let (mut distinct, mut wanted): (Vec<String>, Vec<Vec<Datum>>) = Default::default();
    for (text, id) in texts.into_iter().zip(ids) {
        let place = *places.entry(text.clone()).or_insert_with(|| {
            distinct.push(text);
            wanted.push(Vec::new());
            wanted.len() - 1
        });
        if !wanted[place].iter().any(|other| is_equal(*other, id)) {
            wanted[place].push(id);
        }
    }
    let embeddings = embedding::of_texts(model, distinct.into_iter())?;
    Ok(embeddings.into_iter().zip(wanted).map(|(embedding, wanted)| Query { embedding, wanted }).collect())
}

fn find(table: &Rc<Table>, queries: &[Query], options: &Options, exactly: bool) -> Result<Found> {
    // What is read or planned for the first time is no search's own.
    search::ids(table, &queries[0].embedding, options, exactly)?;
    let mut found = Found { ids: Vec::new(), times: Vec::new() };
    for query in queries {
        let began = Instant::now();
        found.ids.push(search::ids(table, &query.embedding, options, exactly)?);
        found.times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(found)
}

/// The columns behind the first.
fn score(queries: &[Query], found: &Found, exact: &Found) -> [Datum; 7] {
    let pairs: usize = queries.iter().map(|query| query.wanted.len()).sum();
    let (mut hits, mut reciprocal) = ([0; DEPTHS.len()], 0.0);
    for (query, ids) in queries.iter().zip(&found.ids) {
        let is_wanted = |id: &String| {
            let id = text::to_value(pg_sys::JSONBOID, id);
            query.wanted.iter().any(|wanted| is_equal(*wanted, id))
        };
        let is_wanted: Vec<bool> = ids.iter().map(is_wanted).collect();
        for (depth, hits) in DEPTHS.iter().zip(&mut hits) {
            *hits += is_wanted.iter().take(*depth).filter(|is_wanted| **is_wanted).count();
        }
        reciprocal += is_wanted.iter().position(|is_wanted| *is_wanted).map_or(0.0, |place| 1.0 / (place + 1) as f64);
    }
    let share = |part: usize, whole: usize| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    let both = |(ids, exact): (&Vec<String>, &Vec<String>)| {
        let ids: HashSet<&String> = ids.iter().collect();
        exact.iter().filter(|id| ids.contains(id)).count()
    };
    let agreed: usize = found.ids.iter().zip(&exact.ids).map(both).sum();
    let of_exact = share(agreed, exact.ids.iter().map(Vec::len).sum());
    let mut times = found.times.clone();
    times.sort_by(f64::total_cmp);
    let double = |value: f64| Datum::from(value.to_bits());
    let [one, five, ten] = hits.map(|hits| double(share(hits, pairs)));
    let mean = double(reciprocal / queries.len() as f64);
    [Datum::from(pairs as i64), one, five, ten, mean, double(of_exact), double(times[times.len() / 2])]
}

/// Whether two jsonb are, as numbers of any form are.
fn is_equal(a: Datum, b: Datum) -> bool {
    // SAFETY: two jsonb.
    unsafe { pg_sys::OidFunctionCall2Coll(pg_sys::F_JSONB_EQ.into(), pg_sys::Oid::INVALID, a, b) }.value() != 0
}

//! The statement of a search.
//!
//! ```sql
//! SELECT to_jsonb(found.k0), similarity, (SELECT to_jsonb(…) FROM (SELECT found.m0 AS "name", …) …)
//!   FROM (SELECT t.id AS k0, t.name AS m0, …, t.embedding <=> $1 AS distance
//!           FROM the_table AS t
//!          WHERE t.embedding IS NOT NULL AND filter
//!          ORDER BY t.embedding <=> $1 LIMIT k OFFSET skip) AS found
//! ```
//!
//! The inner query has the form that pgvector's indexes answer. Where the index is one of `embedding::halfvec(n)` or of
//! `binary_quantize(embedding)::bit(n)`, it orders by that expression and gives more rows than are wanted; another query
//! around it takes the nearest of these by the exact distance. The threshold is applied to its result: inside it would
//! be a filter, for which an index goes on looking long after the last row that is similar enough. JSON is made outside,
//! of the k rows that are left; columns that are not asked for are never read.
//!
//! An index may give fewer rows than k; also one that is not known here, of a view's table or on another server. Then rows are
//! ordered by `(embedding <=> $1) + 0`, which no index has. Foreign partitions are asked one by one; see [`super::shards`].
//!
//! The caller's search path holds, since functions of row security may need it; but every function and operator here is
//! named with its schema, so that nobody's object of the same name is taken for it.

use super::condition::{self, Id};
use super::parameters::Parameters;
use super::shards::{Exact, Parts};
use super::table::{Column, Embeddings, Index, IndexKind, Table};
use crate::errors::{ArgumentError, Result};
use crate::result_rows::Rows;
use crate::spi::{self, Allowed, Argument, LocalSettings};
use crate::vector;
use pgrx::pg_sys::Datum;
use std::ffi::CString;

/// pgvector's operator for cosine distance.
pub(super) const COSINE: &str = "<=>";

/// Candidates for each row that is wanted, from an index of half precision. Its order differs from the exact one only among
/// rows that are about equally far.
const HALVES_CANDIDATES: i64 = 2;
/// The same from an index of one bit of each number, and the least of them: `make bench-index` shows what it takes.
const BITS_CANDIDATES: i64 = 20;
const BITS_LEAST: i64 = 200;

/// What is wanted of a search, besides the table and the query.
#[derive(Default)]
pub struct Options {
    /// Most rows.
    pub k: i32,
    /// Rows left out at the beginning.
    pub skip: i32,
    /// Least similarity.
    pub min_similarity: Option<f64>,
    /// A jsonb object of columns and values.
    pub filter: Option<Datum>,
    /// The columns of the metadata; all that can be shown where there are none.
    pub columns: Option<Vec<String>>,
    /// The column of the embeddings.
    pub embedding_column: Option<String>,
    /// The column of the ids.
    pub id_column: Option<String>,
    /// The id of a row to leave out, or several.
    pub exclude: Option<Id>,
}

/// Searches and adds what is found to the rows of the call: id, similarity, metadata.
///
/// # Errors
/// [`ArgumentError`].
pub fn rows(table: &Table, query: &[f32], options: &Options, rows: &mut Rows) -> Result<()> {
    let least = options.min_similarity.map(|least| least as f32);
    let run = |statement: Statement, is_last: bool| {
        let Statement { text, parameters, allowed, .. } = &statement;
        let mut exact = Exact::None;
        let is_enough = |found: &[spi::Row]| {
            exact = statement.exact_after(found.len(), options, || found.first().and_then(|row| row.text(4)));
            is_last || exact == Exact::None
        };
        let is_wanted = |row: &spi::Row| match least {
            Some(least) => row.number::<f32>(2).is_some_and(|similarity| similarity >= least),
            None => true,
        };
        // SAFETY: the statement begins with the columns that clip_search is declared with.
        unsafe { spi::select_into(rows, allowed, text, &parameters.0, is_enough, is_wanted) };
        Ok(exact)
    };
    search(table, |exact| compose(table, query, options, exact), run)
}

/// Searches for one jsonb with all matches.
///
/// # Errors
/// [`ArgumentError`].
pub fn to_json(table: &Table, query: &[f32], options: &Options) -> Result<Option<Datum>> {
    let mut json = None;
    let run = |mut statement: Statement, _| {
        let Statement { text, parameters, allowed, is_sharded, .. } = &mut statement;
        let enough = match options.min_similarity {
            Some(least) => {
                let least = parameters.add(Argument::double(least));
                // As the similarity is shown, so that a row's own similarity does not leave it out.
                format!("FILTER (WHERE m.similarity OPERATOR(pg_catalog.>=) {least}::pg_catalog.float4)")
            }
            None => String::new(),
        };
        let found = if *is_sharded { "min(m.short)" } else { "count(*)" };
        let text = format!(
            "SELECT pg_catalog.jsonb_build_object('matches', COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(\
             'id', m.id, 'score', m.similarity, 'metadata', m.metadata)) {enough}, '[]')), pg_catalog.{found} \
             FROM ({text}) AS m"
        );
        let (value, found) = spi::value::<String>(allowed, &text, &parameters.0);
        json = value;
        let rows = found.as_ref().and_then(|found| found.parse().ok()).unwrap_or_default();
        Ok(statement.exact_after(rows, options, || found))
    };
    search(table, |exact| compose(table, query, options, exact), run)?;
    Ok(json)
}

/// The ids of what a search finds, as texts of jsonb, the most similar first. `exactly` is without an index.
///
/// # Errors
/// [`ArgumentError`].
pub fn ids(table: &Table, query: &[f32], options: &Options, exactly: bool) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let run = |statement: Statement, _| {
        let Statement { text, parameters, allowed, is_sharded, .. } = &statement;
        let mut short = None;
        ids = spi::select_kept(allowed, text.clone(), &parameters.0, |row| {
            short = if *is_sharded { row.text(4) } else { None };
            Ok(row.text(1).unwrap_or_default())
        })?;
        Ok(if exactly { Exact::None } else { statement.exact_after(ids.len(), options, || short) })
    };
    let _exact = exactly.then(exact_settings);
    search(table, |exact| compose(table, query, options, if exactly { &Exact::All } else { exact }), run)?;
    Ok(ids)
}

/// Composes a statement and runs it; and once more without the index, where that gave too few rows, as `run` says. `run` is
/// told whether it is the last time.
///
/// # Errors
/// Those of both.
pub(super) fn search(
    table: &Table,
    compose: impl Fn(&Exact) -> Result<Statement>,
    mut run: impl FnMut(Statement, bool) -> Result<Exact>,
) -> Result<()> {
    let statement = compose(&Exact::None)?;
    let _settings = (search_settings(statement.candidates), table.is_remote.then(remote_settings));
    let exact = run(statement, false)?;
    if exact != Exact::None {
        let _exact = exact_settings();
        run(compose(&exact)?, true)?;
    }
    Ok(())
}

pub(super) struct Statement {
    pub text: String,
    pub parameters: Parameters,
    /// What it may refer to.
    pub allowed: Allowed,
    /// Whether the rows may come out of a vector index, which may give fewer than there are.
    pub has_index: bool,
    /// Whether the last column says which shards gave fewer than they were asked for.
    pub is_sharded: bool,
    /// Rows that the index is to give.
    pub candidates: i64,
}

impl Statement {
    /// What is to be searched without an index, after this gave so many rows.
    pub(super) fn exact_after(&self, rows: usize, options: &Options, short: impl FnOnce() -> Option<String>) -> Exact {
        if self.is_sharded {
            Exact::of_short(short().as_deref())
        } else if self.has_index && rows < options.k as usize {
            Exact::All
        } else {
            Exact::None
        }
    }
}

/// An exact statement does without an index of less precise vectors.
fn compose(table: &Table, query: &[f32], options: &Options, exact: &Exact) -> Result<Statement> {
    let key = table.key(options.id_column.as_deref())?;
    let metadata = metadata(table, &key, options)?;
    let nearest = nearest(table, query, options, &[], exact)?;
    let text = format!(
        "SELECT {} AS id, {} AS similarity, {} AS metadata{} FROM ({}) AS found ORDER BY found.distance",
        id(&key),
        similarity("found"),
        object("m", &metadata),
        if nearest.is_sharded { ", found.short" } else { "" },
        nearest.text,
    );
    Ok(Statement { text, ..nearest })
}

/// The nearest rows of a table: key columns `k0`, …, metadata `m0`, …, other columns `s0`, …, `distance`, and where it is
/// sharded `short`.
pub(super) fn nearest(
    table: &Table,
    query: &[f32],
    options: &Options,
    others: &[&Column],
    exact: &Exact,
) -> Result<Statement> {
    let (column, embeddings) = table.embedding_column(options.embedding_column.as_deref())?;
    column.check_dimension(query.len())?;
    let key = table.key(options.id_column.as_deref())?;
    let metadata = metadata(table, &key, options)?;
    let index = |is_exact: bool| {
        embeddings.index(Some(query.len())).filter(|index| match index.kind {
            IndexKind::Column => true,
            IndexKind::Halves => !is_exact && fits_half_precision(query),
            IndexKind::Bits => !is_exact,
        })
    };

    let mut parameters = Parameters::default();
    // SAFETY: the type that is beside the column's own, or the column's own.
    let vector = parameters.add(unsafe { Argument::of_type(embeddings.vector_type, vector::to_datum(query)?) });
    let (mut conditions, filtered) = conditions(table, &key, options, &mut parameters)?;
    conditions.insert(0, format!("t.{} IS NOT NULL", column.quoted));
    let conditions = conditions.join(" AND ");
    // The planner leaves out partitions of the table that cannot have such rows.
    let is_pruned = filtered.iter().any(|column| table.partition_key.contains(column));
    let is_sharded = !table.shards.is_empty() && table.has_no_policies() && !is_pruned;
    let (limit, offset) = (parameters.add(Argument::int(options.k)), parameters.add(Argument::int(options.skip)));
    let wanted = i64::from(options.k) + i64::from(options.skip);
    let candidates = |index: Option<&Index>| candidates(index, wanted);

    let mut inner = shown(&key, &metadata);
    inner.extend(numbered("s", others));
    let exact_distance = distance(column, embeddings, COSINE, &vector);
    inner.push(format!("{exact_distance} AS distance"));
    let inner = inner.join(", ");
    let whole = index(*exact != Exact::None);
    let nearest = if is_sharded {
        let parts =
            Parts { table: &table.name, columns: &inner, conditions: &conditions, limit: &limit, offset: &offset };
        parts.compose(&table.shards, exact, &mut parameters, |place, shard| match index(false) {
            _ if exact.has(place) => (without_index(&exact_distance), wanted),
            // Which index it has is not known.
            _ if shard.is_foreign => (exact_distance.clone(), wanted),
            index => (order(column, embeddings, index, query.len(), &vector), candidates(index)),
        })
    } else {
        let order = order(column, embeddings, whole, query.len(), &vector);
        let order = if *exact == Exact::None { order } else { without_index(&order) };
        let nearest = format!("SELECT {inner} FROM {} AS t WHERE {conditions} ORDER BY {order} LIMIT ", table.name);
        if whole.is_some_and(|index| index.kind != IndexKind::Column) {
            let candidates = parameters.add(Argument::long(candidates(whole)));
            format!(
                "SELECT * FROM ({nearest}{candidates}) AS candidates ORDER BY candidates.distance LIMIT {limit} OFFSET {offset}"
            )
        } else {
            format!("{nearest}{limit} OFFSET {offset}")
        }
    };
    let allowed = if is_sharded { table.allowed_with_shards() } else { table.allowed() };
    let has_index = whole.is_some() || table.is_indirect;
    Ok(Statement { text: nearest, parameters, allowed, has_index, is_sharded, candidates: candidates(whole) })
}

/// Key and metadata of a row `t`, as `k0`, …, `m0`, ….
pub(super) fn shown(key: &[&Column], metadata: &[&Column]) -> Vec<String> {
    [numbered("k", key), numbered("m", metadata)].concat()
}

fn numbered(prefix: &str, columns: &[&Column]) -> Vec<String> {
    columns.iter().enumerate().map(|(at, column)| format!("t.{} AS {prefix}{at}", column.quoted)).collect()
}

/// The conditions of filter and exclusion, and the numbers of the columns that the filter names.
pub(super) fn conditions(
    table: &Table,
    key: &[&Column],
    options: &Options,
    parameters: &mut Parameters,
) -> Result<(Vec<String>, Vec<i16>)> {
    let (mut conditions, columns) = match options.filter {
        Some(filter) => condition::filter(table, filter, parameters)?,
        None => Default::default(),
    };
    if let Some(exclude) = &options.exclude {
        conditions.push(condition::exclude(key, table, exclude, parameters)?);
    }
    Ok((conditions, columns))
}

/// Rows that an index is to give, for so many that are wanted.
pub(super) fn candidates(index: Option<&Index>, wanted: i64) -> i64 {
    match index.map(|index| index.kind) {
        None | Some(IndexKind::Column) => wanted,
        Some(IndexKind::Halves) => wanted * HALVES_CANDIDATES,
        Some(IndexKind::Bits) => (wanted * BITS_CANDIDATES).max(BITS_LEAST),
    }
}

/// An order that no index has, here or on another server.
fn without_index(distance: &str) -> String {
    format!("({distance} OPERATOR(pg_catalog.+) 0::pg_catalog.float8)")
}

/// The similarity of a row of [`nearest`]; NULL where there is none, as of a vector without direction.
pub(super) fn similarity(row: &str) -> String {
    format!(
        "CASE WHEN {row}.distance OPERATOR(pg_catalog.<) 'Infinity'::pg_catalog.float8 \
         THEN (1::pg_catalog.float8 OPERATOR(pg_catalog.-) {row}.distance)::pg_catalog.float4 END"
    )
}

/// Whether a vector keeps its direction in half precision: its largest number is neither infinite there nor near zero.
/// Embeddings do; a user's own vector may not.
fn fits_half_precision(query: &[f32]) -> bool {
    const LEAST: f32 = 1e-3;
    const MOST: f32 = 65_504.0;
    let largest = query.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    (LEAST..=MOST).contains(&largest)
}

/// What the rows of the table are ordered by: the very expression of the index.
pub(super) fn order(
    column: &Column,
    embeddings: &Embeddings,
    index: Option<&Index>,
    dimension: usize,
    query: &str,
) -> String {
    let Embeddings { schema, type_name, .. } = embeddings;
    let Some(Index { kind, operator, .. }) = index else { return distance(column, embeddings, COSINE, query) };
    let of = |whole: fn(&str, &str, usize) -> String| {
        let (row, query) = (format!("t.{}", column.quoted), format!("{query}::{schema}.{type_name}"));
        format!(
            "({} OPERATOR({schema}.{operator}) {})",
            whole(&row, schema, dimension),
            whole(&query, schema, dimension)
        )
    };
    match kind {
        IndexKind::Column => distance(column, embeddings, operator, query),
        IndexKind::Halves => of(|value, schema, dimension| format!("({value}::{schema}.halfvec({dimension}))")),
        IndexKind::Bits => {
            of(|value, schema, dimension| format!("({schema}.binary_quantize({value})::pg_catalog.bit({dimension}))"))
        }
    }
}

pub(super) fn distance(column: &Column, embeddings: &Embeddings, operator: &str, query: &str) -> String {
    let Embeddings { schema, type_name, .. } = embeddings;
    format!("(t.{} OPERATOR({schema}.{operator}) {query}::{schema}.{type_name})", column.quoted)
}

/// A key of one column is its value; one of several is an object.
pub(super) fn id(key: &[&Column]) -> String {
    id_of("found", key)
}

/// The same, of another row than `found`.
pub(super) fn id_of(row: &str, key: &[&Column]) -> String {
    if key.len() == 1 { format!("pg_catalog.to_jsonb({row}.k0)") } else { object_of(row, "k", key) }
}

/// Made by a sub-select: a function's arguments are at most a hundred, columns may be more.
pub(super) fn object(prefix: &str, columns: &[&Column]) -> String {
    object_of("found", prefix, columns)
}

fn object_of(row: &str, prefix: &str, columns: &[&Column]) -> String {
    let columns: Vec<String> =
        columns.iter().enumerate().map(|(at, column)| format!("{row}.{prefix}{at} AS {}", column.quoted)).collect();
    format!("(SELECT pg_catalog.to_jsonb(j) FROM (SELECT {}) AS j)", columns.join(", "))
}

/// The columns of the metadata: those asked for, or all that the user may read and that can be shown.
pub(super) fn metadata<'a>(table: &'a Table, key: &[&Column], options: &Options) -> Result<Vec<&'a Column>> {
    match &options.columns {
        Some(names) => names.iter().map(|name| table.column(name)).collect(),
        None => {
            let is_key = |column: &Column| key.iter().any(|key| key.name == column.name);
            let wanted = |column: &&Column| !column.is_binary && !is_key(column) && table.is_readable(column);
            Ok(table.columns.iter().filter(wanted).collect())
        }
    }
}

/// An HNSW index looks at `hnsw.ef_search` rows (40 unless set), and finds no more than these: too few where more are
/// wanted, or where a filter takes some away. From pgvector 0.8 on it goes on looking when it is told to.
pub(super) fn search_settings(candidates: i64) -> LocalSettings {
    /// The most that pgvector takes.
    const MAX_EF_SEARCH: i64 = 1000;
    vector::load_library();
    let settings = LocalSettings::begin();
    let wanted = candidates.min(MAX_EF_SEARCH);
    if let Some(set) = spi::setting(c"hnsw.ef_search").and_then(|value| value.parse::<i64>().ok())
        && wanted > set
    {
        let wanted = CString::new(wanted.to_string()).expect("a number");
        settings.set(c"hnsw.ef_search", &wanted);
    }
    // `strict_order` keeps the order exact; an IVFFlat index only has the other, and the outer query sorts.
    for (name, mode) in [(c"hnsw.iterative_scan", c"strict_order"), (c"ivfflat.iterative_scan", c"relaxed_order")] {
        if spi::setting(name).as_deref() == Some("off") {
            settings.set(name, mode);
        }
    }
    settings
}

/// Of a foreign table the planner knows little. If it takes the rows for few, it sorts them here, and all of them travel.
fn remote_settings() -> LocalSettings {
    let settings = LocalSettings::begin();
    settings.set(c"enable_sort", c"off");
    // The cost of a sort that cannot be done without would have it used.
    settings.set(c"jit", c"off");
    settings
}

/// An index that has looked at `hnsw.max_scan_tuples` rows gives up, with fewer than are wanted. Then all rows are looked
/// at, as a query without an index would.
fn exact_settings() -> LocalSettings {
    let settings = LocalSettings::begin();
    settings.set(c"enable_indexscan", c"off");
    // A plan that is kept is none for this.
    settings.set(c"plan_cache_mode", c"force_custom_plan");
    settings
}

/// Limits of [`Options`].
impl Options {
    /// Most rows of one search.
    pub const MAX_K: i32 = 10_000;
    /// Most rows left out: beyond it, every page is as much work as all before it.
    pub const MAX_SKIP: i32 = 1_000_000;

    /// Fails where the least similarity is none.
    ///
    /// # Errors
    /// [`ArgumentError::OutOfRange`].
    pub fn check(&self) -> Result<()> {
        self.min_similarity.map_or(Ok(()), |least| check_similarity("min_similarity", least))
    }
}

/// Fails where an argument is no similarity.
///
/// # Errors
/// [`ArgumentError::OutOfRange`].
pub fn check_similarity(name: &'static str, value: f64) -> Result<()> {
    if (-1.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(ArgumentError::OutOfRange { name, value: value.to_string(), range: "-1 to 1".to_owned() }.into())
}

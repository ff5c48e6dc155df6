//! Pairs of rows of one table whose embeddings are nearly equal: for each row its nearest ones, by the index.
//!
//! ```sql
//! SELECT id of a, id of n, similarity
//!   FROM (SELECT t.id AS k0, t.embedding AS e FROM the_table AS t WHERE …) AS a
//!  CROSS JOIN LATERAL (SELECT t.id AS k0, t.embedding <=> a.e AS distance
//!                        FROM the_table AS t WHERE … ORDER BY t.embedding <=> a.e LIMIT …) AS n
//!  WHERE similarity >= $1 AND a is not n
//! ```

use super::condition;
use super::parameters::Parameters;
use super::statement::{COSINE, candidates, distance, id_of, order, search_settings, shown, similarity};
use super::table::{Column, Table};
use crate::errors::{ArgumentError, Result};
use crate::models::notice;
use crate::spi::{self, Argument};
use pgrx::pg_sys::Datum;

/// Which pairs are looked for.
pub struct Pairs {
    /// Least similarity of a pair.
    pub threshold: f64,
    /// Pairs of each row, at most.
    pub per_row: i32,
    /// Keys as text: rows from the first on, and before the second, are compared with all.
    pub key_range: Option<[Option<String>; 2]>,
    /// A jsonb object of columns and values.
    pub filter: Option<Datum>,
    /// The column of the embeddings.
    pub embedding_column: Option<String>,
    /// The column of the ids.
    pub id_column: Option<String>,
}

/// Two rows, by the text of their ids, which are jsonb.
pub struct Pair {
    pub id: String,
    pub other: String,
    pub similarity: f32,
}

impl Pairs {
    /// Most pairs of a row.
    pub const MAX_PER_ROW: i32 = 100;
    /// Most pairs, which are in memory.
    pub const MAX: usize = 1_000_000;
}

/// Finds the pairs; each is there once, or twice with its sides exchanged.
///
/// # Errors
/// [`ArgumentError`].
pub fn pairs(table: &Table, wanted: &Pairs) -> Result<Vec<Pair>> {
    let (column, embeddings) = table.embedding_column(wanted.embedding_column.as_deref())?;
    let key = table.key(wanted.id_column.as_deref())?;
    let index = embeddings.index(embeddings.dimension);
    let mut parameters = Parameters::default();
    let mut conditions = vec![format!("t.{} IS NOT NULL", column.quoted)];
    if let Some(filter) = wanted.filter {
        conditions.extend(condition::filter(table, filter, &mut parameters)?.0);
    }
    let all = conditions.join(" AND ");
    conditions.extend(range(table, &key, wanted, &mut parameters)?);
    let of_range = conditions.join(" AND ");

    if index.is_none() {
        notice(
            &format!("column \"{}\" of {} has no vector index: each row is compared with all", column.name, table.name),
            Some(
                "In a large table, create one first: CREATE INDEX ON the_table USING hnsw (embedding vector_cosine_ops);",
            ),
        );
    }
    // The row itself is one of its nearest.
    let nearest = i64::from(wanted.per_row) + 1;
    let candidates = candidates(index, nearest);
    let dimension = embeddings.dimension.or_else(|| index?.dimension).unwrap_or_default();
    let keys = shown(&key, &[]).join(", ");
    let (name, exact) = (&table.name, distance(column, embeddings, COSINE, "a.e"));
    let least = parameters.add(Argument::double(wanted.threshold));
    let text = format!(
        "SELECT p.id, p.other, p.similarity FROM (SELECT {} AS id, {} AS other, {} AS similarity \
         FROM (SELECT {keys}, t.{} AS e FROM {name} AS t WHERE {of_range}) AS a \
         CROSS JOIN LATERAL (SELECT * FROM (SELECT {keys}, {exact} AS distance FROM {name} AS t WHERE {all} \
         ORDER BY {} LIMIT {candidates}) AS c ORDER BY c.distance LIMIT {nearest}) AS n) AS p \
         WHERE p.similarity OPERATOR(pg_catalog.>=) {least}::pg_catalog.float4 \
         AND p.id OPERATOR(pg_catalog.<>) p.other LIMIT {}",
        id_of("a", &key),
        id_of("n", &key),
        similarity("n"),
        column.quoted,
        order(column, embeddings, index, dimension, "a.e"),
        Pairs::MAX * 2 + 1,
    );
    let _settings = search_settings(candidates);
    let pair = |row: &spi::Row| {
        let text = |column| row.text(column).unwrap_or_default();
        Ok(Pair { id: text(1), other: text(2), similarity: row.number(3).unwrap_or_default() })
    };
    let found = spi::select_kept(&table.allowed(), text, &parameters.0, pair)?;
    if found.len() > Pairs::MAX * 2 {
        return Err(ArgumentError::TooManyPairs { max: Pairs::MAX }.into());
    }
    Ok(found)
}

/// The conditions of a range of keys, by the order of the key's type.
fn range(table: &Table, key: &[&Column], wanted: &Pairs, parameters: &mut Parameters) -> Result<Vec<String>> {
    let Some([from, to]) = &wanted.key_range else { return Ok(Vec::new()) };
    let [column] = key else {
        return Err(ArgumentError::KeyRange { table: table.name.clone() }.into());
    };
    let (_, less) = column.comparisons()?;
    let ends = [("NOT ", from), ("", to)].into_iter().filter_map(|(not, key)| Some((not, key.as_ref()?)));
    let condition = |(not, key): (&str, &String)| {
        let key = parameters.add(Argument::text(key));
        format!("{not}(t.{} {less} CAST({key} AS {}))", column.quoted, column.sql_type)
    };
    Ok(ends.map(condition).collect())
}

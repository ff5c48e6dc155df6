//! The inner query of a search in a table with foreign partitions.
//!
//! ```sql
//! WITH candidates AS MATERIALIZED (
//!     SELECT -1 AS shard, t.id AS k0, …, t.embedding <=> $1 AS distance FROM the_table AS t WHERE filter AND false
//!     UNION ALL (SELECT 0 AS shard, … FROM shard_1 AS t WHERE filter ORDER BY t.embedding <=> $1 LIMIT k + skip)
//!     UNION ALL (SELECT 1 AS shard, … FROM shard_2 AS t WHERE filter ORDER BY (t.embedding <=> $1) + 0 LIMIT k + skip) …)
//! SELECT c.*, the shards that gave fewer than they were asked for AS short
//!   FROM candidates AS c ORDER BY c.distance LIMIT k OFFSET skip
//! ```
//!
//! PostgreSQL sends no LIMIT to the partitions of a table, and merges them one after the other. Of limited scans each server
//! gets order and limit, and all work at the same time where they are `async_capable`.
//!
//! No setting of this session reaches another server. An HNSW index there looks at `hnsw.ef_search` rows, of which a filter
//! may leave few. A shard that gave fewer rows than it was asked for is asked again, by an order that no index has.
//!
//! Partitions are read by the right to read the table, as through it. The first part of the union, which gives no rows, has
//! PostgreSQL check that right for the very columns of the others.

use super::parameters::Parameters;
use super::table::Shard;
use crate::spi::Argument;

/// Which shards, by their places, are searched without an index. Of a table without shards, the table is the only one.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Exact {
    /// None.
    #[default]
    None,
    /// Some.
    Some(Vec<usize>),
    /// All.
    All,
}

impl Exact {
    /// From the column `short` of a row; all of them, where there is no row to say which.
    pub fn of_short(short: Option<&str>) -> Self {
        match short {
            None => Self::All,
            Some("") => Self::None,
            Some(shards) => Self::Some(shards.split(',').filter_map(|shard| shard.parse().ok()).collect()),
        }
    }

    /// Whether this shard is.
    pub fn has(&self, shard: usize) -> bool {
        match self {
            Self::None => false,
            Self::Some(shards) => shards.contains(&shard),
            Self::All => true,
        }
    }
}

/// What the parts of the union have in common.
pub struct Parts<'a> {
    /// The table's name.
    pub table: &'a str,
    /// Names and values of the columns.
    pub columns: &'a str,
    /// Of the filter.
    pub conditions: &'a str,
    /// Parameters.
    pub limit: &'a str,
    /// Parameters.
    pub offset: &'a str,
}

impl Parts<'_> {
    /// The inner query. `order` gives what a shard's rows are ordered by, and how many are wanted.
    pub fn compose(
        &self,
        shards: &[Shard],
        exact: &Exact,
        parameters: &mut Parameters,
        order: impl Fn(usize, &Shard) -> (String, i64),
    ) -> String {
        let Self { table, columns, conditions, limit, offset } = self;
        let mut parts = vec![format!("SELECT -1 AS shard, {columns} FROM {table} AS t WHERE {conditions} AND false")];
        let mut wanted = Vec::new();
        for (place, shard) in shards.iter().enumerate() {
            let (order, rows) = order(place, shard);
            let rows = parameters.add(Argument::long(rows));
            parts.push(format!(
                "(SELECT {place} AS shard, {columns} FROM {} AS t WHERE {conditions} ORDER BY {order} LIMIT {rows})",
                shard.name
            ));
            if !exact.has(place) {
                wanted.push(format!("({place}, {rows})"));
            }
        }
        let short = if wanted.is_empty() {
            "''::pg_catalog.text".to_owned()
        } else {
            format!(
                "(SELECT COALESCE(pg_catalog.string_agg(s.shard::pg_catalog.text, ','), '') \
                 FROM (VALUES {}) AS s(shard, wanted) WHERE (SELECT pg_catalog.count(*) FROM candidates AS c \
                 WHERE c.shard OPERATOR(pg_catalog.=) s.shard) OPERATOR(pg_catalog.<) s.wanted)",
                wanted.join(", ")
            )
        };
        format!(
            "WITH candidates AS MATERIALIZED ({}) SELECT c.*, {short} AS short FROM candidates AS c \
             ORDER BY c.distance LIMIT {limit} OFFSET {offset}",
            parts.join(" UNION ALL ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_which_shards_came_short() {
        assert!(Exact::of_short(None) == Exact::All && Exact::of_short(Some("")) == Exact::None);
        assert!(Exact::of_short(Some("0,12")).has(12) && !Exact::of_short(Some("0,12")).has(1));
    }
}

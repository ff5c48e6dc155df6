//! Relevant, then sorted: of the rows nearest to a query those that are similar enough, in the order of some columns.
//!
//! ```sql
//! WITH near AS MATERIALIZED (SELECT …, similarity FROM (the nearest rows, by the index) …)
//! SELECT id, similarity, metadata, the number of these rows, the least similarity of these
//!   FROM … LEFT JOIN (SELECT * FROM near WHERE similarity >= $2 ORDER BY columns LIMIT k OFFSET skip) AS found ON true
//! ```

use super::order::{self, Order};
use super::shards::Exact;
use super::statement::{Options, Statement, id, metadata, nearest, object, search, similarity};
use super::table::Table;
use crate::errors::Result;
use crate::result_rows::Rows;
use crate::spi::{self, Argument};

/// A page of what is relevant. [`Options::k`] is for how many of the nearest rows are looked at, without any skipped.
pub struct Page {
    /// Most rows.
    pub k: i32,
    /// Rows left out at the beginning.
    pub skip: i32,
    /// What they are sorted by, as somebody writes it; by similarity where there is nothing.
    pub order_by: Option<String>,
}

impl Page {
    /// Fails where it cannot be sorted so.
    ///
    /// # Errors
    /// As [`order::parse`].
    pub fn check(&self, table: &Table) -> Result<()> {
        self.order_by.as_deref().map_or(Ok(()), |text| order::parse(text, table).map(drop))
    }
}

/// Adds a page to the rows of the call: id, similarity, metadata.
///
/// # Errors
/// [`crate::errors::ArgumentError`].
pub fn page(table: &Table, query: &[f32], options: &Options, page: &Page, rows: &mut Rows) -> Result<()> {
    let least = options.min_similarity.unwrap_or(-1.0) as f32;
    let run = |statement: Statement, is_last: bool| {
        let Statement { text, parameters, allowed, has_index, is_sharded, .. } = statement;
        let mut exact = Exact::None;
        spi::select_kept(&allowed, text, &parameters.0, |row| {
            let found = row.number::<i64>(4).unwrap_or_default();
            let last = row.number::<f32>(5);
            if is_last {
                exact = Exact::None;
            } else if is_sharded {
                exact = Exact::of_short(row.text(7).as_deref());
            } else if has_index && found < options.k.into() && last.is_none_or(|last| last >= least) {
                // An index that gives fewer rows than it was asked for may have overlooked some, but only less similar ones.
                exact = Exact::All;
            }
            if exact == Exact::None && row.is_true(6) {
                rows.push(|| [row.datum(1), row.datum(2), row.datum(3)]);
            }
            Ok(())
        })?;
        Ok(exact)
    };
    search(table, |exact| compose(table, query, options, page, exact), run)
}

fn compose(table: &Table, query: &[f32], options: &Options, page: &Page, exact: &Exact) -> Result<Statement> {
    let key = table.key(options.id_column.as_deref())?;
    let metadata = metadata(table, &key, options)?;
    let orders = page.order_by.as_deref().map_or(Ok(Vec::new()), |text| order::parse(text, table))?;
    let columns: Vec<_> = orders.iter().map(|order| order.column).collect();
    let statement = nearest(table, query, options, &columns, exact)?;
    let Statement { text: nearest, mut parameters, is_sharded, allowed, has_index, candidates } = statement;
    let least = parameters.add(Argument::double(options.min_similarity.unwrap_or(-1.0)));
    let (limit, offset) = (parameters.add(Argument::int(page.k)), parameters.add(Argument::int(page.skip)));
    let sorted = |row: &str| {
        let by = |(at, order): (usize, &Order)| format!("{row}.s{at}{}", order.direction);
        let mut all: Vec<String> = orders.iter().enumerate().map(by).collect();
        all.push(format!("{row}.distance"));
        all.join(", ")
    };
    // As the similarity is shown, so that a row's own similarity does not leave it out.
    let text = format!(
        "WITH near AS MATERIALIZED (SELECT c.*, {} AS similarity FROM ({nearest}) AS c) \
         SELECT {} AS id, found.similarity, {} AS metadata, s.n, s.least, found.is_there, s.short \
         FROM (SELECT pg_catalog.count(*) AS n, pg_catalog.min(near.similarity) AS least, {} AS short FROM near) AS s \
         LEFT JOIN (SELECT near.*, true AS is_there FROM near \
         WHERE near.similarity OPERATOR(pg_catalog.>=) {least}::pg_catalog.float4 \
         ORDER BY {} LIMIT {limit} OFFSET {offset}) AS found ON true ORDER BY {}",
        similarity("c"),
        id(&key),
        object("m", &metadata),
        if is_sharded { "pg_catalog.min(near.short)" } else { "NULL::pg_catalog.text" },
        sorted("near"),
        sorted("found"),
    );
    Ok(Statement { text, parameters, allowed, has_index, is_sharded, candidates })
}

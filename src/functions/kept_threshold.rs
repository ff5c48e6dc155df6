//! The threshold that `clip_calibrate` has kept with a table.

use crate::errors::{ArgumentError, Result};
use crate::internal_tables;
use crate::models::notice;
use crate::search::{Column, Table};
use crate::spi::{self, Argument};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::collections::HashSet;

/// What a search is by. Similarities of a text to images are others than those of an image to images.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    Text,
    Image,
}

impl QueryKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        [Self::Text, Self::Image].into_iter().find(|kind| kind.name() == name)
    }
}

/// Times its size then from which on a table is another one.
const GROWTH: u32 = 2;
/// Most tables that are remembered; then they are told of anew.
const REMEMBERED: usize = 1000;

thread_local! {
    /// Old thresholds that the client was told of: the table, and when it was measured.
    static TOLD: RefCell<HashSet<(Oid, String)>> = RefCell::default();
}

/// The threshold for a column, which the caller may read. Tells the client, once in a session, where it is old.
///
/// # Errors
/// [`ArgumentError::NoThreshold`], [`ArgumentError::ThresholdOfOtherModel`].
pub fn of(table: &Table, column: &Column, kind: QueryKind, model: &str) -> Result<f64> {
    let kept = format!(
        "SELECT CAST(k.threshold AS pg_catalog.float8), {SIZE} OPERATOR(pg_catalog.>) \
         (k.table_bytes OPERATOR(pg_catalog.*) {GROWTH}::pg_catalog.int8), k.measured_at, k.model \
         FROM clip_search_internal.clip_kept_thresholds AS k \
         WHERE CAST(k.\"table\" AS pg_catalog.oid) OPERATOR(pg_catalog.=) $1 \
         AND k.embedding_column OPERATOR(pg_catalog.=) CAST($2 AS pg_catalog.name) \
         AND k.query_kind OPERATOR(pg_catalog.=) $3 \
         ORDER BY k.model OPERATOR(pg_catalog.=) $4 DESC, k.measured_at DESC LIMIT 1"
    );
    table.require_readable(column);
    let allowed = internal_tables::view(c"clip_kept_thresholds")?;
    let [name, query_kind, wanted] = [&column.name, kind.name(), model].map(Argument::text);
    let arguments = [Argument::oid(table.id), name, query_kind, wanted];
    let found = spi::select(&allowed, &kept, &arguments, |row| {
        let text = |column| row.text(column).unwrap_or_default();
        Ok((row.number::<f64>(1), row.is_true(2), text(3), text(4)))
    })?;
    let (table_name, column_name, model) = (table.name.clone(), column.name.clone(), model.to_owned());
    match found.into_iter().next() {
        Some((Some(threshold), is_old, measured_at, of_model)) if of_model == model => {
            if is_old {
                tell(table, measured_at);
            }
            Ok(threshold)
        }
        Some((.., other)) => {
            let (table, column, kind) = (table_name, column_name, kind.name());
            Err(ArgumentError::ThresholdOfOtherModel { table, column, kind, model, other }.into())
        }
        None => {
            let (table, column, kind) = (table_name, column_name, kind.name());
            Err(ArgumentError::NoThreshold { table, column, kind, model }.into())
        }
    }
}

fn tell(table: &Table, measured_at: String) {
    let is_new = TOLD.with_borrow_mut(|told| {
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert((table.id, measured_at))
    });
    if is_new {
        notice(
            &format!("{} has become more than {GROWTH} times as large since its threshold was measured", table.name),
            Some("Have it measured again: SELECT * FROM clip_calibrate('the_table')."),
        );
    }
}

/// Bytes of a table, `$1`, and its partitions, without indexes and TOAST: always known, while rows are counted by ANALYZE.
pub const SIZE: &str = "(COALESCE(pg_catalog.pg_relation_size($1), 0) OPERATOR(pg_catalog.+) \
    CAST(COALESCE((SELECT pg_catalog.sum(pg_catalog.pg_relation_size(p.relid)) \
    FROM pg_catalog.pg_partition_tree($1) AS p WHERE p.level OPERATOR(pg_catalog.>) 0), 0) AS pg_catalog.int8))";

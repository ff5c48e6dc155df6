//! The triggers by which a table's embeddings are kept up to date, whoever has made them.

use super::trigger::{is_embed_trigger, is_enqueue_trigger};
use crate::search::Table;
use crate::spi::{Argument, Connection, Row};
use crate::text;
use pgrx::pg_sys::Oid;

/// A trigger of `clip_embed_trigger` or `clip_enqueue_trigger`.
pub struct SyncTrigger {
    /// Quoted where it has to be.
    pub name: String,
    /// Source, embedding and, where it is named, the model; then what else there is.
    pub arguments: Vec<String>,
    /// Whether it has a condition or a list of columns.
    pub is_qualified: bool,
}

impl SyncTrigger {
    /// The model of a column of embeddings, where this trigger is for it and names one.
    pub fn model_of(&self, column: &str) -> Option<&str> {
        match &self.arguments[..] {
            [_, embedding, model, ..] if embedding == column && !model.contains('=') => Some(model),
            _ => None,
        }
    }
}

/// Those of a table itself. Also where one may not read the table: dropping one says who may.
pub fn of(connection: &Connection, table: &Table) -> Vec<SyncTrigger> {
    const TRIGGERS: &str = "SELECT pg_catalog.quote_ident(t.tgname), t.tgargs, CAST(t.tgfoid AS pg_catalog.oid), \
        t.tgqual IS NOT NULL OR CAST(t.tgattr AS pg_catalog.text) OPERATOR(pg_catalog.<>) ''::pg_catalog.text \
        FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid OPERATOR(pg_catalog.=) $1 \
        AND t.tgparentid OPERATOR(pg_catalog.=) CAST(0 AS pg_catalog.oid) AND NOT t.tgisinternal";
    let rows = connection.execute(TRIGGERS, &[Argument::oid(table.id)]).1;
    let ours = rows.iter().filter(|row| {
        let function = Oid::from(row.number::<u32>(3).unwrap_or_default());
        is_embed_trigger(function) || is_enqueue_trigger(function)
    });
    let trigger = |row: &Row| {
        // SAFETY: a bytea.
        let arguments = unsafe { text::bytes_of(row.datum(2)?) };
        // Each ends with a zero byte.
        let arguments = arguments.strip_suffix(b"\0").unwrap_or_default();
        let arguments = arguments.split(|byte| *byte == 0).map(text::to_utf8);
        let arguments = arguments.map(|bytes| String::from_utf8(bytes).expect("checked by to_utf8")).collect();
        Some(SyncTrigger { name: row.text(1)?, arguments, is_qualified: row.is_true(4) })
    };
    ours.filter_map(trigger).collect()
}

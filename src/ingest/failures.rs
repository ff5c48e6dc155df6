//! `clip_embed_errors`: what could not be embedded, and why.

use super::rows::{Found, Hash, hash, row_hash};
use super::target::Target;
use crate::errors::{Error, Raised, is_the_images_fault};
use crate::internal_tables::{self, InternalTable};
use crate::spi::{Argument, Connection, Row};
use pgrx::pg_sys;
use protocol::{ErrorClass, Failure};
use std::collections::HashSet;

/// Whether it is one row's fault, so that others go on.
pub fn is_the_rows_fault(error: &Error) -> bool {
    match error {
        Error::Server(Failure { class, .. }) => is_the_images_fault(*class) || is_the_urls_fault(*class),
        Error::ImageTooLarge { .. }
        | Error::TextTooLarge { .. }
        | Error::NotUtf8 { .. }
        | Error::NotUtf8InSqlAscii { .. } => true,
        _ => false,
    }
}

fn is_the_urls_fault(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::InvalidUrl | ErrorClass::UrlNotAllowed | ErrorClass::UrlFailed)
}

/// Whether trying again with the same bytes would end in the same way. A web server may be up again.
fn is_permanent(error: &Error) -> bool {
    !matches!(error, Error::Server(Failure { class: ErrorClass::UrlFailed | ErrorClass::UrlNotAllowed, .. }))
}

/// Why a row has no embedding.
pub struct Fault {
    /// The error.
    pub raised: Raised,
    /// Whether the same source would fail again.
    pub is_permanent: bool,
}

impl Fault {
    /// An error that [`is_the_rows_fault`].
    pub fn of(error: Error) -> Self {
        Self { is_permanent: is_permanent(&error), raised: error.into() }
    }
}

/// In the place of a source's hash, where nothing is known of the source.
pub const UNKNOWN: Hash = [0; 32];

/// The failures of one table's column.
pub struct Failures {
    column: String,
    source: String,
    /// As what a source is embedded, and by which model; another may take it.
    manner: String,
    /// Whether there were any when this began.
    pub are_known: bool,
    /// Rows of those of this run, and of those left out: they are looked at once.
    fresh: HashSet<Hash>,
    /// Rows left out because they are known to fail.
    pub skipped: i64,
}

impl Failures {
    /// Forgets those of tables that are gone.
    pub fn sweep(connection: &Connection) {
        let gone = format!(
            "DELETE FROM {TABLE} AS e WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c \
             WHERE c.oid OPERATOR(pg_catalog.=) CAST(e.relid AS pg_catalog.oid))"
        );
        execute(connection, &gone, &[]);
    }

    /// Looks whether there are any.
    pub fn begin(connection: &Connection, target: &Target) -> Self {
        let any = format!(
            "SELECT EXISTS (SELECT FROM {TABLE} AS e WHERE e.embedding_column OPERATOR(pg_catalog.=) \
             CAST($1 AS pg_catalog.name))"
        );
        let column = target.embedding.name.clone();
        let are_known = execute(connection, &any, &[Argument::text(&column)]).1[0].is_true(1);
        let (source, kind) = (target.source.name.clone(), target.kind.name());
        let manner = format!("{kind}\0{}\0{source}\0", target.origin);
        Self { column, source, manner, are_known, fresh: HashSet::new(), skipped: 0 }
    }

    /// What would fail again: a source, and what is made of it.
    fn attempt(&self, source: &Hash) -> Hash {
        hash(&[self.manner.as_bytes(), source].concat())
    }

    /// Whether the row has failed in this run or, with the same source and model, before; then it would fail again.
    pub fn knows(&mut self, connection: &Connection, row: &Found, key: &str, source: &Hash, retry: bool) -> bool {
        if self.fresh.contains(&row_hash(row.table(), key)) {
            return true;
        }
        if retry || !self.are_known {
            return false;
        }
        let query = format!(
            "SELECT FROM {TABLE} AS e WHERE {IS_THE_ROW} AND e.source_hash OPERATOR(pg_catalog.=) $4 AND e.is_permanent"
        );
        let mut arguments = self.arguments(row.table(), key);
        arguments.push(Argument::bytes(&self.attempt(source)));
        let is_known = execute(connection, &query, &arguments).0 > 0;
        if is_known {
            self.fresh.insert(row_hash(row.table(), key));
            self.skipped += 1;
        }
        is_known
    }

    /// Keeps a failure; one more attempt where the row has failed before.
    pub fn record(&mut self, connection: &Connection, row: &Found, key: &str, source: &Hash, fault: &Fault) {
        self.fresh.insert(row_hash(row.table(), key));
        let entry =
            Entry { table: row.table(), key, source: &self.source, embedding: &self.column, raised: &fault.raised };
        entry.put(connection, &self.attempt(source), fault.is_permanent, 1);
    }

    /// A row that has failed before has an embedding now, or nothing to embed; or it is gone.
    pub fn forget(&self, connection: &Connection, table: pg_sys::Oid, key: &str) {
        if self.are_known {
            let query = format!("DELETE FROM {TABLE} AS e WHERE {IS_THE_ROW}");
            execute(connection, &query, &self.arguments(table, key));
        }
    }

    fn arguments(&self, table: pg_sys::Oid, key: &str) -> Vec<Argument> {
        vec![Argument::oid(table), Argument::text(&self.column), Argument::bytes(&hash(key.as_bytes()))]
    }
}

const TABLE: &str = InternalTable::Errors.name();

fn execute(connection: &Connection, query: &str, arguments: &[Argument]) -> (u64, Vec<Row>) {
    internal_tables::execute(connection, &[InternalTable::Errors], query, arguments)
}

const IS_THE_ROW: &str = "e.relid OPERATOR(pg_catalog.=) $1 AND e.embedding_column OPERATOR(pg_catalog.=) \
                          CAST($2 AS pg_catalog.name) AND e.key_hash OPERATOR(pg_catalog.=) $3";

/// An entry of `clip_embed_errors`.
pub struct Entry<'a> {
    /// The table, or partition, of the row.
    pub table: pg_sys::Oid,
    /// Its key as JSON.
    pub key: &'a str,
    /// Column of the source.
    pub source: &'a str,
    /// Column of the embedding.
    pub embedding: &'a str,
    /// Why.
    pub raised: &'a Raised,
}

impl Entry<'_> {
    /// Keeps that a row was given up after some attempts, for a reason that may pass.
    pub fn give_up(&self, connection: &Connection, attempts: i32) {
        self.put(connection, &UNKNOWN, false, attempts);
    }

    fn put(&self, connection: &Connection, source: &Hash, is_permanent: bool, attempts: i32) {
        let query = format!(
            "INSERT INTO {TABLE} AS e (relid, embedding_column, key_hash, key, source_column, sqlstate, message, hint, \
             source_hash, is_permanent, attempts, occurred_at) \
             VALUES ($1, CAST($2 AS pg_catalog.name), $3, CAST($4 AS pg_catalog.jsonb), CAST($5 AS pg_catalog.name), \
             $6, $7, $8, $9, $10, $11, pg_catalog.clock_timestamp()) \
             ON CONFLICT (relid, embedding_column, key_hash) DO UPDATE SET source_column = EXCLUDED.source_column, \
             sqlstate = EXCLUDED.sqlstate, message = EXCLUDED.message, hint = EXCLUDED.hint, \
             source_hash = EXCLUDED.source_hash, is_permanent = EXCLUDED.is_permanent, \
             occurred_at = EXCLUDED.occurred_at, attempts = e.attempts OPERATOR(pg_catalog.+) EXCLUDED.attempts"
        );
        let arguments = [
            Argument::oid(self.table),
            Argument::text(self.embedding),
            Argument::bytes(&hash(self.key.as_bytes())),
            Argument::text(self.key),
            Argument::text(self.source),
            Argument::text(&self.raised.state()),
            Argument::text(&self.raised.message),
            self.raised.hint.as_deref().map_or(Argument::null(pg_sys::TEXTOID), Argument::text),
            Argument::bytes(source),
            Argument::boolean(is_permanent),
            Argument::int(attempts),
        ];
        execute(connection, &query, &arguments);
    }
}

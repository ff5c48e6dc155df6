//! Entries of the queue → embeddings in their rows.
//!
//! All in one transaction: entries are locked and, as the table's owner, their rows; the rows are embedded and written,
//! and the entries removed. Whatever ends this process, the entries are there as before.

use super::worker::Failure;
use crate::errors::{Result, or_raise};
use crate::ingest::{self, Entry, Failures, Known, Locked, Names, OwnersRights, Pace, Statements, Target};
use crate::spi::{self, Argument, Connection};
use pgrx::pg_sys;
use std::collections::HashSet;

/// Most entries of one transaction. Their rows are locked while they are embedded.
pub const MOST: usize = 32;
/// After so many attempts, or some twenty minutes, an entry is given up.
const ATTEMPTS: i32 = 10;

/// What there was to do.
pub enum Outcome {
    /// Entries; there may be more.
    Worked,
    /// No entries whose time has come.
    NothingToDo,
    /// The extension is not installed in this database.
    NoExtension,
}

const HOME: &str = "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension AS e \
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace \
    WHERE e.extname OPERATOR(pg_catalog.=) 'clip_search'";

fn schema(connection: &Connection) -> Option<String> {
    connection.execute(HOME, &[]).1.first().and_then(|row| row.text(1))
}

/// What an entry asks for, but for the key: one table and its columns.
struct Task {
    table: pg_sys::Oid,
    source: String,
    embedding: String,
    model: String,
}

impl Task {
    const COLUMNS: &str = "CAST(q.relid AS pg_catalog.oid), q.source_column, q.embedding_column, q.model";
    const IS_IT: &str = "q.relid OPERATOR(pg_catalog.=) $1 AND q.source_column OPERATOR(pg_catalog.=) $2::pg_catalog.name \
        AND q.embedding_column OPERATOR(pg_catalog.=) $3::pg_catalog.name AND q.model OPERATOR(pg_catalog.=) $4";
    const IS_DUE: &str = "q.due_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()";

    /// The one that has waited longest.
    fn next(connection: &Connection, schema: &str) -> Option<Self> {
        let query = format!(
            "SELECT {} FROM {schema}.clip_embed_queue AS q WHERE {} ORDER BY q.due_at LIMIT 1",
            Self::COLUMNS,
            Self::IS_DUE
        );
        let rows = connection.execute(&query, &[]).1;
        let row = rows.first()?;
        let text = |column| row.text(column).unwrap_or_default();
        Some(Self {
            table: pg_sys::Oid::from(row.number::<u32>(1)?),
            source: text(2),
            embedding: text(3),
            model: text(4),
        })
    }

    fn arguments(&self) -> Vec<Argument> {
        let names = [&self.source, &self.embedding, &self.model].map(|name| Argument::text(name));
        [Argument::oid(self.table)].into_iter().chain(names).collect()
    }

    /// Entries whose time has come: where they lie, and their keys as JSON.
    fn entries(&self, connection: &Connection, schema: &str, most: usize) -> Vec<(String, String)> {
        let query = format!(
            "SELECT q.ctid, q.key FROM {schema}.clip_embed_queue AS q WHERE {} AND {} ORDER BY q.due_at LIMIT {most} \
             FOR UPDATE OF q SKIP LOCKED",
            Self::IS_IT,
            Self::IS_DUE
        );
        let text = |row: &spi::Row, column| row.text(column).unwrap_or_default();
        connection.execute(&query, &self.arguments()).1.iter().map(|row| (text(row, 1), text(row, 2))).collect()
    }
}

/// Embeds the rows of some entries, at most so many. Raises where it cannot; see [`put_off`].
pub fn step(most: usize) -> Outcome {
    let connection = Connection::open();
    let Some(schema) = schema(&connection) else { return Outcome::NoExtension };
    let Some(task) = Task::next(&connection, &schema) else { return Outcome::NothingToDo };
    let entries = task.entries(&connection, &schema, most);
    let left = or_raise(work(&connection, &schema, &task, &entries));
    let places = |wanted: &dyn Fn(&String) -> bool| {
        let places: Vec<&str> =
            entries.iter().filter(|(_, key)| wanted(key)).map(|(place, _)| place.as_str()).collect();
        Argument::text(&format!("{{\"{}\"}}", places.join("\",\"")))
    };
    let done = format!(
        "DELETE FROM {schema}.clip_embed_queue AS q WHERE q.ctid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.tid[])"
    );
    let locked = format!(
        "UPDATE {schema}.clip_embed_queue AS q SET due_at = pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) \
         interval '1 second' WHERE q.ctid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.tid[])"
    );
    if entries.iter().any(|(_, key)| !left.contains(key)) {
        connection.execute(&done, &[places(&|key| !left.contains(key))]);
    }
    if !left.is_empty() {
        connection.execute(&locked, &[places(&|key| left.contains(key))]);
    }
    Outcome::Worked
}

/// The keys of rows that somebody has locked.
fn work(connection: &Connection, schema: &str, task: &Task, entries: &[(String, String)]) -> Result<HashSet<String>> {
    let owner =
        "SELECT CAST(c.relowner AS pg_catalog.oid) FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) $1";
    let owner = connection.execute(owner, &[Argument::oid(task.table)]).1.first().and_then(|row| row.number::<u32>(1));
    // The table is gone, and so is what was to be done.
    let Some(owner) = owner else { return Ok(HashSet::new()) };
    let names = Names {
        source: task.source.clone(),
        embedding: task.embedding.clone(),
        kind: None,
        picture: None,
        provenance: None,
        model: task.model.clone(),
    };
    let _rights = OwnersRights::begin(pg_sys::Oid::from(owner));
    let target = Target::check(task.table, &names, schema)?;
    let statements = Statements::prepare(connection, &target)?;
    let keys: HashSet<&str> = entries.iter().map(|(_, key)| key.as_str()).collect();
    let keys = format!("[{}]", keys.into_iter().collect::<Vec<_>>().join(", "));
    let rows = statements.find(connection, &target, &keys)?;
    let locked: HashSet<String> = rows.iter().map(Locked::key).collect();
    let left = statements.keys(connection, &target, &keys)?.into_iter().filter(|key| !locked.contains(key)).collect();
    let (without, with): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.source().is_none());
    for row in &without {
        statements.clear(connection, row);
    }
    let failures = Failures::begin(connection, &target, schema);
    let mut known = Known { connection, target: &target, statements: &statements, failures, rows: with.into() };
    ingest::embed(&target.model, target.kind.modality(), &mut Pace::new(), &mut known)?;
    Ok(left)
}

/// After a failure of one entry: it is tried again later, and given up in the end.
pub fn put_off(failure: &Failure) {
    let connection = Connection::open();
    let Some(schema) = schema(&connection) else { return };
    let Some(task) = Task::next(&connection, &schema) else { return };
    let Some((place, key)) = task.entries(&connection, &schema, 1).pop() else { return };
    let update = format!(
        "UPDATE {schema}.clip_embed_queue AS q SET attempts = q.attempts OPERATOR(pg_catalog.+) 1, \
         due_at = pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) \
         pg_catalog.make_interval(secs => LEAST(pg_catalog.power(2, q.attempts), 600)) \
         WHERE q.ctid OPERATOR(pg_catalog.=) $1::pg_catalog.tid RETURNING q.attempts"
    );
    let rows = connection.execute(&update, &[Argument::text(&place)]).1;
    let attempts: i32 = rows.first().and_then(|row| row.number(1)).unwrap_or(1);
    if attempts < ATTEMPTS {
        return;
    }
    let delete = format!(
        "DELETE FROM {schema}.clip_embed_queue AS q WHERE {} AND q.key OPERATOR(pg_catalog.=) $5::pg_catalog.jsonb \
         AND q.attempts OPERATOR(pg_catalog.>=) {ATTEMPTS}",
        Task::IS_IT
    );
    let mut arguments = task.arguments();
    arguments.push(Argument::text(&key));
    connection.execute(&delete, &arguments);
    let given_up = Entry {
        table: task.table,
        key: &key,
        source: &task.source,
        embedding: &task.embedding,
        sqlstate: &failure.state(),
        message: &failure.message,
        hint: failure.hint.as_deref(),
    };
    given_up.give_up(&connection, &schema, attempts);
}

/// Whether the queue is empty, and nobody is writing to it; the lock that tells is held until the transaction ends.
pub fn is_quiet() -> bool {
    let connection = Connection::open();
    let Some(schema) = schema(&connection) else { return true };
    let table = "SELECT CAST(CAST($1 AS pg_catalog.regclass) AS pg_catalog.oid)";
    let rows = connection.execute(table, &[Argument::text(&format!("{schema}.clip_embed_queue"))]).1;
    let Some(id) = rows.first().and_then(|row| row.number::<u32>(1)) else { return true };
    // SAFETY: a table that exists; without waiting. It conflicts with the lock of whoever has written and not committed.
    let alone = unsafe { pg_sys::ConditionalLockRelationOid(pg_sys::Oid::from(id), pg_sys::ShareLock as i32) };
    let empty = format!("SELECT FROM {schema}.clip_embed_queue LIMIT 1");
    alone && connection.execute(&empty, &[]).0 == 0
}

//! The table `clip_embed_queue`. Only this process works on its entries, but for `clip_unsync`: whatever somebody else has
//! locked is passed over.

use crate::errors::{Raised, or_raise};
use crate::ingest::{Entry, Names};
use crate::internal_tables::{self, InternalTable};
use crate::spi::{self, Argument, Connection};
use pgrx::pg_sys;

/// After so many attempts, or some twenty minutes, an entry is given up.
const ATTEMPTS: i32 = 10;

const TABLE: &str = InternalTable::Queue.name();

const IS_DUE: &str = "q.due_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()";

/// From now.
const LATER: &str = "pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)";

/// Twice as long as the last time; ten minutes at most.
const TWICE_AS_LONG: &str = "pg_catalog.make_interval(secs => LEAST(pg_catalog.power(2, LEAST(q.deferrals, 10)), 600)), \
    deferrals = q.deferrals OPERATOR(pg_catalog.+) 1";

/// What an entry asks for, but for the key: one table and its columns.
#[derive(Clone)]
pub struct Task {
    /// The table, or partition, that the row lies in.
    pub table: pg_sys::Oid,
    /// Column of images or texts.
    pub source: String,
    /// Column of embeddings.
    pub embedding: String,
    /// `owner/name`.
    pub model: String,
}

impl Task {
    const COLUMNS: &str = "CAST(q.relid AS pg_catalog.oid), q.source_column, q.embedding_column, q.model";
    const IS_IT: &str = "q.relid OPERATOR(pg_catalog.=) $1 AND q.source_column OPERATOR(pg_catalog.=) $2::pg_catalog.name \
        AND q.embedding_column OPERATOR(pg_catalog.=) $3::pg_catalog.name AND q.model OPERATOR(pg_catalog.=) $4";

    /// Table and columns, as for a backfill.
    pub fn names(&self) -> Names {
        let (kind, image, provenance) = (None, None, None);
        let (source, embedding, model) = (self.source.clone(), self.embedding.clone(), self.model.clone());
        Names { source, embedding, kind, image, provenance, model }
    }

    fn arguments(&self) -> Vec<Argument> {
        let names = [&self.source, &self.embedding, &self.model].map(|name| Argument::text(name));
        [Argument::oid(self.table)].into_iter().chain(names).collect()
    }
}

/// An entry that this transaction has locked.
#[derive(Clone)]
pub struct Queued {
    /// A uuid.
    pub id: String,
    /// The row's key as JSON.
    pub key: String,
}

/// The queue of this database.
pub struct Queue<'a> {
    connection: &'a Connection,
}

impl<'a> Queue<'a> {
    /// `None` where the extension is not installed.
    pub fn open(connection: &'a Connection) -> Option<Self> {
        // SAFETY: a NUL-terminated name.
        let extension = unsafe { pg_sys::get_extension_oid(c"clip_search".as_ptr(), true) };
        (extension != pg_sys::Oid::INVALID).then_some(Self { connection })
    }

    fn execute(&self, query: &str, arguments: &[Argument]) -> (u64, Vec<spi::Row>) {
        internal_tables::execute(self.connection, &[InternalTable::Queue], query, arguments)
    }

    /// What the entry asks for that has waited longest, of those that are due and that nobody has locked.
    pub fn next(&self) -> Option<Task> {
        let query = format!(
            "SELECT {} FROM {TABLE} AS q WHERE {IS_DUE} ORDER BY q.due_at LIMIT 1 FOR UPDATE OF q SKIP LOCKED",
            Task::COLUMNS
        );
        let rows = self.execute(&query, &[]).1;
        let row = rows.first()?;
        let text = |column| row.text(column).unwrap_or_default();
        Some(Task {
            table: pg_sys::Oid::from(row.number::<u32>(1)?),
            source: text(2),
            embedding: text(3),
            model: text(4),
        })
    }

    /// The oldest entries of a task that are due.
    pub fn entries(&self, task: &Task, most: usize) -> Vec<Queued> {
        let query = format!(
            "SELECT CAST(q.id AS pg_catalog.text), q.key FROM {TABLE} AS q WHERE {} AND {IS_DUE} ORDER BY q.due_at LIMIT {most} \
             FOR UPDATE OF q SKIP LOCKED",
            Task::IS_IT
        );
        let entry = |row: &spi::Row| Some(Queued { id: row.text(1)?, key: row.text(2)? });
        self.execute(&query, &task.arguments()).1.iter().filter_map(entry).collect()
    }

    /// All that is due of a task waits, and no entry is the worse for it: what was in the way is not theirs.
    pub fn put_off(&self, task: &Task, why: &str) {
        let update = format!(
            "UPDATE {TABLE} AS q SET due_at = {LATER} {TWICE_AS_LONG}, last_error = $5 \
             WHERE q.id OPERATOR(pg_catalog.=) ANY (ARRAY(\
             SELECT q.id FROM {TABLE} AS q WHERE {} AND {IS_DUE} FOR UPDATE OF q SKIP LOCKED))",
            Task::IS_IT
        );
        let mut arguments = task.arguments();
        arguments.push(Argument::text(why));
        self.execute(&update, &arguments);
    }

    /// Done with.
    pub fn remove(&self, ids: &[String]) {
        if !ids.is_empty() {
            let delete = format!("DELETE FROM {TABLE} AS q WHERE {}", Self::IS_ONE);
            self.execute(&delete, &[list(ids)]);
        }
    }

    /// Their rows are locked, or were changed a moment ago.
    pub fn look_again(&self, ids: &[String]) {
        if !ids.is_empty() {
            let update = format!(
                "UPDATE {TABLE} AS q SET due_at = {LATER} {TWICE_AS_LONG}, \
                 last_error = 'the row is locked by another session, or was changed meanwhile' WHERE {}",
                Self::IS_ONE
            );
            self.execute(&update, &[list(ids)]);
        }
    }

    /// What is in the way of these, and of all others.
    pub fn note(&self, entries: &[Queued], why: &str) {
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        let update = format!(
            "UPDATE {TABLE} AS q SET last_error = $2 \
             WHERE {} AND COALESCE(q.last_error OPERATOR(pg_catalog.<>) $2, true)",
            Self::IS_ONE
        );
        self.execute(&update, &[list(&ids), Argument::text(why)]);
    }

    const IS_ONE: &'static str = "q.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.uuid[])";

    /// An attempt has failed. They are tried again later, and given up in the end: which of them now.
    pub fn failed(&self, task: &Task, entries: &[Queued], raised: &Raised) -> Vec<Queued> {
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        let update = format!(
            "UPDATE {TABLE} AS q SET attempts = q.attempts OPERATOR(pg_catalog.+) 1, last_error = $2, \
             due_at = {LATER} pg_catalog.make_interval(secs => LEAST(pg_catalog.power(2, q.attempts), 600)) \
             WHERE q.id OPERATOR(pg_catalog.=) ANY (ARRAY(\
             SELECT q.id FROM {TABLE} AS q WHERE {} FOR UPDATE OF q SKIP LOCKED)) RETURNING CAST(q.id AS pg_catalog.text), q.attempts",
            Self::IS_ONE
        );
        let rows = self.execute(&update, &[list(&ids), Argument::text(&raised.message)]).1;
        let is_over = |row: &&spi::Row| row.number::<i32>(2).is_some_and(|attempts| attempts >= ATTEMPTS);
        let over: Vec<String> = rows.iter().filter(is_over).filter_map(|row| row.text(1)).collect();
        let given_up: Vec<Queued> = entries.iter().filter(|entry| over.contains(&entry.id)).cloned().collect();
        let Task { table, source, embedding, .. } = task;
        for entry in &given_up {
            let entry = Entry { table: *table, key: &entry.key, source, embedding, raised };
            entry.give_up(self.connection, ATTEMPTS);
        }
        self.remove(&over);
        given_up
    }

    /// Whether it is empty, and nobody is writing to it; the lock that tells is held until the transaction ends.
    pub fn is_quiet(&self) -> bool {
        let id = or_raise(InternalTable::Queue.open());
        // SAFETY: a table that exists; without waiting. It conflicts with the lock of whoever has written and not committed.
        let alone = unsafe { pg_sys::ConditionalLockRelationOid(id, pg_sys::ShareLock as i32) };
        let any = format!("SELECT FROM {TABLE} LIMIT 1");
        alone && self.execute(&any, &[]).0 == 0
    }
}

fn list(ids: &[String]) -> Argument {
    Argument::text(&format!("{{{}}}", ids.join(",")))
}

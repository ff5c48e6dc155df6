//! The table `clip_embed_queue`. Only this process works on its entries, but for `clip_unsync`: whatever somebody else has
//! locked is passed over.

use crate::errors::{Raised, or_raise};
use crate::ingest::{Entry, Names};
use crate::internal_tables::{self, InternalTable};
use crate::spi::{self, Argument, Connection, LocalSettings};
use pgrx::pg_sys;

/// After so many attempts, or some twenty minutes, an entry is given up.
const ATTEMPTS: i32 = 10;

const TABLE: &str = InternalTable::Queue.name();
const ATTEMPTS_TABLE: &str = InternalTable::Attempts.name();

/// By the time at which the transaction began, which an index can be asked for.
const IS_DUE: &str = "q.due_at OPERATOR(pg_catalog.<=) pg_catalog.statement_timestamp()";

/// From now.
const LATER: &str = "pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)";

/// Twice as long as the last time; ten minutes at most.
const TWICE_AS_LONG: &str = "pg_catalog.make_interval(secs => LEAST(pg_catalog.power(2, LEAST(q.deferrals, 10)), 600))), \
    deferrals = q.deferrals OPERATOR(pg_catalog.+) 1";

/// What an entry asks for, but for the key: one table and its columns.
#[derive(Clone, PartialEq, Eq)]
pub struct Task {
    /// The table, or partition, that the row lies in.
    pub table: pg_sys::Oid,
    /// Column of images or texts.
    pub source: String,
    /// Column of embeddings.
    pub embedding: String,
    /// `owner/name`.
    pub model: String,
    /// The table's name, for the log.
    pub name: String,
}

impl Task {
    const COLUMNS: &str = "CAST(q.relid AS pg_catalog.oid), q.source_column, q.embedding_column, q.model, \
        CAST(q.relid AS pg_catalog.text)";

    /// That of a row that begins with [`Task::COLUMNS`].
    fn of(row: &spi::Row) -> Option<Self> {
        let table = pg_sys::Oid::from(row.number::<u32>(1)?);
        Some(Self { table, source: row.text(2)?, embedding: row.text(3)?, model: row.text(4)?, name: row.text(5)? })
    }

    /// Table and columns, as for a backfill.
    pub fn names(&self) -> Names {
        let (kind, image, provenance) = (None, None, None);
        let (source, embedding, model) = (self.source.clone(), self.embedding.clone(), self.model.clone());
        Names { source, embedding, kind, image, provenance, model }
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

    /// With a plan that is kept.
    fn execute_kept(&self, query: String, arguments: &[Argument]) -> Vec<spi::Row> {
        internal_tables::execute_kept(self.connection, InternalTable::Queue, query, arguments)
    }

    /// By an index, however few entries there were when a statement was planned.
    pub fn by_index() -> LocalSettings {
        let settings = LocalSettings::begin();
        for name in [c"enable_seqscan", c"enable_bitmapscan", c"enable_sort"] {
            settings.set(name, c"off");
        }
        settings
    }

    /// The first owner of queued tables whose OID is at least so large.
    pub fn owner_from(&self, owner: u32) -> Option<u32> {
        let query = format!(
            "SELECT q.owner FROM {TABLE} AS q WHERE q.owner OPERATOR(pg_catalog.>=) $1 ORDER BY q.owner LIMIT 1"
        );
        let rows = self.execute_kept(query, &[Argument::oid(owner.into())]);
        rows.first().and_then(|row| row.number(1))
    }

    /// The first queued table of an owner whose OID is at least so large.
    pub fn table_from(&self, owner: u32, table: u32) -> Option<u32> {
        let query = format!(
            "SELECT CAST(q.relid AS pg_catalog.oid) FROM {TABLE} AS q WHERE q.owner OPERATOR(pg_catalog.=) $1 \
             AND q.relid OPERATOR(pg_catalog.>=) $2 ORDER BY q.relid LIMIT 1"
        );
        let rows = self.execute_kept(query, &[Argument::oid(owner.into()), Argument::oid(table.into())]);
        rows.first().and_then(|row| row.number(1))
    }

    /// The oldest entries of a table that are due, of what the oldest of them asks for, but not those for a column that has to
    /// wait. One that was tried before is alone: others shall not fail with it.
    pub fn due(&self, owner: u32, table: u32, most: usize, waits: Option<&str>) -> Option<(Task, Vec<String>)> {
        let query = format!(
            "SELECT {}, CAST(q.id AS pg_catalog.text), q.attempts FROM {TABLE} AS q WHERE q.owner OPERATOR(pg_catalog.=) $1 \
             AND q.relid OPERATOR(pg_catalog.=) $2 AND {IS_DUE} \
             AND q.embedding_column OPERATOR(pg_catalog.<>) CAST($4 AS pg_catalog.name) ORDER BY q.due_at LIMIT $3",
            Task::COLUMNS
        );
        let arguments = [
            Argument::oid(owner.into()),
            Argument::oid(table.into()),
            Argument::long(i64::try_from(most).unwrap_or(1)),
            // No column has an empty name.
            Argument::text(waits.unwrap_or_default()),
        ];
        let rows = self.execute_kept(query, &arguments);
        let first = rows.first()?;
        let task = Task::of(first)?;
        let was_tried = |row: &spi::Row| row.number::<i32>(7).is_some_and(|attempts| attempts > 0);
        if was_tried(first) {
            return Some((task, first.text(6).into_iter().collect()));
        }
        let is_of_it = |row: &&spi::Row| !was_tried(row) && Task::of(row).is_some_and(|other| other == task);
        let ids = rows.iter().filter(is_of_it).filter_map(|row| row.text(6)).collect();
        Some((task, ids))
    }

    /// Locks entries; those that are gone, or that others have locked, are left out.
    pub fn lock(&self, ids: &[String]) -> Vec<Queued> {
        let query = format!(
            "SELECT CAST(q.id AS pg_catalog.text), q.key FROM {TABLE} AS q WHERE {} ORDER BY q.due_at \
             FOR UPDATE OF q SKIP LOCKED",
            Self::IS_ONE
        );
        let entry = |row: &spi::Row| Some(Queued { id: row.text(1)?, key: row.text(2)? });
        self.execute_kept(query, &[list(ids)]).iter().filter_map(entry).collect()
    }

    fn attempts(&self, query: String, arguments: &[Argument]) -> Vec<spi::Row> {
        internal_tables::execute_kept(self.connection, InternalTable::Attempts, query, arguments)
    }

    /// Notes that some entries are about to be worked on; the note's own id. Where nobody takes it back, the attempt has
    /// ended this process.
    pub fn begin_attempt(&self, ids: &[String]) -> String {
        let insert = format!(
            "INSERT INTO {ATTEMPTS_TABLE} AS a (id, entries) VALUES (pg_catalog.gen_random_uuid(), $1::pg_catalog.uuid[]) \
             RETURNING CAST(a.id AS pg_catalog.text)"
        );
        let rows = self.attempts(insert, &[list(ids)]);
        rows.first().and_then(|row| row.text(1)).expect("an id")
    }

    /// Takes a note back; false where somebody else has.
    pub fn end_attempt(&self, id: &str) -> bool {
        let delete = format!(
            "DELETE FROM {ATTEMPTS_TABLE} AS a WHERE a.id OPERATOR(pg_catalog.=) CAST($1 AS pg_catalog.uuid) \
             RETURNING true"
        );
        !self.attempts(delete, &[Argument::text(id)]).is_empty()
    }

    /// Attempts that have ended their process: the entries that are left of each, by what they ask for. The notes are taken
    /// back.
    pub fn unfinished(&self) -> Vec<(Task, Vec<Queued>)> {
        let delete = format!(
            "DELETE FROM {ATTEMPTS_TABLE} AS a WHERE a.id OPERATOR(pg_catalog.=) ANY (ARRAY(\
             SELECT a.id FROM {ATTEMPTS_TABLE} AS a FOR UPDATE OF a SKIP LOCKED)) \
             RETURNING CAST(a.entries AS pg_catalog.text)"
        );
        let query = format!(
            "SELECT {}, CAST(q.id AS pg_catalog.text), q.key FROM {TABLE} AS q WHERE {} FOR UPDATE OF q SKIP LOCKED",
            Task::COLUMNS,
            Self::IS_ONE
        );
        let mut tasks = Vec::<(Task, Vec<Queued>)>::new();
        for ids in self.attempts(delete, &[]).iter().filter_map(|row| row.text(1)) {
            for row in self.execute(&query, &[Argument::text(&ids)]).1 {
                let (Some(task), Some(id), Some(key)) = (Task::of(&row), row.text(6), row.text(7)) else { continue };
                match tasks.iter_mut().find(|(known, _)| *known == task) {
                    Some((_, entries)) => entries.push(Queued { id, key }),
                    None => tasks.push((task, vec![Queued { id, key }])),
                }
            }
        }
        tasks
    }

    /// Entries wait, and none is the worse for it: what was in the way is not theirs. One of them, if there are any.
    pub fn put_off(&self, ids: &[String], why: &str) -> Option<String> {
        let update = format!(
            "UPDATE {TABLE} AS q SET due_at = GREATEST(q.due_at, {LATER} {TWICE_AS_LONG}, last_error = $2 \
             WHERE q.id OPERATOR(pg_catalog.=) ANY (ARRAY(\
             SELECT q.id FROM {TABLE} AS q WHERE {} FOR UPDATE OF q SKIP LOCKED)) RETURNING CAST(q.id AS pg_catalog.text)",
            Self::IS_ONE
        );
        let rows = self.execute(&update, &[list(ids), Argument::text(why)]).1;
        rows.first().and_then(|row| row.text(1))
    }

    /// Whether there is an entry that is not due yet.
    pub fn is_waiting(&self, id: &str) -> bool {
        let query = format!(
            "SELECT FROM {TABLE} AS q WHERE q.id OPERATOR(pg_catalog.=) CAST($1 AS pg_catalog.uuid) AND NOT ({IS_DUE})"
        );
        !self.execute_kept(query, &[Argument::text(id)]).is_empty()
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
                "UPDATE {TABLE} AS q SET due_at = GREATEST(q.due_at, {LATER} {TWICE_AS_LONG}, \
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
            "UPDATE {TABLE} AS q SET last_error = $2 WHERE {} AND COALESCE(q.last_error OPERATOR(pg_catalog.<>) $2, true)",
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

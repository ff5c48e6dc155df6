//! Entries of `clip_embed_errors` whose rows are gone, or have by now what they had not.

use super::sql;
use super::target::Target;
use crate::errors::{Raised, Result};
use crate::internal_tables::{self, InternalTable};
use crate::spi::{Argument, Connection, LocalSettings, Row};
use crate::subtransaction::attempt;
use pgrx::pg_sys;

const ENTRIES: &str = InternalTable::Errors.name();

fn execute(connection: &Connection, query: &str, arguments: &[Argument]) -> (u64, Vec<Row>) {
    internal_tables::execute(connection, &[InternalTable::Errors], query, arguments)
}

/// Entries that one transaction looks at.
const MOST: usize = 1000;

/// The table and those that inherit from it or are its partitions, as far as they have entries.
const TABLES: &str = "WITH RECURSIVE tree (id) AS (SELECT $1 UNION \
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tree AS t ON i.inhparent OPERATOR(pg_catalog.=) t.id)";

/// Goes through the entries of one table's column, and of its partitions.
pub struct Forgetting {
    /// Tables with entries; the last is at hand.
    tables: Vec<pg_sys::Oid>,
    /// The entry of that table that was looked at last, in hexadecimal digits.
    place: String,
    /// Whether the caller may not see all rows: those that he does not see may be there.
    is_blind: bool,
}

/// An entry, as it was read.
struct Entry {
    hash: String,
    key: String,
    /// Whether it is about the source at hand.
    is_own: bool,
    /// Whether the queue gave it up. Its row may have an embedding, which is of another source.
    is_given_up: bool,
    occurred: String,
}

/// What is known of an entry's row.
#[derive(Clone, Copy)]
struct Standing {
    is_empty: bool,
    is_to_do: bool,
}

impl Forgetting {
    /// Looks which tables have entries.
    pub fn begin(connection: &Connection, target: &Target) -> Self {
        let query = format!(
            "{TABLES} SELECT t.id FROM tree AS t WHERE EXISTS (SELECT FROM {ENTRIES} AS e \
             WHERE e.relid OPERATOR(pg_catalog.=) t.id \
             AND e.embedding_column OPERATOR(pg_catalog.=) CAST($2 AS pg_catalog.name))"
        );
        let arguments = [Argument::oid(target.table.id), Argument::text(&target.embedding.name)];
        let is_blind = connection.execute("SELECT pg_catalog.row_security_active($1)", &arguments[..1]).1[0].is_true(1);
        let table = |row: &Row| row.number::<u32>(1).map(pg_sys::Oid::from);
        let tables = execute(connection, &query, &arguments).1.iter().filter_map(table).collect();
        Self { tables, place: String::new(), is_blind }
    }

    /// Whether there are entries that were not looked at.
    pub fn goes_on(&self) -> bool {
        !self.tables.is_empty()
    }

    /// Looks at some entries, and forgets those that are over.
    ///
    /// # Errors
    /// None of its own; Postgres raises what it has against the statements.
    pub fn step(&mut self, connection: &Connection, target: &Target) -> Result<()> {
        let Some(&table) = self.tables.last() else { return Ok(()) };
        let _settings = LocalSettings::with_keys_as_text();
        let entries = self.read(connection, target, table);
        let query = sql::standing(target)?;
        let look = |entries: &[Entry]| look(connection, target, table, &query, entries);
        let standings = match attempt(Raised::is_general, || look(&entries)) {
            Ok(standings) => standings.into_iter().map(Ok).collect(),
            // One has a key that the columns do not take any more.
            Err(_) => {
                let alone = |entry| attempt(Raised::is_general, || look(std::slice::from_ref(entry)).pop().flatten());
                entries.iter().map(alone).collect::<Vec<_>>()
            }
        };
        let over: Vec<&Entry> = entries
            .iter()
            .zip(standings)
            .filter(|(entry, found)| self.is_over(entry, found))
            .map(|(entry, _)| entry)
            .collect();
        self.remove(connection, target, table, &over);
        match entries.last() {
            Some(last) if entries.len() == MOST => self.place.clone_from(&last.hash),
            _ => {
                self.tables.pop();
                self.place.clear();
            }
        }
        Ok(())
    }

    fn is_over(&self, entry: &Entry, found: &Result<Option<Standing>, Raised>) -> bool {
        match found {
            Ok(Some(_)) if entry.is_given_up => false,
            // Of another source nothing is known.
            Ok(Some(row)) => !(if entry.is_own { row.is_to_do } else { row.is_empty }),
            Ok(None) => !self.is_blind,
            Err(raised) => !self.is_blind && raised.is_about_data(),
        }
    }

    fn read(&self, connection: &Connection, target: &Target, table: pg_sys::Oid) -> Vec<Entry> {
        let query = format!(
            "SELECT pg_catalog.encode(e.key_hash, 'hex'), e.key, \
             e.source_column OPERATOR(pg_catalog.=) CAST($4 AS pg_catalog.name), \
             e.source_hash OPERATOR(pg_catalog.=) $5, e.occurred_at FROM {ENTRIES} AS e \
             WHERE e.relid OPERATOR(pg_catalog.=) $1 \
             AND e.embedding_column OPERATOR(pg_catalog.=) CAST($2 AS pg_catalog.name) \
             AND e.key_hash OPERATOR(pg_catalog.>) pg_catalog.decode($3, 'hex') ORDER BY e.key_hash LIMIT {MOST}"
        );
        let arguments = [
            Argument::oid(table),
            Argument::text(&target.embedding.name),
            Argument::text(&self.place),
            Argument::text(&target.source.name),
            Argument::bytes(&super::failures::UNKNOWN),
        ];
        let text = |row: &Row, column| row.text(column).expect("not NULL");
        let entry = |row: &Row| Entry {
            hash: text(row, 1),
            key: text(row, 2),
            is_own: row.is_true(3),
            is_given_up: row.is_true(4),
            occurred: text(row, 5),
        };
        execute(connection, &query, &arguments).1.iter().map(entry).collect()
    }

    /// But for those that somebody has recorded again meanwhile, or is about to.
    fn remove(&self, connection: &Connection, target: &Target, table: pg_sys::Oid, over: &[&Entry]) {
        let (Some(first), Some(last)) = (over.first(), over.last()) else { return };
        // One that is recorded again has a later time than any that was read. The bounds keep to the index's part that was
        // read, whatever is estimated; lists are made once, not for each row.
        let query = format!(
            "DELETE FROM {ENTRIES} AS e WHERE e.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT e.ctid FROM {ENTRIES} AS e \
             WHERE e.relid OPERATOR(pg_catalog.=) $1 \
             AND e.embedding_column OPERATOR(pg_catalog.=) CAST($2 AS pg_catalog.name) \
             AND e.key_hash OPERATOR(pg_catalog.>=) pg_catalog.decode($3, 'hex') \
             AND e.key_hash OPERATOR(pg_catalog.<=) pg_catalog.decode($4, 'hex') \
             AND e.key_hash OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT pg_catalog.decode(h.one, 'hex') \
             FROM pg_catalog.unnest(CAST($5 AS pg_catalog.text[])) AS h (one))) \
             AND e.occurred_at OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT o.one \
             FROM pg_catalog.unnest(CAST($6 AS pg_catalog.timestamptz[])) AS o (one))) \
             FOR UPDATE OF e SKIP LOCKED))"
        );
        let list = |value: fn(&Entry) -> &str| {
            let values: Vec<String> = over.iter().map(|entry| format!("\"{}\"", value(entry))).collect();
            Argument::text(&format!("{{{}}}", values.join(",")))
        };
        let arguments = [
            Argument::oid(table),
            Argument::text(&target.embedding.name),
            Argument::text(&first.hash),
            Argument::text(&last.hash),
            list(|entry| &entry.hash),
            list(|entry| &entry.occurred),
        ];
        execute(connection, &query, &arguments);
    }
}

/// The rows of some entries of a table, as far as the caller sees them.
fn look(
    connection: &Connection,
    target: &Target,
    table: pg_sys::Oid,
    query: &str,
    entries: &[Entry],
) -> Vec<Option<Standing>> {
    let settings = LocalSettings::begin();
    // By the index of the key, however many entries there may seem to be.
    settings.set(c"enable_seqscan", c"off");
    let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let keys = format!("[{}]", keys.join(", "));
    let mut found = vec![None; entries.len()];
    let arguments = [Argument::text(&keys), Argument::text(&target.origin), Argument::oid(table)];
    for row in connection.execute_allowed(&target.allowed(), query, &arguments).1 {
        let place = row.number::<usize>(1).expect("an ordinal") - 1;
        found[place] = Some(Standing { is_empty: row.is_true(2), is_to_do: row.is_true(3) });
    }
    found
}

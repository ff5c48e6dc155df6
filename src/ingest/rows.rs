//! Reads, locks and writes the rows of a table.

use super::sql;
use super::target::Target;
use crate::errors::Result;
use crate::spi::{Argument, Connection, LocalSettings, Plan, Row};
use crate::vector;
use pgrx::pg_sys;
use sha2::{Digest, Sha256};
use std::cell::OnceCell;

/// SHA-256 of a source, as `sha256` in SQL has it.
pub type Hash = [u8; 32];

/// The hash of a source.
pub fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// What tells rows apart: partitions do not share keys, but tables that inherit from each other may.
pub fn row_hash(table: pg_sys::Oid, key: &str) -> Hash {
    Sha256::new().chain_update(table.to_u32().to_ne_bytes()).chain_update(key).finalize().into()
}

/// The columns of a row as it is read; those of the key follow.
const CTID: i32 = 1;
const TABLE: i32 = 2;
const SOURCE: i32 = 3;
const IS_PROVENANCE: i32 = 4;
const KEY: i32 = 5;

/// A row that was read.
#[derive(Clone, Copy)]
pub struct Found(Row);

impl Found {
    /// The source as it is stored; `None` where it is NULL.
    pub fn source(&self) -> Option<pg_sys::Datum> {
        self.0.datum(SOURCE)
    }

    /// OID of the table, or partition, that the row lies in.
    pub fn table(&self) -> pg_sys::Oid {
        pg_sys::Oid::from(self.0.number::<u32>(TABLE).expect("each row is in a table"))
    }

    /// Whether its provenance may be overwritten.
    pub fn has_provenance(&self) -> bool {
        self.0.is_true(IS_PROVENANCE)
    }

    /// The primary key as JSON: an object of columns and values.
    pub fn key(&self) -> String {
        self.0.text(KEY).expect("a key is not NULL")
    }

    fn address(&self) -> (pg_sys::Oid, String) {
        (self.table(), self.ctid())
    }

    /// Where it lies, until somebody changes it.
    pub fn ctid(&self) -> String {
        self.0.text(CTID).expect("each row lies somewhere")
    }
}

/// A place in the order of the primary key: the values as text.
pub type Place = Vec<String>;

/// The statements of one target; each is planned when it is first needed.
#[derive(Default)]
pub struct Statements {
    /// With a begin, and with an end.
    read: [[OnceCell<Plan>; 2]; 2],
    same_key: OnceCell<Plan>,
    place: [OnceCell<Plan>; 2],
    write: OnceCell<Plan>,
    clear: OnceCell<Plan>,
}

fn planned<'a>(
    cell: &'a OnceCell<Plan>,
    connection: &Connection,
    target: &Target,
    query: impl FnOnce() -> Result<String>,
    types: impl IntoIterator<Item = pg_sys::Oid>,
) -> Result<&'a Plan> {
    if let Some(plan) = cell.get() {
        return Ok(plan);
    }
    let types: Vec<_> = types.into_iter().collect();
    let plan = Plan::prepare(connection, &target.allowed(), &query()?, &types);
    Ok(cell.get_or_init(|| plan))
}

impl Statements {
    /// Reads and locks rows in the order of the key, after one place and up to another; those that others have locked are
    /// left out. More than asked for only where the last key is that of several.
    ///
    /// # Errors
    /// None of its own; Postgres raises what it has against them, here and below.
    pub fn read(
        &self,
        connection: &Connection,
        target: &Target,
        (begin, end): (Option<&Place>, Option<&Place>),
        most: usize,
    ) -> Result<Vec<Found>> {
        let (has_begin, has_end) = (begin.is_some(), end.is_some());
        let cell = &self.read[usize::from(has_begin)][usize::from(has_end)];
        let mut arguments = vec![Argument::long(most as i64), Argument::text(&target.origin)];
        arguments.extend([begin, end].into_iter().flatten().flatten().map(|value| Argument::text(value)));
        let types = arguments.iter().map(Argument::type_id);
        let plan = planned(cell, connection, target, || sql::read(target, has_begin, has_end), types)?;
        let mut rows: Vec<Found> = {
            let _settings = in_order();
            plan.run(connection, &arguments).1.into_iter().map(Found).collect()
        };
        if let (true, Some(last)) = (target.has_children && rows.len() == most, rows.last()) {
            let rest = self.same_key(connection, target, &self.place_of(last, target))?;
            let is_new = |row: &Found| rows.iter().all(|known| known.address() != row.address());
            let rest: Vec<Found> = rest.into_iter().filter(is_new).collect();
            rows.extend(rest);
        }
        Ok(rows)
    }

    /// The rows of one key; in the tables that inherit, others than that which was read.
    fn same_key(&self, connection: &Connection, target: &Target, key: &Place) -> Result<Vec<Found>> {
        let mut arguments = vec![Argument::long(0), Argument::text(&target.origin)];
        arguments.extend(key.iter().map(|value| Argument::text(value)));
        let types = arguments.iter().map(Argument::type_id);
        let plan = planned(&self.same_key, connection, target, || sql::same_key(target), types)?;
        let _settings = LocalSettings::with_keys_as_text();
        Ok(plan.run(connection, &arguments).1.into_iter().map(Found).collect())
    }

    /// The place that is so many rows after another, or after the first row; `None` where there are fewer.
    ///
    /// # Errors
    /// As [`Statements::read`].
    pub fn place(
        &self,
        connection: &Connection,
        target: &Target,
        begin: Option<&Place>,
        rows: usize,
    ) -> Result<Option<Place>> {
        let cell = &self.place[usize::from(begin.is_some())];
        let mut arguments = vec![Argument::long(rows as i64), Argument::text("")];
        arguments.extend(begin.into_iter().flatten().map(|value| Argument::text(value)));
        let types = arguments.iter().map(Argument::type_id);
        let plan = planned(cell, connection, target, || sql::place(target, begin.is_some()), types)?;
        let _settings = in_order();
        let rows = plan.run(connection, &arguments).1;
        Ok(rows.first().map(|row| values(row, 1, target)))
    }

    /// Reads the rows of some keys, a JSON array, each with its key's place in it, from 0. If it locks them, those are
    /// left out that others have locked.
    ///
    /// # Errors
    /// As [`Statements::read`].
    pub fn find(
        &self,
        connection: &Connection,
        target: &Target,
        keys: &str,
        locks: bool,
    ) -> Result<Vec<(usize, Found)>> {
        let rows =
            connection.execute_allowed(&target.allowed(), &sql::by_keys(target, locks)?, &[Argument::text(keys)]).1;
        let ordinal = KEY + 1 + target.key.len() as i32;
        let found = |row: Row| (row.number::<usize>(ordinal).expect("an ordinal") - 1, Found(row));
        Ok(rows.into_iter().map(found).collect())
    }

    /// Which of some keys, a JSON array, have other columns than the table's key: places from 0.
    pub fn strange_keys(&self, connection: &Connection, target: &Target, keys: &str) -> Vec<usize> {
        let rows = connection.execute_allowed(&target.allowed(), &sql::strange_keys(target), &[Argument::text(keys)]).1;
        rows.iter().map(|row| row.number::<usize>(1).expect("an ordinal") - 1).collect()
    }

    /// Where a row is in the order of the key.
    pub fn place_of(&self, row: &Found, target: &Target) -> Place {
        let _settings = LocalSettings::with_keys_as_text();
        values(&row.0, KEY + 1, target)
    }

    /// Writes an embedding, with what it was made of, and the image that was fetched; false where it is not stored.
    ///
    /// # Errors
    /// Where the vector is none that pgvector takes.
    pub fn write(
        &self,
        connection: &Connection,
        target: &Target,
        row: &Found,
        embedding: &[f32],
        provenance: &str,
        image: Option<&[u8]>,
    ) -> Result<bool> {
        // SAFETY: a vector, of pgvector's own type.
        let embedding = unsafe { Argument::of_type(vector_type(target), vector::to_datum(embedding)?) };
        let image = match image {
            Some(image) if target.image.is_some() => Some(Argument::bytes(image)),
            _ => None,
        };
        let provenance = match target.provenance {
            Some(_) => Argument::text(provenance),
            None => Argument::null(pg_sys::TEXTOID),
        };
        let values = [embedding, image.unwrap_or(Argument::null(pg_sys::BYTEAOID)), provenance];
        let plan = self.plan_to_write(connection, target, false)?;
        let rows = plan.run(connection, &self.arguments(target, row, values)).1;
        // Images of a whole transaction may be many.
        for made in [Some(embedding), image].into_iter().flatten() {
            // SAFETY: made above.
            unsafe { made.free() };
        }
        Ok(rows.first().is_some_and(|row| row.is_true(1)))
    }

    /// Takes away the embedding of something that the source is no longer.
    ///
    /// # Errors
    /// As [`Statements::read`].
    pub fn clear(&self, connection: &Connection, target: &Target, row: &Found) -> Result<()> {
        let nulls = [vector_type(target), pg_sys::BYTEAOID, pg_sys::TEXTOID].map(Argument::null);
        self.plan_to_write(connection, target, true)?.run(connection, &self.arguments(target, row, nulls));
        Ok(())
    }

    fn plan_to_write(&self, connection: &Connection, target: &Target, clears: bool) -> Result<&Plan> {
        let cell = if clears { &self.clear } else { &self.write };
        let types = [vector_type(target), pg_sys::BYTEAOID, pg_sys::TEXTOID, pg_sys::TIDOID, pg_sys::OIDOID];
        let key = target.key.iter().map(|column| column.type_id);
        planned(cell, connection, target, || sql::write(target, clears), types.into_iter().chain(key))
    }

    fn arguments(&self, target: &Target, row: &Found, values: [Argument; 3]) -> Vec<Argument> {
        let place = [(CTID, pg_sys::TIDOID), (TABLE, pg_sys::OIDOID)].into_iter();
        let key = (KEY + 1..).zip(target.key.iter().map(|column| column.type_id));
        // SAFETY: each column is cast to the type by which it is read, and lives as long as the connection.
        let argument =
            |(column, type_id)| unsafe { Argument::of_type(type_id, row.0.datum(column).expect("not NULL")) };
        values.into_iter().chain(place.chain(key).map(argument)).collect()
    }
}

/// OID of the type `vector`.
fn vector_type(target: &Target) -> pg_sys::Oid {
    target.embedding.embeddings.as_ref().expect("a column of vectors").vector_type
}

/// The columns of the key, from this one on.
fn values(row: &Row, first: i32, target: &Target) -> Place {
    (first..).take(target.key.len()).map(|column| row.text(column).expect("a key is not NULL")).collect()
}

/// The primary key's index, whatever the statistics say of how many embeddings are NULL: sorting all rows for each batch
/// would take for ever.
fn in_order() -> LocalSettings {
    let settings = LocalSettings::with_keys_as_text();
    for name in [c"enable_seqscan", c"enable_bitmapscan", c"enable_sort"] {
        settings.set(name, c"off");
    }
    settings
}

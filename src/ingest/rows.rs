//! The statements that read, lock and write the rows of a table. All names are quoted and have their schema; operators
//! too, since others may lie in the caller's search path.

use super::target::Target;
use crate::errors::Result;
use crate::spi::{Argument, Connection, LocalSettings, Plan, Row, literal};
use crate::vector;
use pgrx::pg_sys;
use sha2::{Digest, Sha256};

/// SHA-256 of a source, as `sha256` in SQL has it.
pub type Hash = [u8; 32];

/// The hash of a source.
pub fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The columns of a row as it is read; those of the key follow.
const CTID: i32 = 1;
const TABLE: i32 = 2;
const SOURCE: i32 = 3;
const KEY: i32 = 4;

/// A row that is locked until the transaction ends.
#[derive(Clone, Copy)]
pub struct Locked(Row);

impl Locked {
    /// The source as it is stored; `None` where it is NULL.
    pub fn source(&self) -> Option<pg_sys::Datum> {
        self.0.datum(SOURCE)
    }

    /// OID of the table, or partition, that the row lies in.
    pub fn table(&self) -> pg_sys::Oid {
        pg_sys::Oid::from(self.0.number::<u32>(TABLE).expect("each row is in a table"))
    }

    /// The primary key as JSON: an object of columns and values.
    pub fn key(&self) -> String {
        self.0.text(KEY).expect("a key is not NULL")
    }
}

/// A place in the order of the primary key: the values as text.
pub type Place = Vec<String>;

/// The planned statements.
pub struct Statements {
    first: Plan,
    next: Plan,
    write: Plan,
    clear: Plan,
    key_types: Vec<pg_sys::Oid>,
    vector_type: pg_sys::Oid,
    has_picture: bool,
    has_provenance: bool,
}

impl Statements {
    /// Plans them.
    ///
    /// # Errors
    /// None of its own; Postgres raises what it has against them.
    pub fn prepare(connection: &Connection, target: &Target) -> Result<Self> {
        let key_types: Vec<pg_sys::Oid> = target.key.iter().map(|column| column.type_id).collect();
        let vector_type = target.embedding.embeddings.as_ref().expect("a column of vectors").vector_type;
        let first_types = [pg_sys::INT8OID, pg_sys::TEXTOID];
        let next_types: Vec<_> = first_types.into_iter().chain(key_types.iter().map(|_| pg_sys::TEXTOID)).collect();
        let write_types = [vector_type, pg_sys::BYTEAOID, pg_sys::TEXTOID, pg_sys::TIDOID, pg_sys::OIDOID];
        let write_types: Vec<_> = write_types.into_iter().chain(key_types.iter().copied()).collect();
        Ok(Self {
            first: Plan::prepare(connection, &read(target, None), &first_types),
            next: Plan::prepare(connection, &read(target, Some(after(target)?)), &next_types),
            write: Plan::prepare(connection, &write(target, true)?, &write_types),
            clear: Plan::prepare(connection, &write(target, false)?, &write_types),
            key_types,
            vector_type,
            has_picture: target.picture.is_some(),
            has_provenance: target.provenance.is_some(),
        })
    }

    /// Reads and locks the next rows in the order of the key; those that others have locked are left out.
    pub fn read(&self, connection: &Connection, target: &Target, after: Option<&Place>, most: usize) -> Vec<Locked> {
        let mut arguments = vec![Argument::long(most as i64), Argument::text(&target.origin)];
        arguments.extend(after.into_iter().flatten().map(|value| Argument::text(value)));
        // The primary key's index, whatever the statistics say of how many embeddings are NULL: sorting all rows for
        // each batch would take for ever.
        let settings = LocalSettings::begin();
        settings.set(c"enable_seqscan", c"off");
        settings.set(c"enable_bitmapscan", c"off");
        settings.set(c"enable_sort", c"off");
        let plan = if after.is_some() { &self.next } else { &self.first };
        plan.run(connection, &arguments).1.into_iter().map(Locked).collect()
    }

    /// Reads and locks the rows of some keys, a JSON array; those that others have locked are left out.
    ///
    /// # Errors
    /// None of its own.
    pub fn find(&self, connection: &Connection, target: &Target, keys: &str) -> Result<Vec<Locked>> {
        let query = format!("SELECT {} FROM {} FOR NO KEY UPDATE OF t SKIP LOCKED", columns(target), by_keys(target)?);
        Ok(connection.execute(&query, &[Argument::text(keys)]).1.into_iter().map(Locked).collect())
    }

    /// Which of some keys there are, locked or not.
    ///
    /// # Errors
    /// None of its own.
    pub fn keys(&self, connection: &Connection, target: &Target, keys: &str) -> Result<Vec<String>> {
        let query = format!("SELECT {} FROM {}", columns(target), by_keys(target)?);
        Ok(connection.execute(&query, &[Argument::text(keys)]).1.into_iter().map(|row| Locked(row).key()).collect())
    }

    /// Where a row is in the order of the key.
    pub fn place(&self, row: &Locked) -> Place {
        let column = |index: usize| row.0.text(KEY + 1 + index as i32).expect("a key is not NULL");
        (0..self.key_types.len()).map(column).collect()
    }

    /// Writes an embedding, with what it was made of, and the picture that was fetched.
    ///
    /// # Errors
    /// Where the vector is none that pgvector takes.
    pub fn write(
        &self,
        connection: &Connection,
        row: &Locked,
        embedding: &[f32],
        provenance: &str,
        picture: Option<&[u8]>,
    ) -> Result<()> {
        // SAFETY: a vector, of pgvector's own type.
        let embedding = unsafe { Argument::of_type(self.vector_type, vector::to_datum(embedding)?) };
        let picture = match picture {
            Some(picture) if self.has_picture => Argument::bytes(picture),
            _ => Argument::null(pg_sys::BYTEAOID),
        };
        let provenance = if self.has_provenance { Argument::text(provenance) } else { Argument::null(pg_sys::TEXTOID) };
        self.write.run(connection, &self.arguments(row, [embedding, picture, provenance]));
        Ok(())
    }

    /// Takes away the embedding of something that the source is no longer.
    pub fn clear(&self, connection: &Connection, row: &Locked) {
        let nulls = [self.vector_type, pg_sys::BYTEAOID, pg_sys::TEXTOID].map(Argument::null);
        self.clear.run(connection, &self.arguments(row, nulls));
    }

    fn arguments(&self, row: &Locked, values: [Argument; 3]) -> Vec<Argument> {
        let place = [(CTID, pg_sys::TIDOID), (TABLE, pg_sys::OIDOID)].into_iter();
        let key = (KEY + 1..).zip(self.key_types.iter().copied());
        // SAFETY: each column is of the type that `read` gives it, and lives as long as the connection.
        let argument =
            |(column, type_id)| unsafe { Argument::of_type(type_id, row.0.datum(column).expect("not NULL")) };
        values.into_iter().chain(place.chain(key).map(argument)).collect()
    }
}

/// What is to be done: rows that have a source and no embedding, or one that was made of something else.
pub fn condition(target: &Target) -> String {
    let (source, embedding) = (&target.source.quoted, &target.embedding.quoted);
    let mut needed = format!("t.{embedding} IS NULL");
    if let Some(provenance) = &target.provenance {
        let bytes = match target.source.type_id {
            pg_sys::BYTEAOID => format!("t.{source}"),
            _ => format!("pg_catalog.convert_to(CAST(t.{source} AS pg_catalog.text), 'UTF8')"),
        };
        let now = format!(
            "$2 OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) pg_catalog.encode(pg_catalog.sha256({bytes}), 'hex')"
        );
        needed = format!("({needed} OR NOT COALESCE(t.{} OPERATOR(pg_catalog.=) ({now}), false))", provenance.quoted);
    }
    format!("t.{source} IS NOT NULL AND {needed}")
}

/// What `Locked` is made of: see `CTID` and what follows it.
fn columns(target: &Target) -> String {
    let object: Vec<String> =
        target.key.iter().map(|column| format!("{}, t.{}", literal(&column.name), column.quoted)).collect();
    format!(
        "t.ctid, t.tableoid, t.{}, pg_catalog.jsonb_build_object({}), {}",
        target.source.quoted,
        object.join(", "),
        key(target)
    )
}

fn key(target: &Target) -> String {
    target.key.iter().map(|column| format!("t.{}", column.quoted)).collect::<Vec<_>>().join(", ")
}

fn read(target: &Target, after: Option<String>) -> String {
    format!(
        "SELECT {columns} FROM {table} AS t WHERE {condition}{after} ORDER BY {key} LIMIT $1 \
         FOR NO KEY UPDATE OF t SKIP LOCKED",
        columns = columns(target),
        key = key(target),
        table = target.table.name,
        condition = condition(target),
        after = after.map(|after| format!(" AND {after}")).unwrap_or_default(),
    )
}

/// The table, joined with keys as JSON.
fn by_keys(target: &Target) -> Result<String> {
    let mut conditions = Vec::new();
    for column in &target.key {
        conditions.push(format!(
            "t.{} {} CAST((k.value OPERATOR(pg_catalog.->>) {}) AS {})",
            column.quoted,
            column.equals()?,
            literal(&column.name),
            column.type_name
        ));
    }
    Ok(format!(
        "pg_catalog.jsonb_array_elements(CAST($1 AS pg_catalog.jsonb)) AS k JOIN {} AS t ON {}",
        target.table.name,
        conditions.join(" AND ")
    ))
}

/// The rows after a place. The first column alone is said once more, so that an index is entered there.
fn after(target: &Target) -> Result<String> {
    let mut condition = String::new();
    for (index, column) in target.key.iter().enumerate().rev() {
        let ((greater, _), equal) = (column.comparisons()?, column.equals()?);
        let value = format!("CAST(${} AS {})", index + 3, column.type_name);
        let name = &column.quoted;
        condition = if condition.is_empty() {
            format!("t.{name} {greater} {value}")
        } else {
            format!("(t.{name} {greater} {value} OR (t.{name} {equal} {value} AND {condition}))")
        };
    }
    if let [first, _, ..] = &target.key[..] {
        let (_, less) = first.comparisons()?;
        condition = format!("NOT (t.{} {less} CAST($3 AS {})) AND {condition}", first.quoted, first.type_name);
    }
    Ok(condition)
}

/// By where the row lies, and by its key, which tells PostgreSQL the partition.
fn write(target: &Target, keeps_picture: bool) -> Result<String> {
    let mut assignments = vec![format!("{} = $1", target.embedding.quoted)];
    if let (Some(picture), true) = (&target.picture, keeps_picture) {
        assignments.push(format!("{} = $2", picture.quoted));
    }
    if let Some(provenance) = &target.provenance {
        assignments.push(format!("{} = $3", provenance.quoted));
    }
    let mut condition = "t.ctid OPERATOR(pg_catalog.=) $4 AND t.tableoid OPERATOR(pg_catalog.=) $5".to_owned();
    for (index, column) in target.key.iter().enumerate() {
        condition = format!("{condition} AND t.{} {} ${}", column.quoted, column.equals()?, index + 6);
    }
    Ok(format!("UPDATE {} AS t SET {} WHERE {condition}", target.table.name, assignments.join(", ")))
}

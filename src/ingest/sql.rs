//! The text of the statements about a table's rows. All names are quoted and have their schema; operators too, since
//! others may lie in the caller's search path. Columns are cast to the type that they were found to have: what they are
//! read as stays right where somebody changes the table meanwhile.

use super::target::Target;
use crate::errors::Result;
use crate::search::Column;
use crate::spi::literal;
use pgrx::pg_sys;

/// What is to be done: rows that have a source and no embedding, or one that was made of something else. `$2` is the
/// origin.
pub fn condition(target: &Target) -> String {
    let (source, embedding) = (&target.source.quoted, &target.embedding.quoted);
    let mut needed = format!("t.{embedding} IS NULL");
    if let Some(provenance) = &target.provenance {
        // SAFETY: a type that exists.
        let bytes = match unsafe { pg_sys::getBaseType(target.source.type_id) } {
            pg_sys::BYTEAOID => format!("CAST(t.{source} AS pg_catalog.bytea)"),
            _ => format!("pg_catalog.convert_to(CAST(t.{source} AS pg_catalog.text), 'UTF8')"),
        };
        let now = format!(
            "$2 OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) pg_catalog.encode(pg_catalog.sha256({bytes}), 'hex')"
        );
        needed = format!("({needed} OR NOT COALESCE(t.{} OPERATOR(pg_catalog.=) ({now}), false))", provenance.quoted);
    }
    format!("t.{source} IS NOT NULL AND {needed}")
}

/// What an entry of a provenance column looks like: model, precision and fingerprint, if they were known, and sha256. The
/// encoders may differ in precision: `text fp16, image quantized`.
pub const IS_PROVENANCE: &str =
    "^([^ /]+/[^ /]+ (([a-z0-9_]*|text [a-z0-9_]+, image [a-z0-9_]+) [0-9a-f]* )?[0-9a-f]{64})?$";

/// Whether what is in the provenance column may be overwritten: nothing, or provenance. Else it is somebody's, and there by
/// mistake.
pub fn is_provenance(target: &Target) -> String {
    match &target.provenance {
        // Without a collation, since some have no regular expressions.
        Some(column) => format!(
            "COALESCE(t.{} COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.~) '{IS_PROVENANCE}', true)",
            column.quoted
        ),
        None => "true".to_owned(),
    }
}

/// Where the row lies, its source, whether its provenance is one, its key as JSON, and the columns of its key: see the constants in [`super::rows`].
pub fn columns(target: &Target) -> String {
    format!(
        "t.ctid, t.tableoid, {}, {}, {}, {}",
        cast(&target.source),
        is_provenance(target),
        key_as_json(target),
        target.key.iter().map(cast).collect::<Vec<_>>().join(", ")
    )
}

fn key_as_json(target: &Target) -> String {
    let value = |column: &Column| as_json(column.type_id, &cast(column));
    let values: Vec<String> =
        target.key.iter().map(|column| format!("{}, {}", literal(&column.name), value(column))).collect();
    format!("pg_catalog.jsonb_build_object({})", values.join(", "))
}

fn cast(column: &Column) -> String {
    format!("CAST(t.{} AS {})", column.quoted, column.sql_type)
}

/// A value of a key as it becomes JSON: as text, but for types of which JSON has their own form. Either is read again by
/// a cast from text.
pub fn as_json(type_id: pg_sys::Oid, value: &str) -> String {
    // SAFETY: a type that exists.
    match unsafe { pg_sys::getBaseType(type_id) } {
        pg_sys::BOOLOID
        | pg_sys::INT2OID
        | pg_sys::INT4OID
        | pg_sys::INT8OID
        | pg_sys::NUMERICOID
        | pg_sys::FLOAT4OID
        | pg_sys::FLOAT8OID
        | pg_sys::DATEOID
        | pg_sys::TIMESTAMPOID
        | pg_sys::TIMESTAMPTZOID => value.to_owned(),
        _ => format!("CAST({value} AS pg_catalog.text)"),
    }
}

fn key(target: &Target) -> String {
    target.key.iter().map(|column| format!("t.{}", column.quoted)).collect::<Vec<_>>().join(", ")
}

/// Reads and locks rows in the order of the key: at most `$1`, after the place at `$3` and further, not after the place
/// at the parameters that follow.
pub fn read(target: &Target, has_begin: bool, has_end: bool) -> Result<String> {
    let mut conditions = vec![condition(target)];
    if has_begin {
        conditions.push(after(target, 3)?);
    }
    if has_end {
        conditions.push(not_after(target, if has_begin { 3 + target.key.len() } else { 3 })?);
    }
    Ok(format!(
        "SELECT {} FROM {} AS t WHERE {} ORDER BY {} LIMIT $1 FOR NO KEY UPDATE OF t SKIP LOCKED",
        columns(target),
        target.table.name,
        conditions.join(" AND "),
        key(target)
    ))
}

/// Reads and locks the rows whose key is at `$3` and further: in tables that inherit from each other there may be several.
pub fn same_key(target: &Target) -> Result<String> {
    let mut conditions = vec![condition(target)];
    for (index, column) in target.key.iter().enumerate() {
        conditions.push(format!(
            "t.{} {} CAST(${} AS {})",
            column.quoted,
            column.equals()?,
            index + 3,
            column.sql_type
        ));
    }
    Ok(format!(
        "SELECT {} FROM {} AS t WHERE {} FOR NO KEY UPDATE OF t SKIP LOCKED",
        columns(target),
        target.table.name,
        conditions.join(" AND ")
    ))
}

/// The place that is `$1` rows after the one at `$3` and further; `$2` is not used.
pub fn place(target: &Target, has_begin: bool) -> Result<String> {
    let begin = if has_begin { format!("WHERE {}", after(target, 3)?) } else { String::new() };
    let columns = target.key.iter().map(cast).collect::<Vec<_>>().join(", ");
    let key = key(target);
    Ok(format!("SELECT {columns} FROM {} AS t {begin} ORDER BY {key} OFFSET $1 LIMIT 1", target.table.name))
}

/// The row's key is the JSON `k.value`.
fn has_key(target: &Target) -> Result<String> {
    let mut conditions = Vec::new();
    for column in &target.key {
        conditions.push(format!(
            "t.{} {} CAST((k.value OPERATOR(pg_catalog.->>) {}) AS {})",
            column.quoted,
            column.equals()?,
            literal(&column.name),
            column.sql_type
        ));
    }
    Ok(conditions.join(" AND "))
}

/// Of the rows with keys in a JSON array, `$1`, that lie in the table or partition `$3`: the key's ordinal, whether there
/// is no embedding, and whether there is something to do. Keys that would be spelled otherwise by now are no row's.
pub fn standing(target: &Target) -> Result<String> {
    Ok(format!(
        "SELECT k.ordinality, t.{} IS NULL, {} FROM {KEYS} JOIN {} AS t ON {} AND t.tableoid OPERATOR(pg_catalog.=) $3 \
         AND k.value OPERATOR(pg_catalog.=) {}",
        target.embedding.quoted,
        condition(target),
        target.table.name,
        has_key(target)?,
        key_as_json(target)
    ))
}

/// The one table with these rows, joined with keys in a JSON array, `$1`; those keys have an ordinal.
pub fn by_keys(target: &Target, locks: bool) -> Result<String> {
    Ok(format!(
        "SELECT {}, k.ordinality FROM {KEYS} JOIN ONLY {} AS t ON {}{}",
        columns(target),
        target.table.name,
        has_key(target)?,
        if locks { " FOR NO KEY UPDATE OF t SKIP LOCKED" } else { "" }
    ))
}

const KEYS: &str =
    "ROWS FROM (pg_catalog.jsonb_array_elements(CAST($1 AS pg_catalog.jsonb))) WITH ORDINALITY AS k(value, ordinality)";

/// Which of the keys in a JSON array, `$1`, are not of the table's key columns.
pub fn strange_keys(target: &Target) -> String {
    let names: Vec<String> = target.key.iter().map(|column| literal(&column.name)).collect();
    format!(
        "SELECT k.ordinality FROM {KEYS} WHERE NOT (k.value OPERATOR(pg_catalog.?&) CAST(ARRAY[{}] AS pg_catalog.text[]))",
        names.join(", ")
    )
}

/// The row's key is greater than the values at `$first` and further.
fn is_greater(target: &Target, first: usize) -> Result<String> {
    let mut condition = String::new();
    for (index, column) in target.key.iter().enumerate().rev() {
        let ((greater, _), equal) = (column.comparisons()?, column.equals()?);
        let value = format!("CAST(${} AS {})", index + first, column.sql_type);
        let name = &column.quoted;
        condition = if condition.is_empty() {
            format!("t.{name} {greater} {value}")
        } else {
            format!("(t.{name} {greater} {value} OR (t.{name} {equal} {value} AND {condition}))")
        };
    }
    Ok(condition)
}

/// The rows after a place. The first column alone is said once more, so that an index is entered there.
fn after(target: &Target, first: usize) -> Result<String> {
    let mut condition = is_greater(target, first)?;
    if let [column, _, ..] = &target.key[..] {
        let (_, less) = column.comparisons()?;
        condition = format!("NOT (t.{} {less} CAST(${first} AS {})) AND {condition}", column.quoted, column.sql_type);
    }
    Ok(condition)
}

/// The rows up to a place, and its own.
fn not_after(target: &Target, first: usize) -> Result<String> {
    let mut condition = format!("NOT ({})", is_greater(target, first)?);
    if let [column, _, ..] = &target.key[..] {
        let (greater, _) = column.comparisons()?;
        condition =
            format!("NOT (t.{} {greater} CAST(${first} AS {})) AND {condition}", column.quoted, column.sql_type);
    }
    Ok(condition)
}

/// By where the row lies, and by its key, which tells PostgreSQL the partition. Returns whether it is stored as it was
/// meant: a trigger may do otherwise.
pub fn write(target: &Target, clears: bool) -> Result<String> {
    let mut assignments = vec![format!("{} = $1", target.embedding.quoted)];
    let mut is_stored = format!("t.{} IS NOT NULL", target.embedding.quoted);
    if let (Some(image), false) = (&target.image, clears) {
        assignments.push(format!("{} = $2", image.quoted));
    }
    if let Some(provenance) = &target.provenance {
        assignments.push(format!("{} = $3", provenance.quoted));
        is_stored = format!("{is_stored} AND COALESCE(t.{} OPERATOR(pg_catalog.=) $3, false)", provenance.quoted);
    }
    if clears {
        "true".clone_into(&mut is_stored);
    }
    let mut condition = "t.ctid OPERATOR(pg_catalog.=) $4 AND t.tableoid OPERATOR(pg_catalog.=) $5".to_owned();
    for (index, column) in target.key.iter().enumerate() {
        condition = format!("{condition} AND t.{} {} ${}", column.quoted, column.equals()?, index + 6);
    }
    Ok(format!(
        "UPDATE {} AS t SET {} WHERE {condition} RETURNING {is_stored}",
        target.table.name,
        assignments.join(", ")
    ))
}

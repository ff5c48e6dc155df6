//! Conditions that come as jsonb. Names become quoted identifiers of columns that are there, values become parameters.

use super::statement::Parameters;
use super::table::{Column, Table};
use crate::errors::{ArgumentError, Result};
use crate::spi::{self, Allowed, Argument, LocalSettings, Row};
use pgrx::pg_sys::Datum;

/// One entry of a JSON object, or a JSON value by itself.
struct Entry {
    key: String,
    /// As `jsonb_typeof` has it.
    kind: String,
    /// The value as text; of a string, without its quotes.
    text: String,
}

/// Operators are named with their schema: another of the same name may lie in the caller's search path.
const CONTAINS: &str = "OPERATOR(pg_catalog.@>)";

const ENTRIES: &str = "SELECT key, jsonb_typeof(value), value #>> '{}' FROM jsonb_each($1)";
const SINGLE: &str = "SELECT '', jsonb_typeof($1), $1 #>> '{}'";

fn entries(query: &str, json: Datum) -> Result<Vec<Entry>> {
    let _settings = LocalSettings::with_catalog_only();
    // SAFETY: a jsonb, as the functions declare it, that lives as long as the call.
    let argument = unsafe { Argument::jsonb(json) };
    spi::select(&Allowed::default(), query, &[argument], |row: &Row| {
        let text = |column| row.text(column).unwrap_or_default();
        Ok(Entry { key: text(1), kind: text(2), text: text(3) })
    })
}

fn single(json: Datum) -> Result<Entry> {
    Ok(entries(SINGLE, json)?.pop().expect("one row"))
}

fn object(name: &'static str, json: Datum) -> Result<Vec<Entry>> {
    let whole = single(json)?;
    if whole.kind != "object" {
        return Err(ArgumentError::NotAnObject { name, found: whole.text }.into());
    }
    entries(ENTRIES, json)
}

/// The conditions of a filter, an object of columns and values: a value is to be equal, of a list one has to be, null
/// is to be NULL. A column that holds lists has to contain the value, or all values of the list.
///
/// # Errors
/// [`ArgumentError::NotAnObject`], [`ArgumentError::NoSuchColumn`], [`ArgumentError::FilterValue`].
pub fn filter(table: &Table, json: Datum, parameters: &mut Parameters) -> Result<Vec<String>> {
    let condition = |entry: Entry| {
        let column = table.column(&entry.key)?;
        let (name, of_type) = (&column.quoted, &column.sql_type);
        if column.is_jsonb {
            return equal_jsonb(column, json, &entry, parameters);
        }
        Ok(match entry.kind.as_str() {
            "null" => format!("t.{name} IS NULL"),
            "object" => return Err(ArgumentError::FilterValue { column: entry.key }.into()),
            "array" => {
                let list = parameters.add(Argument::text(&entry.text));
                let elements = format!("pg_catalog.jsonb_array_elements_text({list}::pg_catalog.jsonb) AS e(value)");
                if column.is_array {
                    format!("t.{name} {CONTAINS} CAST(ARRAY(SELECT e.value FROM {elements}) AS {of_type})")
                } else {
                    format!(
                        "t.{name} {} ANY (ARRAY(SELECT CAST(e.value AS {of_type}) FROM {elements}))",
                        column.equals()?
                    )
                }
            }
            _ if column.is_array => {
                let value = parameters.add(Argument::text(&entry.text));
                format!("t.{name} {CONTAINS} CAST(ARRAY[{value}] AS {of_type})")
            }
            _ => equal(column, &entry, parameters)?,
        })
    };
    object("filter", json)?.into_iter().map(condition).collect()
}

/// The condition that a row is not the one with this id, which is as `clip_search` returns it.
///
/// # Errors
/// [`ArgumentError::NotAnObject`], [`ArgumentError::NoSuchColumn`].
pub fn exclude(key: &[&Column], table: &Table, json: Datum, parameters: &mut Parameters) -> Result<String> {
    if let [column] = key {
        let entry = single(json)?;
        return Ok(format!("({}) IS NOT TRUE", equal(column, &entry, parameters)?));
    }
    let mut equalities = Vec::new();
    for entry in object("exclude", json)? {
        equalities.push(equal(table.column(&entry.key)?, &entry, parameters)?);
    }
    if equalities.is_empty() {
        return Err(ArgumentError::NotAnObject { name: "exclude", found: "{}".to_owned() }.into());
    }
    Ok(format!("({}) IS NOT TRUE", equalities.join(" AND ")))
}

/// The column's own equality, on the value read as the column's type: what is no number is an error for a number.
fn equal(column: &Column, entry: &Entry, parameters: &mut Parameters) -> Result<String> {
    let value = parameters.add(Argument::text(&entry.text));
    Ok(format!("t.{} {} CAST({value} AS {})", column.quoted, column.equals()?, column.sql_type))
}

/// A jsonb column is compared with the value as it is, which its text would not tell from a string.
fn equal_jsonb(column: &Column, json: Datum, entry: &Entry, parameters: &mut Parameters) -> Result<String> {
    // SAFETY: as in `entries`.
    let whole = parameters.add(unsafe { Argument::jsonb(json) });
    let key = parameters.add(Argument::text(&entry.key));
    Ok(format!("t.{} {} ({whole} OPERATOR(pg_catalog.->) {key})", column.quoted, column.equals()?))
}

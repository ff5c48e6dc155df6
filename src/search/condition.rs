//! Conditions that come as jsonb. Names become quoted identifiers of columns that are there, values become parameters.

use super::parameters::Parameters;
use super::table::{Column, Table};
use crate::errors::{ArgumentError, Result};
use crate::spi::{self, Argument, LocalSettings, Row};
use crate::text;
use pgrx::pg_sys::{self, Datum, Oid};
use serde::de::IgnoredAny;

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

const ENTRIES: &str = "SELECT key, jsonb_typeof(value), value #>> '{}' FROM jsonb_each($1::jsonb)";
const ELEMENTS: &str = "SELECT '', jsonb_typeof(value), value #>> '{}' FROM jsonb_array_elements(CAST($1 AS jsonb))";
const SINGLE: &str = "SELECT '', jsonb_typeof(j), j #>> '{}' FROM CAST($1 AS jsonb) AS j";

fn entries(query: &'static str, argument: Argument) -> Result<Vec<Entry>> {
    let _settings = LocalSettings::with_catalog_only();
    spi::select_catalog(query, &[argument], |row: &Row| {
        let text = |column| row.text(column).unwrap_or_default();
        Ok(Entry { key: text(1), kind: text(2), text: text(3) })
    })
}

fn single(argument: Argument) -> Result<Entry> {
    Ok(entries(SINGLE, argument)?.pop().expect("one row"))
}

/// An id, or several, as somebody passes them.
pub enum Id {
    /// JSON, as `clip_search` returns it, or a list.
    Json(String),
    /// The text of a value of any type.
    Text(String),
}

impl Id {
    /// A text may be an id itself, or JSON of one or of a list.
    pub fn of_text(text: String) -> Self {
        let is_json =
            text.trim_start().starts_with(['[', '{', '"']) && serde_json::from_str::<IgnoredAny>(&text).is_ok();
        if is_json { Self::Json(text) } else { Self::Text(text) }
    }

    fn read(&self) -> Result<Entry> {
        match self {
            Self::Json(text) => single(Argument::text(text)),
            Self::Text(text) => Ok(Entry { key: String::new(), kind: "string".to_owned(), text: text.clone() }),
        }
    }
}

/// The entries of a value, which has to be an object.
fn object(name: &'static str, whole: Entry) -> Result<Vec<Entry>> {
    if whole.kind != "object" {
        return Err(ArgumentError::NotAnObject { name, found: whole.text }.into());
    }
    entries(ENTRIES, Argument::text(&whole.text))
}

/// The conditions of a filter and the numbers of its columns. A filter is an object of columns and values: a value is to be
/// equal, of a list one has to be, null is to be NULL. A column that holds lists has to contain the value, or all values of
/// the list.
///
/// # Errors
/// [`ArgumentError::NotAnObject`], [`ArgumentError::NoSuchColumn`], [`ArgumentError::FilterValue`].
pub fn filter(table: &Table, json: Datum, parameters: &mut Parameters) -> Result<(Vec<String>, Vec<i16>)> {
    let mut columns = Vec::new();
    let condition = |entry: Entry| {
        let column = table.column(&entry.key)?;
        columns.push(column.position);
        let (name, of_type) = (&column.quoted, &column.sql_type);
        if column.is_jsonb {
            return equal_jsonb(column, json, &entry, parameters);
        }
        Ok(match entry.kind.as_str() {
            "null" => format!("t.{name} IS NULL"),
            "object" => return Err(ArgumentError::FilterValue { column: entry.key }.into()),
            "array" if column.is_array => {
                let elements = elements(&entry, parameters);
                format!("t.{name} {CONTAINS} CAST(ARRAY(SELECT e.value FROM {elements}) AS {of_type})")
            }
            "array" => any(table, column, &entry, parameters)?,
            _ if column.is_array => {
                let value = parameters.add(Argument::text(&entry.text));
                format!("t.{name} {CONTAINS} CAST(ARRAY[{value}] AS {of_type})")
            }
            _ => equal(table, column, &entry, parameters)?,
        })
    };
    // SAFETY: a clip_filter, which is a jsonb, that lives as long as the call.
    let whole = single(unsafe { Argument::jsonb(json) })?;
    let conditions = object("filter", whole)?.into_iter().map(condition).collect::<Result<_>>()?;
    Ok((conditions, columns))
}

/// The condition that a row is not one with this id, or one of a list of ids: values of the key's type, or JSON as
/// `clip_search` returns it, also as text.
///
/// # Errors
/// [`ArgumentError::NotAnObject`], [`ArgumentError::NoSuchColumn`].
pub fn exclude(key: &[&Column], table: &Table, id: &Id, parameters: &mut Parameters) -> Result<String> {
    let whole = id.read()?;
    let condition = match key {
        [column] if whole.kind == "array" && !column.is_array && !column.is_jsonb => {
            any(table, column, &whole, parameters)?
        }
        [column] => equal(table, column, &whole, parameters)?,
        _ => {
            let ids = match whole.kind.as_str() {
                "array" => entries(ELEMENTS, Argument::text(&whole.text))?,
                _ => vec![whole],
            };
            let ids = ids.into_iter().map(|id| all_equal(table, id, parameters)).collect::<Result<Vec<_>>>()?;
            if ids.is_empty() { "false".to_owned() } else { ids.join(" OR ") }
        }
    };
    // Not IS NOT TRUE, which is not sent to another server.
    Ok(format!("(NOT ({condition}) OR ({condition}) IS NULL)"))
}

/// The condition that a row has this id of several columns.
fn all_equal(table: &Table, id: Entry, parameters: &mut Parameters) -> Result<String> {
    let entries = object("exclude", id)?;
    if entries.is_empty() {
        return Err(ArgumentError::NotAnObject { name: "exclude", found: "{}".to_owned() }.into());
    }
    let equal = |entry: &Entry| equal(table, table.column(&entry.key)?, entry, parameters);
    Ok(entries.iter().map(equal).collect::<Result<Vec<_>>>()?.join(" AND "))
}

/// The condition that a column has one of the values of a list.
fn any(table: &Table, column: &Column, list: &Entry, parameters: &mut Parameters) -> Result<String> {
    if table.is_remote
        && let Some(array) = array(column, list)?
    {
        return Ok(format!("t.{} {} ANY ({})", column.quoted, column.equals()?, parameters.add(array)));
    }
    let elements = elements(list, parameters);
    let (name, equals, of_type) = (&column.quoted, column.equals()?, &column.sql_type);
    Ok(format!("t.{name} {equals} ANY (ARRAY(SELECT CAST(e.value AS {of_type}) FROM {elements}))"))
}

/// The values of a list, as one of the array type; `None` where there is no such type.
fn array(column: &Column, list: &Entry) -> Result<Option<Argument>> {
    // SAFETY: a type that exists.
    let type_id = unsafe { pg_sys::get_array_type(column.type_id) };
    // Its values are separated by something else.
    if type_id == pg_sys::InvalidOid || column.type_id == pg_sys::BOXOID {
        return Ok(None);
    }
    let element = |entry: Entry| match entry.kind.as_str() {
        "null" => "NULL".to_owned(),
        _ => format!("\"{}\"", entry.text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    let elements: Vec<String> = entries(ELEMENTS, Argument::text(&list.text))?.into_iter().map(element).collect();
    Ok(Some(typed(type_id, &format!("{{{}}}", elements.join(",")))))
}

/// A value that its type has read. Reading may depend on settings, and such a condition is not sent to another server; a value is.
fn typed(type_id: Oid, text: &str) -> Argument {
    // SAFETY: a value of this type, in the memory of the call.
    unsafe { Argument::of_type(type_id, text::to_value(type_id, text)) }
}

/// The values of a list, as text.
fn elements(list: &Entry, parameters: &mut Parameters) -> String {
    let list = parameters.add(Argument::text(&list.text));
    format!("pg_catalog.jsonb_array_elements_text({list}::pg_catalog.jsonb) AS e(value)")
}

/// The column's own equality, on the value read as the column's type: what is no number is an error for a number.
fn equal(table: &Table, column: &Column, entry: &Entry, parameters: &mut Parameters) -> Result<String> {
    if table.is_remote {
        let value = parameters.add(typed(column.type_id, &entry.text));
        return Ok(format!("t.{} {} {value}", column.quoted, column.equals()?));
    }
    let value = parameters.add(Argument::text(&entry.text));
    Ok(format!("t.{} {} CAST({value} AS {})", column.quoted, column.equals()?, column.sql_type))
}

/// A jsonb column is compared with the value as it is, which its text would not tell from a string.
fn equal_jsonb(column: &Column, json: Datum, entry: &Entry, parameters: &mut Parameters) -> Result<String> {
    // SAFETY: as in `filter`.
    let whole = parameters.add(unsafe { Argument::jsonb(json) });
    let key = parameters.add(Argument::text(&entry.key));
    Ok(format!("t.{} {} ({whole} OPERATOR(pg_catalog.->) {key})", column.quoted, column.equals()?))
}

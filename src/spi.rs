//! SQL from inside: as the user who called, with the snapshot of the statement at hand.

use crate::errors::Result;
use crate::functions::Rows;
use crate::{text, vector};
use pgrx::pg_sys::{self, Datum};
use std::ffi::{CStr, CString};

/// A value for `$1`, `$2`, …
#[derive(Clone, Copy)]
pub struct Argument {
    type_id: pg_sys::Oid,
    value: Option<Datum>,
}

impl Argument {
    /// A value of any type.
    ///
    /// # Safety
    /// The datum must be of this type, and live until the statement has run.
    pub unsafe fn of_type(type_id: pg_sys::Oid, value: Datum) -> Self {
        Self { type_id, value: Some(value) }
    }

    /// A text, made in the current memory context.
    pub fn text(value: &str) -> Self {
        Self { type_id: pg_sys::TEXTOID, value: Some(text::to_datum(value)) }
    }

    /// An integer.
    pub fn int(value: i32) -> Self {
        Self { type_id: pg_sys::INT4OID, value: Some(Datum::from(value)) }
    }

    /// A jsonb.
    ///
    /// # Safety
    /// The datum must be one, and live until the statement has run.
    pub unsafe fn jsonb(value: Datum) -> Self {
        Self { type_id: pg_sys::JSONBOID, value: Some(value) }
    }

    /// A double.
    pub fn double(value: f64) -> Self {
        Self { type_id: pg_sys::FLOAT8OID, value: Some(Datum::from(value.to_bits())) }
    }

    /// An object's id.
    pub fn oid(value: pg_sys::Oid) -> Self {
        Self { type_id: pg_sys::OIDOID, value: Some(Datum::from(value)) }
    }
}

/// A row of a result; columns are counted from 1, as in SQL.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    description: pg_sys::TupleDesc,
}

impl Row {
    /// A value of any type, as SQL shows it, in UTF-8; `None` where it is NULL.
    pub fn text(&self, column: i32) -> Option<String> {
        // SAFETY: a tuple of the result at hand; what comes back is NULL or a palloc'd C string.
        unsafe {
            let value = pg_sys::SPI_getvalue(self.tuple, self.description, column);
            (!value.is_null()).then(|| text::from_c(CStr::from_ptr(value)))
        }
    }

    /// A number, read from how SQL shows it.
    pub fn number<T: std::str::FromStr>(&self, column: i32) -> Option<T> {
        self.text(column)?.parse().ok()
    }

    /// A boolean; NULL is false.
    pub fn is_true(&self, column: i32) -> bool {
        self.text(column).as_deref() == Some("t")
    }

    /// A vector.
    pub fn vector(&self, column: i32) -> Option<Vec<f32>> {
        // SAFETY: the statement's author knows that the column is one.
        self.datum(column).map(|datum| unsafe { vector::from_datum(datum) })
    }

    fn datum(&self, column: i32) -> Option<Datum> {
        let mut is_null = false;
        // SAFETY: a tuple of the result at hand.
        let datum = unsafe { pg_sys::SPI_getbinval(self.tuple, self.description, column, &raw mut is_null) };
        (!is_null).then_some(datum)
    }
}

/// Runs a query and makes something of each row.
///
/// # Errors
/// Those of `each`; what Postgres has against the query, it raises.
pub fn select<T>(query: &str, arguments: &[Argument], each: impl FnMut(&Row) -> Result<T>) -> Result<Vec<T>> {
    let connection = Connection::open();
    connection.run(query, arguments).iter().map(each).collect()
}

/// Runs a query and adds those rows that `wanted` accepts to the result of the call at hand. Where the query gives fewer
/// than `enough` rows, adds none of them and returns false.
///
/// # Safety
/// The query must have the columns that the function is declared with.
pub unsafe fn select_into(
    rows: &mut Rows,
    query: &str,
    arguments: &[Argument],
    enough: usize,
    wanted: impl Fn(&Row) -> bool,
) -> bool {
    let connection = Connection::open();
    let found = connection.run(query, arguments);
    if found.len() < enough {
        return false;
    }
    for row in found.iter().filter(|row| wanted(row)) {
        // SAFETY: by the caller's promise.
        unsafe { rows.push_tuple(row.tuple) };
    }
    true
}

/// Runs a query for the first two columns of its first row: the first, which must be of a type of variable length such
/// as jsonb, is copied to the caller's memory context; the second is a number.
pub fn value<T: std::str::FromStr>(query: &str, arguments: &[Argument]) -> (Option<Datum>, Option<T>) {
    let connection = Connection::open();
    let rows = connection.run(query, arguments);
    let Some(row) = rows.first() else { return (None, None) };
    // SAFETY: copies a varlena out of the connection's memory.
    let datum = row.datum(1).map(|datum| unsafe { pg_sys::SPI_datumTransfer(datum, false, -1) });
    // SAFETY: the description of the result at hand.
    let columns = unsafe { (*row.description).natts };
    (datum, if columns > 1 { row.number(2) } else { None })
}

/// Between SPI_connect and SPI_finish.
struct Connection;

impl Connection {
    fn open() -> Self {
        // SAFETY: undone by drop, or by Postgres where an error ends the transaction.
        unsafe { pg_sys::SPI_connect() };
        Self
    }

    fn run(&self, query: &str, arguments: &[Argument]) -> Vec<Row> {
        let query: CString = text::to_c(query);
        let mut types: Vec<pg_sys::Oid> = arguments.iter().map(|argument| argument.type_id).collect();
        let mut values: Vec<Datum> = arguments.iter().map(|a| a.value.unwrap_or(Datum::null())).collect();
        let nulls: Vec<u8> = arguments.iter().map(|a| if a.value.is_some() { b' ' } else { b'n' }).collect();
        // SAFETY: the arrays are as long as is said and live during the call. Read-only: the query sees what the
        // statement at hand sees. Its result lives until SPI_finish.
        unsafe {
            let status = pg_sys::SPI_execute_with_args(
                query.as_ptr(),
                arguments.len() as i32,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr().cast(),
                true,
                0,
            );
            assert_eq!(status, pg_sys::SPI_OK_SELECT as i32, "a query");
            let table = pg_sys::SPI_tuptable;
            let tuples = std::slice::from_raw_parts((*table).vals, pg_sys::SPI_processed as usize);
            tuples.iter().map(|tuple| Row { tuple: *tuple, description: (*table).tupdesc }).collect()
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // After an error, Postgres closes it when the transaction or subtransaction ends.
        if !std::thread::panicking() {
            // SAFETY: closes what `open` opened.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

/// Settings that hold until this is dropped, or until an error ends the transaction.
pub struct LocalSettings(i32);

impl LocalSettings {
    /// Nothing set yet.
    pub fn begin() -> Self {
        // SAFETY: opens a level, which drop closes.
        Self(unsafe { pg_sys::NewGUCNestLevel() })
    }

    /// Names are looked up in `pg_catalog` alone.
    pub fn with_catalog_only() -> Self {
        let settings = Self::begin();
        settings.set(c"search_path", c"pg_catalog, pg_temp");
        settings
    }

    /// Sets a setting that every user may set.
    pub fn set(&self, name: &CStr, value: &CStr) {
        // SAFETY: the strings are NUL-terminated and copied.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
    }
}

impl Drop for LocalSettings {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: closes the level of `begin`.
            unsafe { pg_sys::AtEOXact_GUC(true, self.0) };
        }
    }
}

/// The value of a setting, where there is one of this name.
pub fn setting(name: &CStr) -> Option<String> {
    // SAFETY: the name is NUL-terminated; what comes back is NULL or a string that lives until the setting changes.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

//! SQL from inside: as the user who called, with the snapshot of the statement at hand.

mod allowed;
mod argument;
mod kept;
mod settings;

pub use allowed::{Allowed, register};
pub use argument::Argument;
pub use kept::{Subject, run_kept};
pub use settings::{KEYS_AS_TEXT, LocalSettings, require_writable, setting};

use crate::errors::Result;
use crate::result_rows::Rows;
use crate::{text, vector};
use allowed::Check;
use argument::split;
use pgrx::pg_sys::{self, Datum};
use std::ffi::{CStr, CString};

/// A row of a result; columns are counted from 1, as in SQL. It lives as long as the connection that gave it.
#[derive(Clone, Copy)]
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

    /// A value of any type, as it is.
    pub fn datum(&self, column: i32) -> Option<Datum> {
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
pub fn select<T>(
    allowed: &Allowed,
    query: &str,
    arguments: &[Argument],
    each: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let connection = Connection::open();
    connection.run(allowed, query, arguments).iter().map(each).collect()
}

/// As [`select`], of a table that is kept: its statements are not analysed anew.
///
/// # Errors
/// As those of [`select`].
pub fn select_kept<T>(
    allowed: &Allowed,
    query: String,
    arguments: &[Argument],
    each: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    let connection = Connection::open();
    connection.run_prepared(allowed, query, arguments).iter().map(each).collect()
}

/// As [`select`], of the catalogs alone, with a plan that is kept.
///
/// # Errors
/// As those of [`select`].
pub fn select_catalog<T>(query: &str, arguments: &[Argument], each: impl FnMut(&Row) -> Result<T>) -> Result<Vec<T>> {
    let connection = Connection::open();
    // What is asked for is found by an index, whichever it is: it is not planned for each value.
    let prepare = |query: &str, types: &[pg_sys::Oid]| {
        Plan::prepare_with(&connection, &Allowed::default(), query, types, pg_sys::CURSOR_OPT_GENERIC_PLAN)
    };
    let run = |plan: &Plan| plan.run_with(&connection, arguments, true).1;
    run_kept(query.to_owned(), arguments, Subject::Catalogs, prepare, run).iter().map(each).collect()
}

/// Runs a query and, if `is_enough` accepts what it found, adds those rows that `wanted` accepts to the result of the call at
/// hand.
///
/// # Safety
/// The query must begin with the columns that the function is declared with.
pub unsafe fn select_into(
    rows: &mut Rows,
    allowed: &Allowed,
    query: &str,
    arguments: &[Argument],
    is_enough: impl FnOnce(&[Row]) -> bool,
    wanted: impl Fn(&Row) -> bool,
) {
    let connection = Connection::open();
    let found = connection.run_prepared(allowed, query.to_owned(), arguments);
    if !is_enough(&found) {
        return;
    }
    for row in found.iter().filter(|row| wanted(row)) {
        // SAFETY: by the caller's promise.
        unsafe { rows.push_tuple(row.tuple) };
    }
}

/// Runs a query for the first two columns of its first row: the first, which must be of a type of variable length such
/// as jsonb, is copied to the caller's memory context; the second is a number.
pub fn value<T: std::str::FromStr>(
    allowed: &Allowed,
    query: &str,
    arguments: &[Argument],
) -> (Option<Datum>, Option<T>) {
    let connection = Connection::open();
    let rows = connection.run_prepared(allowed, query.to_owned(), arguments);
    let Some(row) = rows.first() else { return (None, None) };
    // SAFETY: copies a varlena out of the connection's memory.
    let datum = row.datum(1).map(|datum| unsafe { pg_sys::SPI_datumTransfer(datum, false, -1) });
    // SAFETY: the description of the result at hand.
    let columns = unsafe { (*row.description).natts };
    (datum, if columns > 1 { row.number(2) } else { None })
}

/// Between SPI_connect and SPI_finish. All that was made in between is given back at its end.
pub struct Connection(());

impl Connection {
    /// Connects.
    pub fn open() -> Self {
        // SAFETY: undone by drop, or by Postgres where an error ends the transaction.
        unsafe { pg_sys::SPI_connect() };
        Self(())
    }

    /// As [`Connection::run`]; of a table that is kept, names are not looked up anew. It is planned for these values: which
    /// index is best depends on how many rows have them.
    fn run_prepared(&self, allowed: &Allowed, query: String, arguments: &[Argument]) -> Vec<Row> {
        let Some(number) = allowed.number else { return self.run(allowed, &query, arguments) };
        let options = pg_sys::CURSOR_OPT_CUSTOM_PLAN | pg_sys::CURSOR_OPT_PARALLEL_OK;
        let prepare = |query: &str, types: &[pg_sys::Oid]| Plan::prepare_with(self, allowed, query, types, options);
        run_kept(query, arguments, Subject::Table(number), prepare, |plan| plan.run_with(self, arguments, true).1)
    }

    /// Runs a query that sees what the statement at hand sees.
    fn run(&self, allowed: &Allowed, query: &str, arguments: &[Argument]) -> Vec<Row> {
        let check = Check::begin(text::to_c(query), allowed);
        let (status, _, rows) = self.execute_with(query, arguments, true);
        check.assert_checked();
        assert_eq!(status, pg_sys::SPI_OK_SELECT as i32, "a query");
        rows
    }

    /// Runs a query about a table that sees what is there now, or a statement that writes to it; how many rows it was
    /// about, and those it gives. Raises where it would refer to anything that is not allowed.
    pub fn execute_allowed(&self, allowed: &Allowed, query: &str, arguments: &[Argument]) -> (u64, Vec<Row>) {
        let check = Check::begin(text::to_c(query), allowed);
        let (_, count, rows) = self.execute_with(query, arguments, false);
        check.assert_checked();
        (count, rows)
    }

    /// Runs a statement that sees what is there now: one about PostgreSQL's catalogs, or a command.
    pub fn execute(&self, query: &str, arguments: &[Argument]) -> (u64, Vec<Row>) {
        let (_, count, rows) = self.execute_with(query, arguments, false);
        (count, rows)
    }

    fn execute_with(&self, query: &str, arguments: &[Argument], reads_only: bool) -> (i32, u64, Vec<Row>) {
        let query: CString = text::to_c(query);
        let mut types: Vec<pg_sys::Oid> = arguments.iter().map(|argument| argument.type_id).collect();
        let (mut values, nulls) = split(arguments);
        // SAFETY: the arrays are as long as is said and live during the call.
        unsafe {
            let status = pg_sys::SPI_execute_with_args(
                query.as_ptr(),
                arguments.len() as i32,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr().cast(),
                reads_only,
                0,
            );
            (status, pg_sys::SPI_processed, result(status))
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

/// The rows of the statement that was run last.
///
/// # Safety
/// `status` must be what SPI returned for it.
unsafe fn result(status: i32) -> Vec<Row> {
    assert!(status > 0, "SPI returned {status}");
    // SAFETY: SPI's result is NULL or a table of so many rows, which live until SPI_finish.
    unsafe {
        let table = pg_sys::SPI_tuptable;
        if table.is_null() {
            return Vec::new();
        }
        let tuples = std::slice::from_raw_parts((*table).vals, (*table).numvals as usize);
        tuples.iter().map(|tuple| Row { tuple: *tuple, description: (*table).tupdesc }).collect()
    }
}

/// A statement that is planned once and run often, in as many transactions as it takes.
pub struct Plan {
    plan: pg_sys::SPIPlanPtr,
    text: CString,
    allowed: Allowed,
}

impl Plan {
    /// Plans it, for parameters of these types.
    pub fn prepare(connection: &Connection, allowed: &Allowed, query: &str, types: &[pg_sys::Oid]) -> Self {
        Self::prepare_with(connection, allowed, query, types, 0)
    }

    fn prepare_with(
        _connection: &Connection,
        allowed: &Allowed,
        query: &str,
        types: &[pg_sys::Oid],
        options: u32,
    ) -> Self {
        let text = text::to_c(query);
        let mut types = types.to_vec();
        let check = Check::begin(text.clone(), allowed);
        // SAFETY: connected; as many types as is said. The plan is kept beyond the connection, and freed by drop.
        unsafe {
            let plan =
                pg_sys::SPI_prepare_cursor(text.as_ptr(), types.len() as i32, types.as_mut_ptr(), options as i32);
            assert!(!plan.is_null(), "a statement that SPI takes");
            check.assert_checked();
            assert_eq!(pg_sys::SPI_keepplan(plan), 0, "a plan that is not kept yet");
            Self { plan, text, allowed: allowed.clone() }
        }
    }

    /// Runs it; how many rows it was about, and those it gives. The arguments have to be of the types it was planned for.
    pub fn run(&self, connection: &Connection, arguments: &[Argument]) -> (u64, Vec<Row>) {
        self.run_with(connection, arguments, false)
    }

    fn run_with(&self, _connection: &Connection, arguments: &[Argument], reads_only: bool) -> (u64, Vec<Row>) {
        let (mut values, nulls) = split(arguments);
        // Its names are looked up again where something has changed.
        let _check = Check::begin(self.text.clone(), &self.allowed);
        // SAFETY: a plan that is kept, with as many arguments as it has parameters.
        unsafe {
            assert_eq!(pg_sys::SPI_getargcount(self.plan), arguments.len() as i32, "one argument for each parameter");
            let status = pg_sys::SPI_execute_plan(self.plan, values.as_mut_ptr(), nulls.as_ptr().cast(), reads_only, 0);
            (pg_sys::SPI_processed, result(status))
        }
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: kept by `prepare`, and not used after this.
        unsafe { pg_sys::SPI_freeplan(self.plan) };
    }
}

/// A procedure that ends transactions: those that begin while it lives begin in `commit`.
pub struct Procedure(());

impl Procedure {
    /// Connects in the way that allows it.
    pub fn open() -> Self {
        // SAFETY: as for `Connection`.
        unsafe { pg_sys::SPI_connect_ext(pg_sys::SPI_OPT_NONATOMIC as i32) };
        Self(())
    }

    /// Commits, and begins the next transaction, which is READ COMMITTED and defers no constraints, whatever the session's
    /// defaults. No [`Connection`] may be open.
    pub fn commit(&self) {
        let (isolation, level) = (c"transaction_isolation", c"read committed");
        // SAFETY: connected, and not atomic; the strings are NUL-terminated and copied. Nothing was read yet, so that the
        // level may be set.
        unsafe {
            pg_sys::SPI_commit();
            pg_sys::set_config_option(
                isolation.as_ptr(),
                level.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_LOCAL,
                true,
                0,
                false,
            );
        }
        // What fails, fails where its row is written.
        Connection::open().execute("SET CONSTRAINTS ALL IMMEDIATE", &[]);
    }

    /// Commits; what a caller does next has the session's defaults.
    pub fn end(self) {
        // SAFETY: as in `commit`.
        unsafe { pg_sys::SPI_commit() };
    }
}

impl Drop for Procedure {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: closes what `open` opened.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

/// A string as SQL spells it.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

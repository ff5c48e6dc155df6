//! What Postgres, or somebody's function, has raised, kept beyond the transaction that it ended.

use super::{sqlstate_text, watch};
use crate::encoding;
use ::errors::Report;
use pgrx::PgSqlErrorCode as Code;
use pgrx::pg_sys::panic::CaughtError;

/// An error that was caught.
#[derive(Clone, Debug)]
pub struct Raised {
    /// The SQLSTATE, packed as Postgres does.
    code: i32,
    /// The fact.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Raised {
    /// The five characters of its SQLSTATE.
    pub fn state(&self) -> String {
        sqlstate_text(self.code)
    }

    /// Whether the statement was cancelled, or took longer than it may.
    pub fn is_cancel(&self) -> bool {
        self.code == Code::ERRCODE_QUERY_CANCELED as i32
    }

    /// Whether it is about a value, or a constraint that it breaks.
    pub fn is_about_data(&self) -> bool {
        ["22", "23"].contains(&&self.state()[..2])
    }

    /// What is the matter with more than a row: the disk is full, memory is short, the database is damaged or shuts down.
    pub fn is_general(&self) -> bool {
        let state = self.state();
        ["53", "57", "58"].contains(&&state[..2]) || ["XX001", "XX002"].contains(&state.as_str())
    }

    /// Whether a statement would have been about another table than it was meant for.
    pub fn is_of_another_table(&self) -> bool {
        self.code == super::TableError::Replaced.code().packed()
    }

    /// Whether somebody else was in the way: a lock that could not be had, a deadlock, a concurrent update.
    pub fn is_a_lock(&self) -> bool {
        self.code == Code::ERRCODE_LOCK_NOT_AVAILABLE as i32 || self.state().starts_with("40")
    }
}

impl From<&CaughtError> for Raised {
    fn from(error: &CaughtError) -> Self {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        let code = match (error, report.sql_error_code()) {
            (CaughtError::PostgresError(_), Code::ERRCODE_INTERNAL_ERROR) => watch::latest(),
            _ => None,
        };
        let code = code.unwrap_or(report.sql_error_code() as i32);
        let hint = report.hint().map(str::to_owned);
        Self { code, message: report.message().to_owned(), hint }
    }
}

impl From<super::Error> for Raised {
    fn from(error: super::Error) -> Self {
        let text = encoding::for_message;
        Self { code: error.sqlstate().packed(), message: text(error.to_string()), hint: error.hint().map(text) }
    }
}

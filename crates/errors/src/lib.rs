//! The tables of errors: each error is one row with its SQLSTATE, message, detail and hint.
//!
//! [`error_table!`] declares an enum and its rows in one place. From a row follow the text (`Display`), the code, detail and
//! hint ([`Report`]), and the line in `docs/errors.md` ([`Row`]): `cargo run --release -p error-table` writes that page, and a test
//! reads every row.
//!
//! ```text
//! backend     what a backend finds: arguments, tables, connections        raised by src/errors
//! class       the kinds of failure of the server and of `models …`       each has one SQLSTATE
//! sqlstate    the SQLSTATEs in use, under PostgreSQL's names
//! table       the macro
//! ```
//!
//! The tables of `clip`, `fetch`, `hub`, `protocol`, `weights` and the server are in those crates.

pub mod backend;
mod class;
mod sqlstate;
mod table;

pub use class::{CommandClass, ErrorClass, Failure};
pub use sqlstate::Sqlstate;
pub use table::{Report, Row};

//! Searching a table: what has to be known of it, and the statement that does it.
//!
//! ```text
//! known      tables that are kept until they change
//! table      columns, types, primary key, vector indexes, out of the catalog
//! condition  a filter or a row to leave out, as jsonb → SQL with parameters
//! parameters the statement's
//! shards     the same for partitions on other servers
//! statement  table, query and options → one SELECT
//! ```

mod condition;
mod known;
mod parameters;
mod shards;
mod statement;
mod table;

pub use condition::Id;
pub use statement::{Options, rows, to_json};
pub use table::{Column, Embeddings, Index, Table};

//! Searching a table: what has to be known of it, and the statement that does it.
//!
//! ```text
//! known      tables that are kept until they change
//! table      columns, types, primary key, vector indexes, out of the catalog
//! condition  a filter or a row to leave out, as jsonb → SQL with parameters
//! duplicates rows of a table that are nearly equal
//! hybrid     the nearest, and what has the words: ranks joined
//! order      "taken_at DESC, id" → columns to sort by
//! relevant   the nearest that are similar enough, sorted by columns
//! parameters the statement's
//! shards     the same for partitions on other servers
//! statement  table, query and options → one SELECT
//! ```

mod condition;
mod duplicates;
mod hybrid;
mod known;
mod order;
mod parameters;
mod relevant;
mod shards;
mod statement;
mod table;

pub use condition::Id;
pub use duplicates::{Pair, Pairs, pairs};
pub use hybrid::{Hybrid, current_config, hybrid};
pub use relevant::{Page, page};
pub use statement::{Options, check_similarity, ids, rows, to_json};
pub use table::{Column, Embeddings, Index, Table};

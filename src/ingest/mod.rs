//! Filling a table's embeddings, batch by batch, each in a transaction of its own.
//!
//! ```text
//! backfill    the whole of it: passes, transactions, notices      → all below
//! candidate   one row: its source, and what becomes of it
//! target      table and columns, checked                          → search::Table
//! rows        statements that read, lock and write rows           → target
//! pipeline    the next rows are sent while the last are written   → client
//! failures    clip_embed_errors
//! progress    clip_stat_progress_embed, notices
//! elevated    as the superuser, for the extension's own tables
//! ```

mod backfill;
mod candidate;
mod elevated;
mod failures;
mod pipeline;
mod progress;
mod rows;
mod target;

pub use backfill::{Wishes, check_not_atomic, run};
pub use candidate::Known;
pub use elevated::{Elevated, OwnersRights};
pub use failures::{Entry, Failures};
pub use pipeline::{Pace, run as embed};
pub use rows::{Locked, Statements};
pub use target::{Names, Target};

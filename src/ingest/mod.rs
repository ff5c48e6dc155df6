//! Filling a table's embeddings, batch by batch, each in a transaction of its own.
//!
//! ```text
//! backfill    the whole of it: passes, transactions, notices      → all below
//! candidate   one row and its source                              → rows
//! writer      what was answered → rows and failures               → rows, failures
//! target      table and columns, checked                          → search::Table
//! rows        reads, locks and writes rows                        → sql
//! sql         the text of those statements                        → target
//! pipeline    the next rows are sent while the last are written   → client
//! failures    clip_embed_errors
//! forget      its entries of rows that are gone or mended         → sql
//! progress    clip_stat_progress_embed, notices
//! owner       as a table's owner
//! ```

mod backfill;
mod candidate;
mod failures;
mod forget;
mod owner;
mod pipeline;
mod progress;
mod rows;
mod sql;
mod target;
mod writer;

pub use backfill::{Options, run};
pub use candidate::{Candidate, REQUEST_BYTES};
pub use failures::{Entry, Failures};
pub use owner::OwnersRights;
pub use pipeline::{Pace, Rows, run as embed};
pub use rows::{Found, Statements};
pub use sql::{IS_PROVENANCE, as_json};
pub use target::{Kind, Names, Target, check_not_generated};
pub use writer::{Outcome, Writer};

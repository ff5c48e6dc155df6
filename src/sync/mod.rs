//! Embedding later: a queue, and a background worker for each database that drains it.
//!
//! ```text
//! launch   at commit: is a worker there, or one to be started?
//! worker   its loop                                             → drain
//! drain    entries of one table → embeddings, as its owner      → ingest
//! ```

mod drain;
mod launch;
mod worker;

pub use launch::{register_if_preloading, work_at_commit};

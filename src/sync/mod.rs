//! Embedding later: a queue, and a background worker for each database that drains it.
//!
//! ```text
//! launcher after a restart: which queues have waited?              → launch
//! launch   at commit: is a worker there, or one to be started?
//! worker   its loop: what follows from an error                  → turns, drain
//! turns    which table's entries are next                        → queue
//! drain    entries of one table → embeddings, as its owner       → all below
//! queue    the queue's own table
//! table    the rows' table: locked, and its owner
//! probe    does the server embed anything at all?                 → client
//! timeout  how long it may take
//! rows     rows on their way to the server and back              → ingest
//! ```

mod drain;
mod launch;
mod launcher;
mod probe;
mod queue;
mod rows;
mod table;
mod timeout;
mod turns;
mod worker;

pub use launch::{WorkerLock, start, work_at_commit};
pub use launcher::register;

//! The inference server of `clip_search`: one process for a PostgreSQL cluster, without any Postgres in it.
//!
//! ```text
//! listener    socket, greeting, one task for each connection
//! service     a request → its response: find the model, prepare the items, have them run
//! models      the models in memory; loads a tower when it is first needed
//! prepare     decode and tokenize, on a pool of threads
//! scheduler   what waits for the device, and the one thread that runs batches on it
//! fetching    pictures by URL
//! failure     clip::Error, fetch::Error → class and hint
//! stats       counters
//! process     signals, descriptors, leaving
//! log         lines on standard error, which the supervisor passes to Postgres's log
//! ```

mod failure;
mod fetching;
mod listener;
#[doc(hidden)]
pub mod log;
mod models;
mod prepare;
pub mod process;
mod scheduler;
mod service;
mod stats;

pub use listener::listen;
pub use service::Service;

//! The inference server of `clip_search`: one process for a PostgreSQL cluster, without any Postgres in it.
//!
//! A request comes in by the listener, is admitted, and is prepared on a pool of threads: texts are tokenized, images are decoded
//! by processes of their own. What the cache does not know waits in the scheduler, interactive work before bulk, and each device
//! takes what waits as one batch. A client that hangs up takes its work along. The supervisor, a background worker of PostgreSQL,
//! starts the process, sends its settings as lines of JSON to standard input, and ends it by closing that; `clip-search-server`'s
//! own documentation says how to run it by hand.
//!
//! ```text
//! listener    socket, greeting, one task for each connection
//! connections how many there are, and which makes way for another
//! admission   which requests are taken in: bytes, memory
//! service     a request → its response
//! embed       an embed request → its vectors: prepare, look whether they are known, have the rest run
//! models      the models in memory; loads an encoder when it is first needed, unloads where memory is short
//! model_dir   what is wrong with the folder of models
//! prepare     decode and tokenize, on a pool of threads
//! decoder     the processes that decode
//! sandbox     what server and decoders give up
//! class       interactive or bulk
//! cache       embeddings of texts that were asked for before
//! scheduler   what waits for the device, and the one thread that runs batches on it
//! fetching    images by URL
//! failure     errors of the server, and what it adds to those of clip and fetch
//! stats       counters, and how long things take
//! cli         models install, list, verify, remove: without a server
//! proof       a model embeds a probe set, when it is installed and later
//! process     signals, descriptors, leaving
//! log         lines on standard error, which the supervisor passes to Postgres's log
//! ```

mod admission;
mod cache;
mod class;
pub mod cli;
mod connections;
#[doc(hidden)]
pub mod decoder;
mod embed;
mod failure;
mod fetching;
mod listener;
#[doc(hidden)]
pub mod log;
mod model_dir;
mod models;
mod prepare;
pub mod process;
pub mod proof;
pub mod quantize;
#[doc(hidden)]
pub mod sandbox;
mod scheduler;
mod service;
mod stats;

pub use failure::Error as ServerError;
pub use listener::{bind, listen};
pub use service::Service;

//! What the programs that measure clip_search share: how they connect, the images and models that they make, and what
//! they print.

mod client;
mod cluster;
pub mod document;
mod images;
mod onnx;
mod python;
mod report;
mod samples;
mod vit;

pub use client::{Connection, embed_request};
pub use cluster::{Cluster, Server, connect, exit_code};
pub use images::{Image, with_mark};
pub use python::{Python, processor};
pub use report::{Bound, Report, heading, table};
pub use samples::{Samples, median};
pub use vit::{Transformer, Vit};

/// Waits before a rate of bulk is measured: a request for a few images is interactive, and for 10 seconds after it the server
/// keeps batches short.
pub fn calm_down() {
    std::thread::sleep(std::time::Duration::from_secs(11));
}

//! Throwaway PostgreSQL clusters, and what tests ask of them.
//!
//! ```text
//! installation  the PostgreSQL that PG_CONFIG names, and the user that it runs as
//! cluster       one data directory, socket and postmaster; gone when dropped
//! process       other processes: find, signal
//! sql           what the tests say in SQL
//! request       requests under way, in threads of their own
//! web           a web server that may misbehave
//! gate          a file that whoever opens it has to wait for
//! load          what the server has to do
//! images      images that are larger than those of tests/golden
//! container     a cluster as in a container: the postmaster is process 1
//! ```
//!
//! Each test has a cluster of its own, so tests may kill, stop and reconfigure it. A missing installation fails the
//! tests and says what to do; it never skips them.

mod cluster;
mod container;
mod gate;
mod images;
mod installation;
mod load;
mod process;
mod request;
mod sql;
mod web;

pub use cluster::{Builder, Cluster, DIMENSION, MODEL, Notices, PORT, StopMode};
pub use container::Container;
pub use gate::Gate;
pub use images::bits;
pub use load::Load;
pub use process::{Process, wait_until};
pub use request::{Request, Silence};
pub use sql::{
    Counters, backend_pid, cosine, counters, embed_image, embed_text, embed_text_with, explain, image, refusal, report,
    wait_out_cancel,
};
pub use web::{Answer, Web};

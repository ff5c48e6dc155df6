//! What the programs that measure clip_search share: how they connect, the pictures that they make, and what they print.

mod cluster;
mod pictures;
mod report;
mod samples;

pub use cluster::{Cluster, connect, exit_code};
pub use pictures::{Picture, with_mark};
pub use report::{Bound, Report, heading, table};
pub use samples::{Samples, median};

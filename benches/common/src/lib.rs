//! What the programs that measure clip_search share: how they connect, the images that they make, and what they print.

mod cluster;
mod images;
mod report;
mod samples;

pub use cluster::{Cluster, connect, exit_code};
pub use images::{Image, with_mark};
pub use report::{Bound, Report, heading, table};
pub use samples::{Samples, median};

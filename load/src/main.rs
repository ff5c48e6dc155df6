//! Loads clip_search with many connections that mix texts, images and arrays of images, and measures what each kind
//! of request gets: how many, how fast, how many at a time in a run of the model, and what memory the server takes.
//!
//! Figures of one run can be compared with each other, not with those of another machine or another hour: the limits are
//! on differences and ratios. Exits with status 1 where one is broken.
//!
//! ```text
//! inputs   texts and images, no two of them equal
//! worker   a connection that asks
//! crew     many of them, for as long as they are told to
//! tally    what they were answered, and when
//! server   what the server says of itself, and /proc of it
//! phases   what is measured
//! report   what requests got
//! ```

mod crew;
mod inputs;
mod numbers;
mod phases;
mod report;
mod server;
mod tally;
mod worker;

use clap::Parser;
use measure::Cluster;
use phases::{Phase, Run};
use std::process::ExitCode;
use std::time::Duration;

/// Loads clip_search in the cluster that PGHOST and PGPORT name. It needs the extension to be installed there.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    /// Connections of the crowd.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=900))]
    connections: u32,
    /// How long the crowd asks. The other phases take a third of it, or as much in several turns.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..))]
    seconds: u64,
    /// How long the crowd of the soak asks; 0 leaves it out.
    #[arg(long, default_value_t = 0, value_parser = phases::soak_minutes)]
    soak_minutes: u64,
    /// Images in one array of a bulk connection.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(5..))]
    array: u32,
    /// Only these phases.
    #[arg(long, value_enum, value_delimiter = ',')]
    phase: Vec<Phase>,
}

impl Arguments {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> ExitCode {
    measure::exit_code("clip-search-load", Run::new(Arguments::parse()).and_then(Run::all))
}

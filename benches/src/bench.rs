//! Measures clip_search beside what it is compared with, all in one run: a text query beside the bare ONNX Runtime call,
//! a connection that embedded beside an idle one, images in arrays beside images one by one, a classification of a
//! table beside the arithmetic it consists of, `clip_search` beside the plain statement, a connection's first query beside its
//! second.
//!
//! Figures of one run can be compared with each other, not with those of another machine or another hour: the report
//! gives differences and ratios. Exits with status 1 where a limit is broken.

mod first_query;
mod images;
mod labels;
mod latency;
mod memory;
mod search;
mod target;
mod texts;

use clap::Parser;
use measure::{Cluster, Report};
use std::path::PathBuf;
use std::process::ExitCode;
use target::Target;

/// Measures clip_search in the cluster that PGHOST and PGPORT name. It needs the extension to be installed there.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    /// Folder of models that the bare call loads it from.
    #[arg(long, env = "MODEL_DIR")]
    model_dir: PathBuf,
    /// ONNX Runtime library of the bare call.
    #[arg(long, env = "ONNXRUNTIME_LIBRARY")]
    onnxruntime_library: PathBuf,
    /// Texts that are timed.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(20..))]
    rounds: u32,
    /// Connections of each kind.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Images that are embedded in each way.
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(4..))]
    images: u32,
    /// Stored embeddings that are labelled.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    labelled: u32,
    /// Measures the first query of connections alone.
    #[arg(long)]
    first_query: bool,
}

fn main() -> ExitCode {
    measure::exit_code("clip-search-bench", run(&Arguments::parse()))
}

/// Whether all limits are kept.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut target = Target::connect(arguments)?;
    let mut report = Report::default();
    target.describe();
    first_query::measure(&mut target, arguments.connections, &mut report)?;
    if arguments.first_query {
        return Ok(report.print_limits());
    }
    latency::measure(&mut target, arguments.rounds, &mut report)?;
    memory::measure(&mut target, arguments.connections, &mut report)?;
    images::measure(&mut target, arguments.images)?;
    labels::measure(&mut target, arguments.labelled, &mut report)?;
    // Last: it embeds texts that others time.
    search::measure(&mut target, arguments.rounds, &mut report)?;
    Ok(report.print_limits())
}

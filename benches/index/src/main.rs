//! Measures HNSW indexes of a large table: on the vectors, on their halves, and on one bit of each number with
//! re-ranking. What each takes to build and to store, and recall@10 against latency.
//!
//! Figures of one run can be compared with each other, not with those of another machine or another hour: times are given
//! as ratios.
//!
//! ```text
//! data    the vectors, which have neighbours as embeddings have
//! build   the table and its indexes
//! query   recall and latency
//! ```

mod build;
mod data;
mod query;

use anyhow::Context;
use clap::Parser;
use measure::Server;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures vector indexes in the cluster that PGHOST and PGPORT name. It needs pgvector to be installed there.
#[derive(Parser)]
enum Command {
    /// Fills the table and builds the indexes.
    Build {
        #[command(flatten)]
        server: Server,
        /// Rows of the table.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
        rows: u32,
        /// The memory of each build, as maintenance_work_mem.
        #[arg(long, default_value = "4GB")]
        memory: String,
        /// Indexes that are built at the same time.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
        jobs: u8,
    },
    /// Measures the indexes that were built.
    Query {
        #[command(flatten)]
        server: Server,
        /// A page whose section of tables is replaced.
        #[arg(long)]
        page: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    measure::exit_code("clip-search-bench-index", run(Command::parse()).map(|()| true))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build { server, rows, memory, jobs } => build::build(&server.config(), rows, &memory, jobs.into()),
        Command::Query { server, page } => {
            let tables = query::query(&server.config())?;
            println!("\n{tables}");
            page.map_or(Ok(()), |page| replace(&page, &tables))
        }
    }
}

/// Puts the tables into their section of a page.
fn replace(page: &Path, tables: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let text = measure::document::put(&text, "benches/index/run", "indexes", tables)?;
    fs::write(page, text).with_context(|| page.display().to_string())
}

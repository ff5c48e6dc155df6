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
use postgres::Config;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures vector indexes in the cluster that PGHOST and PGPORT name. It needs pgvector to be installed there.
#[derive(Parser)]
enum Command {
    /// Fills the table and builds the indexes.
    Build {
        #[command(flatten)]
        cluster: Cluster,
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
        cluster: Cluster,
        /// A page whose tables between the marks `<!-- bench-index -->` and `<!-- /bench-index -->` are replaced.
        #[arg(long)]
        page: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Cluster {
    /// Folder of the server's Unix socket.
    #[arg(long, env = "PGHOST")]
    host: PathBuf,
    /// Port, which is a part of the socket's name.
    #[arg(long, env = "PGPORT", default_value_t = 5432)]
    port: u16,
    /// A superuser.
    #[arg(long, env = "PGUSER", default_value = "postgres")]
    user: String,
    /// Database.
    #[arg(long, env = "PGDATABASE", default_value = "postgres")]
    database: String,
}

impl Cluster {
    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(&self.host).port(self.port).user(&self.user).dbname(&self.database);
        config
    }
}

fn main() -> ExitCode {
    measure::exit_code("clip-search-bench-index", run(Command::parse()).map(|()| true))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build { cluster, rows, memory, jobs } => build::build(&cluster.config(), rows, &memory, jobs.into()),
        Command::Query { cluster, page } => {
            let tables = query::query(&cluster.config())?;
            println!("\n{tables}");
            page.map_or(Ok(()), |page| replace(&page, &tables))
        }
    }
}

/// Puts the tables between the marks of a page.
fn replace(page: &Path, tables: &str) -> anyhow::Result<()> {
    const MARKS: (&str, &str) = ("<!-- bench-index -->", "<!-- /bench-index -->");
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let missing = || format!("{} lacks the marks of the tables", page.display());
    let (before, rest) = text.split_once(MARKS.0).with_context(missing)?;
    let (_, after) = rest.split_once(MARKS.1).with_context(missing)?;
    let text = format!("{before}{}\n{tables}{}{after}", MARKS.0, MARKS.1);
    fs::write(page, text).with_context(|| page.display().to_string())
}

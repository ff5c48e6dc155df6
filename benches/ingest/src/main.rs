//! Measures how fast tables of images are embedded in each way that SQL has, beside the server alone, fed by a client
//! that speaks its protocol; what memory that takes of the backend; and what an upload costs more where it is queued.
//!
//! Figures of one run can be compared with each other, not with those of another machine or another hour: the limits are
//! on ratios. Exits with status 1 where one is broken.
//!
//! ```text
//! rates     rows a second, in rounds that run all ways
//! ways      the statements
//! alone     the client without PostgreSQL
//! memory    of a backend, in the course of a large table
//! uploads   one row a transaction, with and without the queue
//! photos    tables of images, no two of them equal
//! ```

mod alone;
mod memory;
mod photos;
mod rates;
mod uploads;
mod ways;

use clap::Parser;
use measure::{Cluster, Report};
use photos::Photos;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures how fast tables of images are embedded.
#[derive(Parser)]
enum Command {
    /// Measures in the cluster that PGHOST and PGPORT name. It needs the extension to be installed there.
    Measure(Run),
    /// Writes a model of the size of ViT-B/32 with random weights, which embeds images.
    MakeModel {
        /// The model's folder.
        folder: PathBuf,
        /// The folder of a model whose tokenizer and encoder of texts it gets.
        other: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    cluster: Cluster,
    /// The model that `make-model` wrote; without it, --model alone is measured.
    #[arg(long, env = "FULL_SIZE_MODEL")]
    full_size_model: Option<String>,
    /// Rounds: each runs all ways, in another order.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// What the server alone takes in one round.
    #[arg(long, default_value_t = 2.5)]
    seconds: f64,
    /// Images in an array, and in a request of the client without PostgreSQL.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    array: u32,
    /// Size of the table that the backend's memory is measured with.
    #[arg(long, default_value_t = 20.0)]
    gigabytes: f64,
    /// Uploads of each kind.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..))]
    uploads: u32,
    /// A glance in less than a minute, in place of the numbers above: few rounds, short arrays, a small table.
    #[arg(long)]
    quick: bool,
}

impl Run {
    fn settled(mut self) -> Self {
        if self.quick {
            (self.rounds, self.seconds, self.array, self.gigabytes, self.uploads) = (2, 1.0, 16, 1.0, 100);
        }
        self
    }
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Measure(run) => measure_all(&run.settled()),
        Command::MakeModel { folder, other } => measure::Vit::B_32.write(&folder, &other).map(|()| true),
    };
    measure::exit_code(env!("CARGO_PKG_NAME"), done)
}

/// Whether all limits are kept.
fn measure_all(run: &Run) -> anyhow::Result<bool> {
    let mut report = Report::default();
    let config = run.cluster.prepare(&run.cluster.model)?;
    let photos = &Photos::new()?;
    photos.describe();
    photos.store(&mut measure::connect(&config)?)?;
    rates::measure(&config, photos, &run.cluster.model, run, &mut report)?;
    if let Some(model) = &run.full_size_model {
        rates::measure(&run.cluster.prepare(model)?, photos, model, run, &mut report)?;
    }
    memory::measure(&config, photos, run.gigabytes, &mut report)?;
    uploads::measure(&config, photos, run.uploads, &mut report)?;
    Ok(report.print_limits())
}

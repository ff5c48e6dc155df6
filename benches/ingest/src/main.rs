//! Measures how fast tables of images are embedded in each way that SQL has, beside the server alone, fed by a client
//! that speaks its protocol, and beside a Python program; what memory that takes of the backend; and what an upload costs more where it is queued.
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

use anyhow::Context;
use clap::Parser;
use measure::{Cluster, Report};
use photos::{PHOTOGRAPHS, Photos, THUMBNAILS};
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
    /// A Python with the packages of requirements.txt.
    #[arg(long, env = "PYTHON", default_value = "python3")]
    python: PathBuf,
    /// What that Python runs.
    #[arg(long, default_value = "benches/ingest/pipeline.py")]
    script: PathBuf,
    /// Writes the rates into this page.
    #[arg(long, num_args = 0..=1, default_missing_value = "docs/operations.md")]
    write: Option<PathBuf>,
    /// The rates alone.
    #[arg(long)]
    rates_only: bool,
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
    let mut text = format!("On {}.", measure::processor());
    println!("{text}");
    // A model of full size is for photographs.
    let models = [(Some(&run.cluster.model), THUMBNAILS), (run.full_size_model.as_ref(), PHOTOGRAPHS)];
    for (model, kind) in models {
        let (Some(model), photos) = (model, &Photos::new(kind)?) else { continue };
        photos.store(&mut measure::connect(&config)?)?;
        let rates = rates::measure(&run.cluster.prepare(model)?, photos, model, run, &mut report)?;
        text = format!("{text}\n\n{rates}");
    }
    if let Some(path) = &run.write {
        let page = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let page = measure::document::put(&page, "benches/ingest/run --write", "rates", &text)?;
        std::fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    if !run.rates_only {
        let photos = &Photos::new(THUMBNAILS)?;
        photos.store(&mut measure::connect(&config)?)?;
        memory::measure(&config, photos, run.gigabytes, &mut report)?;
        uploads::measure(&config, photos, run.uploads, &mut report)?;
    }
    Ok(report.print_limits())
}

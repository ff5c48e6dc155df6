//! Measures how fast models of full size, with random weights, embed images and texts on a GPU: the encoders alone, and
//! the server, fed by clients that speak its protocol. It needs no PostgreSQL.
//!
//! ```text
//! alone      the encoders in this process: items a second, latency, cosine to the CPU in fp32
//! server     clip-search-server: from JPEG files and texts to vectors
//! inputs     what is embedded
//! reference  the same encoders in PyTorch, where a file has its figures
//! table      what is printed
//! ```
//!
//! Figures of one run can be compared with each other, not with those of another machine.

mod alone;
mod inputs;
mod reference;
mod server;
mod table;

use anyhow::Context;
use clap::Parser;
use clip::{Device, Devices, ModelName, ModelSpec, Precision, Runtime};
use measure::{Transformer, Vit};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measures how fast clip_search embeds on a GPU, without PostgreSQL.
#[derive(Parser)]
#[command(version)]
pub struct Run {
    /// The ONNX Runtime library.
    #[arg(long, env = "CLIP_SEARCH_ONNXRUNTIME_LIBRARY")]
    onnxruntime_library: PathBuf,
    /// The program clip-search-server.
    #[arg(long)]
    server: PathBuf,
    /// The folder of a model whose tokenizer the random models get.
    #[arg(long, default_value = "models/clip-search/emoji")]
    tokenizer_of: PathBuf,
    /// Where the random models are written; gigabytes. A folder that goes when the run ends, by default.
    #[arg(long)]
    models_in: Option<PathBuf>,
    /// As the setting clip_search.device.
    #[arg(long, default_value = "cuda:0")]
    device: String,
    /// Which models.
    #[arg(long, value_delimiter = ',', default_values = ["ViT-B/32", "ViT-L/14", "ViT-B/16"])]
    models: Vec<String>,
    /// Which precisions.
    #[arg(long, value_delimiter = ',', default_values = ["fp32", "fp16"])]
    precisions: Vec<String>,
    /// Images in a batch.
    #[arg(long, value_delimiter = ',', default_values = ["1", "32", "128"])]
    batches: Vec<usize>,
    /// As the setting clip_search.max_batch, for the server.
    #[arg(long, default_value_t = 128)]
    max_batch: u32,
    /// As the setting clip_search.max_gpu_memory, in MB.
    #[arg(long, default_value_t = 0)]
    max_gpu_memory: u64,
    /// Seconds of each measurement of a rate.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Requests of each measurement of a latency.
    #[arg(long, default_value_t = 300)]
    requests: usize,
    /// Models the server is measured with; the others are measured alone.
    #[arg(long, value_delimiter = ',', default_values = ["ViT-B/32", "ViT-L/14", "ViT-B/16"])]
    through_server: Vec<String>,
    /// A file of figures of PyTorch, from torch_reference.py.
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Writes all figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What else the table tells: the card, say.
    #[arg(long, default_value = "")]
    about: String,
}

/// All that was measured.
#[derive(Serialize)]
pub struct Measured {
    about: String,
    alone: Vec<alone::Row>,
    server: Vec<server::Row>,
    reference: Vec<reference::Row>,
}

impl Run {
    fn period(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn main() -> ExitCode {
    let done = measure_all(&Run::parse()).map(|()| true);
    measure::exit_code(env!("CARGO_PKG_NAME"), done)
}

fn measure_all(run: &Run) -> anyhow::Result<()> {
    let runtime = Runtime::init(&run.onnxruntime_library)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let about = format!(
        "{}{}device {}, {cores} cores, ONNX Runtime {}, clip_search {}",
        run.about,
        if run.about.is_empty() { "" } else { ", " },
        run.device,
        runtime.version(),
        protocol::RELEASE
    );
    println!("{about}");
    let made = tempfile::tempdir()?;
    let folder = run.models_in.as_deref().unwrap_or(made.path());
    let mut measured = Measured { about, alone: Vec::new(), server: Vec::new(), reference: Vec::new() };
    if let Some(file) = &run.reference {
        measured.reference = reference::read(file)?;
    }
    let photographs = inputs::Photographs::new()?;
    println!("images are JPEG files of 500 x 375, {:.0} kB on average", photographs.kilobytes());
    for name in &run.models {
        let spec = model(name, folder, &run.tokenizer_of)?;
        for precision in &run.precisions {
            let precision: Precision = precision.parse()?;
            alone::measure(run, name, &spec, precision, &runtime, &mut measured.alone)
                .with_context(|| format!("{name} in {precision}, alone"))?;
            if run.through_server.contains(name) {
                let row = server::measure(run, name, folder, &spec, precision, &photographs)
                    .with_context(|| format!("{name} in {precision}, by way of the server"))?;
                println!("{}", serde_json::to_string(&row)?);
                measured.server.push(row);
            }
        }
        // Gigabytes each.
        if run.models_in.is_none() {
            std::fs::remove_dir_all(&spec.path)?;
        }
    }
    if let Some(file) = &run.json {
        std::fs::write(file, serde_json::to_vec_pretty(&measured)?).with_context(|| file.display().to_string())?;
    }
    table::print(&measured);
    Ok(())
}

/// Writes a model of this name, unless it is there from a run before.
fn model(name: &str, folder: &Path, tokenizer_of: &Path) -> anyhow::Result<ModelSpec> {
    let tiny = Transformer { width: 32, layers: 2, heads: 4 };
    let size = match name {
        "ViT-B/32" => Vit::B_32,
        "ViT-L/14" => Vit::L_14,
        "ViT-B/16" => Vit::B_16,
        // For tests of this program.
        "tiny" => Vit { image: 48, patch: 8, vision: tiny, text: tiny, dimension: 24 },
        other => anyhow::bail!("\"{other}\" is not a model; there are ViT-B/32, ViT-L/14, ViT-B/16 and tiny"),
    };
    let model = model_name(name);
    let path = folder.join(&model);
    if !path.join("onnx/text_model_fp16.onnx").exists() {
        size.write_whole(&path, tokenizer_of)?;
    }
    Ok(ModelSpec::read(&path, &ModelName::parse(&model)?)?)
}

/// As the server knows it.
fn model_name(name: &str) -> String {
    format!("random/{}", name.replace('/', "-"))
}

/// The first of the devices that the run names.
fn first_device(run: &Run) -> anyhow::Result<Device> {
    Ok(match run.device.parse()? {
        Devices::Each(devices) => devices[0],
        Devices::AllCuda => Device::Cuda(0),
    })
}

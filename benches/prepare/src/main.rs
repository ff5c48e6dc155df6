//! Measures how long it takes to make a model's input of a JPEG file, as the inference server does it, beside Pillow and
//! numpy: one process and one thread each, one after the other, in each round.
//!
//! ```text
//! speed      made files of 500 x 375 and of 12 megapixels
//! photos     cosines between vectors of scaled and of exact JPEG files
//! pillow     the Python process
//! ```
//!
//! Figures of one run can be compared with each other, not with those of another machine.

mod photos;
mod pillow;
mod speed;

use anyhow::Context;
use clap::Parser;
use clip::{Filter, ImageSpec, ModelName, ModelSpec, Normalize, Resize};
use measure::{Bound, Report, heading, processor};
use pillow::Pillow;
use std::path::PathBuf;
use std::process::ExitCode;

/// Pixels of a side of the input.
const EDGE: u32 = 224;

/// Who writes the tables in the docs, as the docs say.
const WRITER: &str = "benches/prepare/run --write";

/// Measures how fast clip_search prepares images for a model, beside Pillow.
#[derive(Parser)]
#[command(version)]
pub struct Run {
    /// A Python with Pillow and numpy.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// What that Python runs.
    #[arg(long, default_value = "benches/prepare/pillow.py")]
    script: PathBuf,
    /// Rounds with files of 500 x 375; half as many with those of 12 megapixels.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// A folder of photographs, for cosines between scaled and exact JPEG files.
    #[arg(long)]
    photos: Option<PathBuf>,
    /// The folder of a model; the one with random weights gets its tokenizer.
    #[arg(long, default_value = "models/clip-search/emoji")]
    model: PathBuf,
    /// The ONNX Runtime library, which `--photos` needs.
    #[arg(long, env = "CLIP_SEARCH_ONNXRUNTIME_LIBRARY", default_value = "target/setup/onnxruntime/libonnxruntime.so")]
    onnxruntime_library: PathBuf,
    /// Writes what was measured into this page.
    #[arg(long, num_args = 0..=1, default_missing_value = "docs/models.md")]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    measure::exit_code(env!("CARGO_PKG_NAME"), measure_all(&Run::parse()))
}

fn measure_all(run: &Run) -> anyhow::Result<bool> {
    let mut pillow = Pillow::start(&run.python, &run.script)?;
    let about = format!(
        "clip_search {} and {}, one thread each, on {}.",
        env!("CARGO_PKG_VERSION"),
        pillow.about(),
        processor()
    );
    println!("{about}");
    let (speed, ratios) = speed::measure(run, &image_spec(run)?, &mut pillow)?;
    heading("A JPEG file to the input of ViT-B/32");
    println!("{speed}");
    let photos = run.photos.as_deref().map(|folder| photos::measure(run, folder)).transpose()?;
    if let Some(photos) = &photos {
        heading("Vectors of scaled JPEG files beside exact ones");
        println!("{photos}");
    }
    if let Some(path) = &run.write {
        let mut page = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        page = measure::document::put(&page, WRITER, "speed", &format!("{about}\n\n{speed}"))?;
        if let Some(photos) = &photos {
            page = measure::document::put(&page, WRITER, "photographs", photos)?;
        }
        std::fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    let mut report = Report::default();
    report.limit("Pillow's time : ours, 500 x 375", ratios.small, Bound::AtLeast(1.6), "");
    report.limit("the same, 12 megapixels", ratios.large, Bound::AtLeast(1.3), "");
    report.limit("the same, scaled", ratios.large_scaled, Bound::AtLeast(3.0), "");
    Ok(report.print_limits())
}

/// The preprocessing of OpenAI's ViT-B/32.
fn image_spec(run: &Run) -> anyhow::Result<ImageSpec> {
    let known = ModelSpec::read(&run.model, &ModelName::parse("measured/model")?)?.image;
    Ok(ImageSpec {
        height: EDGE,
        width: EDGE,
        resize: Some(Resize::ShortestEdge(EDGE)),
        filter: Filter::Bicubic,
        center_crop: true,
        rescale: Some(1.0 / 255.0),
        normalize: Some(Normalize {
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
        }),
        ..known
    })
}

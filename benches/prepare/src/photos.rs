//! How near the vectors of scaled JPEG files are to exact ones, and what scaling gains, on photographs of a folder.

use crate::Run;
use anyhow::Context;
use clip::{
    Array3, Cancel, Device, ImageEncoder, Limits, ModelName, ModelSpec, Preprocessor, Reading, Runtime, SessionOptions,
};
use measure::{Vit, median, table};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A photograph that scaling changes.
struct Photo {
    bytes: Vec<u8>,
    exact: Array3<f32>,
    scaled: Array3<f32>,
    /// How many times as long the exact path takes.
    gain: f64,
}

/// A table in Markdown, of all JPEG files below a folder that are large enough to be scaled.
///
/// # Errors
/// Where a model cannot be made, loaded or run, or the folder has no such photograph.
pub fn measure(run: &Run, folder: &Path) -> anyhow::Result<String> {
    let runtime = Runtime::init(&run.onnxruntime_library)?;
    let made = tempfile::tempdir()?;
    let random = made.path().join("random/vit-base-patch32");
    Vit::B_32.write(&random, &run.model)?;
    let models = [(random.as_path(), "ViT-B/32, random weights"), (&run.model, "clip-search/emoji")];
    let mut files = Vec::new();
    find(folder, &mut files)?;
    let mut rows = Vec::new();
    for (path, name) in models {
        let spec = ModelSpec::read(path, &ModelName::parse("measured/model")?)?;
        let photos = files.iter().map(|file| photo(file, &spec)).collect::<anyhow::Result<Vec<_>>>()?;
        let photos: Vec<Photo> = photos.into_iter().flatten().collect();
        anyhow::ensure!(photos.len() > 1, "{}: there are no two photographs to scale", folder.display());
        let options = SessionOptions { device: Device::Cpu, ..SessionOptions::default() };
        let mut encoder = ImageEncoder::load(&spec, &options, &runtime)?;
        let mut embed = |input: &Array3<f32>| -> anyhow::Result<Vec<f32>> {
            encoder.embed(&[input.view()], &Cancel::new())?.pop().context("a vector for an image")
        };
        let exact = photos.iter().map(|photo| embed(&photo.exact)).collect::<anyhow::Result<Vec<_>>>()?;
        let scaled = photos.iter().map(|photo| embed(&photo.scaled)).collect::<anyhow::Result<Vec<_>>>()?;
        let cosines: Vec<f64> = exact.iter().zip(&scaled).map(|(a, b)| cosine(a, b)).collect();
        let next = exact.iter().cycle().skip(1);
        let others: Vec<f64> = exact.iter().zip(next).map(|(a, b)| cosine(a, b)).collect();
        let gains: Vec<f64> = photos.iter().map(|photo| photo.gain).collect();
        let megabytes = photos.iter().map(|photo| photo.bytes.len() as f64 / 1e6).collect::<Vec<_>>();
        rows.push([
            name.to_owned(),
            photos.len().to_string(),
            format!("{:.1}", median(&megabytes)),
            format!("{:.5}", cosines.iter().copied().fold(1.0, f64::min)),
            format!("{:.5}", median(&cosines)),
            format!("{:.3}", median(&others)),
            format!("{:.1}", median(&gains)),
        ]);
    }
    let head = [
        "",
        "photographs",
        "MB, median",
        "cosine, worst",
        "cosine, median",
        "of one to another photograph, median",
        "exact time : scaled time, median",
    ];
    Ok(table(head, rows).to_string())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| folder.display().to_string())?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        if kind.is_dir() {
            find(&path, files)?;
        } else if kind.is_file() && extension.is_some_and(|extension| extension == "jpg" || extension == "jpeg") {
            files.push(path);
        }
    }
    Ok(())
}

/// `None` where scaling changes nothing.
fn photo(file: &Path, spec: &ModelSpec) -> anyhow::Result<Option<Photo>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let time = |jpeg_scaling| -> anyhow::Result<(Array3<f32>, f64)> {
        let reading = Reading { jpeg_scaling, ..Reading::default() };
        let preprocessor = Preprocessor::new(spec).with_reading(reading);
        let start = Instant::now();
        let input = preprocessor.run(&bytes, &Limits::default()).with_context(|| file.display().to_string())?;
        Ok((input, start.elapsed().as_secs_f64()))
    };
    let ((exact, exact_seconds), (scaled, scaled_seconds)) = (time(false)?, time(true)?);
    let gain = exact_seconds / scaled_seconds;
    Ok((exact != scaled).then_some(Photo { bytes, exact, scaled, gain }))
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

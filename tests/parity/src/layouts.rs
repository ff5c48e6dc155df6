//! Models of each family in the layouts in which they are published, against the references: token ids and embeddings,
//! alone and in batches. tests/golden/make_layouts.py made the models, which are tiny and random, and the values.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use clip::{
    Cancel, Device, Gray16, ImageEncoder, Limits, LongText, ModelName, ModelSpec, Precision, Preprocessor, Reading,
    SessionOptions, TextEncoder, Tokenizer, Transparency,
};
use serde::Deserialize;

use crate::golden::{cosine, golden_dir, runtime};

/// The document with the table, relative to the repository.
pub const LAYOUTS_PATH: &str = "docs/models.md";

const BEGIN: &str = "<!-- begin: written by `make parity` -->\n";
const END: &str = "<!-- end: written by `make parity` -->\n";

/// A model and what its reference answers.
#[derive(Deserialize)]
pub struct LayoutModel {
    /// Such as `SigLIP 1`.
    pub family: String,
    /// How its files lie.
    pub layout: String,
    /// What it was compared with.
    pub reference: String,
    /// Texts with token ids and embeddings.
    pub texts: Vec<LayoutText>,
    /// Images with embeddings.
    pub images: Vec<LayoutImage>,
}

/// A text.
#[derive(Deserialize)]
pub struct LayoutText {
    /// The text.
    pub text: String,
    /// The reference's token ids, without padding.
    pub ids: Vec<u32>,
    /// The reference's embedding.
    pub embedding: Vec<f32>,
}

/// An image.
#[derive(Deserialize)]
pub struct LayoutImage {
    /// Name of a file in tests/golden/images.
    pub file: String,
    /// The reference's embedding.
    pub embedding: Vec<f32>,
}

/// What was found for one encoder.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    /// Inputs.
    pub count: usize,
    /// Smallest cosine with the reference.
    pub reference: f64,
    /// Smallest cosine between an input's vector alone and in a batch of all.
    pub batch: f64,
    /// Smallest cosine between different inputs: where all are alike, comparing proves nothing.
    pub spread: f64,
    /// The median of these cosines.
    pub median: f64,
}

/// Where the models lie.
pub fn layouts_dir() -> PathBuf {
    golden_dir().join("layouts")
}

/// All models, by name.
///
/// # Panics
/// If the golden values cannot be read: they are committed.
pub fn layout_models() -> &'static BTreeMap<String, LayoutModel> {
    static MODELS: OnceLock<BTreeMap<String, LayoutModel>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let json = std::fs::read(layouts_dir().join("golden.json")).expect("golden.json");
        serde_json::from_slice(&json).expect("golden.json")
    })
}

/// Reads a model's files.
///
/// # Errors
/// Those of [`ModelSpec::read`].
pub fn layout_spec(name: &str) -> clip::Result<ModelSpec> {
    let name = ModelName::parse(name)?;
    ModelSpec::read(&layouts_dir().join("models").join(name.as_str()), &name)
}

/// Tokenizes and embeds texts, alone and all together.
///
/// # Errors
/// If a text has other token ids than with the reference, or cannot be embedded.
pub fn compare_texts(spec: &ModelSpec, texts: &[LayoutText]) -> Result<Comparison> {
    let tokenizer = Tokenizer::load(spec)?;
    let mut ids = Vec::with_capacity(texts.len());
    for LayoutText { text, ids: wanted, .. } in texts {
        let found = tokenizer.encode(text, LongText::Truncate)?;
        ensure!(found == *wanted, "{}: {text:?} has the tokens {found:?}, not {wanted:?}", spec.name);
        ids.push(found);
    }
    let options = on_cpu(spec.choose(None)?.text);
    let mut encoder = TextEncoder::load(spec, &options, &runtime()?)?;
    let all: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let mut single = Vec::with_capacity(all.len());
    for ids in &all {
        single.push(encoder.embed(&[ids], &Cancel::new())?.swap_remove(0));
    }
    let together = encoder.embed(&all, &Cancel::new())?;
    let wanted: Vec<&[f32]> = texts.iter().map(|text| text.embedding.as_slice()).collect();
    Ok(compare(&single, &together, &wanted))
}

/// Embeds images, alone and all together.
///
/// # Errors
/// If an image cannot be embedded.
pub fn compare_images(spec: &ModelSpec, images: &[LayoutImage]) -> Result<Comparison> {
    let reading = Reading {
        transparency: Transparency::Drop,
        apply_orientation: false,
        gray16: Gray16::Pil,
        ..Reading::default()
    };
    let preprocessor = Preprocessor::new(spec).with_reading(reading);
    let options = on_cpu(spec.choose(None)?.image);
    let mut encoder = ImageEncoder::load(spec, &options, &runtime()?)?;
    let mut inputs = Vec::with_capacity(images.len());
    for image in images {
        let bytes = std::fs::read(golden_dir().join("images").join(&image.file))?;
        inputs.push(preprocessor.run(&bytes, &Limits::default())?);
    }
    let all: Vec<_> = inputs.iter().map(|input| input.view()).collect();
    let mut single = Vec::with_capacity(all.len());
    for input in &all {
        single.push(encoder.embed(&[*input], &Cancel::new())?.swap_remove(0));
    }
    let together = encoder.embed(&all, &Cancel::new())?;
    let wanted: Vec<&[f32]> = images.iter().map(|image| image.embedding.as_slice()).collect();
    Ok(compare(&single, &together, &wanted))
}

fn on_cpu(precision: Precision) -> SessionOptions {
    SessionOptions { device: Device::Cpu, threads: 1, precision, ..SessionOptions::default() }
}

fn compare(single: &[Vec<f32>], together: &[Vec<f32>], wanted: &[&[f32]]) -> Comparison {
    let pairs = (0..wanted.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let mut between: Vec<f64> = pairs.map(|(a, b)| cosine(wanted[a], wanted[b])).collect();
    between.sort_by(f64::total_cmp);
    Comparison {
        count: wanted.len(),
        reference: single.iter().zip(wanted).map(|(a, b)| cosine(a, b)).fold(1.0, f64::min),
        batch: single.iter().zip(together).map(|(a, b)| cosine(a, b)).fold(1.0, f64::min),
        spread: between[0],
        median: between[between.len() / 2],
    }
}

/// The table of all models.
///
/// # Errors
/// If one cannot be compared.
pub fn layout_table() -> Result<String> {
    let mut table = String::new();
    let _ = writeln!(
        table,
        "| Family | Layout | Compared with | Texts, worst cosine | in batches | Images, worst cosine | in batches |"
    );
    let _ = writeln!(table, "|---|---|---|---|---|---|---|");
    for (name, model) in layout_models() {
        let spec = layout_spec(name)?;
        let (texts, images) = (compare_texts(&spec, &model.texts)?, compare_images(&spec, &model.images)?);
        let cell = |found: Comparison| format!("{}: {:.7} | {:.7}", found.count, found.reference, found.batch);
        let LayoutModel { family, layout, reference, .. } = model;
        let _ = writeln!(table, "| {family} | {layout} | {reference} | {} | {} |", cell(texts), cell(images));
    }
    Ok(table)
}

/// The rows of a document's table, without what was measured.
pub fn layout_promises(document: &str) -> Vec<String> {
    let (_, rest) = document.split_once(BEGIN).unwrap_or_default();
    let (table, _) = rest.split_once(END).unwrap_or_default();
    let row = |line: &str| line.split('|').take(4).collect::<Vec<_>>().join("|");
    table.lines().filter(|line| line.starts_with("| ")).map(row).collect()
}

/// A document with this table in the place of its own.
///
/// # Errors
/// If it has not the two marks.
pub fn put_layouts(table: &str, document: &str) -> Result<String> {
    let missing = || format!("{LAYOUTS_PATH} has not both of {BEGIN:?} and {END:?}");
    let (before, rest) = document.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

//! PyTorch weights of CLIP and SigLIP models, as the Hugging Face hub has them, to ONNX graphs that ONNX Runtime runs
//! fast. No Python, and nothing of a file is executed.
//!
//! ```text
//! config.json            model.safetensors, its shards, or pytorch_model.bin           transformers: CLIPModel, SiglipModel
//! open_clip_config.json  open_clip_model.safetensors or open_clip_pytorch_model.bin    open_clip: ViTs
//!     ↓
//! onnx/text_model.onnx   input_ids (batch, sequence)               → text_embeds (batch, dimension)
//! onnx/vision_model.onnx pixel_values (batch, 3, height, width)    → image_embeds (batch, dimension)
//! ```
//!
//! Configurations, names, shapes and lengths are checked before anything is allocated or written; what is not known is
//! refused by name. A conversion holds a few megabytes of a tensor at a time.

mod error;
mod files;
mod graph;
mod layout;
mod model;
mod onnx;
mod quantize;
mod source;

use std::path::Path;

pub use error::{Error, Result};
pub use onnx::Precision;
pub use quantize::{Levels, Quantized, observe, quantize, take_levels};

/// Folder of the graphs.
const FOLDER: &str = "onnx";
/// Most bytes of weights in a graph's own file. A protocol buffer ends at 2 GiB.
const MAX_INSIDE: u64 = 2_000_000_000;

/// How graphs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Type of the numbers. The files of 16 bits have `_fp16` behind their name.
    pub precision: Precision,
    /// Weights of more bytes than this are written to a second file, `….onnx_data`.
    pub max_inside: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { precision: Precision::F32, max_inside: MAX_INSIDE }
    }
}

/// What was converted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Kind of the model and its layout, such as `CLIP (transformers)`.
    pub family: &'static str,
    /// Values of an embedding.
    pub dimension: usize,
    /// Tokens of a text, start and end included.
    pub context_length: usize,
    /// Height and width of an image in pixels.
    pub image_size: (usize, usize),
    /// Number of weights of both encoders.
    pub parameters: u64,
    /// Types of the weights as they were, such as `F16`.
    pub weight_types: Vec<String>,
    /// Factor on cosine similarities before a softmax or sigmoid.
    pub logit_scale: Option<f64>,
    /// What is added to scaled similarities before a sigmoid.
    pub logit_bias: Option<f64>,
    /// The files that were written, relative to the target.
    pub files: Vec<String>,
    /// Bytes of the graphs and their weights.
    pub bytes: u64,
    /// False where the target has no `tokenizer.json`: texts cannot be embedded then.
    pub has_tokenizer: bool,
}

/// Converts the model of a directory to ONNX graphs of 32 bits in another, or in the same.
///
/// The target gets `onnx/text_model.onnx` and `onnx/vision_model.onnx`, with `….onnx_data` where a file would pass 2 GB,
/// and beside them the configuration and tokenizer of the source, where it lacks them. What it has of the latter is left
/// as it is; graphs are replaced.
///
/// # Errors
/// [`Error::NoWeights`] and [`Error::Unsupported`] where the source is not of a kind that is known; [`Error::BadFile`],
/// [`Error::MissingTensor`], [`Error::UnexpectedTensor`], [`Error::Shape`] and [`Error::BadTensor`] where its files do not
/// fit each other; [`Error::Write`] for the target.
pub fn convert(source: &Path, target: &Path) -> Result<Report> {
    convert_with(source, target, &Options::default())
}

/// As [`convert`], with options.
///
/// # Errors
/// As [`convert`].
pub fn convert_with(source: &Path, target: &Path, options: &Options) -> Result<Report> {
    let model = layout::read(source)?;
    let (precision, max) = (options.precision, options.max_inside);
    let suffix = if precision == Precision::F16 { "_fp16" } else { "" };
    let text = graph::text(&model.text, precision);
    let text = onnx::write(text, target, FOLDER, &format!("text_model{suffix}"), max)?;
    let image = graph::image(&model.image, precision);
    let image = onnx::write(image, target, FOLDER, &format!("vision_model{suffix}"), max)?;
    let (bytes, parameters) = (text.bytes + image.bytes, text.parameters + image.parameters);
    let mut files = files::complete(source, target, &model)?;
    files.extend(text.rename()?);
    files.extend(image.rename()?);
    files.sort();
    Ok(Report {
        family: model.family,
        dimension: model.text.dimension,
        context_length: model.text.context,
        image_size: (model.image.size.height, model.image.size.width),
        parameters,
        weight_types: model.dtypes,
        logit_scale: model.logit_scale.map(|scale| f64::from(scale).exp()),
        logit_bias: model.logit_bias.map(f64::from),
        files,
        bytes,
        has_tokenizer: target.join("tokenizer.json").is_file(),
    })
}

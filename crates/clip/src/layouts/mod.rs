//! Where a directory keeps the parts of its model: each layout is one file, which finds its own or says "not mine".
//!
//! ```text
//! hf_onnx      config.json, tokenizer.json, {onnx/,}{text,vision}_model*.onnx         Transformers.js, optimum's split export
//! open_clip    config.json, textual/model.onnx, visual/model.onnx                       immich
//!              open_clip_config.json, text.onnx, visual.onnx
//! pair         {text,vision}/config.json, {text,vision}/model*.onnx                     Qdrant's pairs of repositories
//! single_file  config.json, tokenizer.json, {onnx/,}model*.onnx with both inputs        optimum's default export
//! ```

mod graph_file;
mod hf_onnx;
mod open_clip;
mod pair;
mod single_file;

pub(crate) use graph_file::GraphFile;

use crate::device::Precision;
use crate::error::Result;
use crate::spec::{Modality, ModelDir};

/// The parts of a model in its directory. Files are relative to the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The encoders' graphs, by precision, the most exact first; empty only where a model server runs the encoder.
    pub text: Vec<(Precision, String)>,
    pub image: Vec<(Precision, String)>,
    /// The folder of the tokenizer's files: empty or ending in `/`.
    pub text_folder: &'static str,
    /// The folder of transformers' preprocessor_config.json: empty or ending in `/`.
    pub image_folder: &'static str,
    pub settings: Settings,
}

/// Whose settings describe the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settings {
    /// config.json and preprocessor_config.json of transformers.
    Transformers,
    /// open_clip's configuration: that of a model, in config.json, and visual/preprocess_cfg.json.
    Immich,
    /// open_clip_config.json.
    OpenClip,
}

/// File names of a model that its configuration is read from: a directory that has one may be a model.
pub(crate) const CONFIGURATIONS: [&str; 3] = ["config.json", "open_clip_config.json", pair::CONFIGURATION];

impl Layout {
    /// Finds the parts of a model.
    ///
    /// # Errors
    /// [`crate::Error::BadModel`] where no layout is that of the directory.
    pub fn find(dir: &ModelDir, remote: &remote::Config) -> Result<Layout> {
        // With a graph at least, and then without any.
        for allow_none in [false, true] {
            let elsewhere = Elsewhere { text: remote.text.is_some(), image: remote.image.is_some(), allow_none };
            for layout in [hf_onnx::find, open_clip::find, pair::find, single_file::find] {
                if let Some(found) = layout(dir, elsewhere) {
                    return Ok(found);
                }
            }
        }
        Err(dir.bad("onnx", missing(dir)))
    }

    /// A model with transformers' settings at the root.
    fn new(text: Vec<(Precision, String)>, image: Vec<(Precision, String)>) -> Layout {
        Layout { text, image, text_folder: "", image_folder: "", settings: Settings::Transformers }
    }

    /// A model without encoders.
    pub fn none() -> Layout {
        Layout::new(Vec::new(), Vec::new())
    }

    pub fn files(&self, modality: Modality) -> &[(Precision, String)] {
        match modality {
            Modality::Text => &self.text,
            Modality::Image => &self.image,
        }
    }
}

/// Which encoders need no graph here, since a model server runs them.
#[derive(Debug, Clone, Copy)]
struct Elsewhere {
    text: bool,
    image: bool,
    /// Whether a directory without any graph is taken.
    allow_none: bool,
}

impl Elsewhere {
    /// Whether all graphs are there that have to be.
    fn is_whole<T>(self, text: &[T], image: &[T]) -> bool {
        (self.text || !text.is_empty())
            && (self.image || !image.is_empty())
            && (self.allow_none || !text.is_empty() || !image.is_empty())
    }
}

/// Why a directory is no model that can be run, as far as its files tell.
fn missing(dir: &ModelDir) -> &'static str {
    const WEIGHTS: [&str; 5] = [
        "model.safetensors",
        "pytorch_model.bin",
        "model.safetensors.index.json",
        "pytorch_model.bin.index.json",
        "open_clip_model.safetensors",
    ];
    if WEIGHTS.iter().any(|file| dir.is_file(file)) {
        "it has weights of PyTorch and no ONNX graphs"
    } else if hf_onnx::has_one(dir) {
        "one of text_model.onnx and vision_model.onnx is missing, in any precision"
    } else if single_file::has_one_encoder(dir) {
        "model.onnx has one of the two encoders: the other is in a repository of its own (docs/models.md)"
    } else {
        "there are no text_model.onnx and vision_model.onnx, in any precision"
    }
}

/// The precisions of which a file exists, with the file, the most exact first.
fn precisions(dir: &ModelDir, stem: &str) -> Vec<(Precision, String)> {
    let files = Precision::ALL.into_iter().map(|precision| (precision, format!("{stem}{}.onnx", precision.suffix())));
    files.filter(|(_, file)| dir.is_file(file)).collect()
}

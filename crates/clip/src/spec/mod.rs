//! What a model directory says about the model.
//!
//! ```text
//! config.json               dimension, context length, input size of the image encoder
//! preprocessor_config.json  resizing, cropping, mean and deviation
//! tokenizer.json            the tokenizer, and with tokenizer_config.json the ids of its special tokens
//! onnx/text_model.onnx      onnx/vision_model.onnx      and, for other precisions, …_fp16.onnx, …_int8.onnx, …
//! ```

mod config;
mod files;
mod preprocessor;
mod tokens;

use std::path::{Path, PathBuf};

pub(crate) use files::{MAX_TOKENIZER, read as read_file};
pub use preprocessor::{Filter, ImageSpec, Normalize, Resize};
pub use tokens::TokenIds;

use crate::device::Precision;
use crate::error::{Error, Result};
use crate::name::ModelName;
use files::ModelDir;

/// Everything that the model's files say, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// Name of the model.
    pub name: ModelName,
    /// Its directory.
    pub path: PathBuf,
    /// `model_type` of config.json, `clip` where it is missing.
    pub model_type: String,
    /// Number of values of an embedding (`projection_dim`).
    pub dimension: usize,
    /// Most tokens of a text, start and end tokens included (`max_position_embeddings`).
    pub context_length: usize,
    /// How an image becomes the input of the image encoder.
    pub image: ImageSpec,
    /// Factor on cosine similarities before a softmax, the exponential of the learned value, where config.json has a
    /// number `logit_scale` at its top level.
    pub logit_scale: Option<f64>,
    /// Ids of the special tokens.
    pub tokens: TokenIds,
    /// Bytes of all files in the directory and its subdirectories.
    pub size_on_disk: u64,
    precisions: Vec<Precision>,
}

/// Length and modification of each file of an encoder.
pub type EncoderStamp = Vec<(u64, Option<std::time::SystemTime>)>;

/// The two halves of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Modality {
    /// The encoder that reads token ids.
    Text,
    /// The encoder that reads pixels.
    Image,
}

impl Modality {
    /// `text` or `image`.
    pub fn name(self) -> &'static str {
        match self {
            Modality::Text => "text",
            Modality::Image => "image",
        }
    }
}

impl ModelSpec {
    /// Reads and checks the model in a directory. Nothing is loaded.
    ///
    /// # Errors
    /// [`Error::BadModel`] with the file at fault.
    pub fn read(directory: &Path, name: &ModelName) -> Result<ModelSpec> {
        let dir = ModelDir::new(directory, name);
        let config = config::read(&dir)?;
        let image = preprocessor::read(&dir, &config)?;
        let tokens = tokens::read(&dir, &config)?;
        let precisions: Vec<Precision> = Precision::ALL
            .into_iter()
            .filter(|precision| {
                let has = |modality| dir.is_file(&onnx_file(modality, *precision));
                has(Modality::Text) && has(Modality::Image)
            })
            .collect();
        if precisions.is_empty() {
            let reason = "there are no text_model.onnx and vision_model.onnx, in any precision";
            return Err(dir.bad("onnx", reason));
        }
        Ok(ModelSpec {
            name: name.clone(),
            path: directory.to_owned(),
            dimension: config.dimension,
            context_length: config.context_length,
            logit_scale: config.logit_scale,
            model_type: config.model_type,
            image,
            tokens,
            size_on_disk: dir.size(),
            precisions,
        })
    }

    /// The precisions of which both ONNX files exist, the most exact first; never empty.
    pub fn precisions(&self) -> &[Precision] {
        &self.precisions
    }

    /// True where a token sees only the tokens before it and the text is read off at its end token, so that padding
    /// behind the end token changes nothing. That is CLIP; SigLIP, for one, was trained with padding and needs it.
    pub fn is_causal(&self) -> bool {
        self.model_type == "clip"
    }

    /// Hexadecimal hash, 32 digits, of the contents of all files that decide the vectors in this precision. Two models
    /// with the same fingerprint answer the same.
    ///
    /// Reads all of these files (about a second per gigabyte): call it once and keep the answer.
    ///
    /// # Errors
    /// [`Error::NoSuchPrecision`]; [`Error::BadModel`] where a file cannot be read.
    pub fn fingerprint(&self, precision: Precision) -> Result<String> {
        self.check_precision(precision)?;
        let dir = ModelDir::new(&self.path, &self.name);
        let mut files: Vec<String> = files::SETTINGS.map(str::to_owned).into();
        for modality in [Modality::Text, Modality::Image] {
            files.extend(dir.with_external_data(&onnx_file(modality, precision))?);
        }
        dir.fingerprint(&files)
    }

    /// Bytes of the files of one encoder in this precision, weights beside the ONNX file included; 0 where they cannot be
    /// found.
    pub fn encoder_size(&self, modality: Modality, precision: Precision) -> u64 {
        let dir = ModelDir::new(&self.path, &self.name);
        let files = dir.with_external_data(&onnx_file(modality, precision)).unwrap_or_default();
        files.iter().filter_map(|file| Some(std::fs::metadata(self.path.join(file)).ok()?.len())).sum()
    }

    /// Tells whether the files of one encoder were changed or replaced; `None` where its ONNX file is not a regular file.
    pub fn encoder_stamp(&self, modality: Modality, precision: Precision) -> Option<EncoderStamp> {
        let dir = ModelDir::new(&self.path, &self.name);
        let file = onnx_file(modality, precision);
        let about = |file: &String| std::fs::metadata(self.path.join(file)).ok();
        about(&file).filter(std::fs::Metadata::is_file)?;
        let files = dir.with_external_data(&file).unwrap_or_default();
        Some(files.iter().filter_map(about).map(|about| (about.len(), about.modified().ok())).collect())
    }

    /// An ONNX file of this precision, relative to the model's directory.
    ///
    /// # Errors
    /// [`Error::NoSuchPrecision`].
    pub fn onnx_file(&self, modality: Modality, precision: Precision) -> Result<String> {
        self.check_precision(precision)?;
        Ok(onnx_file(modality, precision))
    }

    /// A [`Error::BadModel`] of this model. Where it lies on the disk, which ONNX Runtime says, is left out: it is not for
    /// everybody who may embed.
    pub(crate) fn bad(&self, file: &str, reason: impl Into<String>) -> Error {
        let reason = reason.into().replace(&format!("{}/", self.path.display()), "");
        Error::BadModel { model: self.name.to_string(), file: file.to_owned(), reason }
    }

    fn check_precision(&self, precision: Precision) -> Result<()> {
        if self.precisions.contains(&precision) {
            return Ok(());
        }
        Err(Error::NoSuchPrecision {
            model: self.name.to_string(),
            precision: precision.to_string(),
            available: self.precisions.iter().map(Precision::to_string).collect(),
        })
    }
}

fn onnx_file(modality: Modality, precision: Precision) -> String {
    let file = match modality {
        Modality::Text => "text_model",
        Modality::Image => "vision_model",
    };
    format!("onnx/{file}{}.onnx", precision.suffix())
}

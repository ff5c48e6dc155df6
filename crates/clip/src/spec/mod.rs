//! What a model directory says about the model. Where its parts are is for [`crate::layouts`].
//!
//! ```text
//! config        config.json of transformers     dimension, context length, input size of the image encoder
//! open_clip     open_clip's configuration       the same
//! preprocessor  preprocessor_config.json        resizing, cropping, mean and deviation, as the processor's class means them
//! tokens        tokenizer.json and kin          ids of the special tokens, the family's padding and cleaning
//! ```

mod config;
mod files;
mod open_clip;
mod preprocessor;
mod processor_class;
mod tokens;

use std::path::{Path, PathBuf};

pub(crate) use files::{MAX_TOKENIZER, ModelDir, read as read_file};
pub use preprocessor::{CropRounding, Filter, ImageSpec, Normalize, Resize};
pub use tokens::TokenIds;
pub(crate) use tokens::{TextFamily, TextSpec};

use crate::device::{Precision, Precisions};
use crate::error::{Error, Result};
use crate::layouts::{Layout, Settings};
use crate::name::ModelName;

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
    /// Most tokens of a text, start and end tokens included: what the text encoder has positions for, or less where the
    /// tokenizer says so.
    pub context_length: usize,
    /// How an image becomes the input of the image encoder.
    pub image: ImageSpec,
    /// Factor on cosine similarities before a softmax, the exponential of the learned value, where config.json has a
    /// number `logit_scale` at its top level.
    pub logit_scale: Option<f64>,
    /// Added to scaled similarities before SigLIP's sigmoid, where config.json has a number `logit_bias`.
    pub logit_bias: Option<f64>,
    /// Ids of the special tokens.
    pub tokens: TokenIds,
    /// Bytes of all files in the directory and its subdirectories.
    pub size_on_disk: u64,
    pub(crate) text: TextSpec,
    /// Most tokens that the text encoder has positions for, where the files say.
    pub(crate) positions: Option<usize>,
    layout: Layout,
    /// Those of which both encoders have a file.
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
        // A configuration that cannot be read is told first: it says most about what went wrong.
        let layout = Layout::find(&dir);
        let files = layout.clone().unwrap_or_else(|_| Layout::none());
        let settings = files.settings;
        let config = match settings {
            Settings::Transformers => config::read(&dir, &files)?,
            Settings::Immich | Settings::OpenClip => open_clip::read(&dir, settings)?,
        };
        let image = preprocessor::read(&dir, &config, &files)?;
        let (tokens, text) = tokens::read(&dir, &config, &files)?;
        let layout = layout?;
        let has = |modality, precision| layout.files(modality).iter().any(|(found, _)| *found == precision);
        let both = |precision: &Precision| has(Modality::Text, *precision) && has(Modality::Image, *precision);
        Ok(ModelSpec {
            name: name.clone(),
            path: directory.to_owned(),
            dimension: config.dimension,
            context_length: text.context_length,
            logit_scale: config.logit_scale,
            logit_bias: config.logit_bias,
            model_type: config.model_type,
            image,
            tokens,
            text,
            positions: config.positions,
            size_on_disk: dir.size(),
            precisions: Precision::ALL.into_iter().filter(both).collect(),
            layout,
        })
    }

    /// The precisions of which both encoders have a file, the most exact first.
    pub fn precisions(&self) -> &[Precision] {
        &self.precisions
    }

    /// The precision of each encoder: the one that is wanted, or the most exact of those that both have, or, where they have
    /// none in common, the most exact of each.
    ///
    /// # Errors
    /// [`Error::NoSuchPrecision`] where an encoder has no file of the one that is wanted.
    pub fn choose(&self, wanted: Option<Precision>) -> Result<Precisions> {
        let most_exact = |modality| self.layout.files(modality)[0].0;
        match wanted.or(self.precisions.first().copied()) {
            Some(precision) if self.precisions.contains(&precision) => Ok(precision.into()),
            Some(precision) => Err(self.no_such_precision(precision, self.available())),
            None => Ok(Precisions { text: most_exact(Modality::Text), image: most_exact(Modality::Image) }),
        }
    }

    /// What [`ModelSpec::choose`] may choose from.
    fn available(&self) -> Vec<String> {
        if !self.precisions.is_empty() {
            return self.precisions.iter().map(Precision::to_string).collect();
        }
        let of = |modality: Modality| {
            let names = self
                .layout
                .files(modality)
                .iter()
                .map(move |(precision, _)| format!("{} {precision}", modality.name()));
            names.collect::<Vec<_>>()
        };
        [of(Modality::Text), of(Modality::Image)].concat()
    }

    fn no_such_precision(&self, precision: Precision, available: Vec<String>) -> Error {
        Error::NoSuchPrecision { model: self.name.to_string(), precision: precision.to_string(), available }
    }

    /// Hexadecimal hash, 32 digits, of the contents of all files that decide the vectors in this precision. Two models
    /// with the same fingerprint answer the same.
    ///
    /// Reads all of these files (about a second per gigabyte): call it once and keep the answer.
    ///
    /// # Errors
    /// [`Error::NoSuchPrecision`]; [`Error::BadModel`] where a file cannot be read.
    pub fn fingerprint(&self, precisions: impl Into<Precisions>) -> Result<String> {
        let precisions = precisions.into();
        let dir = ModelDir::new(&self.path, &self.name);
        let mut folders = match self.layout.settings {
            Settings::Transformers => vec![self.layout.text_folder, self.layout.image_folder],
            Settings::Immich | Settings::OpenClip => vec![""],
        };
        folders.dedup();
        let settings = folders.iter().flat_map(|folder| files::SETTINGS.map(|file| format!("{folder}{file}")));
        let mut files: Vec<String> = settings.collect();
        files.extend(files::OTHER_SETTINGS.iter().filter(|file| self.reads(file, &dir)).map(|file| (*file).to_owned()));
        for modality in [Modality::Text, Modality::Image] {
            files.extend(dir.with_external_data(&self.onnx_file(modality, precisions.of(modality))?)?);
        }
        dir.fingerprint(&files)
    }

    /// Whether a settings file that not all layouts have decides vectors of this model.
    fn reads(&self, file: &str, dir: &ModelDir) -> bool {
        let is_vocabulary = file == "vocab.json" || file.ends_with("merges.txt");
        let is_used = match self.layout.settings {
            _ if is_vocabulary => self.text.merges.is_some(),
            Settings::Transformers => false,
            Settings::Immich | Settings::OpenClip => true,
        };
        is_used && dir.is_file(file)
    }

    /// Bytes of the files of one encoder in this precision, weights beside the ONNX file included; 0 where they cannot be
    /// found.
    pub fn encoder_size(&self, modality: Modality, precision: Precision) -> u64 {
        let files = self.encoder_files(modality, precision).unwrap_or_default();
        files.iter().filter_map(|file| Some(std::fs::metadata(self.path.join(file)).ok()?.len())).sum()
    }

    /// Tells whether the files of one encoder were changed or replaced; `None` where its ONNX file is not a regular file.
    pub fn encoder_stamp(&self, modality: Modality, precision: Precision) -> Option<EncoderStamp> {
        let about = |file: &String| std::fs::metadata(self.path.join(file)).ok();
        about(&self.onnx_file(modality, precision).ok()?).filter(std::fs::Metadata::is_file)?;
        let files = self.encoder_files(modality, precision).unwrap_or_default();
        Some(files.iter().filter_map(about).map(|about| (about.len(), about.modified().ok())).collect())
    }

    fn encoder_files(&self, modality: Modality, precision: Precision) -> Result<Vec<String>> {
        ModelDir::new(&self.path, &self.name).with_external_data(&self.onnx_file(modality, precision)?)
    }

    /// An ONNX file of this precision, relative to the model's directory.
    ///
    /// # Errors
    /// [`Error::NoSuchPrecision`].
    pub fn onnx_file(&self, modality: Modality, precision: Precision) -> Result<String> {
        let files = self.layout.files(modality);
        let found = files.iter().find(|(found, _)| *found == precision);
        let available = || files.iter().map(|(precision, _)| precision.to_string()).collect();
        found.map(|(_, file)| file.clone()).ok_or_else(|| self.no_such_precision(precision, available()))
    }

    /// A [`Error::BadModel`] of this model. Where it lies on the disk, which ONNX Runtime says, is left out: it is not for
    /// everybody who may embed.
    pub(crate) fn bad(&self, file: &str, reason: impl Into<String>) -> Error {
        let reason = reason.into().replace(&format!("{}/", self.path.display()), "");
        files::bad_model(&self.path, &self.name, file, reason)
    }
}

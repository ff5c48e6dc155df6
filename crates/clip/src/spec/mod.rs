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
use crate::layouts::{GraphFile, Layout, Settings};
use crate::name::ModelName;
use crate::session::{Role, output_names};

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
    /// The encoders that a model server runs.
    pub remote: remote::Config,
    layout: Layout,
    /// Those of which each encoder that runs here has a file.
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

fn of(remote: &remote::Config, modality: Modality) -> Option<&remote::EncoderConfig> {
    match modality {
        Modality::Text => remote.text.as_ref(),
        Modality::Image => remote.image.as_ref(),
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
        let remote = dir.remote()?;
        let layout = Layout::find(&dir, &remote);
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
        let mut here = vec![Modality::Text, Modality::Image];
        here.retain(|modality| of(&remote, *modality).is_none());
        let each = |precision: &Precision| !here.is_empty() && here.iter().all(|modality| has(*modality, *precision));
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
            remote,
            precisions: Precision::ALL.into_iter().filter(each).collect(),
            layout,
        })
    }

    /// Where an encoder is, if a model server runs it.
    pub fn remote(&self, modality: Modality) -> Option<&remote::EncoderConfig> {
        of(&self.remote, modality)
    }

    fn runs_here(&self, modality: Modality) -> bool {
        self.remote(modality).is_none()
    }

    /// The precisions of which both encoders have a file, the most exact first; where one is remote, those of the other.
    pub fn precisions(&self) -> &[Precision] {
        &self.precisions
    }

    /// The precision of each encoder: the one that is wanted, or the most exact of those that both have, or, where they have
    /// none in common, the most exact of each. It means nothing for an encoder that is remote.
    ///
    /// # Errors
    /// [`Error::NoSuchPrecision`] where an encoder has no file of the one that is wanted.
    pub fn choose(&self, wanted: Option<Precision>) -> Result<Precisions> {
        if !self.runs_here(Modality::Text) && !self.runs_here(Modality::Image) {
            return Ok(Precision::default().into());
        }
        let most_exact =
            |modality| self.layout.files(modality).first().map(|(precision, _)| *precision).unwrap_or_default();
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

    /// The precisions as an administrator reads them.
    pub fn describe(&self, precisions: Precisions) -> String {
        let one = |modality| match self.remote(modality) {
            Some(_) => "remote".to_owned(),
            None => precisions.of(modality).to_string(),
        };
        let (text, image) = (one(Modality::Text), one(Modality::Image));
        if text == image { text } else { format!("text {text}, image {image}") }
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
        let mut served = String::new();
        for modality in [Modality::Text, Modality::Image] {
            match self.remote(modality) {
                None => files.extend(dir.with_external_data(&self.onnx_file(modality, precisions.of(modality))?)?),
                // Not where it is: the same model on another machine has the same vectors.
                Some(remote::EncoderConfig { model, version, datatype, .. }) => {
                    served += &format!("{} {model:?} {version:?} {datatype:?}\n", modality.name());
                }
            }
        }
        dir.fingerprint(&files, &served)
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
        if !self.runs_here(modality) {
            return 0;
        }
        let files = self.encoder_files(modality, precision).unwrap_or_default();
        files.iter().filter_map(|file| Some(std::fs::metadata(self.path.join(file)).ok()?.len())).sum()
    }

    /// Tells whether the files of one encoder were changed or replaced; `None` where its ONNX file is not a regular file.
    pub fn encoder_stamp(&self, modality: Modality, precision: Precision) -> Option<EncoderStamp> {
        let about = |file: &String| std::fs::metadata(self.path.join(file)).ok();
        if !self.runs_here(modality) {
            let about = about(&remote::FILE.to_owned())?;
            return Some(vec![(about.len(), about.modified().ok())]);
        }
        about(&self.onnx_file(modality, precision).ok()?).filter(std::fs::Metadata::is_file)?;
        let files = self.encoder_files(modality, precision).unwrap_or_default();
        Some(files.iter().filter_map(about).map(|about| (about.len(), about.modified().ok())).collect())
    }

    /// An encoder's ONNX file and its weights beside it, relative to the model's directory.
    ///
    /// # Errors
    /// [`Error::NoSuchPrecision`]; [`Error::BadModel`] where the folder cannot be read.
    pub fn encoder_files(&self, modality: Modality, precision: Precision) -> Result<Vec<String>> {
        ModelDir::new(&self.path, &self.name).with_external_data(&self.onnx_file(modality, precision)?)
    }

    /// The names of the inputs of an encoder's graph, and of its output that has the embeddings.
    ///
    /// # Errors
    /// [`Error::NoSuchPrecision`]; [`Error::BadModel`] where the graph has other inputs, such as those of both encoders, or no
    /// output of a known name.
    pub fn graph_names(&self, modality: Modality, precision: Precision) -> Result<(Vec<String>, String)> {
        let file = self.onnx_file(modality, precision)?;
        let graph = GraphFile::read(&self.path.join(&file)).map_err(|reason| self.bad(&file, reason))?;
        let is_own = |input: &&String| Role::of(input).is_some_and(|role| role.modality() == modality);
        if let Some(other) = graph.inputs.iter().find(|input| !is_own(input)) {
            return Err(
                self.bad(&file, format!("it has an input {other}, which is not of the {} encoder", modality.name()))
            );
        }
        let output = output_names(modality).iter().find(|name| graph.outputs.contains(**name));
        let output = output.ok_or_else(|| self.bad(&file, "none of its outputs is known as the embeddings"))?;
        Ok((graph.inputs.into_iter().collect(), (*output).to_owned()))
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

//! Layouts of a model's repository: its configuration and the names of its tensors.

mod config;
mod open_clip;
mod timm;
mod transformers;

use std::path::Path;

use crate::error::{Error, Result};
use crate::model::{ImageModel, TextModel};
use crate::source::Weights;

/// A model in the terms that all families share, and what its reader needs to know.
#[derive(Debug)]
pub(crate) struct Model {
    /// Such as `CLIP, openai layout`.
    pub family: &'static str,
    pub text: TextModel,
    pub image: ImageModel,
    /// The logarithm of the factor on cosine similarities, as it was trained.
    pub logit_scale: Option<f32>,
    /// What is added to scaled similarities before a sigmoid.
    pub logit_bias: Option<f32>,
    /// Types of the weights.
    pub dtypes: Vec<String>,
    /// Files that the layout lacks and our reader needs, with their contents.
    pub files: Vec<(&'static str, serde_json::Value)>,
}

/// Reads the configuration and the directory of the weights.
pub(crate) fn read(source: &Path) -> Result<Model> {
    let found = transformers::read(source)?;
    let found = match found {
        Some(model) => Some(model),
        None => open_clip::read(source)?,
    };
    found.ok_or_else(|| {
        let has = |file: &str| source.join(file).exists();
        let reason = match (has(transformers::CONFIG), has(open_clip::CONFIG)) {
            (false, false) => format!("there is no {} and no {}", transformers::CONFIG, open_clip::CONFIG),
            (true, false) => format!("there is no {}", transformers::WEIGHTS.join(", no ")),
            (_, true) => format!("there is no {}", open_clip::WEIGHTS.join(", no ")),
        };
        Error::NoWeights { reason }
    })
}

/// True for the config.json of timm, which some repositories of open_clip have beside timm's image encoder.
pub(crate) fn is_of_timm(config: &serde_json::Value) -> bool {
    config.get("model_type").is_none() && config.get("architecture").is_some()
}

/// Names of the tensors that many layouts have and no graph needs: counters of positions that are the same in every model.
fn is_position_ids(name: &str) -> bool {
    name.ends_with("embeddings.position_ids")
}

/// The logarithm of the scale and the bias of the logits, where the weights have them.
fn logits(weights: &mut Weights) -> Result<(Option<f32>, Option<f32>)> {
    Ok((weights.scalar("logit_scale")?, weights.scalar("logit_bias")?))
}

/// Adds to a config.json what no configuration says and the weights do: the factor on similarities, and the bias.
pub(crate) fn add_logits(config: &mut serde_json::Value, logit_scale: Option<f32>, logit_bias: Option<f32>) {
    let Some(config) = config.as_object_mut() else { return };
    let scale = logit_scale.map(|scale| f64::from(scale).exp());
    for (key, value) in [("logit_scale", scale), ("logit_bias", logit_bias.map(f64::from))] {
        if let Some(value) = value {
            config.insert(key.to_owned(), value.into());
        }
    }
}

//! open_clip's configuration: that of a model, and of its preprocessing.

use serde::Deserialize;
use serde_json::Value;

use super::config::{Config, bounded, image_size};
use super::files::ModelDir;
use crate::error::Result;
use crate::layouts::Settings;
use crate::text::Cleaning;

/// The preprocessing, where it is a file of its own.
pub(super) const PREPROCESS: &str = "visual/preprocess_cfg.json";

#[derive(Deserialize)]
struct Whole {
    model_cfg: Model,
    preprocess_cfg: Option<Value>,
}

#[derive(Deserialize)]
struct Model {
    embed_dim: Option<u64>,
    #[serde(default)]
    text_cfg: Text,
    #[serde(default)]
    vision_cfg: Vision,
}

#[derive(Deserialize, Default)]
struct Text {
    context_length: Option<u64>,
    hf_tokenizer_name: Option<String>,
    #[serde(default)]
    tokenizer_kwargs: TokenizerOptions,
}

#[derive(Deserialize, Default)]
struct TokenizerOptions {
    clean: Option<String>,
}

#[derive(Deserialize, Default)]
struct Vision {
    image_size: Option<Value>,
}

/// Numbers beside the graphs that some exports have.
#[derive(Deserialize, Default)]
struct Numbers {
    logit_scale: Option<f64>,
    logit_bias: Option<f64>,
}

pub(super) fn read(dir: &ModelDir, settings: Settings) -> Result<Config> {
    let (file, model, preprocess) = match settings {
        Settings::OpenClip => {
            let whole: Whole = dir.parse("open_clip_config.json")?;
            ("open_clip_config.json", whole.model_cfg, whole.preprocess_cfg)
        }
        _ => ("config.json", dir.parse("config.json")?, dir.parse_optional(PREPROCESS)?),
    };
    let bad = |reason: String| dir.bad(file, reason);
    let cleaning = match (model.text_cfg.tokenizer_kwargs.clean.as_deref(), &model.text_cfg.hf_tokenizer_name) {
        (Some("canonicalize"), _) => Cleaning::Canonicalize,
        (Some("lower"), _) | (None, None) => Cleaning::Lower,
        (Some("whitespace"), _) | (None, Some(_)) => Cleaning::Whitespace,
        (Some(other), _) => {
            return Err(bad(format!("text_cfg.tokenizer_kwargs.clean is \"{other}\", which is not known")));
        }
    };
    let dimension = bounded(model.embed_dim, "embed_dim", 1, super::config::MAX_DIMENSION).map_err(bad)?;
    let context = model.text_cfg.context_length.or(Some(77));
    let context = bounded(context, "text_cfg.context_length", 3, super::config::MAX_CONTEXT).map_err(bad)?;
    let size = model.vision_cfg.image_size.filter(|value| !value.is_null());
    let size = size.map(|value| image_size("vision_cfg.image_size", &value).map_err(bad)).transpose()?;
    let numbers: Numbers = dir.parse_optional("model_config.json")?.unwrap_or_default();
    Ok(Config {
        model_type: "open_clip".to_owned(),
        dimension: dimension as usize,
        positions: Some(context as usize),
        image_size: size,
        logit_scale: numbers.logit_scale.filter(|scale| scale.is_finite() && *scale > 0.0),
        logit_bias: numbers.logit_bias.filter(|bias| bias.is_finite()),
        text: Default::default(),
        cleaning: Some(cleaning),
        preprocess: Some(preprocess.unwrap_or_default()),
    })
}

//! config.json: what transformers' `CLIPConfig` and its kin hold, with their defaults.

use serde::Deserialize;
use serde_json::Value;

use super::files::ModelDir;
use crate::error::{Result, shorten};
use crate::layouts::Layout;
use crate::text::Cleaning;

const FILE: &str = "config.json";
/// Far above any CLIP (the largest have 1,280) and low enough to bound what one answer takes.
pub(super) const MAX_DIMENSION: u64 = 65_536;
pub(super) const MAX_CONTEXT: u64 = 4_096;
/// Largest side of the image encoder's input, in pixels.
pub(super) const MAX_IMAGE_SIZE: u64 = 4_096;

/// The part of a model's configuration that matters here, checked.
pub(super) struct Config {
    pub model_type: String,
    pub dimension: usize,
    /// Most tokens that the text encoder has positions for, where the file says.
    pub positions: Option<usize>,
    /// Height and width of the image encoder's input, where the file says.
    pub image_size: Option<(u32, u32)>,
    pub logit_scale: Option<f64>,
    pub logit_bias: Option<f64>,
    pub text: TextConfig,
    /// What is done to texts first, where the file says.
    pub cleaning: Option<Cleaning>,
    /// open_clip's preprocessing, where the model is one of open_clip's.
    pub preprocess: Option<Value>,
}

#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    projection_dim: Option<u64>,
    logit_scale: Option<f64>,
    logit_bias: Option<f64>,
    // Of a file that is about one encoder alone.
    max_position_embeddings: Option<u64>,
    image_size: Option<Value>,
    text_config: Option<TextConfig>,
    vision_config: Option<VisionConfig>,
    // Written by old versions of transformers, and preferred by all later ones.
    text_config_dict: Option<TextConfig>,
    vision_config_dict: Option<VisionConfig>,
}

#[derive(Deserialize, Default)]
pub(super) struct TextConfig {
    pub model_type: Option<String>,
    max_position_embeddings: Option<u64>,
    projection_dim: Option<u64>,
    projection_size: Option<u64>,
    hidden_size: Option<u64>,
    pub bos_token_id: Option<Value>,
    pub eos_token_id: Option<Value>,
    pub pad_token_id: Option<Value>,
}

#[derive(Deserialize, Default)]
struct VisionConfig {
    image_size: Option<Value>,
}

pub(super) fn read(dir: &ModelDir, layout: &Layout) -> Result<Config> {
    let name = format!("{}{FILE}", layout.text_folder);
    let file: File = dir.parse(&name)?;
    let model_type = file.model_type.unwrap_or_else(|| "clip".to_owned());
    let text = file.text_config_dict.or(file.text_config).unwrap_or_default();
    let vision = file.vision_config_dict.or(file.vision_config).unwrap_or_default();

    // The defaults of the configuration's class; any other model has to say.
    let dimension = match model_type.as_str() {
        "clip" | "clip_text_model" | "clip_vision_model" | "chinese_clip" | "metaclip_2" => {
            file.projection_dim.or(Some(512))
        }
        "altclip" => file.projection_dim.or(Some(768)),
        "siglip" | "siglip2" => text.projection_size.or(text.hidden_size).or(Some(768)),
        _ => file.projection_dim.or(text.projection_dim),
    };
    let bad = |reason: String| dir.bad(&name, reason);
    let dimension = bounded(dimension, "projection_dim", 1, MAX_DIMENSION).map_err(bad)?;
    let positions = text.max_position_embeddings.or(file.max_position_embeddings).or(match model_type.as_str() {
        "clip" | "clip_text_model" | "clip_vision_model" | "metaclip_2" => Some(77),
        "siglip" | "siglip2" => Some(64),
        "chinese_clip" => Some(512),
        "altclip" => Some(514),
        // Its positions are rotary, and its tokenizer says 8,192, which takes gigabytes. Nobody searches for so much.
        "jina_clip" => Some(512),
        _ => None,
    });
    // RoBERTa counts positions from behind the padding's number.
    let has_offset = |kind: &str| kind.contains("roberta") || kind.starts_with("altclip");
    let offset = if text.model_type.as_deref().is_some_and(has_offset) { 2 } else { 0 };
    let positions = match positions {
        Some(_) => {
            Some(bounded(positions, "text_config.max_position_embeddings", 3 + offset, MAX_CONTEXT).map_err(bad)?)
        }
        None => None,
    };
    let image_size = match vision.image_size.or(file.image_size).filter(|value| !value.is_null()) {
        Some(value) => Some(image_size("vision_config.image_size", &value).map_err(bad)?),
        None => None,
    };
    if let Some(scale) = file.logit_scale
        && !(scale.is_finite() && scale > 0.0)
    {
        return Err(bad(format!("logit_scale is {scale}, it must be above 0")));
    }
    Ok(Config {
        dimension: dimension as usize,
        positions: positions.map(|positions| (positions - offset) as usize),
        image_size,
        logit_scale: file.logit_scale,
        logit_bias: file.logit_bias.filter(|bias| bias.is_finite()),
        model_type: shorten(&model_type, 50),
        text,
        cleaning: None,
        preprocess: None,
    })
}

pub(super) fn bounded(value: Option<u64>, key: &str, min: u64, max: u64) -> Result<u64, String> {
    match value {
        Some(value) if (min..=max).contains(&value) => Ok(value),
        Some(value) => Err(format!("{key} is {value}, it must be {min} to {max}")),
        None => Err(format!("{key} is missing")),
    }
}

/// Reads `224` or `[224, 224]` (height, width).
pub(super) fn image_size(key: &str, value: &Value) -> Result<(u32, u32), String> {
    let side =
        |value: &Value| value.as_u64().filter(|side| (1..=MAX_IMAGE_SIZE).contains(side)).map(|side| side as u32);
    let size = match value {
        Value::Array(sides) if sides.len() == 2 => side(&sides[0]).zip(side(&sides[1])),
        value => side(value).map(|side| (side, side)),
    };
    size.ok_or_else(|| format!("{key} is {}, it must be 1 to {MAX_IMAGE_SIZE}", shorten(&value.to_string(), 50)))
}

//! config.json: what transformers' `CLIPConfig` holds, with its defaults.

use serde::Deserialize;
use serde_json::Value;

use super::files::ModelDir;
use crate::error::{Result, shorten};

const FILE: &str = "config.json";
/// Far above any CLIP (the largest have 1,280) and low enough to bound what one answer takes.
const MAX_DIMENSION: u64 = 65_536;
const MAX_CONTEXT: u64 = 4_096;
/// Largest side of the image encoder's input, in pixels.
pub(super) const MAX_IMAGE_SIZE: u64 = 4_096;

/// The part of config.json that matters here, checked.
pub(super) struct Config {
    pub model_type: String,
    pub dimension: usize,
    pub context_length: usize,
    /// Height and width of the image encoder's input, where the file says.
    pub image_size: Option<(u32, u32)>,
    pub logit_scale: Option<f64>,
    pub text: TextConfig,
}

#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    projection_dim: Option<u64>,
    logit_scale: Option<f64>,
    text_config: Option<TextConfig>,
    vision_config: Option<VisionConfig>,
    // Written by old versions of transformers, and preferred by all later ones.
    text_config_dict: Option<TextConfig>,
    vision_config_dict: Option<VisionConfig>,
}

#[derive(Deserialize, Default)]
pub(super) struct TextConfig {
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

pub(super) fn read(dir: &ModelDir) -> Result<Config> {
    let file: File = dir.parse(FILE)?;
    let model_type = file.model_type.unwrap_or_else(|| "clip".to_owned());
    let text = file.text_config_dict.or(file.text_config).unwrap_or_default();
    let vision = file.vision_config_dict.or(file.vision_config).unwrap_or_default();

    // The defaults of CLIPConfig and SiglipConfig; any other model has to say.
    let is_clip = model_type == "clip";
    let dimension = match model_type.as_str() {
        "clip" => file.projection_dim.or(Some(512)),
        "siglip" | "siglip2" => text.projection_size.or(text.hidden_size).or(Some(768)),
        _ => file.projection_dim.or(text.projection_dim),
    };
    let dimension = bounded(dir, "projection_dim", dimension, 1, MAX_DIMENSION)?;
    let context = text.max_position_embeddings.or(if is_clip { Some(77) } else { None }).or(match &*model_type {
        "siglip" | "siglip2" => Some(64),
        _ => None,
    });
    let context_length = bounded(dir, "text_config.max_position_embeddings", context, 3, MAX_CONTEXT)?;
    let image_size = match vision.image_size.filter(|value| !value.is_null()) {
        Some(value) => Some(image_size(dir, &value)?),
        None => None,
    };
    if let Some(scale) = file.logit_scale
        && !(scale.is_finite() && scale > 0.0)
    {
        return Err(dir.bad(FILE, format!("logit_scale is {scale}, it must be above 0")));
    }
    Ok(Config {
        dimension: dimension as usize,
        context_length: context_length as usize,
        image_size,
        logit_scale: file.logit_scale,
        model_type: shorten(&model_type, 50),
        text,
    })
}

fn bounded(dir: &ModelDir, key: &str, value: Option<u64>, min: u64, max: u64) -> Result<u64> {
    match value {
        Some(value) if (min..=max).contains(&value) => Ok(value),
        Some(value) => Err(dir.bad(FILE, format!("{key} is {value}, it must be {min} to {max}"))),
        None => Err(dir.bad(FILE, format!("{key} is missing"))),
    }
}

/// Reads `224` or `[224, 224]` (height, width).
fn image_size(dir: &ModelDir, value: &Value) -> Result<(u32, u32)> {
    let side =
        |value: &Value| value.as_u64().filter(|side| (1..=MAX_IMAGE_SIZE).contains(side)).map(|side| side as u32);
    let size = match value {
        Value::Array(sides) if sides.len() == 2 => side(&sides[0]).zip(side(&sides[1])),
        value => side(value).map(|side| (side, side)),
    };
    size.ok_or_else(|| {
        let shown = shorten(&value.to_string(), 50);
        dir.bad(FILE, format!("vision_config.image_size is {shown}, it must be 1 to {MAX_IMAGE_SIZE}"))
    })
}

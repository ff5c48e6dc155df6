//! transformers' CLIPModel and SiglipModel: config.json and model.safetensors, its shards, or pytorch_model.bin.

use std::path::Path;

use serde_json::{Map, Value};

use super::config::Section;
use super::{Model, is_of_timm, is_position_ids, logits};
use crate::error::{Error, Result, shorten};
use crate::model::{
    Activation, Attention, AttentionPool, Block, ImageModel, ImagePooling, Linear, Norm, TextModel, TextPooling,
    Transformer, check_image, check_text,
};
use crate::source::{Tensor, Weights, read_json};

pub(super) const CONFIG: &str = "config.json";
pub(super) const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Clip,
    Siglip,
}

/// `None` where the directory has no such configuration or no such weights.
pub(super) fn read(source: &Path) -> Result<Option<Model>> {
    if !source.join(CONFIG).exists() || !WEIGHTS.iter().any(|file| source.join(file).exists()) {
        return Ok(None);
    }
    let config: Value = read_json(source, CONFIG)?;
    if is_of_timm(&config) {
        return Ok(None);
    }
    let family = family(&config)?;
    let Some(mut weights) = Weights::open(source, &WEIGHTS)? else { return Ok(None) };
    let (text, image) = (section(&config, "text_config", family)?, section(&config, "vision_config", family)?);
    let top = Section { file: CONFIG, prefix: "", value: &config };
    let text = Section { file: CONFIG, prefix: "text_config.", value: &text };
    let image = Section { file: CONFIG, prefix: "vision_config.", value: &image };
    let (text, image) = match family {
        Family::Clip => clip(&mut weights, top, text, image)?,
        Family::Siglip => siglip(&mut weights, text, image)?,
    };
    let (logit_scale, logit_bias) = logits(&mut weights)?;
    weights.finish(is_position_ids)?;
    Ok(Some(Model {
        family: match family {
            Family::Clip => "CLIP (transformers)",
            Family::Siglip => "SigLIP (transformers)",
        },
        text,
        image,
        logit_scale,
        logit_bias,
        dtypes: weights.dtypes().iter().map(ToString::to_string).collect(),
        files: Vec::new(),
    }))
}

fn family(config: &Value) -> Result<Family> {
    let unsupported = |what: &str| Err(Error::unsupported(CONFIG, what));
    match config.get("model_type").filter(|kind| !kind.is_null()) {
        None => Ok(Family::Clip),
        Some(Value::String(kind)) => match kind.as_str() {
            "clip" => Ok(Family::Clip),
            "siglip" => Ok(Family::Siglip),
            // What it was trained for is any resolution: patches come in with their positions.
            "siglip2" => unsupported("model_type \"siglip2\" (NaFlex, any resolution)"),
            "clip_text_model" | "clip_vision_model" | "siglip_text_model" | "siglip_vision_model" => {
                unsupported(&format!("model_type \"{kind}\" (one encoder without the other)"))
            }
            kind => unsupported(&format!("model_type \"{}\"", shorten(kind, 60))),
        },
        Some(other) => Err(Error::bad(CONFIG, format!("model_type is {}", shorten(&other.to_string(), 60)))),
    }
}

/// A section and, as old versions of transformers wrote it, its `_dict`, whose values, and whose defaults, win.
fn section(config: &Value, key: &str, family: Family) -> Result<Value> {
    let object = |key: &str| match config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map.clone())),
        Some(other) => Err(Error::bad(CONFIG, format!("{key} is {}", shorten(&other.to_string(), 60)))),
    };
    let section = object(key)?.unwrap_or_else(Map::new);
    let dict = if family == Family::Clip { object(&format!("{key}_dict"))? } else { None };
    Ok(Value::Object(dict.unwrap_or(section)))
}

fn clip(weights: &mut Weights, top: Section, text: Section, image: Section) -> Result<(TextModel, ImageModel)> {
    let dimension = top.size("projection_dim", 512)?;
    let projection = |weights: &mut Weights, name: &str, width: usize| {
        Ok(Some(Linear { weight: weights.take(name, &[dimension, width])?, rows_are_inputs: false, bias: None }))
    };

    let defaults = Transformer {
        width: 512,
        layers: 12,
        heads: 8,
        hidden: 2048,
        epsilon: 1e-5,
        activation: Activation::QuickGelu,
    };
    let pooling = match text.get("eos_token_id") {
        None => TextPooling::FirstOf(49_407),
        // The id that old configurations have and no tokenizer: transformers then takes the highest.
        Some(id) if id.as_i64() == Some(2) => TextPooling::Highest,
        Some(id) => TextPooling::FirstOf(id.as_i64().ok_or_else(|| text.unsupported("eos_token_id", id))?),
    };
    let mut text = text_model(weights, text, &defaults, [49_408, 77, dimension], true, pooling)?;
    text.projection = projection(weights, "text_projection.weight", text.transformer.width)?;

    let transformer = transformer(image, &Transformer { width: 768, heads: 12, hidden: 3072, ..defaults })?;
    let (size, patch) = (image.grid("image_size", 224)?, image.grid("patch_size", 32)?);
    only_rgb(image)?;
    check_image(CONFIG, size, patch, dimension)?;
    let width = transformer.width;
    let embeddings = |name: &str| format!("vision_model.embeddings.{name}");
    let image = ImageModel {
        size,
        patch,
        dimension,
        patches: weights.take(&embeddings("patch_embedding.weight"), &[width, 3, patch.height, patch.width])?,
        patches_bias: None,
        class: Some(weights.take(&embeddings("class_embedding"), &[width])?),
        positions: weights.take(&embeddings("position_embedding.weight"), &[size.patches(patch) + 1, width])?,
        pre_norm: Some(norm(weights, "vision_model.pre_layrnorm", width)?),
        blocks: blocks(weights, "vision_model", &transformer)?,
        norm: norm(weights, "vision_model.post_layernorm", width)?,
        pooling: ImagePooling::Class,
        projection: projection(weights, "visual_projection.weight", width)?,
        transformer,
    };
    Ok((text, image))
}

fn siglip(weights: &mut Weights, text: Section, image: Section) -> Result<(TextModel, ImageModel)> {
    let defaults = Transformer {
        width: 768,
        layers: 12,
        heads: 12,
        hidden: 3072,
        epsilon: 1e-6,
        activation: Activation::GeluTanh,
    };
    let dimension = text.size("projection_size", text.size("hidden_size", defaults.width)?)?;
    let mut text = text_model(weights, text, &defaults, [32_000, 64, dimension], false, TextPooling::Last)?;
    text.projection = Some(linear(weights, "text_model.head", text.transformer.width, dimension)?);

    let transformer = transformer(image, &defaults)?;
    let (size, patch) = (image.grid("image_size", 224)?, image.grid("patch_size", 16)?);
    only_rgb(image)?;
    check_image(CONFIG, size, patch, dimension)?;
    if !image.flag("vision_use_head", true)? {
        return Err(image.unsupported("vision_use_head", &Value::Bool(false)));
    }
    let width = transformer.width;
    if width != dimension {
        let reason = format!("images have {width} values and texts {dimension}");
        return Err(Error::bad(CONFIG, reason));
    }
    let embeddings = |name: &str| format!("vision_model.embeddings.{name}");
    let image = ImageModel {
        size,
        patch,
        dimension,
        patches: weights.take(&embeddings("patch_embedding.weight"), &[width, 3, patch.height, patch.width])?,
        patches_bias: Some(weights.take(&embeddings("patch_embedding.bias"), &[width])?),
        class: None,
        positions: weights.take(&embeddings("position_embedding.weight"), &[size.patches(patch), width])?,
        pre_norm: None,
        blocks: blocks(weights, "vision_model", &transformer)?,
        norm: norm(weights, "vision_model.post_layernorm", width)?,
        pooling: ImagePooling::Attention(Box::new(AttentionPool {
            probe: weights.take("vision_model.head.probe", &[1, 1, width])?,
            attention: fused_attention(weights, "vision_model.head.attention", width)?,
            norm: norm(weights, "vision_model.head.layernorm", width)?,
            rise: linear(weights, "vision_model.head.mlp.fc1", width, transformer.hidden)?,
            fall: linear(weights, "vision_model.head.mlp.fc2", transformer.hidden, width)?,
        })),
        projection: None,
        transformer,
    };
    Ok((text, image))
}

/// A text encoder without its projection. `sizes` are the defaults of vocabulary and context, and the dimension.
fn text_model(
    weights: &mut Weights,
    config: Section,
    defaults: &Transformer,
    [vocabulary, context, dimension]: [usize; 3],
    is_causal: bool,
    pooling: TextPooling,
) -> Result<TextModel> {
    let transformer = transformer(config, defaults)?;
    let vocabulary = config.size("vocab_size", vocabulary)?;
    let context = config.size("max_position_embeddings", context)?;
    check_text(CONFIG, vocabulary, context, dimension)?;
    let width = transformer.width;
    Ok(TextModel {
        vocabulary,
        context,
        is_causal,
        pooling,
        dimension,
        tokens: weights.take("text_model.embeddings.token_embedding.weight", &[vocabulary, width])?,
        positions: weights.take("text_model.embeddings.position_embedding.weight", &[context, width])?,
        blocks: blocks(weights, "text_model", &transformer)?,
        norm: norm(weights, "text_model.final_layer_norm", width)?,
        projection: None,
        transformer,
    })
}

fn transformer(config: Section, defaults: &Transformer) -> Result<Transformer> {
    let transformer = Transformer {
        width: config.size("hidden_size", defaults.width)?,
        layers: config.size("num_hidden_layers", defaults.layers)?,
        heads: config.size("num_attention_heads", defaults.heads)?,
        hidden: config.size("intermediate_size", defaults.hidden)?,
        epsilon: config.number("layer_norm_eps", defaults.epsilon.into())? as f32,
        activation: config.activation("hidden_act", defaults.activation)?,
    };
    transformer.check(config.file, config.prefix.trim_end_matches('.'))?;
    Ok(transformer)
}

fn only_rgb(image: Section) -> Result<()> {
    match image.get("num_channels") {
        Some(channels) if channels.as_u64() != Some(3) => Err(image.unsupported("num_channels", channels)),
        _ => Ok(()),
    }
}

fn blocks(weights: &mut Weights, encoder: &str, transformer: &Transformer) -> Result<Vec<Block>> {
    let (width, hidden) = (transformer.width, transformer.hidden);
    let block = |layer| {
        let name = |part: &str| format!("{encoder}.encoder.layers.{layer}.{part}");
        Ok(Block {
            norm1: norm(weights, &name("layer_norm1"), width)?,
            attention: Attention {
                query: linear(weights, &name("self_attn.q_proj"), width, width)?,
                key: linear(weights, &name("self_attn.k_proj"), width, width)?,
                value: linear(weights, &name("self_attn.v_proj"), width, width)?,
                output: linear(weights, &name("self_attn.out_proj"), width, width)?,
            },
            norm2: norm(weights, &name("layer_norm2"), width)?,
            rise: linear(weights, &name("mlp.fc1"), width, hidden)?,
            fall: linear(weights, &name("mlp.fc2"), hidden, width)?,
        })
    };
    (0..transformer.layers).map(block).collect()
}

/// `NAME.weight` and `NAME.bias` of a layer normalisation.
pub(super) fn norm(weights: &mut Weights, name: &str, width: usize) -> Result<Norm> {
    Ok(Norm {
        weight: weights.take(&format!("{name}.weight"), &[width])?,
        bias: weights.take(&format!("{name}.bias"), &[width])?,
    })
}

/// `NAME.weight` and `NAME.bias` of a linear layer.
pub(super) fn linear(weights: &mut Weights, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
    Ok(Linear {
        weight: weights.take(&format!("{name}.weight"), &[outputs, inputs])?,
        rows_are_inputs: false,
        bias: Some(weights.take(&format!("{name}.bias"), &[outputs])?),
    })
}

/// PyTorch's MultiheadAttention: query, key and value in one tensor, and `out_proj`.
pub(super) fn fused_attention(weights: &mut Weights, name: &str, width: usize) -> Result<Attention> {
    let weight = weights.take(&format!("{name}.in_proj_weight"), &[3 * width, width])?;
    let bias = weights.take(&format!("{name}.in_proj_bias"), &[3 * width])?;
    let [query, key, value] = thirds(&weight, &bias, width);
    Ok(Attention { query, key, value, output: linear(weights, &format!("{name}.out_proj"), width, width)? })
}

/// The three parts of a linear layer that computes query, key and value at once.
pub(super) fn thirds(weight: &Tensor, bias: &Tensor, width: usize) -> [Linear; 3] {
    [0, 1, 2].map(|part| {
        let rows = part * width..(part + 1) * width;
        Linear { weight: weight.rows(rows.clone()), rows_are_inputs: false, bias: Some(bias.rows(rows)) }
    })
}

//! open_clip's own layout: open_clip_config.json and open_clip_model.safetensors or open_clip_pytorch_model.bin.

use std::path::Path;

use serde_json::{Value, json};

use super::config::Section;
use super::transformers::{fused_attention, linear, norm};
use super::{Model, logits, timm};
use crate::error::{Error, Result};
use crate::model::{
    Activation, Block, Grid, ImageModel, ImagePooling, Linear, TextModel, TextPooling, Transformer, check_image,
    check_text,
};
use crate::source::{Weights, read_json};

pub(super) const CONFIG: &str = "open_clip_config.json";
pub(super) const WEIGHTS: [&str; 4] = [
    "open_clip_model.safetensors",
    "open_clip_model.safetensors.index.json",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.bin.index.json",
];

/// Keys that say how a model was trained, or name what is elsewhere.
const TEXT_IGNORED: [&str; 6] =
    ["hf_tokenizer_name", "tokenizer_mode", "hf_model_pretrained", "output_tokens", "hf_proj_type", "hf_pooler_type"];
const TEXT_READ: [&str; 15] = [
    "context_length",
    "vocab_size",
    "width",
    "heads",
    "layers",
    "mlp_ratio",
    "pad_id",
    "eos_id",
    "no_causal_mask",
    "final_ln_after_pool",
    "pool_type",
    "proj_bias",
    "proj_type",
    "act_kwargs",
    "norm_kwargs",
];
const IMAGE_IGNORED: [&str; 10] = [
    "patch_dropout",
    "attn_pooler_queries",
    "attn_pooler_heads",
    "pos_embed_type",
    "final_ln_after_pool",
    "output_tokens",
    "timm_model_pretrained",
    "timm_drop",
    "timm_drop_path",
    "timm_proj_bias",
];
const IMAGE_READ: [&str; 13] = [
    "layers",
    "width",
    "head_width",
    "mlp_ratio",
    "patch_size",
    "image_size",
    "no_ln_pre",
    "pool_type",
    "act_kwargs",
    "norm_kwargs",
    "timm_model_name",
    "timm_pool",
    "timm_proj",
];

/// `None` where the directory has no such configuration or no such weights.
pub(super) fn read(source: &Path) -> Result<Option<Model>> {
    if !source.join(CONFIG).exists() || !WEIGHTS.iter().any(|file| source.join(file).exists()) {
        return Ok(None);
    }
    let config: Value = read_json(source, CONFIG)?;
    let of = |key| config.get(key).unwrap_or(&Value::Null);
    let model = Section { file: CONFIG, prefix: "model_cfg.", value: of("model_cfg") };
    let part = |key, prefix| Section { file: CONFIG, prefix, value: model.get(key).unwrap_or(&Value::Null) };
    let text = part("text_cfg", "model_cfg.text_cfg.");
    let image = part("vision_cfg", "model_cfg.vision_cfg.");
    for (section, known) in [
        (
            model,
            vec![
                "embed_dim",
                "vision_cfg",
                "text_cfg",
                "quick_gelu",
                "custom_text",
                "init_logit_bias",
                "init_logit_scale",
            ],
        ),
        (text, [&TEXT_READ[..], &TEXT_IGNORED, &["tokenizer_kwargs"]].concat()),
        (image, [&IMAGE_READ[..], &IMAGE_IGNORED].concat()),
    ] {
        only(section, &known)?;
    }
    let preprocessing =
        Preprocessing::read(Section { file: CONFIG, prefix: "preprocess_cfg.", value: of("preprocess_cfg") })?;

    let Some(mut weights) = Weights::open(source, &WEIGHTS)? else { return Ok(None) };
    let dimension = model.size("embed_dim", 0)?;
    let quick_gelu = model.flag("quick_gelu", false)?;
    let image = match image.text("timm_model_name")? {
        Some(name) => timm::image_model(&mut weights, image, name, dimension)?,
        None => image_model(&mut weights, image, dimension, quick_gelu)?,
    };
    let text = text_model(&mut weights, text, dimension, quick_gelu)?;
    let (logit_scale, logit_bias) = logits(&mut weights)?;
    // Masks and counters that old checkpoints have.
    weights.finish(|name| {
        let name = name.strip_prefix("text.").unwrap_or(name);
        ["attn_mask", "input_resolution", "context_length", "vocab_size"].contains(&name)
    })?;
    let files = vec![
        ("config.json", describe(&text, &image, logit_scale, logit_bias)),
        ("preprocessor_config.json", preprocessing.describe(image.size)?),
    ];
    Ok(Some(Model {
        family: "open_clip",
        text,
        image,
        logit_scale,
        logit_bias,
        dtypes: weights.dtypes().iter().map(ToString::to_string).collect(),
        files,
    }))
}

/// Refuses what is not known, by name, unless it is switched off.
fn only(section: Section, known: &[&str]) -> Result<()> {
    match section.value {
        Value::Object(map) => {
            let off = |value: &Value| value.is_null() || value == &Value::Bool(false);
            match map.iter().find(|(key, value)| !known.contains(&key.as_str()) && !off(value)) {
                Some((key, value)) => Err(section.unsupported(key, value)),
                None => Ok(()),
            }
        }
        _ => Err(Error::bad(CONFIG, format!("there is no {}", section.prefix.trim_end_matches('.')))),
    }
}

/// GELU or its fast form, with PyTorch's `approximate`.
fn activation(section: Section, quick_gelu: bool) -> Result<Activation> {
    match section.get("act_kwargs") {
        None if quick_gelu => Ok(Activation::QuickGelu),
        None => Ok(Activation::Gelu),
        Some(Value::Object(map)) if map.is_empty() && quick_gelu => Ok(Activation::QuickGelu),
        Some(arguments) => match arguments.as_object().map(|map| map.iter().collect::<Vec<_>>()).as_deref() {
            Some([]) => Ok(Activation::Gelu),
            Some([(key, value)]) if *key == "approximate" && !quick_gelu => match value.as_str() {
                Some("tanh") => Ok(Activation::GeluTanh),
                Some("none") => Ok(Activation::Gelu),
                _ => Err(section.unsupported("act_kwargs", arguments)),
            },
            _ => Err(section.unsupported("act_kwargs", arguments)),
        },
    }
}

fn epsilon(section: Section) -> Result<f32> {
    let Some(arguments) = section.get("norm_kwargs") else { return Ok(1e-5) };
    let known = arguments.as_object().is_some_and(|map| map.keys().all(|key| key == "eps"));
    if !known {
        return Err(section.unsupported("norm_kwargs", arguments));
    }
    Ok(Section { value: arguments, ..section }.number("eps", 1e-5)? as f32)
}

/// The width between the two layers of a perceptron.
fn hidden(section: Section, width: usize) -> Result<usize> {
    Ok((width as f64 * section.number("mlp_ratio", 4.0)?).clamp(0.0, 1e9) as usize)
}

fn image_model(weights: &mut Weights, config: Section, dimension: usize, quick_gelu: bool) -> Result<ImageModel> {
    if let Some(layers) = config.get("layers").filter(|layers| layers.is_array()) {
        let shown = layers.to_string();
        return Err(Error::unsupported(CONFIG, format!("a ResNet (model_cfg.vision_cfg.layers = {shown})")));
    }
    let pool = config.text("pool_type")?.unwrap_or("tok");
    if pool != "tok" {
        return Err(config.unsupported("pool_type", &json!(pool)));
    }
    let width = config.size("width", 768)?;
    let transformer = Transformer {
        width,
        layers: config.size("layers", 12)?,
        heads: width / config.size("head_width", 64)?.max(1),
        hidden: hidden(config, width)?,
        epsilon: epsilon(config)?,
        activation: activation(config, quick_gelu)?,
    };
    transformer.check(CONFIG, "vision_cfg")?;
    let (size, patch) = (config.grid("image_size", 224)?, config.grid("patch_size", 16)?);
    check_image(CONFIG, size, patch, dimension)?;
    let has_pre_norm = !config.flag("no_ln_pre", false)?;
    Ok(ImageModel {
        size,
        patch,
        dimension,
        patches: weights.take("visual.conv1.weight", &[width, 3, patch.height, patch.width])?,
        patches_bias: None,
        class: Some(weights.take("visual.class_embedding", &[width])?),
        positions: weights.take("visual.positional_embedding", &[size.patches(patch) + 1, width])?,
        pre_norm: has_pre_norm.then(|| norm(weights, "visual.ln_pre", width)).transpose()?,
        blocks: blocks(weights, "visual.transformer", &transformer)?,
        norm: norm(weights, "visual.ln_post", width)?,
        pooling: ImagePooling::Class,
        projection: Some(matrix(weights, "visual.proj", width, dimension)?),
        transformer,
    })
}

fn text_model(weights: &mut Weights, config: Section, dimension: usize, quick_gelu: bool) -> Result<TextModel> {
    if let Some(arguments) = config.get("tokenizer_kwargs") {
        let known = arguments.as_object().is_some_and(|map| {
            map.iter().all(|(key, value)| {
                key == "clean" && ["canonicalize", "lower", "whitespace"].iter().any(|clean| value == clean)
            })
        });
        if !known {
            return Err(config.unsupported("tokenizer_kwargs", arguments));
        }
    }
    let is_causal = !config.flag("no_causal_mask", false)?;
    let pool = config.text("pool_type")?.unwrap_or("argmax");
    let pooling = match (pool, is_causal) {
        ("argmax", true) => TextPooling::Highest,
        ("eos", true) => TextPooling::FirstOf(config.size("eos_id", 2)? as i64),
        ("last", false) => TextPooling::Last,
        // The others depend on what a text is padded with, which a graph cannot tell its reader.
        _ => {
            let mask = if is_causal { "a causal mask" } else { "no causal mask" };
            return Err(Error::unsupported(CONFIG, format!("model_cfg.text_cfg.pool_type = {pool:?} with {mask}")));
        }
    };
    let width = config.size("width", 512)?;
    let transformer = Transformer {
        width,
        layers: config.size("layers", 12)?,
        heads: config.size("heads", 8)?,
        hidden: hidden(config, width)?,
        epsilon: epsilon(config)?,
        activation: activation(config, quick_gelu)?,
    };
    transformer.check(CONFIG, "text_cfg")?;
    let (vocabulary, context) = (config.size("vocab_size", 49_408)?, config.size("context_length", 77)?);
    check_text(CONFIG, vocabulary, context, dimension)?;
    // Where `custom_text` is set; checkpoints of before that setting are without the prefix all the same.
    let prefix = if weights.has("text.token_embedding.weight") { "text." } else { "" };
    let name = |part: &str| format!("{prefix}{part}");
    let projection = match (config.text("proj_type")?.unwrap_or("linear"), config.flag("proj_bias", false)?) {
        ("linear", true) => Some(linear(weights, &name("text_projection"), width, dimension)?),
        ("linear", false) => Some(matrix(weights, &name("text_projection"), width, dimension)?),
        ("none", _) if width == dimension => None,
        (other, _) => return Err(config.unsupported("proj_type", &json!(other))),
    };
    Ok(TextModel {
        vocabulary,
        context,
        is_causal,
        pooling,
        dimension,
        tokens: weights.take(&name("token_embedding.weight"), &[vocabulary, width])?,
        positions: weights.take(&name("positional_embedding"), &[context, width])?,
        blocks: blocks(weights, &name("transformer"), &transformer)?,
        norm: norm(weights, &name("ln_final"), width)?,
        projection,
        transformer,
    })
}

fn blocks(weights: &mut Weights, encoder: &str, transformer: &Transformer) -> Result<Vec<Block>> {
    let (width, hidden) = (transformer.width, transformer.hidden);
    let block = |layer| {
        let name = |part: &str| format!("{encoder}.resblocks.{layer}.{part}");
        Ok(Block {
            norm1: norm(weights, &name("ln_1"), width)?,
            attention: fused_attention(weights, &name("attn"), width)?,
            norm2: norm(weights, &name("ln_2"), width)?,
            rise: linear(weights, &name("mlp.c_fc"), width, hidden)?,
            fall: linear(weights, &name("mlp.c_proj"), hidden, width)?,
        })
    };
    (0..transformer.layers).map(block).collect()
}

/// A bare matrix that vectors are multiplied with from the left.
fn matrix(weights: &mut Weights, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
    Ok(Linear { weight: weights.take(name, &[inputs, outputs])?, rows_are_inputs: true, bias: None })
}

/// How images are prepared, checked.
struct Preprocessing {
    mean: Value,
    std: Value,
    is_bilinear: bool,
    squashes: bool,
}

impl Preprocessing {
    fn read(section: Section) -> Result<Preprocessing> {
        let section = if section.value.is_null() { Section { value: &json!({}), ..section } } else { section };
        let channels = |key, default: [f64; 3]| match section.get(key) {
            None => Ok(json!(default)),
            Some(value) if value.is_number() => Ok(json!([value, value, value])),
            Some(value)
                if value.as_array().is_some_and(|list| list.len() == 3 && list.iter().all(Value::is_number)) =>
            {
                Ok(value.clone())
            }
            Some(value) => Err(section.bad(key, value)),
        };
        let unsupported = |key: &str, value: &str| Err(section.unsupported(key, &json!(value)));
        Ok(Preprocessing {
            mean: channels("mean", [0.48145466, 0.4578275, 0.40821073])?,
            std: channels("std", [0.26862954, 0.26130258, 0.27577711])?,
            is_bilinear: match section.text("interpolation")?.unwrap_or("bicubic") {
                // Of the two at random in training; the reference then takes this one.
                "bicubic" | "random" => false,
                "bilinear" => true,
                other => return unsupported("interpolation", other),
            },
            squashes: match section.text("resize_mode")?.unwrap_or("shortest") {
                "shortest" => false,
                "squash" => true,
                other => return unsupported("resize_mode", other),
            },
        })
    }

    /// As preprocessor_config.json.
    fn describe(&self, size: Grid) -> Result<Value> {
        let Grid { height, width } = size;
        if !self.squashes && height != width {
            let what = format!("preprocess_cfg.resize_mode = \"shortest\" for images of {height} x {width}");
            return Err(Error::unsupported(CONFIG, what));
        }
        let mut file = json!({
            "do_convert_rgb": true,
            "do_resize": true,
            "resample": if self.is_bilinear { 2 } else { 3 },
            "do_rescale": true,
            "rescale_factor": 1.0 / 255.0,
            "do_normalize": true,
            "image_mean": self.mean,
            "image_std": self.std,
        });
        let more = if self.squashes {
            json!({"image_processor_type": "SiglipImageProcessor", "size": {"height": height, "width": width}})
        } else {
            json!({
                "image_processor_type": "CLIPImageProcessor",
                "size": {"shortest_edge": height},
                "do_center_crop": true,
                "crop_size": {"height": height, "width": width},
            })
        };
        if let (Value::Object(file), Value::Object(more)) = (&mut file, more) {
            file.extend(more);
        }
        Ok(file)
    }
}

/// The model as config.json of transformers would describe it: `siglip` where a text is read off at its last token.
fn describe(text: &TextModel, image: &ImageModel, logit_scale: Option<f32>, logit_bias: Option<f32>) -> Value {
    let transformer = |of: &Transformer| {
        json!({
            "hidden_size": of.width,
            "intermediate_size": of.hidden,
            "num_hidden_layers": of.layers,
            "num_attention_heads": of.heads,
            "layer_norm_eps": of.epsilon,
            "hidden_act": match of.activation {
                Activation::QuickGelu => "quick_gelu",
                Activation::Gelu => "gelu",
                Activation::GeluTanh => "gelu_pytorch_tanh",
            },
        })
    };
    let (mut text_config, mut vision_config) = (transformer(&text.transformer), transformer(&image.transformer));
    text_config["vocab_size"] = json!(text.vocabulary);
    text_config["max_position_embeddings"] = json!(text.context);
    text_config["projection_dim"] = json!(text.dimension);
    if text.pooling == TextPooling::Last {
        text_config["projection_size"] = json!(text.dimension);
    }
    if let TextPooling::FirstOf(id) = text.pooling {
        text_config["eos_token_id"] = json!(id);
    }
    vision_config["image_size"] = json!([image.size.height, image.size.width]);
    vision_config["patch_size"] = json!([image.patch.height, image.patch.width]);
    let mut config = json!({
        "model_type": if text.pooling == TextPooling::Last { "siglip" } else { "clip" },
        "projection_dim": text.dimension,
        "text_config": text_config,
        "vision_config": vision_config,
    });
    super::add_logits(&mut config, logit_scale, logit_bias);
    config
}

//! Image encoders of open_clip models that come from timm: SigLIP's vision transformers with attention pooling.

use serde_json::{Value, json};

use super::config::Section;
use super::transformers::{linear, norm, thirds};
use crate::error::{Error, Result};
use crate::model::{
    Activation, Attention, AttentionPool, Block, Grid, ImageModel, ImagePooling, Linear, Transformer, check_image,
};
use crate::source::Weights;

/// What a name of timm's stands for and no tensor shows: heads, patch and activation. The other sizes are the tensors'.
fn described(name: &str) -> Option<(usize, usize, Activation)> {
    let (size, rest) = name.strip_prefix("vit_")?.split_once("_patch")?;
    let (patch, side) = rest.split_once("_siglip_")?;
    // Trained before and after the activation was found to be the approximate one: the reference keeps to it.
    let activation = match (size, patch, side) {
        ("base", "16", "224" | "256" | "384" | "512") | ("large", "16", "256" | "384") => Activation::Gelu,
        ("so400m", "14", "224" | "378" | "384") => Activation::Gelu,
        ("base", "32", "256") | ("large", "16", "512") => Activation::GeluTanh,
        ("so400m", "16", "256" | "384" | "512") | ("giantopt", "16", "256" | "384") => Activation::GeluTanh,
        _ => return None,
    };
    Some((if size == "base" { 12 } else { 16 }, patch.parse().ok()?, activation))
}

pub(super) fn image_model(weights: &mut Weights, config: Section, name: &str, dimension: usize) -> Result<ImageModel> {
    let (heads, side, activation) =
        described(name).ok_or_else(|| config.unsupported("timm_model_name", &json!(name)))?;
    for (key, wanted) in [("timm_pool", "map"), ("timm_proj", "none")] {
        if config.text(key)? != Some(wanted) {
            return Err(config.unsupported(key, config.get(key).unwrap_or(&Value::Null)));
        }
    }
    let (size, patch) = (config.grid("image_size", 224)?, Grid { height: side, width: side });
    check_image(config.file, size, patch, dimension)?;
    let trunk = |part: &str| format!("visual.trunk.{part}");
    let sizes = |weights: &mut Weights, name: &str| match weights.take_any(name)?.shape[..] {
        [outputs, inputs] => Ok((outputs, inputs)),
        ref other => Err(Error::Shape { tensor: name.to_owned(), found: other.to_vec(), expected: vec![0, 0] }),
    };
    let (hidden, width) = sizes(weights, &trunk("blocks.0.mlp.fc1.weight"))?;
    let layers = (0..).take_while(|layer| weights.has(&trunk(&format!("blocks.{layer}.norm1.weight")))).count();
    let transformer = Transformer { width, layers, heads, hidden, epsilon: 1e-6, activation };
    transformer.check(config.file, "vision_cfg")?;
    if width != dimension {
        let reason = format!("embed_dim is {dimension}, \"{name}\" has {width} values and timm_proj is \"none\"");
        return Err(Error::bad(config.file, reason));
    }
    let pool = |part: &str| trunk(&format!("attn_pool.{part}"));
    let [key, value] = {
        let weight = weights.take(&pool("kv.weight"), &[2 * width, width])?;
        let bias = weights.take(&pool("kv.bias"), &[2 * width])?;
        [0, 1].map(|part| {
            let rows = part * width..(part + 1) * width;
            Linear { weight: weight.rows(rows.clone()), rows_are_inputs: false, bias: Some(bias.rows(rows)) }
        })
    };
    let block = |layer| {
        let name = |part: &str| trunk(&format!("blocks.{layer}.{part}"));
        let weight = weights.take(&name("attn.qkv.weight"), &[3 * width, width])?;
        let bias = weights.take(&name("attn.qkv.bias"), &[3 * width])?;
        let [query, key, value] = thirds(&weight, &bias, width);
        Ok(Block {
            norm1: norm(weights, &name("norm1"), width)?,
            attention: Attention { query, key, value, output: linear(weights, &name("attn.proj"), width, width)? },
            norm2: norm(weights, &name("norm2"), width)?,
            rise: linear(weights, &name("mlp.fc1"), width, hidden)?,
            fall: linear(weights, &name("mlp.fc2"), hidden, width)?,
        })
    };
    let blocks = (0..layers).map(block).collect::<Result<Vec<_>>>()?;
    Ok(ImageModel {
        size,
        patch,
        dimension,
        patches: weights.take(&trunk("patch_embed.proj.weight"), &[width, 3, side, side])?,
        patches_bias: Some(weights.take(&trunk("patch_embed.proj.bias"), &[width])?),
        class: None,
        positions: weights.take(&trunk("pos_embed"), &[1, size.patches(patch), width])?,
        pre_norm: None,
        blocks,
        norm: norm(weights, &trunk("norm"), width)?,
        pooling: ImagePooling::Attention(Box::new(AttentionPool {
            probe: weights.take(&pool("latent"), &[1, 1, width])?,
            attention: Attention {
                query: linear(weights, &pool("q"), width, width)?,
                key,
                value,
                output: linear(weights, &pool("proj"), width, width)?,
            },
            norm: norm(weights, &pool("norm"), width)?,
            rise: linear(weights, &pool("mlp.fc1"), width, hidden)?,
            fall: linear(weights, &pool("mlp.fc2"), hidden, width)?,
        })),
        projection: None,
        transformer,
    })
}

//! A CLIP model whose encoder of images is a vision transformer of any size, with random weights: what it embeds means
//! nothing, and it takes as long as one that was trained.

use crate::onnx::{Attribute, Graph};
use anyhow::Context;
use serde_json::json;
use std::fs;
use std::path::Path;

const EPSILON: f32 = 1e-5;
const WEIGHTS: &str = "vision_model.onnx_data";

/// The size of a vision transformer.
#[derive(Clone, Copy, Debug)]
pub struct Vit {
    /// Pixels of a side of the input.
    pub image: usize,
    /// Pixels of a side of a patch.
    pub patch: usize,
    /// Values of a token.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Values of an embedding.
    pub dimension: usize,
}

impl Vit {
    /// OpenAI's ViT-B/32.
    pub const B_32: Self = Self { image: 224, patch: 32, width: 768, layers: 12, heads: 12, dimension: 512 };

    /// Writes the model's folder. What it reads texts with is that of `other`, another model: only images can be
    /// embedded with it.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn write(&self, folder: &Path, other: &Path) -> anyhow::Result<()> {
        let onnx = folder.join("onnx");
        fs::create_dir_all(&onnx).with_context(|| onnx.display().to_string())?;
        for file in ["tokenizer.json", "tokenizer_config.json", "onnx/text_model.onnx"] {
            let source = other.join(file);
            fs::copy(&source, folder.join(file)).with_context(|| source.display().to_string())?;
        }
        let path = other.join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).with_context(|| path.display().to_string())?)?;
        config["projection_dim"] = self.dimension.into();
        config["vision_config"] = json!({
            "hidden_size": self.width, "image_size": self.image, "intermediate_size": 4 * self.width,
            "num_attention_heads": self.heads, "num_hidden_layers": self.layers, "patch_size": self.patch,
            "projection_dim": self.dimension,
        });
        fs::write(folder.join("config.json"), config.to_string())?;
        let preprocessor = json!({
            "image_processor_type": "CLIPImageProcessor", "do_resize": true, "do_center_crop": true, "resample": 3,
            "size": {"shortest_edge": self.image}, "crop_size": {"height": self.image, "width": self.image},
            "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
            "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        });
        fs::write(folder.join("preprocessor_config.json"), preprocessor.to_string())?;
        self.write_encoder(&onnx)
    }

    /// The same computation as the hub's exports of `CLIPVisionModelWithProjection`.
    fn write_encoder(&self, onnx: &Path) -> anyhow::Result<()> {
        let side = self.image / self.patch;
        let tokens = side * side + 1;
        let mut encoder =
            Encoder { graph: Graph::begin(onnx, WEIGHTS)?, random: fastrand::Rng::with_seed(1), vit: *self };
        let kernel = encoder.random(&[self.width, 3, self.patch, self.patch])?;
        let strides = Attribute::ints("strides", &[self.patch as i64; 2]);
        let patches = encoder.graph.node("Conv", &["pixel_values", &kernel], vec![strides]);
        let shape = encoder.graph.integers(&[3], &[0, self.width as i64, -1]);
        let flat = encoder.graph.node("Reshape", &[&patches, &shape], Vec::new());
        let rows = encoder.graph.node("Transpose", &[&flat], vec![Attribute::ints("perm", &[0, 2, 1])]);
        // A token of zeros before the patches: the class embedding is in the first of the positions, which are added.
        let pads = encoder.graph.integers(&[6], &[0, 1, 0, 0, 0, 0]);
        let padded = encoder.graph.node("Pad", &[&rows, &pads], Vec::new());
        let positions = encoder.random(&[tokens, self.width])?;
        let placed = encoder.graph.node("Add", &[&padded, &positions], Vec::new());
        let mut hidden = encoder.norm(&placed)?;
        for _ in 0..self.layers {
            hidden = encoder.layer(&hidden, tokens)?;
        }
        let first = encoder.graph.integers(&[], &[0]);
        let class = encoder.graph.node("Gather", &[&hidden, &first], vec![Attribute::int("axis", 1)]);
        let class = encoder.norm(&class)?;
        let projection = encoder.random(&[self.width, self.dimension])?;
        encoder.graph.named_node("MatMul", &[&class, &projection], Vec::new(), "image_embeds");
        let input = ("pixel_values", &[3, self.image, self.image][..]);
        encoder.graph.finish(&onnx.join("vision_model.onnx"), input, ("image_embeds", &[self.dimension]))
    }
}

struct Encoder {
    graph: Graph,
    random: fastrand::Rng,
    vit: Vit,
}

impl Encoder {
    fn random(&mut self, dims: &[usize]) -> anyhow::Result<String> {
        let Self { graph, random, vit } = self;
        // Uniform, and as far apart as keeps values of the same size from layer to layer.
        let range = (12.0 / vit.width as f32).sqrt();
        graph.weights(dims, || (random.f32() - 0.5) * range)
    }

    fn norm(&mut self, hidden: &str) -> anyhow::Result<String> {
        let scale = self.graph.weights(&[self.vit.width], || 1.0)?;
        let bias = self.graph.weights(&[self.vit.width], || 0.0)?;
        let attributes = vec![Attribute::int("axis", -1), Attribute::float("epsilon", EPSILON)];
        Ok(self.graph.node("LayerNormalization", &[hidden, &scale, &bias], attributes))
    }

    fn linear(&mut self, hidden: &str, from: usize, to: usize) -> anyhow::Result<String> {
        let (weight, bias) = (self.random(&[from, to])?, self.random(&[to])?);
        let product = self.graph.node("MatMul", &[hidden, &weight], Vec::new());
        Ok(self.graph.node("Add", &[&product, &bias], Vec::new()))
    }

    fn layer(&mut self, hidden: &str, tokens: usize) -> anyhow::Result<String> {
        let width = self.vit.width;
        let before = self.norm(hidden)?;
        let attended = self.attention(&before, tokens)?;
        let attended = self.linear(&attended, width, width)?;
        let hidden = self.graph.node("Add", &[hidden, &attended], Vec::new());
        let before = self.norm(&hidden)?;
        let wide = self.linear(&before, width, 4 * width)?;
        let factor = self.graph.scalar(1.702);
        let scaled = self.graph.node("Mul", &[&wide, &factor], Vec::new());
        let gate = self.graph.node("Sigmoid", &[&scaled], Vec::new());
        let gated = self.graph.node("Mul", &[&wide, &gate], Vec::new());
        let narrow = self.linear(&gated, 4 * width, width)?;
        Ok(self.graph.node("Add", &[&hidden, &narrow], Vec::new()))
    }

    fn attention(&mut self, hidden: &str, tokens: usize) -> anyhow::Result<String> {
        let Vit { width, heads, .. } = self.vit;
        let split = self.graph.integers(&[4], &[0, tokens as i64, heads as i64, (width / heads) as i64]);
        let mut heads_of = |perm: &[i64]| -> anyhow::Result<String> {
            let linear = self.linear(hidden, width, width)?;
            let shaped = self.graph.node("Reshape", &[&linear, &split], Vec::new());
            Ok(self.graph.node("Transpose", &[&shaped], vec![Attribute::ints("perm", perm)]))
        };
        let query = heads_of(&[0, 2, 1, 3])?;
        let key = heads_of(&[0, 2, 3, 1])?;
        let value = heads_of(&[0, 2, 1, 3])?;
        let factor = self.graph.scalar(((width / heads) as f32).powf(-0.5));
        let query = self.graph.node("Mul", &[&query, &factor], Vec::new());
        let scores = self.graph.node("MatMul", &[&query, &key], Vec::new());
        let shares = self.graph.node("Softmax", &[&scores], vec![Attribute::int("axis", -1)]);
        let mixed = self.graph.node("MatMul", &[&shares, &value], Vec::new());
        let back = self.graph.node("Transpose", &[&mixed], vec![Attribute::ints("perm", &[0, 2, 1, 3])]);
        let merge = self.graph.integers(&[3], &[0, tokens as i64, width as i64]);
        Ok(self.graph.node("Reshape", &[&back, &merge], Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clip::{
        Cancel, Device, ImageEncoder, Limits, ModelName, ModelSpec, Precision, Preprocessor, Runtime, SessionOptions,
    };
    use std::path::PathBuf;

    /// ONNX Runtime loads it, and it embeds images as any model does: each by itself, whatever is beside it.
    #[test]
    fn a_small_one_embeds_images() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let library = std::env::var_os("CLIP_SEARCH_ONNXRUNTIME_LIBRARY")
            .map_or_else(|| workspace.join("target/setup/onnxruntime/libonnxruntime.so"), PathBuf::from);
        assert!(library.is_file(), "{}: there is no such file; run `make setup`", library.display());
        let folder = tempfile::tempdir().unwrap();
        let vit = Vit { image: 48, patch: 8, width: 32, layers: 2, heads: 4, dimension: 24 };
        vit.write(folder.path(), &workspace.join("models/clip-search/emoji")).unwrap();
        let spec = ModelSpec::read(folder.path(), &ModelName::parse("random/small").unwrap()).unwrap();
        let options = SessionOptions { device: Device::Cpu, threads: 1, precision: Precision::Fp32 };
        let mut encoder = ImageEncoder::load(&spec, &options, &Runtime::init(&library).unwrap()).unwrap();
        let limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };
        let preprocessor = Preprocessor::new(&spec);
        let image = |number| preprocessor.run(&crate::photos::SIZE.jpeg(number).unwrap(), &limits).unwrap();
        let (one, two) = (image(1), image(2));
        let together = encoder.embed(&[one.view(), two.view()], &Cancel::new()).unwrap();
        let alone = encoder.embed(&[two.view()], &Cancel::new()).unwrap();
        assert_eq!(together[0].len(), 24);
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        assert!(cosine(&together[1], &alone[0]) > 0.9999);
        assert!(cosine(&together[0], &together[1]) < 0.9999);
    }
}

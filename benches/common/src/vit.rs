//! CLIP models of any size with random weights: what they embed means nothing, and they take as long as ones that were
//! trained.

use crate::onnx::{Attribute, Graph, Input};
use anyhow::Context;
use serde_json::json;
use std::fs;
use std::path::Path;

const EPSILON: f32 = 1e-5;
/// Tokens that a text encoder reads at most.
const CONTEXT: usize = 77;
/// Tokens that there are.
const VOCABULARY: usize = 49_408;

/// The size of a transformer.
#[derive(Clone, Copy, Debug)]
pub struct Transformer {
    /// Values of a token.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
}

/// The size of a CLIP model.
#[derive(Clone, Copy, Debug)]
pub struct Vit {
    /// Pixels of a side of the input.
    pub image: usize,
    /// Pixels of a side of a patch.
    pub patch: usize,
    /// The image encoder.
    pub vision: Transformer,
    /// The text encoder.
    pub text: Transformer,
    /// Values of an embedding.
    pub dimension: usize,
}

impl Vit {
    /// OpenAI's ViT-B/32.
    pub const B_32: Self = Self {
        image: 224,
        patch: 32,
        vision: Transformer { width: 768, layers: 12, heads: 12 },
        text: Transformer { width: 512, layers: 12, heads: 8 },
        dimension: 512,
    };
    /// OpenAI's ViT-L/14.
    pub const L_14: Self = Self {
        image: 224,
        patch: 14,
        vision: Transformer { width: 1024, layers: 24, heads: 16 },
        text: Transformer { width: 768, layers: 12, heads: 12 },
        dimension: 768,
    };
    /// A ViT-B/16 as large as SigLIP's, with CLIP's pooling.
    pub const B_16: Self = Self {
        image: 224,
        patch: 16,
        vision: Transformer { width: 768, layers: 12, heads: 12 },
        text: Transformer { width: 768, layers: 12, heads: 12 },
        dimension: 768,
    };

    /// Writes the model's folder. What it reads texts with is that of `other`, another model: only images can be
    /// embedded with it.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn write(&self, folder: &Path, other: &Path) -> anyhow::Result<()> {
        self.write_settings(folder, other, None)?;
        fs::copy(other.join("onnx/text_model.onnx"), folder.join("onnx/text_model.onnx"))?;
        self.write_vision(&folder.join("onnx"), false)
    }

    /// Writes the model's folder, with both encoders in single and in half precision, of the same weights, and the
    /// tokenizer of `other`, another model.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn write_whole(&self, folder: &Path, other: &Path) -> anyhow::Result<()> {
        self.write_settings(folder, other, Some(CONTEXT))?;
        for halves in [false, true] {
            self.write_vision(&folder.join("onnx"), halves)?;
            self.write_text(&folder.join("onnx"), halves)?;
        }
        Ok(())
    }

    fn write_settings(&self, folder: &Path, other: &Path, context: Option<usize>) -> anyhow::Result<()> {
        let onnx = folder.join("onnx");
        fs::create_dir_all(&onnx).with_context(|| onnx.display().to_string())?;
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            let source = other.join(file);
            fs::copy(&source, folder.join(file)).with_context(|| source.display().to_string())?;
        }
        let path = other.join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).with_context(|| path.display().to_string())?)?;
        config["projection_dim"] = self.dimension.into();
        let Transformer { width, layers, heads } = self.vision;
        config["vision_config"] = json!({
            "hidden_size": width, "image_size": self.image, "intermediate_size": 4 * width,
            "num_attention_heads": heads, "num_hidden_layers": layers, "patch_size": self.patch,
            "projection_dim": self.dimension,
        });
        if let Some(context) = context {
            config["text_config"]["max_position_embeddings"] = context.into();
        }
        fs::write(folder.join("config.json"), config.to_string())?;
        let preprocessor = json!({
            "image_processor_type": "CLIPImageProcessor", "do_resize": true, "do_center_crop": true, "resample": 3,
            "size": {"shortest_edge": self.image}, "crop_size": {"height": self.image, "width": self.image},
            "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
            "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        });
        fs::write(folder.join("preprocessor_config.json"), preprocessor.to_string())?;
        Ok(())
    }

    /// The same computation as the hub's exports of `CLIPVisionModelWithProjection`.
    fn write_vision(&self, onnx: &Path, halves: bool) -> anyhow::Result<()> {
        let Transformer { width, .. } = self.vision;
        let side = self.image / self.patch;
        let tokens = side * side + 1;
        let mut encoder = Encoder::begin(onnx, "vision_model", halves, self.vision)?;
        let pixels = encoder.graph.enter("pixel_values");
        let kernel = encoder.random(&[width, 3, self.patch, self.patch])?;
        let strides = Attribute::ints("strides", &[self.patch as i64; 2]);
        let patches = encoder.graph.node("Conv", &[&pixels, &kernel], vec![strides]);
        let shape = encoder.graph.integers(&[3], &[0, width as i64, -1]);
        let flat = encoder.graph.node("Reshape", &[&patches, &shape], Vec::new());
        let rows = encoder.graph.node("Transpose", &[&flat], vec![Attribute::ints("perm", &[0, 2, 1])]);
        // A token of zeros before the patches: the class embedding is in the first of the positions, which are added.
        let pads = encoder.graph.integers(&[6], &[0, 1, 0, 0, 0, 0]);
        let padded = encoder.graph.node("Pad", &[&rows, &pads], Vec::new());
        let positions = encoder.random(&[tokens, width])?;
        let placed = encoder.graph.node("Add", &[&padded, &positions], Vec::new());
        let mut hidden = encoder.norm(&placed)?;
        for _ in 0..self.vision.layers {
            hidden = encoder.layer(&hidden, None)?;
        }
        let first = encoder.graph.integers(&[], &[0]);
        let class = encoder.graph.node("Gather", &[&hidden, &first], vec![Attribute::int("axis", 1)]);
        let class = encoder.norm(&class)?;
        let projection = encoder.random(&[width, self.dimension])?;
        encoder.graph.output("MatMul", &[&class, &projection], "image_embeds");
        let input = Input::Pixels("pixel_values", [3, self.image, self.image]);
        encoder.graph.finish(&onnx.join(encoder.file), input, ("image_embeds", self.dimension))
    }

    /// The same computation as the hub's exports of `CLIPTextModelWithProjection`.
    fn write_text(&self, onnx: &Path, halves: bool) -> anyhow::Result<()> {
        let Transformer { width, .. } = self.text;
        let mut encoder = Encoder::begin(onnx, "text_model", halves, self.text)?;
        let table = encoder.random(&[VOCABULARY, width])?;
        let embedded = encoder.graph.node("Gather", &[&table, "input_ids"], Vec::new());
        let shape = encoder.graph.node("Shape", &["input_ids"], Vec::new());
        let second = encoder.graph.integers(&[1], &[1]);
        let length = encoder.graph.node("Gather", &[&shape, &second], Vec::new());
        let positions = encoder.random(&[CONTEXT, width])?;
        let zero = encoder.graph.integers(&[1], &[0]);
        let positions = encoder.graph.node("Slice", &[&positions, &zero, &length, &zero], Vec::new());
        let mut hidden = encoder.graph.node("Add", &[&embedded, &positions], Vec::new());
        // A token sees itself and those before it.
        let seen = |row: usize, column: usize| if column > row { -60_000.0 } else { 0.0 };
        let mask: Vec<f32> = (0..CONTEXT * CONTEXT).map(|place| seen(place / CONTEXT, place % CONTEXT)).collect();
        let mask = encoder.graph.floats(&[CONTEXT, CONTEXT], &mask);
        let starts = encoder.graph.integers(&[2], &[0, 0]);
        let ends = encoder.graph.node("Concat", &[&length, &length], vec![Attribute::int("axis", 0)]);
        let axes = encoder.graph.integers(&[2], &[0, 1]);
        let mask = encoder.graph.node("Slice", &[&mask, &starts, &ends, &axes], Vec::new());
        for _ in 0..self.text.layers {
            hidden = encoder.layer(&hidden, Some(&mask))?;
        }
        let hidden = encoder.norm(&hidden)?;
        // The end of the text is the token of the highest number.
        let end = encoder.graph.node("ArgMax", &["input_ids"], vec![Attribute::int("axis", 1)]);
        let end = encoder.graph.node("GatherND", &[&hidden, &end], vec![Attribute::int("batch_dims", 1)]);
        let projection = encoder.random(&[width, self.dimension])?;
        encoder.graph.output("MatMul", &[&end, &projection], "text_embeds");
        encoder.graph.finish(&onnx.join(encoder.file), Input::Ids("input_ids"), ("text_embeds", self.dimension))
    }
}

struct Encoder {
    graph: Graph,
    file: String,
    random: fastrand::Rng,
    size: Transformer,
}

impl Encoder {
    fn begin(onnx: &Path, name: &str, halves: bool, size: Transformer) -> anyhow::Result<Self> {
        let file = format!("{name}{}.onnx", if halves { "_fp16" } else { "" });
        let graph = Graph::begin(onnx, &format!("{file}_data"), halves)?;
        Ok(Self { graph, file, random: fastrand::Rng::with_seed(1), size })
    }

    fn random(&mut self, dims: &[usize]) -> anyhow::Result<String> {
        let Self { graph, random, size, .. } = self;
        // Uniform, and as far apart as keeps values of the same size from layer to layer.
        let range = (12.0 / size.width as f32).sqrt();
        graph.weights(dims, || (random.f32() - 0.5) * range)
    }

    fn norm(&mut self, hidden: &str) -> anyhow::Result<String> {
        let scale = self.graph.weights(&[self.size.width], || 1.0)?;
        let bias = self.graph.weights(&[self.size.width], || 0.0)?;
        // Computed in single precision, also from halves: that is the default of the attribute stash_type.
        let attributes = vec![Attribute::int("axis", -1), Attribute::float("epsilon", EPSILON)];
        Ok(self.graph.node("LayerNormalization", &[hidden, &scale, &bias], attributes))
    }

    fn linear(&mut self, hidden: &str, from: usize, to: usize) -> anyhow::Result<String> {
        let (weight, bias) = (self.random(&[from, to])?, self.random(&[to])?);
        let product = self.graph.node("MatMul", &[hidden, &weight], Vec::new());
        Ok(self.graph.node("Add", &[&product, &bias], Vec::new()))
    }

    fn layer(&mut self, hidden: &str, mask: Option<&str>) -> anyhow::Result<String> {
        let width = self.size.width;
        let before = self.norm(hidden)?;
        let attended = self.attention(&before, mask)?;
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

    fn attention(&mut self, hidden: &str, mask: Option<&str>) -> anyhow::Result<String> {
        let Transformer { width, heads, .. } = self.size;
        let split = self.graph.integers(&[4], &[0, 0, heads as i64, (width / heads) as i64]);
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
        let mut scores = self.graph.node("MatMul", &[&query, &key], Vec::new());
        if let Some(mask) = mask {
            scores = self.graph.node("Add", &[&scores, mask], Vec::new());
        }
        let shares = self.graph.node("Softmax", &[&scores], vec![Attribute::int("axis", -1)]);
        let mixed = self.graph.node("MatMul", &[&shares, &value], Vec::new());
        let back = self.graph.node("Transpose", &[&mixed], vec![Attribute::ints("perm", &[0, 2, 1, 3])]);
        let merge = self.graph.integers(&[3], &[0, 0, width as i64]);
        Ok(self.graph.node("Reshape", &[&back, &merge], Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clip::{
        Cancel, Device, ImageEncoder, Limits, ModelName, ModelSpec, Precision, Preprocessor, Runtime, SessionOptions,
        TextEncoder,
    };
    use std::path::PathBuf;

    const SIZE: crate::Image = crate::Image { width: 256, height: 256 };

    fn runtime() -> Runtime {
        let library = std::env::var_os("CLIP_SEARCH_ONNXRUNTIME_LIBRARY")
            .map_or_else(|| workspace().join("target/setup/onnxruntime/libonnxruntime.so"), PathBuf::from);
        assert!(library.is_file(), "{}: there is no such file; run `make setup`", library.display());
        Runtime::init(&library).unwrap()
    }

    fn workspace() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    fn small() -> Vit {
        let size = Transformer { width: 32, layers: 2, heads: 4 };
        Vit { image: 48, patch: 8, vision: size, text: size, dimension: 24 }
    }

    fn on_cpu(precision: Precision) -> SessionOptions {
        SessionOptions { device: Device::Cpu, threads: 1, precision, ..SessionOptions::default() }
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// ONNX Runtime loads it, and it embeds images as any model does: each by itself, whatever is beside it.
    #[test]
    fn a_small_one_embeds_images() {
        let folder = tempfile::tempdir().unwrap();
        small().write(folder.path(), &workspace().join("models/clip-search/emoji")).unwrap();
        let spec = ModelSpec::read(folder.path(), &ModelName::parse("random/small").unwrap()).unwrap();
        let mut encoder = ImageEncoder::load(&spec, &on_cpu(Precision::Fp32), &runtime()).unwrap();
        let limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };
        let preprocessor = Preprocessor::new(&spec);
        let image = |number| preprocessor.run(&SIZE.jpeg(number).unwrap(), &limits).unwrap();
        let (one, two) = (image(1), image(2));
        let together = encoder.embed(&[one.view(), two.view()], &Cancel::new()).unwrap();
        let alone = encoder.embed(&[two.view()], &Cancel::new()).unwrap();
        assert_eq!(together[0].len(), 24);
        assert!(cosine(&together[1], &alone[0]) > 0.9999);
        assert!(cosine(&together[0], &together[1]) < 0.9999);
    }

    /// The files of half precision have the same weights; texts end where they end, whatever they are padded with.
    #[test]
    fn both_precisions_and_both_encoders_are_one_model() {
        let folder = tempfile::tempdir().unwrap();
        small().write_whole(folder.path(), &workspace().join("models/clip-search/emoji")).unwrap();
        let spec = ModelSpec::read(folder.path(), &ModelName::parse("random/small").unwrap()).unwrap();
        let texts: [&[u32]; 3] = [&[1998, 5, 6, 7, 1999], &[1998, 7, 6, 1999], &[1998, 5, 1999]];
        let embed = |precision| {
            let mut text = TextEncoder::load(&spec, &on_cpu(precision), &runtime()).unwrap();
            let mut image = ImageEncoder::load(&spec, &on_cpu(precision), &runtime()).unwrap();
            let pixels = Preprocessor::new(&spec)
                .run(&SIZE.jpeg(1).unwrap(), &Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 });
            let mut all = text.embed(&texts, &Cancel::new()).unwrap();
            all.extend(text.embed(&texts[2..], &Cancel::new()).unwrap());
            all.extend(image.embed(&[pixels.unwrap().view()], &Cancel::new()).unwrap());
            all
        };
        let (single, half) = (embed(Precision::Fp32), embed(Precision::Fp16));
        for (one, other) in single.iter().zip(&half) {
            assert!(cosine(one, other) > 0.999, "{}", cosine(one, other));
        }
        assert!(cosine(&single[2], &single[3]) > 0.9999, "padding changes nothing");
        assert!(cosine(&single[0], &single[1]) < 0.999);
    }
}

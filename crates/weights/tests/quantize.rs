//! Graphs of 8-bit integers beside the graphs that they were made from.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::*;
use ort::session::Session;
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use weights::{Error, Options, Report, convert_with, observe, quantize};

/// A model as graphs of 32 bits.
struct Model {
    target: TempDir,
    report: Report,
    rows: Vec<Vec<i64>>,
}

const PREFIX: &str = "range_";
const TEXT: &str = "text_model";
const IMAGE: &str = "vision_model";

impl Model {
    fn new(source: &Path, name: &str, max_inside: u64) -> Model {
        let target = TempDir::new().unwrap();
        let mut options = Options::default();
        options.max_inside = max_inside;
        let report = convert_with(source, target.path(), &options).unwrap();
        // Of one length each, so that they can be a batch.
        let texts = &golden()[name].texts;
        let shortest = texts.iter().map(|text| text.ids.len()).min().unwrap();
        let longest = texts.iter().map(|text| text.ids.len()).max().unwrap();
        let words = if shortest == longest { longest - 1 } else { 4 };
        let (vocabulary, end) = (40, *texts[0].ids.last().unwrap());
        let row = |row: usize| {
            let token = |place: usize| ((7 * row * row + 3 * place + row * place) % vocabulary) as i64;
            (0..words).map(token).chain([end]).collect()
        };
        Model { target, report, rows: (0..24).map(row).collect() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.target.path().join("onnx").join(format!("{file}.onnx"))
    }

    fn pixels(&self, seeds: std::ops::Range<u32>) -> Vec<Vec<f32>> {
        let (height, width) = self.report.image_size;
        seeds.map(|seed| noise(seed, 3 * height * width)).collect()
    }

    /// The vectors of some texts and images of one half of them: that of the calibration, or the other.
    fn run(&self, session: &mut Session, encoder: &str, half: usize, size: usize) -> Vec<Vec<f32>> {
        let (height, width) = self.report.image_size;
        if encoder == TEXT {
            let rows = &self.rows[12 * half..12 * (half + 1)];
            return rows.chunks(size).flat_map(|rows| run_texts(session, rows)).collect();
        }
        let pixels = self.pixels(12 * half as u32..12 * (half as u32 + 1));
        pixels.chunks(size).flat_map(|pixels| run_images(session, pixels, height, width)).collect()
    }

    /// The ranges of an encoder, from the first half of the samples.
    fn ranges(&self, encoder: &str) -> Vec<Vec<f32>> {
        let observed = self.path("observed");
        let count = observe(&self.path(encoder), &observed, PREFIX).unwrap();
        let mut session = load(&observed);
        let mut ranges = vec![Vec::new(); count];
        let mut keep = |outputs: &ort::session::SessionOutputs<'_>| {
            for (index, most) in ranges.iter_mut().enumerate() {
                let values = outputs[format!("{PREFIX}{index}").as_str()].try_extract_tensor::<f32>().unwrap().1;
                most.resize(values.len(), 0.0);
                most.iter_mut().zip(values).for_each(|(most, value)| *most = f32::max(*most, *value));
            }
        };
        if encoder == TEXT {
            for row in &self.rows[..12] {
                let ids = ort::value::Tensor::from_array(([1, row.len()], row.clone())).unwrap();
                keep(&session.run(ort::inputs!["input_ids" => ids]).unwrap());
            }
        } else {
            let (height, width) = self.report.image_size;
            for image in self.pixels(0..12) {
                let values = ort::value::Tensor::from_array(([1, 3, height, width], image)).unwrap();
                keep(&session.run(ort::inputs!["pixel_values" => values]).unwrap());
            }
        }
        ranges
    }

    /// Quantises an encoder; returns the least cosine to 32 bits, of the second half of the samples.
    fn quantize(&self, encoder: &str) -> f64 {
        let name = format!("{encoder}_w8a8");
        let written = quantize(&self.path(encoder), &self.path(&name), &self.ranges(encoder)).unwrap();
        assert!(written.products >= 13, "{written:?}");
        assert_eq!(written.bytes, self.path(&name).metadata().unwrap().len());
        let (mut exact, mut session) = (load(&self.path(encoder)), load(&self.path(&name)));
        let alone = self.run(&mut session, encoder, 1, 1);
        for size in [2, 5, 12] {
            let batch = self.run(&mut session, encoder, 1, size);
            assert_eq!(alone, batch, "{encoder}: a vector of a batch of {size} is not what it is alone");
        }
        let exact = self.run(&mut exact, encoder, 1, 1);
        let near = exact.iter().zip(&alone).map(|(exact, found)| cosine(exact, found)).fold(1.0, f64::min);
        assert!(near < 1.0 - 1e-9, "nothing was quantised");
        near
    }
}

/// Channels of the layer normalisations of all layers that are so much larger, undone in the layer behind them.
fn with_outliers(source: &Path, name: &str) -> TempDir {
    let file = "model.safetensors";
    let bytes = std::fs::read(source.join(file)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut values: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
    for (name, tensor) in tensors.iter() {
        let numbers = tensor.data().as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        values.insert(name.to_owned(), (tensor.shape().to_vec(), numbers));
    }
    for (channel, factor) in [(3, 30.0), (7, 100.0), (10, 30.0)] {
        for (name, (shape, numbers)) in &mut values {
            let is_norm = name.contains(".layer_norm1.") || name.contains(".layer_norm2.");
            let is_behind = ["q_proj.weight", "k_proj.weight", "v_proj.weight", "fc1.weight"];
            if is_norm {
                numbers[channel] *= factor;
            } else if is_behind.iter().any(|end| name.ends_with(end)) {
                numbers.iter_mut().skip(channel).step_by(shape[1]).for_each(|value| *value /= factor);
            }
        }
    }
    let copy = copy(name);
    let stored: Vec<(String, Vec<usize>, Vec<u8>)> = values
        .into_iter()
        .map(|(name, (shape, numbers))| (name, shape, numbers.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(copy.path().join(file), safetensors::serialize(views, None).unwrap()).unwrap();
    copy
}

#[test]
fn vectors_are_near_and_do_not_depend_on_their_batch() {
    for name in ["clip", "siglip", "open_clip", "open_clip-siglip-tanh"] {
        let model = Model::new(&model_dir(name), name, u64::MAX);
        let (text, image) = (model.quantize(TEXT), model.quantize(IMAGE));
        println!("{name:24} text {text:.5}, image {image:.5}");
        // Of 16 to 24 channels: those of real models average more errors out.
        assert!(text >= 0.99 && image >= 0.99, "{name}: text {text}, image {image}");
    }
}

#[test]
fn channels_that_are_a_hundred_times_as_large_cost_nothing() {
    let plain = Model::new(&model_dir("clip"), "clip", u64::MAX);
    let spoilt = with_outliers(&model_dir("clip"), "clip");
    let spoilt = Model::new(spoilt.path(), "clip", u64::MAX);
    for encoder in [TEXT, IMAGE] {
        // The model is the same, but for rounding.
        let (mut one, mut other) = (load(&plain.path(encoder)), load(&spoilt.path(encoder)));
        let (one, other) = (plain.run(&mut one, encoder, 1, 1), spoilt.run(&mut other, encoder, 1, 1));
        assert!(one.iter().zip(&other).all(|(one, other)| cosine(one, other) > 0.99999), "{encoder}");
        let (plain, spoilt) = (plain.quantize(encoder), spoilt.quantize(encoder));
        println!("{encoder:12} {plain:.5}, with outliers {spoilt:.5}");
        assert!(spoilt >= 0.99, "{encoder}: {spoilt}, without outliers {plain}");
    }
}

#[test]
fn external_weights_become_part_of_the_file() {
    let inside = Model::new(&model_dir("clip"), "clip", u64::MAX);
    let beside = Model::new(&model_dir("clip"), "clip", 0);
    for encoder in [TEXT, IMAGE] {
        assert!(beside.path(encoder).with_extension("onnx_data").exists());
        inside.quantize(encoder);
        beside.quantize(encoder);
        // Alone, the file can be loaded.
        let alone = TempDir::new().unwrap();
        let path = alone.path().join("alone.onnx");
        std::fs::copy(beside.path(&format!("{encoder}_w8a8")), &path).unwrap();
        let (mut one, mut other) = (load(&inside.path(&format!("{encoder}_w8a8"))), load(&path));
        assert_eq!(inside.run(&mut one, encoder, 1, 3), beside.run(&mut other, encoder, 1, 3));
        std::fs::write(beside.path(encoder).with_extension("onnx_data"), b"short").unwrap();
        let error = quantize(&beside.path(encoder), &path, &inside.ranges(encoder)).unwrap_err();
        assert!(error.to_string().contains("it is shorter than the graph says"), "{error}");
    }
}

#[test]
fn what_cannot_be_rewritten_is_told() {
    let model = Model::new(&model_dir("clip"), "clip", u64::MAX);
    let target = model.path("target");
    let ranges = model.ranges(TEXT);
    let bad = |ranges: &[Vec<f32>]| match quantize(&model.path(TEXT), &target, ranges) {
        Err(Error::BadFile { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(bad(&ranges[1..]).contains("ranges"));
    let mut spoilt = ranges.clone();
    for value in [f32::NAN, f32::INFINITY, -1.0] {
        spoilt[2][0] = value;
        assert!(bad(&spoilt).contains("ranges"));
    }
    spoilt[2].clear();
    assert!(bad(&spoilt).contains("ranges"));
    // Once is enough.
    quantize(&model.path(TEXT), &target, &ranges).unwrap();
    for source in [&target, &model.path("observed")] {
        let error = observe(source, &model.path("again"), PREFIX).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
    assert!(matches!(observe(&model.path("none"), &target, PREFIX), Err(Error::BadFile { .. })));
    assert!(matches!(observe(model.target.path(), &target, PREFIX), Err(Error::BadFile { .. })));
    let folder = model.path("folder");
    std::fs::create_dir(&folder).unwrap();
    assert!(matches!(observe(&model.path(TEXT), &folder, PREFIX), Err(Error::Write { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever the bytes: an error or a file, and no panic.
    #[test]
    fn damaged_graphs(places in prop::collection::vec((0.0..1.0, any::<u8>()), 0..6), length in 0.0..1.2) {
        static GRAPH: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let graph = GRAPH.get_or_init(|| {
            let model = Model::new(&model_dir("clip"), "clip", 1);
            std::fs::read(model.path(TEXT)).unwrap()
        });
        let folder = TempDir::new().unwrap();
        let (source, target) = (folder.path().join("source.onnx"), folder.path().join("target.onnx"));
        let mut bytes = graph.clone();
        for (place, value) in places {
            let place = (place * bytes.len() as f64) as usize;
            bytes[place] = value;
        }
        bytes.truncate((length * bytes.len() as f64) as usize);
        std::fs::write(&source, &bytes).unwrap();
        let _ = quantize(&source, &target, &[]);
        if let Err(error) = observe(&source, &target, PREFIX) {
            prop_assert!(error.to_string().len() < 500, "{error}");
            prop_assert!(!target.exists());
        }
    }
}

//! What the tests share: the golden models and values, made by golden/make_golden.py.
#![allow(dead_code)] // Each test file uses a part.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize)]
pub struct Golden {
    pub texts: Vec<Text>,
    pub images: Vec<Image>,
}

#[derive(Deserialize)]
pub struct Text {
    pub ids: Vec<i64>,
    pub embedding: Vec<f32>,
}

#[derive(Deserialize)]
pub struct Image {
    pub seed: u32,
    pub embedding: Vec<f32>,
}

pub fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub fn model_dir(name: &str) -> PathBuf {
    golden_dir().join("models").join(name)
}

pub fn golden() -> BTreeMap<String, Golden> {
    serde_json::from_slice(&std::fs::read(golden_dir().join("golden.json")).unwrap()).unwrap()
}

/// A copy of a golden model, to be spoilt.
pub fn copy(name: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in model_dir(name).read_dir().unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// The pixels that the script makes of the same seed: -2 to 2.
pub fn noise(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state >> 8) / f64::from(1 << 22) - 2.0) as f32
    };
    (0..count).map(next).collect()
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The mean and the highest cosine of two of some vectors.
pub fn spread(vectors: &[&Vec<f32>]) -> (f64, f64) {
    let cosines: Vec<f64> = (0..vectors.len())
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| cosine(vectors[i], vectors[j]))
        .collect();
    (cosines.iter().sum::<f64>() / cosines.len() as f64, cosines.iter().copied().fold(-1.0, f64::max))
}

fn runtime() -> &'static Environment {
    static RUNTIME: OnceLock<Environment> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let library = match std::env::var_os("CLIP_SEARCH_ONNXRUNTIME_LIBRARY") {
            Some(path) => PathBuf::from(path),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/setup/onnxruntime/libonnxruntime.so"),
        };
        // Also makes the path absolute: ort would look for a relative one beside the executable.
        let found =
            library.canonicalize().unwrap_or_else(|_| panic!("there is no {}: run `make setup`", library.display()));
        ort::init_from(&found).unwrap().with_name("weights").build().unwrap()
    })
}

/// A graph, loaded as the server loads it.
pub fn load(path: &Path) -> Session {
    let builder = Session::builder(runtime()).unwrap().with_optimization_level(GraphOptimizationLevel::All).unwrap();
    builder.with_intra_threads(1).unwrap().commit_from_file(path).unwrap()
}

/// One vector for each row of ids, all rows of one length.
pub fn run_texts(session: &mut Session, rows: &[Vec<i64>]) -> Vec<Vec<f32>> {
    try_texts(session, rows).unwrap()
}

/// As [`run_texts`], with what ONNX Runtime says.
pub fn try_texts(session: &mut Session, rows: &[Vec<i64>]) -> ort::Result<Vec<Vec<f32>>> {
    let ids = Tensor::from_array(([rows.len(), rows[0].len()], rows.concat()))?;
    let outputs = session.run(ort::inputs!["input_ids" => ids])?;
    Ok(split(outputs["text_embeds"].try_extract_tensor::<f32>()?.1, rows.len()))
}

/// One vector for each image of a batch.
pub fn run_images(session: &mut Session, pixels: &[Vec<f32>], height: usize, width: usize) -> Vec<Vec<f32>> {
    let values = Tensor::from_array(([pixels.len(), 3, height, width], pixels.concat())).unwrap();
    let outputs = session.run(ort::inputs!["pixel_values" => values]).unwrap();
    split(outputs["image_embeds"].try_extract_tensor::<f32>().unwrap().1, pixels.len())
}

fn split(values: &[f32], rows: usize) -> Vec<Vec<f32>> {
    values.chunks_exact(values.len() / rows).map(<[f32]>::to_vec).collect()
}

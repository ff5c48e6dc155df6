//! What the tests share: the golden model and values of tests/golden, made there by make_golden.py.
#![allow(dead_code)] // Each test file uses a part.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clip::{Cancel, Device, ModelName, ModelSpec, Precision, Runtime, SessionOptions, TextEncoder};
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize)]
pub struct Golden {
    pub texts: Vec<GoldenText>,
    pub images: Vec<GoldenImage>,
}

#[derive(Deserialize)]
pub struct GoldenText {
    pub text: String,
    /// Before truncation.
    pub tokens: usize,
    pub ids: Vec<u32>,
    pub embedding: Vec<f32>,
}

#[derive(Deserialize)]
pub struct GoldenImage {
    pub file: String,
    pub width: u32,
    pub height: u32,
    pub embedding: Vec<f32>,
    pub embedding_on_white: Option<Vec<f32>>,
}

impl GoldenImage {
    /// What CLIPModel makes of it behind CLIPImageProcessorPil, which lays transparent images on white; `embedding` is
    /// what it makes of `convert("RGB")`.
    pub fn of_the_processor(&self) -> &Vec<f32> {
        self.embedding_on_white.as_ref().unwrap_or(&self.embedding)
    }
}

pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

pub fn golden_dir() -> PathBuf {
    workspace().join("tests/golden")
}

pub fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(golden_dir().join("golden.json")).unwrap()).unwrap()
}

pub fn image_file(file: &str) -> Vec<u8> {
    std::fs::read(golden_dir().join("images").join(file)).unwrap()
}

/// The model of a directory `owner/name` below `root`.
pub fn spec_in(root: &Path, name: &str) -> clip::Result<ModelSpec> {
    let name = ModelName::parse(name).unwrap();
    ModelSpec::read(&root.join(name.as_str()), &name)
}

pub fn spec() -> ModelSpec {
    spec_in(&golden_dir().join("models"), "golden/small").unwrap()
}

pub fn library() -> PathBuf {
    let library = match std::env::var_os("CLIP_SEARCH_ONNXRUNTIME_LIBRARY") {
        Some(path) => PathBuf::from(path),
        None => workspace().join("target/setup/onnxruntime/libonnxruntime.so"),
    };
    assert!(library.exists(), "there is no {}: run `make setup`", library.display());
    library
}

pub fn runtime() -> Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::init(&library()).unwrap()).clone()
}

pub fn on_cpu(precision: Precision) -> SessionOptions {
    SessionOptions { device: Device::Cpu, threads: 1, precision, ..SessionOptions::default() }
}

/// A copy of the golden model that a test may change.
pub struct Copy {
    root: TempDir,
}

impl Copy {
    pub fn new() -> Copy {
        let root = TempDir::new().unwrap();
        copy(&golden_dir().join("models/golden/small"), &root.path().join("golden/copy"));
        Copy { root }
    }

    /// A copy of a model of tests/golden/layouts.
    pub fn of_layout(name: &str) -> Copy {
        let root = TempDir::new().unwrap();
        copy(&parity::layouts_dir().join("models").join(name), &root.path().join("golden/copy"));
        Copy { root }
    }

    /// The golden model with another text graph.
    pub fn with_text_graph(file: &str) -> Copy {
        let copy = Copy::new();
        let folders = [golden_dir().join("variants"), parity::layouts_dir().join("graphs")];
        let graph = folders.iter().map(|folder| folder.join(file)).find(|path| path.exists()).expect(file);
        std::fs::copy(graph, copy.file("onnx/text_model.onnx")).unwrap();
        copy
    }

    pub fn file(&self, file: &str) -> PathBuf {
        self.root.path().join("golden/copy").join(file)
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn spec(&self) -> clip::Result<ModelSpec> {
        spec_in(self.root.path(), "golden/copy")
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Cosine of normalised vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// The smallest cosine between vectors of the same place.
pub fn worst(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| cosine(x, y)).fold(1.0, f64::min)
}

/// The vectors of all golden texts, each text by itself.
pub fn embed_one_by_one(encoder: &mut TextEncoder, ids: &[&[u32]]) -> Vec<Vec<f32>> {
    let one = |ids: &&[u32]| encoder.embed(&[*ids], &Cancel::new()).unwrap().remove(0);
    ids.iter().map(one).collect()
}

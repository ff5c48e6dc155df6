//! The golden model, and where things lie.

use std::path::{Path, PathBuf};

use clip::{ModelName, ModelSpec, Runtime};

/// The repository.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What the reference made.
pub fn golden_dir() -> PathBuf {
    workspace().join("tests/golden")
}

/// The golden model.
///
/// # Panics
/// If its files cannot be used.
pub fn spec() -> ModelSpec {
    let name = ModelName::parse("golden/small").expect("it is a model name");
    ModelSpec::read(&golden_dir().join("models/golden/small"), &name).expect("the golden model is committed")
}

/// The ONNX Runtime that `make setup` fetches, or the one that the environment names.
pub(crate) fn runtime() -> clip::Result<Runtime> {
    let library = match std::env::var_os("CLIP_SEARCH_ONNXRUNTIME_LIBRARY") {
        Some(path) => PathBuf::from(path),
        None => workspace().join("target/setup/onnxruntime/libonnxruntime.so"),
    };
    Runtime::init(&library)
}

/// Cosine of normalised vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

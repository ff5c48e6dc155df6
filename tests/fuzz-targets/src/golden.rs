//! The model of tests/golden.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clip::{ModelName, ModelSpec};

/// tests/golden.
pub(crate) fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden")
}

pub(crate) fn model_dir() -> PathBuf {
    dir().join("models/golden/small")
}

pub(crate) fn spec() -> &'static ModelSpec {
    static SPEC: OnceLock<ModelSpec> = OnceLock::new();
    SPEC.get_or_init(|| ModelSpec::read(&model_dir(), &name()).expect("the golden model is fine"))
}

pub(crate) fn name() -> ModelName {
    ModelName::parse("golden/small").expect("it is a name")
}

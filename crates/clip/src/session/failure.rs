//! What ONNX Runtime says where a run fails.

use crate::error::{Error, shorten};
use crate::spec::ModelSpec;

/// Whether memory was too short, in ONNX Runtime's own words: it has no code for that.
pub(super) fn is_out_of_memory(said: &str) -> bool {
    ["Failed to allocate memory", "bad_alloc", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "BFCArena::Alloc"]
        .iter()
        .any(|words| said.contains(words))
}

/// A run that failed.
pub(super) fn inference(spec: &ModelSpec, said: &str) -> Error {
    let (model, reason) = (spec.name.to_string(), shorten(said, 1000));
    if is_out_of_memory(said) { Error::OutOfMemory { model, reason } } else { Error::Inference { model, reason } }
}

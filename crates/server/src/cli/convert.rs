//! The place where the weights of PyTorch become ONNX.

use super::failure::Failure;
use hub::{Error, Staged};

/// Whether [`finish_install`] can convert. Where it cannot, weights are refused before they are downloaded.
pub const CAN_CONVERT: bool = false;

/// Makes the ONNX files of a staged model that has only weights (`hub::Layout::Weights`): reads `staged.folder()` and writes
/// `onnx/text_model.onnx` and `onnx/vision_model.onnx` below it, each told with [`Staged::add_derived`].
///
/// # Errors
/// What cannot be converted.
pub fn finish_install(staged: &mut Staged) -> Result<(), Failure> {
    let manifest = staged.manifest();
    let file = manifest.files.first().map(|file| file.path.clone()).unwrap_or_default();
    Err(Error::WeightsOnly { source_name: manifest.source.clone(), file }.into())
}

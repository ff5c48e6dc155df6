//! Two graphs, `text_model.onnx` and `vision_model.onnx`, in `onnx/` or at the root, each in any precisions.

use super::{Layout, precisions};
use crate::spec::ModelDir;

const FOLDERS: [&str; 2] = ["onnx/", ""];

pub(super) fn find(dir: &ModelDir) -> Option<Layout> {
    FOLDERS.iter().find_map(|folder| {
        let text = precisions(dir, &format!("{folder}text_model"));
        let image = precisions(dir, &format!("{folder}vision_model"));
        let whole = !text.is_empty() && !image.is_empty();
        whole.then(|| Layout::new(text, image))
    })
}

/// True where one of the two encoders is there.
pub(super) fn has_one(dir: &ModelDir) -> bool {
    let stems = FOLDERS.iter().flat_map(|folder| ["text_model", "vision_model"].map(|stem| format!("{folder}{stem}")));
    stems.into_iter().any(|stem| !precisions(dir, &stem).is_empty())
}

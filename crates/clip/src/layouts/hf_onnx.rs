//! Two graphs, `text_model.onnx` and `vision_model.onnx`, in `onnx/` or at the root, each in any precisions.

use super::{Elsewhere, Layout, precisions};
use crate::spec::ModelDir;

const FOLDERS: [&str; 2] = ["onnx/", ""];

pub(super) fn find(dir: &ModelDir, elsewhere: Elsewhere) -> Option<Layout> {
    FOLDERS.iter().find_map(|folder| {
        let text = precisions(dir, &format!("{folder}text_model"));
        let image = precisions(dir, &format!("{folder}vision_model"));
        // Without any graph, it is the configuration that tells; that of other layouts is called alike.
        let is_mine =
            !text.is_empty() || !image.is_empty() || dir.is_file("config.json") && dir.is_file("tokenizer.json");
        let whole = elsewhere.is_whole(&text, &image) && is_mine;
        whole.then(|| Layout::new(text, image))
    })
}

/// True where one of the two encoders is there.
pub(super) fn has_one(dir: &ModelDir) -> bool {
    let stems = FOLDERS.iter().flat_map(|folder| ["text_model", "vision_model"].map(|stem| format!("{folder}{stem}")));
    stems.into_iter().any(|stem| !precisions(dir, &stem).is_empty())
}

//! Two repositories that belong together, each with one encoder and its settings, as the folders `text` and `vision`.

use super::{Layout, Settings, precisions};
use crate::spec::ModelDir;

/// Where the text encoder's configuration is, and that of the model.
pub(crate) const CONFIGURATION: &str = "text/config.json";

pub(super) fn find(dir: &ModelDir) -> Option<Layout> {
    let (text, image) = (precisions(dir, "text/model"), precisions(dir, "vision/model"));
    let whole = dir.is_file(CONFIGURATION) && !text.is_empty() && !image.is_empty();
    let layout =
        Layout { text, image, text_folder: "text/", image_folder: "vision/", settings: Settings::Transformers };
    whole.then_some(layout)
}

//! Two repositories that belong together, each with one encoder and its settings, as the folders `text` and `vision`.

use super::{Elsewhere, Layout, precisions};
use crate::spec::ModelDir;

/// Where the text encoder's configuration is, and that of the model.
pub(crate) const CONFIGURATION: &str = "text/config.json";

pub(super) fn find(dir: &ModelDir, elsewhere: Elsewhere) -> Option<Layout> {
    let (text, image) = (precisions(dir, "text/model"), precisions(dir, "vision/model"));
    let whole = dir.is_file(CONFIGURATION) && elsewhere.is_whole(&text, &image);
    whole.then(|| Layout { text_folder: "text/", image_folder: "vision/", ..Layout::new(text, image) })
}

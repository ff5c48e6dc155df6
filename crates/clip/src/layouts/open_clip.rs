//! Graphs of open_clip's models: immich's folders `textual` and `visual`, and `text.onnx` and `visual.onnx` beside
//! open_clip_config.json.

use super::{Elsewhere, Layout, Settings, precisions};
use crate::spec::ModelDir;

pub(super) fn find(dir: &ModelDir, elsewhere: Elsewhere) -> Option<Layout> {
    let kinds = [
        ("config.json", "textual/model", "visual/model", "textual/", Settings::Immich),
        ("open_clip_config.json", "text", "visual", "", Settings::OpenClip),
    ];
    kinds.into_iter().find_map(|(config, text, image, tokenizer, settings)| {
        let (text, image) = (precisions(dir, text), precisions(dir, image));
        let whole = dir.is_file(config) && elsewhere.is_whole(&text, &image);
        whole.then(|| Layout { text_folder: tokenizer, settings, ..Layout::new(text, image) })
    })
}

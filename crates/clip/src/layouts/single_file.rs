//! One graph with the inputs of both encoders: `model.onnx` in `onnx/` or at the root, in any precisions. Each encoder is
//! that graph, run with nothing in the other's input.

use super::{GraphFile, Layout, Settings, precisions};
use crate::device::Precision;
use crate::spec::ModelDir;

pub(super) fn find(dir: &ModelDir) -> Option<Layout> {
    ["onnx/", ""].iter().find_map(|folder| {
        let mut files: Vec<(Precision, String)> = precisions(dir, &format!("{folder}model"));
        files.retain(|(_, file)| has_both_inputs(dir, file));
        let layout =
            || Layout { text: files.clone(), image: files.clone(), tokenizer: "", settings: Settings::Transformers };
        (!files.is_empty()).then(layout)
    })
}

fn has_both_inputs(dir: &ModelDir, file: &str) -> bool {
    let graph = GraphFile::read(&dir.path().join(file));
    graph.is_ok_and(|graph| ["input_ids", "pixel_values"].iter().all(|input| graph.inputs.contains(*input)))
}

//! One graph with the inputs of both encoders: `model.onnx` in `onnx/` or at the root, in any precisions. Each encoder is
//! that graph, run with nothing in the other's input.

use super::{Elsewhere, GraphFile, Layout, precisions};
use crate::device::Precision;
use crate::spec::ModelDir;

pub(super) fn find(dir: &ModelDir, _: Elsewhere) -> Option<Layout> {
    ["onnx/", ""].iter().find_map(|folder| {
        let mut files: Vec<(Precision, String)> = precisions(dir, &format!("{folder}model"));
        files.retain(|(_, file)| has_both_inputs(dir, file));
        (!files.is_empty()).then(|| Layout::new(files.clone(), files))
    })
}

/// True where there are such graphs, each with the input of one encoder.
pub(super) fn has_one_encoder(dir: &ModelDir) -> bool {
    let mut files = ["onnx/", ""].iter().flat_map(|folder| precisions(dir, &format!("{folder}model")));
    files.any(|(_, file)| inputs(dir, &file) == 1)
}

fn has_both_inputs(dir: &ModelDir, file: &str) -> bool {
    inputs(dir, file) == 2
}

/// How many of the two encoders' inputs a graph has.
fn inputs(dir: &ModelDir, file: &str) -> usize {
    let graph = GraphFile::read(&dir.path().join(file)).unwrap_or_default();
    ["input_ids", "pixel_values"].iter().filter(|input| graph.inputs.contains(**input)).count()
}

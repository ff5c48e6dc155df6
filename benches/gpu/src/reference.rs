//! Figures of PyTorch, as torch_reference.py prints them.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// An encoder with batches of one size.
#[derive(Serialize, Deserialize)]
pub struct Row {
    pub model: String,
    pub encoder: String,
    pub precision: String,
    pub batch: usize,
    pub per_second: f64,
    pub ms: f64,
}

/// Reads a file of JSON objects, one a line.
///
/// # Errors
/// Where it cannot be read.
pub fn read(file: &Path) -> anyhow::Result<Vec<Row>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

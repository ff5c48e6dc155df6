//! The other side: a Python process that does the same with Pillow and numpy.

use measure::Python;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A Python process that runs pillow.py.
pub struct Pillow(Python);

/// Seconds for all files of a request.
#[derive(Deserialize)]
pub struct Seconds {
    /// To decode them.
    pub decode: f64,
    /// To decode them and make the model's input.
    pub prepare: f64,
}

impl Pillow {
    /// Starts it.
    ///
    /// # Errors
    /// Where it does not run, or lacks a package.
    pub fn start(python: &Path, script: &Path) -> anyhow::Result<Self> {
        Python::start(python, script, [] as [&str; 0]).map(Self)
    }

    /// Which versions it has.
    pub fn about(&self) -> &str {
        &self.0.about
    }

    /// Writes the JPEG file `to` from the image of another file.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn encode(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        self.0.ask(&json!({"encode": {"from": from, "to": to}})).map(drop)
    }

    /// The model's input, (3, 224, 224), value by value; with `draft`, from an image that was scaled while decoding.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn input(&mut self, file: &Path, draft: bool) -> anyhow::Result<Vec<f32>> {
        let mut answer = self.0.ask(&json!({"input": {"file": file, "draft": draft}}))?;
        Ok(serde_json::from_value(answer["values"].take())?)
    }

    /// Times it.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn time(&mut self, files: &[PathBuf], draft: bool) -> anyhow::Result<Seconds> {
        Ok(serde_json::from_value(self.0.ask(&json!({"time": {"files": files, "draft": draft}}))?)?)
    }
}

//! The other side: a Python process that does the same with Pillow and numpy.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A Python process that runs pillow.py.
pub struct Pillow {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Which versions it has.
    pub about: String,
}

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
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| python.display().to_string())?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("its output is piped")?);
        let mut pillow = Self { child, requests, answers, about: String::new() };
        pillow.about = pillow.answer()?["about"].as_str().context("it does not say what it has")?.to_owned();
        Ok(pillow)
    }

    /// Writes the JPEG file `to` from the image of another file.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn encode(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        self.ask(&json!({"encode": {"from": from, "to": to}})).map(drop)
    }

    /// The model's input, (3, 224, 224), value by value; with `draft`, from an image that was scaled while decoding.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn input(&mut self, file: &Path, draft: bool) -> anyhow::Result<Vec<f32>> {
        let mut answer = self.ask(&json!({"input": {"file": file, "draft": draft}}))?;
        Ok(serde_json::from_value(answer["values"].take())?)
    }

    /// Times it.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn time(&mut self, files: &[PathBuf], draft: bool) -> anyhow::Result<Seconds> {
        Ok(serde_json::from_value(self.ask(&json!({"time": {"files": files, "draft": draft}}))?)?)
    }

    fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        let pipe = self.requests.as_mut().context("it was ended")?;
        writeln!(pipe, "{request}")?;
        pipe.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("pillow.py ended; its words are above");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Pillow {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

//! The other side of a comparison: a Python process that answers lines of JSON.

use anyhow::{Context, bail};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A Python process: it says in its first line what it has, and then answers each line.
pub struct Python {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Which versions it has.
    pub about: String,
}

impl Python {
    /// Starts a script.
    ///
    /// # Errors
    /// Where it does not run, or lacks a package.
    pub fn start(
        python: &Path,
        script: &Path,
        arguments: impl IntoIterator<Item: AsRef<OsStr>>,
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(python)
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| python.display().to_string())?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("its output is piped")?);
        let mut python = Self { child, requests, answers, about: String::new() };
        python.about = python.answer()?["about"].as_str().context("it does not say what it has")?.to_owned();
        Ok(python)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        let pipe = self.requests.as_mut().context("it was ended")?;
        writeln!(pipe, "{request}")?;
        pipe.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the Python process ended; its words are above");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

/// The processor's name, as Linux tells it.
pub fn processor() -> String {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        known.lines().find_map(|line| line.strip_prefix("model name")).map(|rest| rest.trim_matches([' ', '\t', ':']));
    name.unwrap_or("an unknown processor").to_owned()
}

//! What is said meanwhile: sentences and a bar, or JSON lines.

use super::Failure;
use hub::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use protocol::{InstalledModel, ModelLine, Nearness, Quantized, VerifiedModel};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time between two lines of progress.
const JSON_EVERY: Duration = Duration::from_millis(500);
const TEXT_EVERY: Duration = Duration::from_secs(5);

/// Where everything is said.
pub struct Report {
    json: bool,
    bar: ProgressBar,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    done: u64,
    total: u64,
    /// Of the latest line.
    said: Option<Instant>,
}

impl Report {
    pub fn new(json: bool) -> Self {
        let terminal = !json && std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
            .expect("the template is well-formed")
            .progress_chars("━╸ ");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        Self { json, bar, progress: Mutex::default() }
    }

    /// What happens while files are being gathered.
    pub fn event(&self, event: &Event<'_>) {
        match event {
            Event::Waiting => self.line(&ModelLine::Waiting),
            Event::Selected { selection, commit, license } => {
                self.progress.lock().expect("no panic while held").total = selection.bytes();
                self.bar.set_length(selection.bytes());
                self.line(&ModelLine::Selected {
                    files: selection.files.len() as u64,
                    bytes: selection.bytes(),
                    commit: commit.map(str::to_owned),
                    license: license.map(str::to_owned),
                    layout: selection.layout.to_string(),
                    precision: selection.precision.clone(),
                });
            }
            Event::Received(bytes) => self.advance(|done| done.saturating_add(*bytes)),
            Event::Lost(bytes) => self.advance(|done| done.saturating_sub(*bytes)),
            Event::Retry { path, reason, pause } => self.line(&ModelLine::Retry {
                file: (*path).to_owned(),
                reason: reason.clone(),
                pause_ms: pause.as_millis() as u64,
            }),
            _ => {}
        }
    }

    fn advance(&self, change: impl FnOnce(u64) -> u64) {
        let line = {
            let mut progress = self.progress.lock().expect("no panic while held");
            progress.done = change(progress.done);
            self.bar.set_position(progress.done);
            let every = if self.json { JSON_EVERY } else { TEXT_EVERY };
            if self.bar.is_hidden() && progress.said.is_none_or(|said| said.elapsed() >= every) {
                progress.said = Some(Instant::now());
                Some(ModelLine::Progress { done: progress.done, total: progress.total })
            } else {
                None
            }
        };
        if let Some(line) = line {
            self.line(&line);
        }
    }

    /// Says one thing.
    pub fn line(&self, line: &ModelLine) {
        if self.json {
            return say(&serde_json::to_string(line).expect("a line is plain data"));
        }
        if let ModelLine::Progress { .. } | ModelLine::Retry { .. } | ModelLine::Waiting | ModelLine::Selected { .. } =
            line
        {
            return self.bar.suspend(|| eprintln!("{}", sentence(line)));
        }
        self.bar.finish_and_clear();
        match line {
            ModelLine::Proving
            | ModelLine::Converting
            | ModelLine::Calibrating { .. }
            | ModelLine::Measuring { .. } => eprintln!("{}", sentence(line)),
            _ => say(&sentence(line)),
        }
    }

    /// Says why it did not succeed.
    pub fn failure(&self, failure: &Failure) {
        if self.json {
            let Failure { class, message, hint } = failure;
            let line =
                ModelLine::Error { class: class.word().to_owned(), message: message.clone(), hint: hint.clone() };
            return say(&serde_json::to_string(&line).expect("a line is plain data"));
        }
        self.bar.finish_and_clear();
        eprintln!("clip-search-server: {}", failure.message);
        if let Some(hint) = &failure.hint {
            eprintln!("  {hint}");
        }
    }
}

/// To standard output. Where nobody reads it, there is nobody to tell.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn sentence(line: &ModelLine) -> String {
    match line {
        ModelLine::Waiting => "another process installs this model; waiting for it".to_owned(),
        ModelLine::Selected { files, bytes, commit, license, layout, precision } => {
            let commit = commit.as_deref().map(|commit| format!(" at commit {}", short(commit))).unwrap_or_default();
            let license = license.as_deref().map(|name| format!(", licence {name}")).unwrap_or_default();
            let precision = precision.as_deref().map(|name| format!(", {name}")).unwrap_or_default();
            format!("{files} files, {}{commit}: {layout}{precision}{license}", megabytes(*bytes))
        }
        ModelLine::Progress { done, total } => format!("{} of {}", megabytes(*done), megabytes(*total)),
        ModelLine::Retry { file, reason, pause_ms } => {
            format!("{file}: {reason}; trying again in {:.1} s", *pause_ms as f64 / 1000.0)
        }
        ModelLine::Converting => "converting the weights to ONNX".to_owned(),
        ModelLine::Proving => "embedding the probe set".to_owned(),
        ModelLine::Calibrating { encoder } => format!("calibrating the {encoder} encoder"),
        ModelLine::Measuring { encoder } => format!("measuring the {encoder} encoder"),
        ModelLine::Quantized(model) => quantized(model),
        ModelLine::Unchanged(model) => format!("{} is installed already, in {}", model.name, model.path),
        ModelLine::Installed(model) => installed(model),
        ModelLine::Exported { name, path, remote } => {
            format!("wrote a model repository with {name} into {path}; for remote.json, with HOST replaced:\n{remote}")
        }
        ModelLine::Removed { name, path } => format!("removed {name} from {path}"),
        ModelLine::Model { name, dimension, precisions, bytes, error, .. } => match error {
            Some(error) => format!("{name}: {error}"),
            None => format!(
                "{name}: {} dimensions, {}, {}",
                dimension.unwrap_or(0),
                precisions.join(" "),
                megabytes(bytes.unwrap_or(0))
            ),
        },
        ModelLine::Verified(model) => verified(model),
        ModelLine::Error { message, .. } => message.clone(),
        ModelLine::Unknown => String::new(),
    }
}

fn installed(model: &InstalledModel) -> String {
    let InstalledModel { name, path, bytes, precision, dimension, replaced, .. } = model;
    let precision = precision.as_deref().map(|name| format!(" {name},")).unwrap_or_default();
    let dimension = dimension.map(|dimension| format!(" {dimension} dimensions,")).unwrap_or_default();
    let replaced =
        if *replaced { "\nIt replaces another revision: embed again what that one has embedded." } else { "" };
    format!("installed {name}:{dimension}{precision} {}, in {path}{replaced}", megabytes(*bytes))
}

fn quantized(model: &Quantized) -> String {
    let Quantized { name, path, bytes, text, image } = model;
    let line = |what: &str, near: &Nearness| {
        format!("\n  {what:6} cosine to fp32: lowest {:.4}, median {:.4}, of {}", near.lowest, near.median, near.count)
    };
    let (texts, images) = (line("texts", text), line("images", image));
    format!("quantized {name}: {} as precision w8a8, in {path}{texts}{images}", megabytes(*bytes))
}

fn verified(model: &VerifiedModel) -> String {
    let VerifiedModel { name, ok, files, damaged, text_cosine, image_cosine, identical, error, .. } = model;
    let mut lines = vec![format!("{name}: {}", if *ok { "verified" } else { "NOT what was installed" })];
    match files {
        0 => lines.push("  files    it was not installed by clip_search: nothing to compare with".to_owned()),
        _ => lines.push(format!("  files    {files}, of which {} differ", damaged.len())),
    }
    lines.extend(damaged.iter().map(|file| format!("           {file}")));
    if let Some((text, image)) = text_cosine.zip(*image_cosine) {
        let same = if *identical == Some(true) { ", equal in every bit" } else { "" };
        lines.push(format!("  vectors  least cosine then and now: texts {text:.6}, images {image:.6}{same}"));
    }
    lines.extend(error.iter().map(|error| format!("  error    {error}")));
    lines.join("\n")
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

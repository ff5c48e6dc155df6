//! Bounded reading of the files of a model directory.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::name::ModelName;

/// The files beside the ONNX files that decide a vector, in the layouts with transformers' settings.
pub(super) const SETTINGS: [&str; 6] = [
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
];
/// Those that other layouts have, too, each where it exists.
pub(super) const OTHER_SETTINGS: [&str; 9] = [
    "merges.txt",
    "model_config.json",
    "open_clip_config.json",
    "textual/merges.txt",
    "textual/special_tokens_map.json",
    "textual/tokenizer.json",
    "textual/tokenizer_config.json",
    "visual/preprocess_cfg.json",
    "vocab.json",
];

/// Most bytes of a settings file. Real ones have a few thousand; a tokenizer_config.json may list many added tokens.
const MAX_SETTINGS: u64 = 4 << 20;
/// Most bytes of a tokenizer.json. CLIP's has 2.2 MB, the largest multilingual ones about 30 MB.
pub(crate) const MAX_TOKENIZER: u64 = 128 << 20;
/// Directories below the model's that count for its size.
const MAX_DEPTH: usize = 4;

/// A model's directory, with the name that errors carry.
pub(crate) struct ModelDir<'a> {
    path: &'a Path,
    name: &'a ModelName,
}

impl<'a> ModelDir<'a> {
    pub(crate) fn new(path: &'a Path, name: &'a ModelName) -> ModelDir<'a> {
        ModelDir { path, name }
    }

    pub(crate) fn bad(&self, file: &str, reason: impl Into<String>) -> Error {
        bad_model(self.path, self.name, file, reason.into())
    }

    pub(crate) fn path(&self) -> &Path {
        self.path
    }

    pub(crate) fn exists(&self, file: &str) -> bool {
        self.path.join(file).exists()
    }

    pub(crate) fn is_file(&self, file: &str) -> bool {
        self.path.join(file).is_file()
    }

    /// Parses a settings file; `None` where it does not exist.
    pub(crate) fn parse_optional<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>> {
        if self.exists(file) { self.parse(file).map(Some) } else { Ok(None) }
    }

    /// Parses a settings file.
    pub(crate) fn parse<T: DeserializeOwned>(&self, file: &str) -> Result<T> {
        let bytes = self.read(file, MAX_SETTINGS)?;
        serde_json::from_slice(&bytes).map_err(|error| self.bad(file, error.to_string()))
    }

    /// Which encoders are remote.
    pub(crate) fn remote(&self) -> Result<remote::Config> {
        if !self.exists(remote::FILE) {
            return Ok(remote::Config::default());
        }
        let text = self.read(remote::FILE, MAX_SETTINGS)?;
        remote::Config::parse(&text).map_err(|reason| self.bad(remote::FILE, reason))
    }

    /// Reads a whole file of at most `max` bytes.
    pub(crate) fn read(&self, file: &str, max: u64) -> Result<Vec<u8>> {
        read(&self.path.join(file), max).map_err(|reason| self.bad(file, reason))
    }

    /// Bytes of the files in the directory and below.
    pub(crate) fn size(&self) -> u64 {
        size(self.path, MAX_DEPTH)
    }

    /// An ONNX file and the files of its weights beside it: `X.onnx_data`, `X.onnx_data_1`, `X.onnx.data`, in order.
    pub(crate) fn with_external_data(&self, file: &str) -> Result<Vec<String>> {
        let (folder, stem) = file.rsplit_once('/').unwrap_or((".", file));
        let entries = self.path.join(folder).read_dir().map_err(|error| self.bad(folder, error.to_string()))?;
        let mut files: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(stem))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        files.sort();
        Ok(files)
    }

    /// Hashes names, lengths and contents of the files, and what else there is; files that do not exist count as empty.
    pub(crate) fn fingerprint(&self, files: &[String], more: &str) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        for file in files {
            let path = self.path.join(file);
            let content = if path.exists() { hash(&path).map_err(|e| self.bad(file, e.to_string()))? } else { [0; 32] };
            hasher.update(&(file.len() as u64).to_le_bytes());
            hasher.update(file.as_bytes());
            hasher.update(&content);
        }
        hasher.update(more.as_bytes());
        Ok(hasher.finalize().to_hex()[..32].to_owned())
    }
}

/// A [`Error::BadModel`], or [`Error::ForbiddenModel`] where the file or its weights beside it must not be read.
pub(super) fn bad_model(folder: &Path, name: &ModelName, file: &str, reason: String) -> Error {
    let path = folder.join(file);
    let (model, file) = (name.to_string(), file.to_owned());
    match is_forbidden(&path) || weights_beside(&path).any(|weights| is_forbidden(&weights)) {
        true => Error::ForbiddenModel { model, file, reason },
        false => Error::BadModel { model, file, reason },
    }
}

fn is_forbidden(path: &Path) -> bool {
    let is_denied = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    // Asked before opening: opening a pipe would wait for its other end.
    match fs::metadata(path) {
        Ok(about) if about.is_file() || about.is_dir() => File::open(path).is_err_and(is_denied),
        Ok(_) => false,
        Err(error) => is_denied(error),
    }
}

/// Files whose names begin with that of a file.
fn weights_beside(path: &Path) -> impl Iterator<Item = PathBuf> {
    let stem = path.file_name().unwrap_or_default().to_owned();
    let entries = path.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten();
    let is_weights = move |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name.len() > stem.len() && name.as_encoded_bytes().starts_with(stem.as_encoded_bytes())
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_weights)
}

/// Reads a regular file of at most `max` bytes, or says why not.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    };
    // Asked before opening: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(max + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > max {
        return Err(format!("it has more than {max} bytes"));
    }
    Ok(bytes)
}

fn hash(path: &PathBuf) -> std::io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(*hasher.finalize().as_bytes())
}

fn size(directory: &Path, depth: usize) -> u64 {
    let Ok(entries) = directory.read_dir() else { return 0 };
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let about = fs::metadata(&path).ok()?;
            Some(match about.is_dir() {
                true if depth > 0 => size(&path, depth - 1),
                true => 0,
                false => about.len(),
            })
        })
        .sum()
}

//! Tensors by name, read from files that nobody vouches for.
//!
//! Opening a file reads its directory only and checks it against the file's length; values are read when they are
//! written to a graph, one part at a time. Files are read, not mapped: one that shrinks meanwhile is an error, not a
//! SIGBUS.

mod pickle;
mod pytorch;
mod safetensors;
mod tensor;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, shorten};
pub(crate) use tensor::{DType, Tensor};

/// Most bytes of a JSON file of settings. An index of shards has 200 bytes for each tensor.
const MAX_JSON: u64 = 4 << 20;
/// Most shards of one model. The largest published CLIP models have four.
const MAX_SHARDS: usize = 256;
/// Most characters of a tensor's name.
const MAX_NAME: usize = 512;

/// The tensors of a model, and which of them have been used.
#[derive(Debug)]
pub(crate) struct Weights {
    /// The file, or the index of its shards.
    pub file: String,
    tensors: BTreeMap<String, Tensor>,
    used: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// The first of some files of weights that a directory has, by extension: `.safetensors`, `.bin`, and `.index.json`
    /// for shards of either.
    pub fn open(directory: &Path, candidates: &[&str]) -> Result<Option<Weights>> {
        let Some(file) = candidates.iter().find(|file| directory.join(file).exists()) else { return Ok(None) };
        let tensors = if file.ends_with(".json") { open_shards(directory, file)? } else { open(directory, file)? };
        Ok(Some(Weights { file: (*file).to_owned(), tensors, used: BTreeSet::new() }))
    }

    /// Uses the tensor of this name, which is to have this shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.take_any(name)?;
        if tensor.shape != shape {
            return Err(Error::Shape { tensor: name.to_owned(), found: tensor.shape, expected: shape.to_vec() });
        }
        Ok(tensor)
    }

    /// Uses the tensor of this name, whatever its shape.
    pub fn take_any(&mut self, name: &str) -> Result<Tensor> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(Error::MissingTensor { file: self.file.clone(), tensor: name.to_owned() });
        };
        if !tensor.dtype.is_float() {
            let reason = format!("is of type {}, not F32, F16, BF16 or F64", tensor.dtype);
            return Err(Error::BadTensor { tensor: name.to_owned(), reason });
        }
        self.used.insert(name.to_owned());
        Ok(tensor.clone())
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The one value of a tensor, where there is one.
    pub fn scalar(&mut self, name: &str) -> Result<Option<f32>> {
        if !self.has(name) {
            return Ok(None);
        }
        let tensor = self.take_any(name)?;
        if tensor.elements() != 1 {
            return Err(Error::Shape { tensor: name.to_owned(), found: tensor.shape, expected: vec![] });
        }
        let mut value = 0.0;
        tensor.read(&mut |values| {
            value = values[0];
            Ok(())
        })?;
        Ok(Some(value))
    }

    /// All have been used but those whose name is to be ignored.
    pub fn finish(&self, ignored: impl Fn(&str) -> bool) -> Result<()> {
        let mut left = self.tensors.keys().filter(|name| !self.used.contains(*name) && !ignored(name));
        match left.next() {
            None => Ok(()),
            Some(tensor) => {
                let (file, tensor) = (self.file.clone(), shorten(tensor, 200));
                Err(Error::UnexpectedTensor { file, tensor, more: left.count() })
            }
        }
    }

    /// The types of the tensors that have been used.
    pub fn dtypes(&self) -> BTreeSet<DType> {
        self.used.iter().filter_map(|name| Some(self.tensors.get(name)?.dtype)).collect()
    }
}

fn open(directory: &Path, file: &str) -> Result<BTreeMap<String, Tensor>> {
    let opened = open_regular(directory, file)?;
    let tensors =
        if file.ends_with(".safetensors") { safetensors::read(opened, file)? } else { pytorch::read(opened, file)? };
    match tensors.keys().find(|name| name.len() > MAX_NAME) {
        Some(name) => Err(Error::bad(file, format!("the name of a tensor is too long: \"{}\"", shorten(name, 60)))),
        None => Ok(tensors),
    }
}

fn open_shards(directory: &Path, index: &str) -> Result<BTreeMap<String, Tensor>> {
    let Index { weight_map } = read_json(directory, index)?;
    let files: BTreeSet<&String> = weight_map.values().collect();
    if files.len() > MAX_SHARDS {
        return Err(Error::bad(index, format!("it names {} files, at most {MAX_SHARDS} are read", files.len())));
    }
    let extension = if index.contains(".safetensors.") { ".safetensors" } else { ".bin" };
    // Names, not paths: nothing outside the directory is opened.
    if let Some(file) = files.iter().find(|file| !is_plain_name(file) || !file.ends_with(extension)) {
        return Err(Error::bad(index, format!("it names the file \"{}\"", shorten(file, 100))));
    }
    let mut tensors = BTreeMap::new();
    for file in files {
        for (name, tensor) in open(directory, file)? {
            if weight_map.get(&name) != Some(file) {
                let name = shorten(&name, 200);
                return Err(Error::bad(index, format!("it does not say that {file} has the tensor \"{name}\"")));
            }
            tensors.insert(name, tensor);
        }
    }
    match weight_map.iter().find(|(name, _)| !tensors.contains_key(*name)) {
        Some((name, file)) => Err(Error::MissingTensor { file: file.clone(), tensor: shorten(name, 200) }),
        None => Ok(tensors),
    }
}

fn is_plain_name(file: &str) -> bool {
    !file.starts_with('.') && !file.contains(['/', '\\', '\0'])
}

/// Opens a regular file; a pipe would wait for its other end.
fn open_regular(directory: &Path, file: &str) -> Result<(File, u64)> {
    let io = |error: std::io::Error| Error::bad(file, describe(&error));
    let path = directory.join(file);
    if !path.metadata().map_err(io)?.is_file() {
        return Err(Error::bad(file, "it is not a regular file"));
    }
    let opened = File::open(&path).map_err(io)?;
    let length = opened.metadata().map_err(io)?.len();
    let mut start = [0; 19];
    let read = (&opened).take(start.len() as u64).read(&mut start).map_err(io)?;
    if start[..read].starts_with(b"version https://git") {
        return Err(Error::bad(file, "it is a git-lfs pointer, not the file itself"));
    }
    Ok((opened, length))
}

/// Parses a JSON file of a few megabytes at most.
pub(crate) fn read_json<T: DeserializeOwned>(directory: &Path, file: &str) -> Result<T> {
    let (_, length) = open_regular(directory, file)?;
    if length > MAX_JSON {
        return Err(Error::bad(file, format!("it has {length} bytes, at most {MAX_JSON} are read")));
    }
    let bytes = std::fs::read(directory.join(file)).map_err(|error| Error::bad(file, describe(&error)))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::bad(file, shorten(&error.to_string(), 200)))
}

fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    }
}

//! Why what lies in a model's folder cannot be used, as far as its files tell without being loaded.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Where ONNX files of known layouts are.
const FOLDERS: [&str; 6] = ["", "onnx/", "text/", "textual/", "vision/", "visual/"];
/// Files of which one is in every folder that is, or should have been, a model.
const SIGNS: [&str; 5] =
    ["config.json", "open_clip_config.json", "modules.json", "model.safetensors", "pytorch_model.bin"];
/// Weights of PyTorch.
const WEIGHTS: [&str; 6] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
];
/// How a Git LFS pointer begins.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Most bytes of a string that is read of a graph.
const MAX_STRING: u64 = 4096;
/// Up to this version of the format, every runtime that is supported reads it.
const OLD_IR: u64 = 10;

/// Whether a folder is meant to be a model, usable or not.
pub(crate) fn looks_like_a_model(folder: &Path) -> bool {
    SIGNS.iter().any(|file| folder.join(file).is_file()) || !onnx_files(folder).is_empty()
}

/// The highest version of the ONNX format that an ONNX Runtime of this version reads, where that is known.
pub fn highest_ir(runtime_version: &str) -> Option<u64> {
    let mut numbers = runtime_version.split('.').map(|number| number.parse::<u64>().ok());
    match (numbers.next()??, numbers.next()??) {
        (1, 24..=31) => Some(13),
        (1, 32) => Some(14),
        _ => None,
    }
}

/// What is wrong with the ONNX files of a folder: a pointer in the place of the file, missing weights, a newer format.
///
/// `only` are the files that matter, relative to the folder; all of them where it is empty. `highest_ir` is asked where a
/// file's format is newer than what every runtime reads.
pub fn damage(folder: &Path, only: &[String], highest_ir: impl Fn() -> Option<u64>) -> Option<String> {
    let files = if only.is_empty() { onnx_files(folder) } else { only.to_vec() };
    files.iter().find_map(|file| {
        let path = folder.join(file);
        if is_pointer(&path) {
            return Some(format!("{file} is a Git LFS pointer, not the file itself"));
        }
        // What cannot be opened is told by whoever opens it.
        let graph = match Graph::read(&path) {
            Ok(graph) => graph,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Some(format!("{file} {error}")),
            Err(_) => return None,
        };
        let beside = path.parent().unwrap_or(folder);
        if let Some(missing) = graph.external.iter().find(|data| !beside.join(data).is_file()) {
            return Some(format!("{file} has its weights in {missing}, which is missing"));
        }
        if let Some(pointer) = graph.external.iter().find(|data| is_pointer(&beside.join(data))) {
            return Some(format!("{pointer} is a Git LFS pointer, not the file itself"));
        }
        let newer = graph.ir > OLD_IR && highest_ir().is_some_and(|highest| graph.ir > highest);
        newer.then(|| {
            let highest = highest_ir().unwrap_or_default();
            format!("{file} is in version {} of the ONNX format, this ONNX Runtime reads up to {highest}", graph.ir)
        })
    })
}

/// What a folder has in the place of ONNX files: weights, or a layout that is not read.
pub fn without_graphs(folder: &Path) -> Option<String> {
    if !onnx_files(folder).is_empty() {
        return None;
    }
    if folder.join("modules.json").is_file() {
        return Some("it has the layout of sentence-transformers (modules.json), which is not read".to_owned());
    }
    let weights = WEIGHTS.into_iter().find(|file| folder.join(file).is_file());
    weights.map(|file| match is_pointer(&folder.join(file)) {
        true => format!("{file} is a Git LFS pointer, not the file itself"),
        false => format!("it has PyTorch weights only ({file}), and no ONNX files"),
    })
}

/// The ONNX files in the folders of known layouts, in order.
fn onnx_files(folder: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    for below in FOLDERS {
        let Ok(entries) = fs::read_dir(folder.join(below)) else { continue };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        found.extend(names.filter(|name| name.ends_with(".onnx")).map(|name| format!("{below}{name}")));
    }
    found.into_iter().filter(|file| folder.join(file).is_file()).collect()
}

fn is_pointer(path: &Path) -> bool {
    let mut start = [0; POINTER.len()];
    fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() < 1024)
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == POINTER
}

/// What of an ONNX file is read here: its version, and the files that its weights are in.
struct Graph {
    ir: u64,
    external: BTreeSet<String>,
}

impl Graph {
    /// Walks over the file without reading its weights.
    ///
    /// # Errors
    /// `InvalidData` with the reason, where it is no whole ONNX file; what the operating system says otherwise.
    fn read(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let mut graph = Self { ir: 0, external: BTreeSet::new() };
        let mut walk = Walk { file: BufReader::new(file), at: 0 };
        // ModelProto: ir_version = 1, graph = 7.
        walk.fields(end, &mut |walk, field| match field {
            Field::Number(1, value) => {
                graph.ir = value;
                Ok(())
            }
            Field::Bytes(7, end) => walk.graph(end, &mut graph.external),
            _ => Ok(()),
        })?;
        if graph.ir == 0 { Err(invalid("is not an ONNX file")) } else { Ok(graph) }
    }
}

/// A field of a message in protobuf's encoding; bytes are given by the position of their end.
enum Field {
    Number(u64, u64),
    Bytes(u64, u64),
}

struct Walk {
    file: BufReader<File>,
    at: u64,
}

impl Walk {
    /// GraphProto: initializer = 5. TensorProto: external_data = 13. StringStringEntryProto: key = 1, value = 2.
    fn graph(&mut self, end: u64, external: &mut BTreeSet<String>) -> io::Result<()> {
        self.fields(end, &mut |walk, field| match field {
            Field::Bytes(5, end) => walk.fields(end, &mut |walk, field| match field {
                Field::Bytes(13, end) => {
                    let (mut key, mut value) = (String::new(), String::new());
                    walk.fields(end, &mut |walk, field| match field {
                        Field::Bytes(1, end) => walk.string(end).map(|text| key = text),
                        Field::Bytes(2, end) => walk.string(end).map(|text| value = text),
                        _ => Ok(()),
                    })?;
                    if key == "location" {
                        external.insert(value);
                    }
                    Ok(())
                }
                _ => Ok(()),
            }),
            _ => Ok(()),
        })
    }

    /// Gives each field up to `end`; what is not read of it is passed over.
    fn fields(&mut self, end: u64, each: &mut dyn FnMut(&mut Self, Field) -> io::Result<()>) -> io::Result<()> {
        while self.at < end {
            let tag = self.varint()?;
            match tag & 7 {
                0 => {
                    let value = self.varint()?;
                    each(self, Field::Number(tag >> 3, value))?;
                }
                1 => self.skip_to(self.at + 8)?,
                2 => {
                    let length = self.varint()?;
                    let last = self.at.checked_add(length).filter(|last| *last <= end);
                    let last = last.ok_or_else(|| invalid("is not a whole ONNX file"))?;
                    each(self, Field::Bytes(tag >> 3, last))?;
                    self.skip_to(last)?;
                }
                5 => self.skip_to(self.at + 4)?,
                _ => return Err(invalid("is not an ONNX file")),
            }
        }
        Ok(())
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.file.read_exact(&mut byte).map_err(|_| invalid("is not a whole ONNX file"))?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(invalid("is not an ONNX file"))
    }

    fn string(&mut self, end: u64) -> io::Result<String> {
        let length = end - self.at;
        if length > MAX_STRING {
            return Ok(String::new());
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact(&mut bytes).map_err(|_| invalid("is not a whole ONNX file"))?;
        self.at = end;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn skip_to(&mut self, position: u64) -> io::Result<()> {
        let by = i64::try_from(position - self.at).map_err(|_| invalid("is not an ONNX file"))?;
        self.file.seek_relative(by)?;
        self.at = position;
        Ok(())
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

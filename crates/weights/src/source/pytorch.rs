//! `pytorch_model.bin`: what `torch.save` writes since PyTorch 1.6, a ZIP container with a pickle that describes the
//! tensors (`data.pkl`) and a file of values for each (`data/0`, `data/1`, …), stored and not compressed.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::pickle::{self, Id, Node, Nodes};
use super::tensor::{DType, Storage, Tensor};
use crate::error::{Error, Result, shorten};

/// Most bytes of the pickle. A thousand tensors need 200,000.
const MAX_PICKLE: u64 = 4 << 20;
/// Most entries of the container.
const MAX_ENTRIES: usize = 100_000;

/// How many times over the tensors may use the values of the file.
const MAX_SHARING: u64 = 2;

/// Where the entries of the container lie in the file, and how many bytes they have.
type Entries = HashMap<String, (u64, u64)>;

/// The tensors of a file.
pub(super) fn read((file, length): (File, u64), name: &str) -> Result<BTreeMap<String, Tensor>> {
    read_container(file, length, name).map_err(|reason| Error::bad(name, reason))
}

fn read_container(file: File, length: u64, name: &str) -> Result<BTreeMap<String, Tensor>, String> {
    let mut start = [0; 2];
    file.read_exact_at(&mut start, 0).map_err(|_| format!("{length} bytes are no file of PyTorch"))?;
    if start[0] == 0x80 {
        return Err("it is in the format that PyTorch wrote before version 1.6".to_owned());
    }
    let entries = entries(&file, length)?;
    let mut pickles = entries.keys().filter(|entry| entry.ends_with("/data.pkl"));
    let (Some(pickle), None) = (pickles.next(), pickles.next()) else {
        return Err("it is not a file of tensors: there is not one data.pkl in it".to_owned());
    };
    let folder = pickle.trim_end_matches("data.pkl");
    if let Some(&(at, length)) = entries.get(&format!("{folder}byteorder"))
        && load(&file, at, length.min(16))? != b"little"
    {
        return Err("its byte order is not \"little\"".to_owned());
    }
    let (at, pickled) = entries[pickle];
    if pickled > MAX_PICKLE {
        return Err(format!("its data.pkl has {pickled} bytes, at most {MAX_PICKLE} are read"));
    }
    let (nodes, root) = pickle::parse(&load(&file, at, pickled)?).map_err(|reason| format!("data.pkl: {reason}"))?;
    let folder = folder.to_owned();
    let storage = Arc::new(Storage { file, name: name.to_owned() });
    let mut tensors = BTreeMap::new();
    let mut total = 0u64;
    for pair in state(&nodes, root).ok_or("it is not a dictionary of tensors")?.chunks_exact(2) {
        let Some(tensor) = nodes.text(pair[0]) else { continue };
        let about = |reason: &str| format!("tensor \"{}\": {reason}", shorten(tensor, 200));
        // What is no tensor is no weight either.
        let Some(arguments) = rebuilt(&nodes, pair[1]) else { continue };
        let view = View::read(&nodes, arguments).ok_or_else(|| about("its description is not known"))?;
        let entry = format!("{folder}data/{}", view.key);
        let &(at, bytes) = entries.get(&entry).ok_or_else(|| about("its values are missing"))?;
        let start = (view.offset as u64).checked_mul(view.dtype.size() as u64).filter(|start| *start <= bytes);
        let start = start.ok_or_else(|| about("its values lie beyond the end of their storage"))?;
        let made = Tensor::strided(tensor, view.dtype, view.shape, view.strides, at + start, bytes - start, &storage);
        let made = made.map_err(|reason| about(&reason))?;
        // Tensors may share values, but not so many that a small file makes a large model.
        total = total.saturating_add((made.elements() * made.dtype.size()) as u64);
        if total / MAX_SHARING > length {
            return Err("its tensors have more values than the file".to_owned());
        }
        tensors.insert(tensor.to_owned(), made);
    }
    if tensors.is_empty() { Err("there are no tensors in it".to_owned()) } else { Ok(tensors) }
}

fn entries(file: &File, length: u64) -> Result<Entries, String> {
    let malformed =
        |error: zip::result::ZipError| format!("it is not a file of PyTorch: {}", shorten(&error.to_string(), 200));
    let reader = BufReader::new(file.try_clone().map_err(|error| error.to_string())?);
    let mut container = ZipArchive::new(reader).map_err(malformed)?;
    if container.len() > MAX_ENTRIES {
        return Err(format!("it has {} entries, at most {MAX_ENTRIES} are read", container.len()));
    }
    let mut entries = HashMap::new();
    for index in 0..container.len() {
        let entry = container.by_index_raw(index).map_err(malformed)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let shown = || shorten(&name, 100);
        if entry.compression() != CompressionMethod::Stored
            || entry.encrypted()
            || entry.size() != entry.compressed_size()
        {
            return Err(format!("its entry {} is compressed or encrypted", shown()));
        }
        let start = entry.data_start().ok_or_else(|| format!("its entry {} has no place", shown()))?;
        let end = start.checked_add(entry.size());
        if end.is_none_or(|end| end > length) {
            return Err(format!("its entry {} lies beyond the end of the file", shown()));
        }
        let place = (start, entry.size());
        drop(entry);
        entries.insert(name, place);
    }
    Ok(entries)
}

fn load(file: &File, at: u64, length: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, at).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The dictionary of tensors: the whole, or what a checkpoint of a training has as its `state_dict`.
fn state(nodes: &Nodes, root: Id) -> Option<&[Id]> {
    let whole = nodes.dict(root)?;
    let inner = whole.chunks_exact(2).find(|pair| nodes.text(pair[0]) == Some("state_dict"));
    inner.and_then(|pair| nodes.dict(pair[1])).or(Some(whole))
}

/// The arguments of the call that makes a tensor.
fn rebuilt(nodes: &Nodes, value: Id) -> Option<&[Id]> {
    let Node::Call(callable, arguments) = nodes.get(value) else { return None };
    match nodes.global(*callable)? {
        "torch._utils._rebuild_tensor_v2" => nodes.tuple(*arguments),
        "torch._utils._rebuild_parameter" => {
            let Node::Call(callable, inner) = nodes.get(*nodes.tuple(*arguments)?.first()?) else { return None };
            if nodes.global(*callable)? == "torch._utils._rebuild_tensor_v2" { nodes.tuple(*inner) } else { None }
        }
        _ => None,
    }
}

/// A tensor as a part of a storage.
struct View {
    key: String,
    dtype: DType,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    fn read(nodes: &Nodes, arguments: &[Id]) -> Option<View> {
        let [storage, offset, shape, strides, ..] = *arguments else { return None };
        let Node::Persistent(storage) = nodes.get(storage) else { return None };
        let [kind, class, key, ..] = *nodes.tuple(*storage)? else { return None };
        if nodes.text(kind)? != "storage" {
            return None;
        }
        let dtype = match nodes.global(class)? {
            "torch.DoubleStorage" => DType::F64,
            "torch.FloatStorage" => DType::F32,
            "torch.HalfStorage" => DType::F16,
            "torch.BFloat16Storage" => DType::BF16,
            "torch.LongStorage" => DType::Other("I64"),
            "torch.IntStorage" => DType::Other("I32"),
            "torch.CharStorage" => DType::Other("I8"),
            "torch.ByteStorage" => DType::Other("U8"),
            "torch.BoolStorage" => DType::Other("BOOL"),
            _ => DType::Other("a type that is not known"),
        };
        Some(View {
            key: nodes.text(key)?.to_owned(),
            dtype,
            offset: nodes.size(offset)?,
            shape: nodes.sizes(shape)?,
            strides: nodes.sizes(strides)?,
        })
    }
}

//! Writing a graph to a file, one tensor at a time: the lengths of all messages are known before the first value is
//! read, so that no more than a part of a tensor is in memory.

use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use half::f16;
use prost::Message;
use tempfile::NamedTempFile;

use super::builder::{Builder, Data, Initializer};
use super::{Precision, proto};
use crate::error::{Error, Result};
use crate::files::{new_file, rename};

/// What ONNX Runtime 1.17 and later read.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
/// Constants of fewer bytes stay in the graph's own file: ONNX Runtime wants to see shapes at once.
const SMALL: u64 = 1024;
/// External data lie on pages, so that they can be mapped.
const PAGE: u64 = 4096;

/// A graph that was written, under names that are gone unless [`Written::rename`] is called.
#[derive(Debug)]
pub(crate) struct Written {
    directory: PathBuf,
    folder: String,
    stem: String,
    graph: NamedTempFile,
    data: Option<NamedTempFile>,
    /// Bytes of both files.
    pub bytes: u64,
    /// Number of weights.
    pub parameters: u64,
}

impl Written {
    /// Gives the files their names, and removes what an earlier graph of the name had beside it. Returns the files,
    /// relative to the target.
    pub fn rename(self) -> Result<Vec<String>> {
        let Written { directory, folder, stem, graph, data, .. } = self;
        let names = [format!("{stem}.onnx_data"), format!("{stem}.onnx")];
        let failed = |file: &str, error: std::io::Error| Error::Write {
            file: format!("{folder}/{file}"),
            reason: error.to_string(),
        };
        let stale = directory.join(&names[0]);
        let has_data = data.is_some();
        // The weights first: a graph is never seen without them.
        match data {
            Some(data) => rename(data, &stale).map_err(|error| failed(&names[0], error))?,
            None if stale.exists() => std::fs::remove_file(&stale).map_err(|error| failed(&names[0], error))?,
            None => {}
        }
        rename(graph, &directory.join(&names[1])).map_err(|error| failed(&names[1], error))?;
        Ok(names[usize::from(!has_data)..].iter().map(|file| format!("{folder}/{file}")).collect())
    }
}

/// Writes a graph for `folder/stem.onnx`, with its weights for `folder/stem.onnx_data` where they have more bytes than
/// `max`.
pub(crate) fn write(builder: Builder, target: &Path, folder: &str, stem: &str, max: u64) -> Result<Written> {
    let (graph_file, data_file) = (format!("{stem}.onnx"), format!("{stem}.onnx_data"));
    let shown = |file: &str| format!("{folder}/{file}");
    let failed = |file: &str, error: std::io::Error| Error::Write { file: shown(file), reason: error.to_string() };
    let directory = target.join(folder);
    std::fs::create_dir_all(&directory).map_err(|error| failed("", error))?;
    let create = |file: &str| new_file(&directory).map_err(|error| failed(file, error));

    let Builder { precision, graph, initializers, .. } = builder;
    let total: u64 = initializers.iter().map(|initializer| initializer.bytes(precision)).sum();
    let parameters =
        initializers.iter().filter(|one| matches!(one.data, Data::Weights(_))).map(Initializer::elements).sum();
    let is_external = |initializer: &Initializer| total > max && initializer.bytes(precision) >= SMALL;

    let mut offsets = vec![None; initializers.len()];
    let mut external = 0u64;
    let mut data = None;
    if total > max {
        let mut file = create(&data_file)?;
        let mut out = BufWriter::new(file.as_file_mut());
        for (index, initializer) in initializers.iter().enumerate().filter(|(_, one)| is_external(one)) {
            let start = external.next_multiple_of(PAGE);
            let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(|error| failed(&data_file, error));
            put(&[0; PAGE as usize][..(start - external) as usize])?;
            initializer.write(precision, &mut put)?;
            offsets[index] = Some(start);
            external = start + initializer.bytes(precision);
        }
        out.flush().map_err(|error| failed(&data_file, error))?;
        drop(out);
        data = Some(file);
    }

    let headers: Vec<Vec<u8>> =
        initializers.iter().zip(&offsets).map(|(one, at)| one.header(precision, &data_file, *at)).collect();
    let graph = graph.encode_to_vec();
    let inner: u64 = initializers
        .iter()
        .zip(&headers)
        .map(|(one, header)| {
            let length = one.length(precision, header, is_external(one));
            field_length(proto::INITIALIZER, length) + length
        })
        .sum();

    let mut file = create(&graph_file)?;
    let mut out = BufWriter::new(file.as_file_mut());
    let model = proto::Model {
        ir_version: IR_VERSION,
        producer_name: "clip_search".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        opset_import: [("", OPSET), ("com.microsoft", 1)]
            .map(|(domain, version)| proto::OperatorSet { domain: domain.to_owned(), version })
            .to_vec(),
    };
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(|error| failed(&graph_file, error));
    put(&model.encode_to_vec())?;
    put(&field(proto::GRAPH, graph.len() as u64 + inner))?;
    put(&graph)?;
    for (initializer, header) in initializers.iter().zip(&headers) {
        let is_external = is_external(initializer);
        put(&field(proto::INITIALIZER, initializer.length(precision, header, is_external)))?;
        put(header)?;
        if !is_external {
            put(&field(proto::RAW_DATA, initializer.bytes(precision)))?;
            initializer.write(precision, &mut put)?;
        }
    }
    out.flush().map_err(|error| failed(&graph_file, error))?;
    drop(out);
    let own = file.as_file_mut().stream_position().map_err(|error| failed(&graph_file, error))?;
    let bytes = own + external;
    Ok(Written { directory, folder: folder.to_owned(), stem: stem.to_owned(), graph: file, data, bytes, parameters })
}

impl Initializer {
    fn elements(&self) -> u64 {
        self.dims.iter().map(|&size| size as u64).product()
    }

    fn bytes(&self, precision: Precision) -> u64 {
        let size = match (&self.data, precision) {
            (Data::Ints(_), _) => 8,
            (Data::Weights(_), Precision::F32) => 4,
            (Data::Weights(_), Precision::F16) => 2,
        };
        self.elements() * size
    }

    /// The message without its values.
    fn header(&self, precision: Precision, data_file: &str, external: Option<u64>) -> Vec<u8> {
        let mut tensor = proto::Tensor {
            dims: self.dims.iter().map(|&size| size as i64).collect(),
            data_type: match (&self.data, precision) {
                (Data::Ints(_), _) => proto::INT64,
                (Data::Weights(_), Precision::F32) => proto::FLOAT,
                (Data::Weights(_), Precision::F16) => proto::FLOAT16,
            },
            name: self.name.clone(),
            ..Default::default()
        };
        if let Some(offset) = external {
            let length = self.bytes(precision).to_string();
            tensor.data_location = proto::EXTERNAL;
            tensor.external_data =
                [("location", data_file.to_owned()), ("offset", offset.to_string()), ("length", length)]
                    .map(|(key, value)| proto::Entry { key: key.to_owned(), value })
                    .to_vec();
        }
        tensor.encode_to_vec()
    }

    /// Bytes of the whole message.
    fn length(&self, precision: Precision, header: &[u8], is_external: bool) -> u64 {
        let bytes = self.bytes(precision);
        header.len() as u64 + if is_external { 0 } else { field_length(proto::RAW_DATA, bytes) + bytes }
    }

    fn write(&self, precision: Precision, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let tensors = match &self.data {
            Data::Ints(values) => {
                return values.iter().try_for_each(|value| put(&value.to_le_bytes()));
            }
            Data::Weights(tensors) => tensors,
        };
        let mut bytes = Vec::new();
        for tensor in tensors {
            tensor.read(&mut |values| {
                bytes.clear();
                match precision {
                    Precision::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
                    Precision::F16 => {
                        if let Some(value) = values.iter().find(|value| !f16::from_f32(**value).is_finite()) {
                            let reason = format!("has the value {value}, which 16 bits cannot hold");
                            return Err(Error::BadTensor { tensor: tensor.name.to_string(), reason });
                        }
                        bytes.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()));
                    }
                }
                put(&bytes)
            })?;
        }
        Ok(())
    }
}

/// Tag and length in front of bytes of a message.
pub(crate) fn field(number: u32, length: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12);
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut bytes);
    prost::encoding::encode_varint(length, &mut bytes);
    bytes
}

fn field_length(number: u32, length: u64) -> u64 {
    (prost::encoding::key_len(number) + prost::encoding::encoded_len_varint(length)) as u64
}

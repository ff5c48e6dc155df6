//! A graph's file, taken apart into the fields that are read and those that are copied.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::f16;
use prost::Message;

use super::wire::{Field, fields};
use crate::error::{Error, Result, shorten};
use crate::onnx::proto;

/// A protocol buffer has no more bytes.
pub(super) const MAX_FILE: u64 = i32::MAX as u64;
/// `TensorProto.float_data`
const FLOAT_DATA: u32 = 4;
/// Initialisers that are inputs as well, as files before it have them, are no constants.
const FIRST_IR: i64 = 4;
/// Steps from a product's weights to an initialiser.
const MAX_STEPS: usize = 4;
/// Bytes of a constant that may be a shape, with its name.
const MAX_SMALL: usize = 4096;
/// Pieces of a shape.
const MAX_RANK: usize = 8;

/// The graph of an ONNX file.
pub(super) struct Graph<'a> {
    path: &'a Path,
    /// Fields of the model but its graph and operator sets.
    pub model: Vec<Field<'a>>,
    pub operator_sets: Vec<proto::OperatorSet>,
    /// Fields of the graph but its nodes and initialisers.
    pub rest: Vec<Field<'a>>,
    pub nodes: Vec<(Field<'a>, proto::Node)>,
    pub initializers: Vec<Initializer<'a>>,
    inputs: HashSet<String>,
    pub outputs: HashSet<String>,
    /// Nodes that hold graphs may use any value by its name.
    pub has_subgraphs: bool,
    initializer_of: HashMap<String, usize>,
    node_of: HashMap<String, usize>,
}

/// A constant of the graph.
pub(super) struct Initializer<'a> {
    pub field: Field<'a>,
    pub tensor: proto::Tensor,
    /// Its values, little-endian, where they are in the file.
    values: Option<&'a [u8]>,
}

/// A constant matrix, where it lies, and the nodes on the way from there.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub initializer: usize,
    /// As the reader of the value sees it.
    pub dims: Vec<usize>,
    pub is_transposed: bool,
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let bad = |reason: String| Error::bad(&name(path), reason);
    let about = path.metadata().map_err(|error| bad(error.to_string()))?;
    if !about.is_file() || about.len() > MAX_FILE {
        return Err(bad(format!("it is no regular file of at most {MAX_FILE} bytes")));
    }
    std::fs::read(path).map_err(|error| bad(error.to_string()))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl<'a> Graph<'a> {
    /// Takes apart what was read of a file.
    pub fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Graph<'a>> {
        let bad = |reason: String| Error::bad(&name(path), format!("it is not an ONNX graph ({reason})"));
        let model = fields(bytes).map_err(bad)?;
        let about = proto::Model::decode(outer(&model).as_slice()).map_err(|error| bad(error.to_string()))?;
        if about.ir_version < FIRST_IR {
            return Err(Error::unsupported(&name(path), format!("IR version {}", about.ir_version)));
        }
        let graph = model.iter().rfind(|field| field.number == proto::GRAPH).ok_or_else(|| bad("no graph".into()))?;
        let mut this = Graph {
            path,
            model: Vec::new(),
            operator_sets: about.opset_import,
            rest: Vec::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: HashSet::new(),
            outputs: HashSet::new(),
            has_subgraphs: false,
            initializer_of: HashMap::new(),
            node_of: HashMap::new(),
        };
        for field in fields(graph.content).map_err(bad)? {
            this.add(field).map_err(bad)?;
        }
        this.model =
            model.into_iter().filter(|field| ![proto::GRAPH, proto::OPERATOR_SET].contains(&field.number)).collect();
        Ok(this)
    }

    fn add(&mut self, field: Field<'a>) -> Result<(), String> {
        let text = |error: prost::DecodeError| error.to_string();
        match field.number {
            proto::NODE => {
                let node = proto::Node::decode(field.content).map_err(text)?;
                let is_graph = |attribute: &proto::Attribute| proto::GRAPH_ATTRIBUTES.contains(&attribute.kind);
                self.has_subgraphs |= node.attribute.iter().any(is_graph);
                self.node_of.extend(node.output.iter().map(|output| (output.clone(), self.nodes.len())));
                self.nodes.push((field, node));
            }
            proto::INITIALIZER => {
                let tensor = proto::Tensor::decode(field.content).map_err(text)?;
                let is_values = |inner: &&Field| {
                    inner.number == proto::RAW_DATA
                        || (inner.number == FLOAT_DATA && tensor.data_type == proto::FLOAT && !inner.content.is_empty())
                };
                let values = fields(field.content)?.iter().find(is_values).map(|inner| inner.content);
                self.initializer_of.insert(tensor.name.clone(), self.initializers.len());
                self.initializers.push(Initializer { field, tensor, values });
            }
            _ => {
                let value = || proto::ValueInfo::decode(field.content).map(|value| value.name).map_err(text);
                match field.number {
                    proto::INPUT => _ = self.inputs.insert(value()?),
                    proto::OUTPUT => _ = self.outputs.insert(value()?),
                    _ => {}
                }
                self.rest.push(field);
            }
        }
        Ok(())
    }

    /// A [`Error::BadFile`] about it.
    pub fn bad(&self, reason: impl Into<String>) -> Error {
        Error::bad(&name(self.path), reason)
    }

    /// A [`Error::Unsupported`] about it.
    pub fn unsupported(&self, what: impl Into<String>) -> Error {
        Error::unsupported(&name(self.path), what)
    }

    /// Version of ONNX's own operators.
    pub fn operator_set(&self) -> i64 {
        self.operator_sets.iter().find(|set| is_onnx(&set.domain)).map_or(0, |set| set.version)
    }

    /// The node that makes a value.
    pub fn maker(&self, value: &str) -> Option<usize> {
        self.node_of.get(value).copied()
    }

    /// Where a constant of 16 or 32 bits lies, seen through casts, copies and transpositions.
    pub fn constant(&self, value: &str) -> Option<Constant> {
        let mut value = value;
        let mut is_transposed = false;
        for _ in 0..MAX_STEPS {
            if let Some(&index) = self.initializer_of.get(value) {
                let Initializer { tensor, .. } = &self.initializers[index];
                let is_float = matches!(tensor.data_type, proto::FLOAT | proto::FLOAT16);
                let mut dims: Vec<usize> =
                    tensor.dims.iter().map(|size| usize::try_from(*size)).collect::<Result<_, _>>().ok()?;
                if is_transposed {
                    dims.reverse();
                }
                let is_constant = is_float && !self.inputs.contains(value);
                return is_constant.then_some(Constant { initializer: index, dims, is_transposed });
            }
            let node = &self.nodes[self.maker(value)?].1;
            let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
            match node.op_type.as_str() {
                _ if !is_onnx(&node.domain) => return None,
                "Identity" => {}
                "Cast" if attribute("to")?.i == Some(i64::from(proto::FLOAT)) => {}
                "Transpose" if attribute("perm").is_none_or(|perm| perm.ints == [1, 0]) => is_transposed ^= true,
                _ => return None,
            }
            value = node.input.first()?;
        }
        None
    }

    /// A shape that is given to a node, with `None` for what is only known in a run.
    pub fn shape(&self, value: &str) -> Vec<Option<i64>> {
        if let Some(known) = self.integers(value, MAX_STEPS) {
            return known.into_iter().map(Some).collect();
        }
        let Some(node) = self.maker(value).map(|maker| &self.nodes[maker].1) else { return vec![None] };
        if node.op_type != "Concat" || node.input.len() > MAX_RANK {
            return vec![None];
        }
        let pieces = node.input.iter().map(|piece| self.integers(piece, MAX_STEPS));
        pieces.flat_map(|piece| piece.map_or(vec![None], |known| known.into_iter().map(Some).collect())).collect()
    }

    /// The values of a small constant of integers, an initialiser or a node of its own.
    fn integers(&self, value: &str, steps: usize) -> Option<Vec<i64>> {
        let is_small = |content: &[u8]| content.len() <= MAX_SMALL;
        if let Some(&index) = self.initializer_of.get(value) {
            let content = self.initializers[index].field.content;
            let is_constant = is_small(content) && !self.inputs.contains(value);
            return Integers::decode(is_constant.then_some(content)?).ok()?.values();
        }
        let (field, node) = &self.nodes[self.maker(value)?];
        match node.op_type.as_str() {
            _ if !is_onnx(&node.domain) => None,
            "Constant" => {
                let constant = ConstantNode::decode(is_small(field.content).then_some(field.content)?).ok()?;
                constant.attribute.into_iter().find(|attribute| attribute.name == "value")?.t?.values()
            }
            "Identity" | "Unsqueeze" => self.integers(node.input.first()?, steps.checked_sub(1)?),
            _ => None,
        }
    }

    /// The values of an initialiser, in its own order.
    pub fn values(&self, index: usize) -> Result<Vec<f32>> {
        let Initializer { tensor, .. } = &self.initializers[index];
        let bytes = self.bytes(index)?;
        let values: Vec<f32> = match tensor.data_type {
            proto::FLOAT16 => bytes.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two).to_f32()).collect(),
            _ => bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
        };
        let expected = tensor.dims.iter().try_fold(1_i64, |product, size| product.checked_mul(*size));
        let named = || shorten(&tensor.name, 100);
        if i64::try_from(values.len()).ok() != expected {
            return Err(self.bad(format!(
                "tensor \"{}\" has {} values, not those of its shape",
                named(),
                values.len()
            )));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(self.bad(format!("tensor \"{}\" has values that are not finite", named())));
        }
        Ok(values)
    }

    /// Whether a value is a constant of one number for each of so many channels.
    pub fn is_vector(&self, value: &str, channels: usize) -> bool {
        self.constant(value).is_some_and(|constant| constant.dims == [channels])
    }

    /// The values of a constant vector.
    pub fn vector(&self, value: &str) -> Result<Vec<f32>> {
        let constant = self.constant(value).ok_or_else(|| self.bad("a vector that is no constant"))?;
        self.values(constant.initializer)
    }

    /// The bytes of an initialiser's values, from its file or from the one beside it.
    pub fn bytes(&self, index: usize) -> Result<Cow<'a, [u8]>> {
        let Initializer { tensor, values, .. } = &self.initializers[index];
        if tensor.data_location != proto::EXTERNAL {
            let values = values.ok_or_else(|| {
                self.unsupported(format!("the form of the values of tensor \"{}\"", shorten(&tensor.name, 100)))
            })?;
            return Ok(Cow::Borrowed(values));
        }
        let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &*entry.value);
        let number = |key: &str| entry(key).map(str::parse::<u64>).transpose().map_err(|_| self.bad("external data"));
        let location = entry("location").unwrap_or_default();
        let is_beside = !location.is_empty() && !location.contains('/') && location != "..";
        if !is_beside {
            return Err(self.unsupported(format!("external data in \"{}\"", shorten(location, 100))));
        }
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let path: PathBuf = self.path.with_file_name(location);
        let bad = |error: std::io::Error| Error::bad(location, error.to_string());
        let mut file = File::open(&path).map_err(bad)?;
        file.seek(SeekFrom::Start(offset)).map_err(bad)?;
        let mut bytes = Vec::new();
        file.take(length.unwrap_or(u64::MAX).min(MAX_FILE)).read_to_end(&mut bytes).map_err(bad)?;
        if length.is_some_and(|length| bytes.len() as u64 != length) {
            return Err(Error::bad(location, "it is shorter than the graph says"));
        }
        Ok(Cow::Owned(bytes))
    }
}

/// `TensorProto` of integers.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Integers {
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

impl Integers {
    fn values(self) -> Option<Vec<i64>> {
        let raw = || self.raw_data.as_chunks().0.iter().map(|eight| i64::from_le_bytes(*eight)).collect();
        let values = if self.int64_data.is_empty() { raw() } else { self.int64_data };
        (self.data_type == proto::INT64 && !values.is_empty()).then_some(values)
    }
}

/// `NodeProto` of a Constant.
#[derive(Clone, PartialEq, prost::Message)]
struct ConstantNode {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<ConstantAttribute>,
}

/// `AttributeProto` that holds a tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ConstantAttribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "5")]
    pub t: Option<Integers>,
}

/// Whether a domain is that of ONNX's own operators.
pub(super) fn is_onnx(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// A model's message without its graph, which has nearly all of its bytes.
fn outer(model: &[Field<'_>]) -> Vec<u8> {
    model.iter().filter(|field| field.number != proto::GRAPH).flat_map(|field| field.whole).copied().collect()
}

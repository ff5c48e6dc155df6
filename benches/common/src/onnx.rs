//! The part of the ONNX format that an encoder is written in, and a file of weights beside it.

use anyhow::Context;
use half::f16;
use prost::Message;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Version of the file format, and of the operators: those of the hub's exports.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
/// `TensorProto.DataType`.
const FLOAT: i32 = 1;
const INT64: i32 = 7;
const FLOAT16: i32 = 10;
/// `TensorProto.DataLocation`.
const EXTERNAL: i32 = 1;
/// `AttributeProto.AttributeType`.
const A_FLOAT: i32 = 1;
const AN_INT: i32 = 2;
const INTS: i32 = 7;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

/// An attribute of a node.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

impl Attribute {
    /// A float.
    pub fn float(name: &str, f: f32) -> Self {
        Self { name: name.to_owned(), f, kind: A_FLOAT, ..Self::default() }
    }

    /// An integer.
    pub fn int(name: &str, i: i64) -> Self {
        Self { name: name.to_owned(), i, kind: AN_INT, ..Self::default() }
    }

    /// Integers.
    pub fn ints(name: &str, ints: &[i64]) -> Self {
        Self { name: name.to_owned(), ints: ints.to_vec(), kind: INTS, ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Entry>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

/// A graph being written. Its weights go to a file of their own, as in the hub's large models: they are never in memory
/// as a whole.
pub struct Graph {
    proto: GraphProto,
    halves: bool,
    weights: BufWriter<File>,
    file: String,
    offset: u64,
}

impl Graph {
    /// Begins a graph whose weights are in `file` of this folder: as half-precision floats or as single ones. What goes
    /// in and comes out is single in either, as in the hub's exports.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn begin(folder: &Path, file: &str, halves: bool) -> anyhow::Result<Self> {
        let path = folder.join(file);
        let weights = BufWriter::new(File::create(&path).with_context(|| path.display().to_string())?);
        Ok(Self {
            proto: GraphProto { name: "encoder".to_owned(), ..GraphProto::default() },
            halves,
            weights,
            file: file.to_owned(),
            offset: 0,
        })
    }

    /// A tensor of weights. Returns its name.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn weights(&mut self, dims: &[usize], mut value: impl FnMut() -> f32) -> anyhow::Result<String> {
        let (start, count) = (self.offset, dims.iter().product::<usize>());
        for _ in 0..count {
            if self.halves {
                self.weights.write_all(&f16::from_f32(value()).to_le_bytes())?;
            } else {
                self.weights.write_all(&value().to_le_bytes())?;
            }
        }
        self.offset += if self.halves { 2 } else { 4 } * count as u64;
        let entry = |key: &str, value: String| Entry { key: key.to_owned(), value };
        let external_data = vec![
            entry("location", self.file.clone()),
            entry("offset", start.to_string()),
            entry("length", (self.offset - start).to_string()),
        ];
        let element = self.element();
        Ok(self.tensor(dims, element, |tensor| {
            (tensor.external_data, tensor.data_location) = (external_data, EXTERNAL);
        }))
    }

    fn element(&self) -> i32 {
        if self.halves { FLOAT16 } else { FLOAT }
    }

    /// A float, as a tensor.
    pub fn scalar(&mut self, value: f32) -> String {
        let (element, bytes) = (self.element(), self.bytes(&[value]));
        self.tensor(&[], element, |tensor| tensor.raw_data = bytes)
    }

    /// Floats in the graph's own file.
    pub fn floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        let (element, bytes) = (self.element(), self.bytes(values));
        self.tensor(dims, element, |tensor| tensor.raw_data = bytes)
    }

    fn bytes(&self, values: &[f32]) -> Vec<u8> {
        if self.halves {
            values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
        } else {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
    }

    /// Single-precision floats as what the graph computes with.
    pub fn enter(&mut self, value: &str) -> String {
        if !self.halves {
            return value.to_owned();
        }
        self.node("Cast", &[value], vec![Attribute::int("to", FLOAT16.into())])
    }

    /// The graph's output: single-precision floats of this name.
    pub fn output(&mut self, op_type: &str, inputs: &[&str], name: &str) {
        if self.halves {
            let value = self.node(op_type, inputs, Vec::new());
            self.named_node("Cast", &[&value], vec![Attribute::int("to", FLOAT.into())], name);
        } else {
            self.named_node(op_type, inputs, Vec::new(), name);
        }
    }

    /// Integers, as a tensor of one dimension, or of none.
    pub fn integers(&mut self, dims: &[usize], values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(dims, INT64, |tensor| tensor.raw_data = bytes)
    }

    fn tensor(&mut self, dims: &[usize], data_type: i32, fill: impl FnOnce(&mut Tensor)) -> String {
        let name = format!("w{}", self.proto.initializer.len());
        let dims = dims.iter().map(|dim| *dim as i64).collect();
        let mut tensor = Tensor { dims, data_type, name: name.clone(), ..Tensor::default() };
        fill(&mut tensor);
        self.proto.initializer.push(tensor);
        name
    }

    /// A node with one output. Returns the output's name.
    pub fn node(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        let name = format!("n{}", self.proto.node.len());
        self.named_node(op_type, inputs, attribute, &name);
        name
    }

    fn named_node(&mut self, op_type: &str, inputs: &[&str], attribute: Vec<Attribute>, output: &str) {
        let input = inputs.iter().map(|input| (*input).to_owned()).collect();
        self.proto.node.push(Node { input, output: vec![output.to_owned()], op_type: op_type.to_owned(), attribute });
    }

    /// Writes the graph, with one input and one output of any number of items.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self, path: &Path, input: Input<'_>, output: (&str, usize)) -> anyhow::Result<()> {
        self.weights.flush()?;
        self.proto.input = vec![match input {
            Input::Pixels(name, dims) => value(name, FLOAT, &dims.map(Some)),
            Input::Ids(name) => value(name, INT64, &[None]),
        }];
        self.proto.output = vec![value(output.0, FLOAT, &[Some(output.1)])];
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            graph: Some(self.proto),
            opset_import: vec![OperatorSet { version: OPSET }],
        };
        std::fs::write(path, model.encode_to_vec()).with_context(|| path.display().to_string())
    }
}

/// The input of a graph: its name and, of an item, the shape.
pub enum Input<'a> {
    /// Channels, height, width.
    Pixels(&'a str, [usize; 3]),
    /// Any number of tokens.
    Ids(&'a str),
}

/// A tensor of items of this shape. `None` is a size that the graph leaves free.
fn value(name: &str, element: i32, dims: &[Option<usize>]) -> Value {
    let free = |name: &str| Dimension { value: None, name: Some(name.to_owned()) };
    let mut dim = vec![free("batch_size")];
    dim.extend(dims.iter().map(|size| match size {
        Some(size) => Dimension { value: Some(*size as i64), name: None },
        None => free("sequence_length"),
    }));
    let tensor = TensorType { element, shape: Some(Shape { dim }) };
    Value { name: name.to_owned(), r#type: Some(Type { tensor: Some(tensor) }) }
}

//! A graph while it is built: nodes in the order of their execution, and constants.

use std::collections::HashMap;

use super::{Precision, proto};
use crate::model::{Linear, Norm};
use crate::source::Tensor;

/// Contributed operators of ONNX Runtime.
const MICROSOFT: &str = "com.microsoft";
/// Those of ONNX whose domain is the default.
const CONTRIBUTED: [&str; 5] = ["FastGelu", "Gelu", "MultiHeadAttention", "QuickGelu", "SkipLayerNormalization"];

/// The name of a value that a node or an initialiser makes.
pub(crate) type Value = String;

/// An attribute of a node.
#[derive(Clone)]
pub(crate) enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
}

/// A size of an input or output.
pub(crate) enum Dimension {
    Free(&'static str),
    Fixed(usize),
}

/// A constant of the graph.
pub(super) struct Initializer {
    pub name: String,
    pub dims: Vec<usize>,
    pub data: Data,
}

/// The values of a constant.
pub(super) enum Data {
    /// Those of tensors, one behind the other, in the graph's precision.
    Weights(Vec<Tensor>),
    Ints(Vec<i64>),
}

/// A graph under construction.
pub(crate) struct Builder {
    pub precision: Precision,
    pub(super) graph: proto::Graph,
    pub(super) initializers: Vec<Initializer>,
    ints: HashMap<(Vec<i64>, bool), Value>,
}

impl Builder {
    pub fn new(name: &str, precision: Precision) -> Builder {
        let graph = proto::Graph { name: name.to_owned(), ..Default::default() };
        Builder { precision, graph, initializers: Vec::new(), ints: HashMap::new() }
    }

    /// Declares an input of 64-bit integers.
    pub fn input_ids(&mut self, name: &str, shape: &[Dimension]) -> Value {
        self.graph.input.push(value_info(name, proto::INT64, shape));
        name.to_owned()
    }

    /// Declares an input of 32-bit floating point; the value has the graph's precision.
    pub fn input(&mut self, name: &str, shape: &[Dimension]) -> Value {
        self.graph.input.push(value_info(name, proto::FLOAT, shape));
        match self.precision {
            Precision::F32 => name.to_owned(),
            Precision::F16 => self.cast(name, proto::FLOAT16),
        }
    }

    /// Makes a value an output of 32-bit floating point.
    pub fn output(&mut self, name: &str, value: &str, shape: &[Dimension]) {
        self.graph.output.push(value_info(name, proto::FLOAT, shape));
        let made = match self.precision {
            Precision::F32 => value.to_owned(),
            Precision::F16 => self.cast(value, proto::FLOAT),
        };
        // The node that made it gives it the name.
        let outputs = self.graph.node.iter_mut().flat_map(|node| &mut node.output);
        outputs.filter(|output| **output == made).for_each(|output| *output = name.to_owned());
    }

    pub fn cast_to_int32(&mut self, value: &str) -> Value {
        self.cast(value, proto::INT32)
    }

    fn cast(&mut self, value: &str, to: i32) -> Value {
        self.node("Cast", &[value], &[("to", Attribute::Int(to.into()))])
    }

    /// Adds a node with one output.
    pub fn node(&mut self, kind: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> Value {
        let [output] = self.node_with(kind, inputs, attributes, [true]);
        output
    }

    /// Adds a node with some outputs, of which those that are not wanted have no name.
    pub fn node_with<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        wanted: [bool; N],
    ) -> [Value; N] {
        let name = format!("{kind}_{}", self.graph.node.len());
        let mut index = 0;
        let outputs = wanted.map(|wanted| {
            index += 1;
            if wanted { format!("{name}_{index}") } else { String::new() }
        });
        let domain = if CONTRIBUTED.contains(&kind) { MICROSOFT } else { "" };
        self.graph.node.push(proto::Node {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: outputs.to_vec(),
            name,
            op_type: kind.to_owned(),
            attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
            domain: domain.to_owned(),
        });
        outputs
    }

    /// A vector of integers.
    pub fn ints(&mut self, values: &[i64]) -> Value {
        self.constant(values, false)
    }

    /// A single integer without dimensions.
    pub fn int(&mut self, value: i64) -> Value {
        self.constant(&[value], true)
    }

    fn constant(&mut self, values: &[i64], is_scalar: bool) -> Value {
        if let Some(value) = self.ints.get(&(values.to_vec(), is_scalar)) {
            return value.clone();
        }
        let name = format!("int_{}", self.ints.len());
        let dims = if is_scalar { vec![] } else { vec![values.len()] };
        self.initializers.push(Initializer { name: name.clone(), dims, data: Data::Ints(values.to_vec()) });
        self.ints.insert((values.to_vec(), is_scalar), name.clone());
        name
    }

    /// A weight in the shape that it has.
    pub fn weight(&mut self, tensor: &Tensor) -> Value {
        let dims = tensor.shape.clone();
        self.shaped(tensor, dims)
    }

    /// A weight in another shape of as many values.
    pub fn shaped(&mut self, tensor: &Tensor, dims: Vec<usize>) -> Value {
        self.initializer(tensor.name.to_string(), dims, vec![tensor.clone()])
    }

    /// Weights that are joined along their first dimension.
    pub fn joined(&mut self, tensors: &[&Tensor]) -> Value {
        let mut dims = tensors[0].shape.clone();
        dims[0] = tensors.iter().map(|tensor| tensor.shape[0]).sum();
        // Parts of one tensor have its name all of them.
        let mut names: Vec<&str> = tensors.iter().map(|tensor| &*tensor.name).collect();
        names.dedup();
        self.initializer(names.join("+"), dims, tensors.iter().map(|tensor| (*tensor).clone()).collect())
    }

    fn initializer(&mut self, name: String, dims: Vec<usize>, tensors: Vec<Tensor>) -> Value {
        let taken = self.initializers.iter().filter(|one| one.name.split('#').next() == Some(&name)).count();
        let name = if taken == 0 { name } else { format!("{name}#{taken}") };
        self.initializers.push(Initializer { name: name.clone(), dims, data: Data::Weights(tensors) });
        name
    }

    pub fn reshape(&mut self, value: &str, shape: &[i64]) -> Value {
        let shape = self.ints(shape);
        self.node("Reshape", &[value, &shape], &[])
    }

    /// A matrix product with what is added, of a value of two dimensions.
    pub fn linear(&mut self, value: &str, layers: &[&Linear]) -> Value {
        let weights: Vec<&Tensor> = layers.iter().map(|layer| &layer.weight).collect();
        let biases: Vec<&Tensor> = layers.iter().filter_map(|layer| layer.bias.as_ref()).collect();
        let mut inputs = vec![value.to_owned(), self.joined(&weights)];
        if !biases.is_empty() {
            inputs.push(self.joined(&biases));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let rows_are_outputs = i64::from(!layers[0].rows_are_inputs);
        self.node("Gemm", &inputs, &[("transB", Attribute::Int(rows_are_outputs))])
    }

    pub fn norm(&mut self, value: &str, norm: &Norm, epsilon: f32) -> Value {
        let (weight, bias) = (self.weight(&norm.weight), self.weight(&norm.bias));
        let attributes = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(epsilon))];
        self.node("LayerNormalization", &[value, &weight, &bias], &attributes)
    }

    /// The sum of two values, normalised, and the sum.
    pub fn skip_norm(&mut self, values: [&str; 2], norm: &Norm, epsilon: f32) -> (Value, Value) {
        let (weight, bias) = (self.weight(&norm.weight), self.weight(&norm.bias));
        let inputs = [values[0], values[1], &weight, &bias];
        let attributes = [("epsilon", Attribute::Float(epsilon))];
        // Between them are the mean and the deviation, for training.
        let [normed, _, _, sum] =
            self.node_with("SkipLayerNormalization", &inputs, &attributes, [true, false, false, true]);
        (normed, sum)
    }
}

fn attribute(name: &str, value: &Attribute) -> proto::Attribute {
    let mut attribute = proto::Attribute { name: name.to_owned(), ..Default::default() };
    match value {
        Attribute::Int(value) => (attribute.i, attribute.kind) = (Some(*value), proto::INT_ATTRIBUTE),
        Attribute::Float(value) => (attribute.f, attribute.kind) = (Some(*value), proto::FLOAT_ATTRIBUTE),
        Attribute::Ints(values) => (attribute.ints, attribute.kind) = (values.clone(), proto::INTS_ATTRIBUTE),
    }
    attribute
}

fn value_info(name: &str, element: i32, shape: &[Dimension]) -> proto::ValueInfo {
    let dim = shape.iter().map(|size| match size {
        Dimension::Free(name) => proto::Dimension { dim_param: Some((*name).to_owned()), dim_value: None },
        Dimension::Fixed(size) => proto::Dimension { dim_value: Some(*size as i64), dim_param: None },
    });
    let tensor_type = proto::TensorType { elem_type: element, shape: Some(proto::Shape { dim: dim.collect() }) };
    proto::ValueInfo { name: name.to_owned(), r#type: Some(proto::Type { tensor_type: Some(tensor_type) }) }
}

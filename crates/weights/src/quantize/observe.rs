//! Graphs that also answer what a calibration asks.

use std::borrow::Cow;
use std::path::Path;

use prost::Message;

use super::attention::{Attention, ROUNDING};
use super::graph::Graph;
use super::plan::{Group, Plan};
use super::rewrite::{
    MICROSOFT, Pieces, add_message, add_tensor, attribute, attributes, bytes, floats, ints, node, with_microsofts,
    write,
};
use crate::error::Result;
use crate::onnx::proto;

/// From it on, the axes of a reduction are an input.
const AXES_ARE_INPUT: i64 = 18;

/// Writes the graph with one more output for each group and for each attention.
pub(super) fn observed(graph: &Graph<'_>, plan: &Plan, prefix: &str, target: &Path) -> Result<()> {
    if graph.outputs.iter().any(|output| output.starts_with(prefix)) {
        return Err(graph.unsupported("a graph that was made for a calibration"));
    }
    let mut pieces: Pieces = graph.nodes.iter().map(|(field, _)| Cow::Borrowed(field.whole)).collect();
    pieces.extend(graph.initializers.iter().map(|one| Cow::Borrowed(one.field.whole)));
    pieces.extend(graph.rest.iter().map(|field| Cow::Borrowed(field.whole)));
    let mut sets = graph.operator_sets.clone();
    let mut observed = Observed { axes_are_input: graph.operator_set() >= AXES_ARE_INPUT, prefix, pieces };
    if observed.axes_are_input {
        observed.put(proto::INITIALIZER, ints(&format!("{prefix}axis"), &[0]));
    }
    for (index, group) in plan.groups.iter().enumerate() {
        observed.largest(group, index);
    }
    for (index, attention) in (plan.groups.len()..).zip(&plan.attentions) {
        observed.attention(plan, attention, index);
    }
    if !plan.attentions.is_empty() {
        with_microsofts(&mut sets);
    }
    write(graph, &sets, &observed.pieces, target).map(|_| ())
}

/// A graph that gets more outputs.
struct Observed<'a> {
    axes_are_input: bool,
    prefix: &'a str,
    pieces: Pieces<'a>,
}

impl Observed<'_> {
    fn put(&mut self, number: u32, message: Vec<u8>) {
        add_message(&mut self.pieces, number, message);
    }

    fn name(&self, what: &str, index: usize) -> String {
        format!("{}{what}{index}", self.prefix)
    }

    fn output(&mut self, index: usize, size: usize) {
        self.put(proto::OUTPUT, vector(self.name("", index), size).encode_to_vec());
    }

    /// Makes a value of others, and returns its name.
    fn value(&mut self, kind: &str, inputs: &[&str], name: String, more: Option<proto::Attribute>) -> String {
        let mut made = node(kind, inputs, &name);
        made.attribute.extend(more);
        self.put(proto::NODE, made.encode_to_vec());
        name
    }

    /// The largest magnitude of each channel of a group's input.
    fn largest(&mut self, group: &Group, index: usize) {
        let [shape, magnitudes, rows] = ["shape_", "abs_", "rows_"].map(|what| self.name(what, index));
        self.put(proto::INITIALIZER, ints(&shape, &[-1, group.size as i64]));
        self.value("Abs", &[&group.input], magnitudes.clone(), None);
        self.value("Reshape", &[&magnitudes, &shape], rows.clone(), None);
        let mut reduce = node("ReduceMax", &[&rows], &self.name("", index));
        reduce.attribute.push(attribute("keepdims", 0, Vec::new()));
        match self.axes_are_input {
            true => reduce.input.push(format!("{}axis", self.prefix)),
            false => reduce.attribute.push(attribute("axes", 0, vec![0])),
        }
        self.put(proto::NODE, reduce.encode_to_vec());
        self.output(index, group.size);
    }

    /// What [`Attention::is_proven`] asks.
    fn attention(&mut self, plan: &Plan, attention: &Attention, index: usize) {
        let prefix = format!("{}attention_", self.prefix);
        let name = |what: &str| format!("{prefix}{what}_{index}");
        let axis = || Some(attribute("axis", 0, Vec::new()));
        let one = || Some(attribute("keepdims", 0, Vec::new()));
        let float = || Some(attribute("to", i64::from(proto::FLOAT), Vec::new()));
        for (what, value) in [("any", -1), ("last_but_one", -2), ("channels", attention.channels as i64)] {
            self.put(proto::INITIALIZER, ints(&name(what), &[value]));
        }
        add_tensor(&mut self.pieces, floats(name("rounding"), 1), bytes(&[ROUNDING]).into());
        let mut about = |what: &str, value: &str| {
            let shape = self.value("Shape", &[value], name(&format!("{what}_shape")), None);
            let rank = self.value("Shape", &[&shape], name(&format!("{what}_rank")), None);
            let length =
                self.value("Gather", &[&shape, &name("last_but_one")], name(&format!("{what}_length")), axis());
            (self.value("Cast", &[&rank], name(&format!("{what}_axes")), float()), length)
        };
        let (input_rank, length) = about("input", &plan.groups[attention.group].input);
        let (output_rank, output_length) = about("output", &attention.output);
        let difference = self.value("Sub", &[&length, &output_length], name("lengths"), None);
        let difference = self.value("Cast", &[&difference], name("lengths_number"), float());
        let lengths = self.value("Abs", &[&difference], name("lengths_difference"), None);
        let shape = self.value("Concat", &[&name("any"), &length, &name("channels")], name("shape"), axis());
        let mut whole = node("MultiHeadAttention", &[], &name("whole"));
        MICROSOFT.clone_into(&mut whole.domain);
        for (product, what) in attention.products.iter().zip(["query", "key", "value"]) {
            let product = &plan.products[*product].output;
            whole.input.push(self.value("Reshape", &[product, &shape], name(what), None));
        }
        whole.attribute = attributes(attention);
        self.put(proto::NODE, whole.encode_to_vec());
        let spelled_out = self.value("Reshape", &[&attention.output, &shape], name("spelled_out"), None);
        let difference = self.value("Sub", &[&whole.output[0], &spelled_out], name("difference"), None);
        let difference = self.value("Abs", &[&difference], name("distance"), None);
        let magnitude = self.value("Abs", &[&spelled_out], name("magnitude"), None);
        let largest = self.value("ReduceMax", &[&magnitude], name("largest"), one());
        let most = self.value("Mul", &[&largest, &name("rounding")], name("most"), None);
        // Not the other way round: what is no number is not near either.
        let is_near = self.value("Less", &[&difference, &most], name("is_near"), None);
        let is_far = self.value("Not", &[&is_near], name("is_far"), None);
        let far = self.value("Cast", &[&is_far], name("far"), float());
        let far = self.value("ReduceMax", &[&far], name("any_far"), one());
        let far = self.value("Reshape", &[&far, &name("any")], name("answer"), None);
        self.value("Concat", &[&far, &input_rank, &output_rank, &lengths], self.name("", index), axis());
        self.output(index, Attention::OBSERVED);
    }
}

fn vector(name: String, size: usize) -> proto::ValueInfo {
    let dimension = proto::Dimension { dim_value: Some(size as i64), dim_param: None };
    let shape = Some(proto::Shape { dim: vec![dimension] });
    let tensor_type = Some(proto::TensorType { elem_type: proto::FLOAT, shape });
    proto::ValueInfo { name, r#type: Some(proto::Type { tensor_type }) }
}

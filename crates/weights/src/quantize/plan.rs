//! Which products of a graph are rewritten.

use std::collections::HashMap;

use super::attention::Attention;
use super::graph::{Constant, Graph, is_onnx};
use super::norm::Norm;
use crate::error::Result;
use crate::onnx::proto::Node;

/// The first version of ONNX's operators that has QuantizeLinear.
const FIRST_OPERATOR_SET: i64 = 10;

/// The products of a graph, and what goes into them.
pub(super) struct Plan {
    pub products: Vec<Product>,
    pub groups: Vec<Group>,
    /// What a calibration may prove to be attention.
    pub attentions: Vec<Attention>,
}

/// A product of activations and constant weights.
pub(super) struct Product {
    /// Number of its node.
    pub node: usize,
    /// The node after which it stands: its own, or that of the sum that is done with it.
    pub place: usize,
    pub weights: Constant,
    /// A constant vector that is added.
    pub bias: Option<String>,
    pub output: String,
    pub group: usize,
}

/// Products of the same activations.
pub(super) struct Group {
    pub input: String,
    /// Channels of the input.
    pub size: usize,
    /// What makes the input, and can make it in another scale: nobody else reads it.
    pub norm: Option<Norm>,
}

impl Plan {
    /// The products of a graph: the same, in the same order, whenever it is asked.
    pub fn of(graph: &Graph<'_>) -> Result<Plan> {
        let version = graph.operator_set();
        if version < FIRST_OPERATOR_SET {
            return Err(graph.unsupported(format!("version {version} of ONNX's operators")));
        }
        let readers = readers(graph);
        let mut plan = Plan { products: Vec::new(), groups: Vec::new(), attentions: Vec::new() };
        for (index, (_, node)) in graph.nodes.iter().enumerate() {
            let Some(found) = product(graph, &readers, index, node) else { continue };
            let input = &node.input[0];
            let known = plan.groups.iter().position(|group| group.input == *input);
            let group = known.unwrap_or(plan.groups.len());
            if known.is_none() {
                plan.groups.push(Group { input: input.clone(), size: found.weights.dims[0], norm: None });
            } else if plan.groups[group].size != found.weights.dims[0] {
                return Err(graph.bad("two products of one input have another number of channels"));
            }
            plan.products.push(Product { group, ..found });
        }
        if plan.products.is_empty() {
            return Err(graph.unsupported("a graph without products of 32-bit activations and constant weights"));
        }
        for number in 0..plan.groups.len() {
            let Group { input, size, .. } = &plan.groups[number];
            // A shape is the same in any scale.
            let reads = |reader: &&usize| graph.nodes[**reader].1.op_type != "Shape";
            let others = readers.get(input.as_str()).map_or(0, |all| all.iter().filter(reads).count());
            let is_alone = others == plan.of_group(number).count();
            let norm = if is_alone { Norm::of(graph, &readers, input, *size) } else { None };
            plan.groups[number].norm = norm;
        }
        plan.attentions = Attention::all(graph, &readers, &plan);
        Ok(plan)
    }

    /// Numbers that a calibration answers: for each group, and for each attention.
    pub fn observed(&self) -> impl Iterator<Item = usize> {
        let groups = self.groups.iter().map(|group| group.size);
        groups.chain(self.attentions.iter().map(|_| Attention::OBSERVED))
    }

    /// The products of a group.
    pub fn of_group(&self, group: usize) -> impl Iterator<Item = &Product> {
        self.products.iter().filter(move |product| product.group == group)
    }
}

/// The nodes that read a value.
fn readers<'a>(graph: &'a Graph<'_>) -> HashMap<&'a str, Vec<usize>> {
    let mut found: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, (_, node)) in graph.nodes.iter().enumerate() {
        for input in &node.input {
            found.entry(input).or_default().push(index);
        }
    }
    found
}

/// What a node multiplies, if it is a product that can be rewritten. Its group is not known yet.
fn product(graph: &Graph<'_>, readers: &HashMap<&str, Vec<usize>>, index: usize, node: &Node) -> Option<Product> {
    if !is_onnx(&node.domain) || node.input.len() < 2 || graph.constant(&node.input[0]).is_some() {
        return None;
    }
    let mut weights = graph.constant(&node.input[1])?;
    if weights.dims.len() != 2 || weights.dims.contains(&0) {
        return None;
    }
    let (mut place, mut output, mut bias) = (index, node.output.first()?.clone(), None);
    match node.op_type.as_str() {
        "MatMul" => {}
        "Gemm" => {
            let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
            let number = |name| attribute(name).and_then(|attribute| attribute.i).unwrap_or(0);
            let factor = |name| attribute(name).and_then(|attribute| attribute.f).unwrap_or(1.0);
            if number("transA") != 0 || factor("alpha") != 1.0 || factor("beta") != 1.0 {
                return None;
            }
            if number("transB") != 0 {
                weights.is_transposed ^= true;
                weights.dims.reverse();
            }
            if let Some(added) = node.input.get(2).filter(|name| !name.is_empty()) {
                graph.is_vector(added, weights.dims[1]).then_some(())?;
                bias = Some(added.clone());
            }
        }
        _ => return None,
    }
    // The sum behind it costs a pass over all values of its own.
    if bias.is_none()
        && !graph.has_subgraphs
        && !graph.outputs.contains(&output)
        && let Some([reader]) = readers.get(output.as_str()).map(Vec::as_slice)
        && let (_, sum) = &graph.nodes[*reader]
        && sum.op_type == "Add"
        && is_onnx(&sum.domain)
        && let Some(added) = sum.input.iter().find(|input| **input != output)
        && graph.is_vector(added, weights.dims[1])
    {
        (place, bias) = (*reader, Some(added.clone()));
        output = sum.output.first()?.clone();
    }
    Some(Product { node: index, place, weights, bias, output, group: 0 })
}

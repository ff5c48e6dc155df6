//! Layer normalisations, whose scale and offset can take up what the channels behind them are divided by.

use std::collections::HashMap;

use super::graph::{Graph, is_onnx};
use super::rewrite::{MICROSOFT, bytes, floats, of};
use crate::error::Result;
use crate::onnx::proto::{Node, Tensor};

/// The constants that a normalisation multiplies each channel by and adds to it in the end: of a LayerNormalization, of
/// Microsoft's SkipLayerNormalization, or of the Mul and Add that exports spell it out with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Norm(Vec<Parameter>);

/// An input of a node that is a constant of one number for each channel.
#[derive(Debug, PartialEq, Eq)]
struct Parameter {
    node: usize,
    input: usize,
}

impl Norm {
    /// What makes a value of so many channels, where nobody else sees how.
    pub fn of(graph: &Graph<'_>, readers: &HashMap<&str, Vec<usize>>, value: &str, channels: usize) -> Option<Norm> {
        let number = graph.maker(value)?;
        let node = &graph.nodes[number].1;
        let is_hidden = |value: &str| !graph.has_subgraphs && !graph.outputs.contains(value);
        let constant = |number: usize, input: usize| {
            let name = graph.nodes[number].1.input.get(input)?;
            graph.is_vector(name, channels).then_some(Parameter { node: number, input })
        };
        if !is_hidden(value) || node.output.first()? != value {
            return None;
        }
        let in_one = |first: usize| {
            let offset = if node.input.len() > first + 1 { Some(constant(number, first + 1)?) } else { None };
            Some(Norm([Some(constant(number, first)?), offset].into_iter().flatten().collect()))
        };
        // Mean and deviation, in the middle, are for training.
        let is_for_training = node.output.iter().skip(1).take(2).any(|output| !output.is_empty());
        match (is_onnx(&node.domain), node.op_type.as_str()) {
            (true, "LayerNormalization") if !is_for_training => in_one(1),
            (false, "SkipLayerNormalization") if node.domain == MICROSOFT && !is_for_training => in_one(2),
            (true, "Add") => {
                let offset = (0..2).find_map(|input| constant(number, input))?;
                let scaled = node.input.get(1 - offset.input)?;
                let number = graph.maker(scaled)?;
                let node = &graph.nodes[number].1;
                let is_alone = is_hidden(scaled) && readers.get(scaled.as_str()).is_some_and(|all| all.len() == 1);
                let is_scaled = node.op_type == "Mul" && is_onnx(&node.domain) && is_alone;
                let scale = is_scaled.then(|| (0..2).find_map(|input| constant(number, input)))??;
                Some(Norm(vec![scale, offset]))
            }
            _ => None,
        }
    }

    /// Multiplies the constants by a factor for each channel, as new ones with the number of the group that wants it.
    pub fn multiply(
        &self,
        graph: &Graph<'_>,
        factors: &[f32],
        group: usize,
        changed: &mut HashMap<usize, Node>,
        put: &mut impl FnMut(Tensor, Vec<u8>),
    ) -> Result<()> {
        for (Parameter { node, input }, what) in self.0.iter().zip(["norm_scale", "norm_offset"]) {
            let node = changed.entry(*node).or_insert_with(|| graph.nodes[*node].1.clone());
            let values: Vec<f32> =
                graph.vector(&node.input[*input])?.iter().zip(factors).map(|(value, factor)| value * factor).collect();
            put(floats(of(what, group), values.len()), bytes(&values));
            node.input[*input] = of(what, group);
        }
        Ok(())
    }
}

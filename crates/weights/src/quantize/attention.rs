//! Attention that a graph spells out, and that one operator does together with the products before it.
//!
//! ```text
//! queries ──┐
//! keys ─────┴─ MatMul ─ mask? ─ Softmax ─┐
//! values ────────────────────────────────┴─ MatMul ─ output
//! ```
//!
//! Exports differ in where they scale, transpose, and make their mask. So only this outline is read, and a calibration proves the
//! rest: it runs attention as one operator beside what the graph has, and answers whether they are the same but for rounding. That
//! is a proof for what the calibration has: a mask that is causal for as many tokens as its longest text, and without padding.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use super::graph::{Graph, is_onnx};
use super::plan::{Plan, Product};
use crate::onnx::proto::Node;

/// The first version of ONNX's operators that counts from the end of an axis, as the proof does.
const FIRST_OPERATOR_SET: i64 = 11;
/// Steps from a product of activations to those of weights.
const MAX_STEPS: usize = 8;
/// Nodes that are looked at for one attention. A graph may have the same value in many places.
const BUDGET: u32 = 256;
/// The largest difference, of the largest value, that is rounding.
pub(super) const ROUNDING: f32 = 1e-4;
/// What the calibration answers, in runs that show attention: no value that is too far or no number; batch, sequence and channels of
/// the input, and of the output; no difference between the lengths of their sequences.
const PROVEN: [f32; 4] = [0.0, 3.0, 3.0, 0.0];

/// Attention of a sequence to itself.
#[derive(Debug)]
pub(super) struct Attention {
    /// The products that make queries, keys and values: all of their group, in this order.
    pub products: [usize; 3],
    pub group: usize,
    pub heads: usize,
    /// Channels of queries, keys, values and the output.
    pub channels: usize,
    /// Whether there is a mask, which can only be causal.
    pub is_masked: bool,
    /// The input of a group of products.
    pub output: String,
}

impl Attention {
    /// All of a graph, proven or not.
    pub fn all(graph: &Graph<'_>, readers: &HashMap<&str, Vec<usize>>, plan: &Plan) -> Vec<Attention> {
        if graph.has_subgraphs || graph.operator_set() < FIRST_OPERATOR_SET {
            return Vec::new();
        }
        let products =
            plan.products.iter().enumerate().map(|(index, product)| (product.output.as_str(), index)).collect();
        let nodes = graph.nodes.iter().map(|(_, node)| node);
        let search = || Search { graph, products: &products, left: Cell::new(BUDGET) };
        nodes.filter_map(|node| Attention::of(graph, readers, plan, &search(), node)).collect()
    }

    /// That which a node is the last product of.
    fn of(
        graph: &Graph<'_>,
        readers: &HashMap<&str, Vec<usize>>,
        plan: &Plan,
        search: &Search<'_>,
        mixed: &Node,
    ) -> Option<Attention> {
        let [shares, values] = search.factors(mixed)?;
        let softmax = search.softmax(shares)?;
        let (scores, is_masked) = search.scores(softmax.input.first()?)?;
        let shares = softmax.output.first()?;
        let [query, key] = search.factors(scores)?;
        let (query, head) = search.projection(query)?;
        let (key, _) = search.projection(key)?;
        let (value, _) = search.projection(values)?;
        let products = [query, key, value];
        let of = |product: usize| &plan.products[product];
        let (group, channels) = (of(query).group, of(query).weights.dims[1]);
        let heads = head?.count(channels)?;
        let fit = |product: &Product| product.group == group && product.weights.dims[1] == channels;
        let are_all = plan.of_group(group).count() == 3 && query != key && query != value && key != value;
        if !are_all || !products.iter().all(|product| fit(of(*product))) {
            return None;
        }
        let (mut output, mut steps) = (mixed.output.first()?, 0);
        while !plan.groups.iter().any(|group| group.input == *output && group.size == channels) {
            let next = &graph.nodes[only_reader(graph, readers, output)?].1;
            let keeps_values = matches!(next.op_type.as_str(), "Reshape" | "Transpose" | "Identity");
            if steps == MAX_STEPS || !is_onnx(&next.domain) || !keeps_values {
                return None;
            }
            (output, steps) = (next.output.first()?, steps + 1);
        }
        let found = Attention { products, group, heads, channels, is_masked, output: output.clone() };
        let used = used(graph, plan, &[&found]);
        let is_hidden = !used.contains(shares.as_str())
            && products.iter().all(|product| !used.contains(of(*product).output.as_str()));
        is_hidden.then_some(found)
    }

    /// Numbers that a calibration answers about each.
    pub const OBSERVED: usize = PROVEN.len();

    /// Whether those are of what can be one operator.
    pub fn is_proven(observed: &[f32]) -> bool {
        observed == PROVEN
    }
}

/// The values that are still used where attention is one operator, from the input of its group to its output. Products are
/// made whether anything reads them or not.
pub(super) fn used<'a>(graph: &'a Graph<'_>, plan: &'a Plan, fused: &[&'a Attention]) -> HashSet<&'a str> {
    let inputs: HashMap<&str, &str> =
        fused.iter().map(|one| (one.output.as_str(), plan.groups[one.group].input.as_str())).collect();
    let mut used = HashSet::new();
    let made = plan.groups.iter().map(|group| group.input.as_str());
    let mut next: Vec<&str> = graph.outputs.iter().map(String::as_str).chain(made).collect();
    while let Some(value) = next.pop() {
        if value.is_empty() || !used.insert(value) {
            continue;
        }
        match (inputs.get(value), graph.maker(value)) {
            (Some(input), _) => next.push(input),
            (None, Some(node)) => next.extend(graph.nodes[node].1.input.iter().map(String::as_str)),
            (None, None) => {}
        }
    }
    used
}

/// The node that reads a value, where there is one, and none but it. A shape is no value.
fn only_reader(graph: &Graph<'_>, readers: &HashMap<&str, Vec<usize>>, value: &str) -> Option<usize> {
    let mut all = readers.get(value)?.iter().filter(|reader| graph.nodes[**reader].1.op_type != "Shape");
    let only = *all.next()?;
    (all.next().is_none() && !graph.outputs.contains(value)).then_some(only)
}

/// What a shape says about the heads: how many there are, or the channels of each.
#[derive(Debug, Clone, Copy)]
enum Heads {
    Number(i64),
    Channels(i64),
}

impl Heads {
    /// That of a shape that ends with them. What is only known in a run may be several numbers.
    fn of(shape: &[Option<i64>]) -> Option<Heads> {
        match *shape {
            [_, .., _, Some(channels)] if channels > 0 => Some(Heads::Channels(channels)),
            [_, .., Some(number), _] if number > 0 => Some(Heads::Number(number)),
            _ => None,
        }
    }

    fn count(self, channels: usize) -> Option<usize> {
        let (Heads::Number(known) | Heads::Channels(known)) = self;
        let known = usize::try_from(known).ok().filter(|known| channels.is_multiple_of(*known))?;
        Some(if matches!(self, Heads::Number(_)) { known } else { channels / known })
    }
}

/// Looks for the origin of a value, against the direction of the graph.
struct Search<'a> {
    graph: &'a Graph<'a>,
    /// Products of weights by their outputs.
    products: &'a HashMap<&'a str, usize>,
    /// Nodes that may still be looked at.
    left: Cell<u32>,
}

impl<'a> Search<'a> {
    /// The node that makes a value, if it is one of ONNX's own and may still be looked at.
    fn maker(&self, value: &str) -> Option<&'a Node> {
        self.left.set(self.left.get().checked_sub(1)?);
        let node = &self.graph.nodes[self.graph.maker(value)?].1;
        is_onnx(&node.domain).then_some(node)
    }

    /// What a node multiplies, if it is a product of two activations.
    fn factors(&self, node: &'a Node) -> Option<[&'a str; 2]> {
        let [one, other] = &node.input[..] else { return None };
        let is_product = node.op_type == "MatMul" && is_onnx(&node.domain);
        let are_activations = is_product && [one, other].iter().all(|factor| self.graph.constant(factor).is_none());
        are_activations.then_some([one, other])
    }

    /// The softmax that a value is.
    fn softmax(&self, value: &str) -> Option<&'a Node> {
        let node = self.maker(value)?;
        match node.op_type.as_str() {
            "Softmax" => Some(node),
            "Cast" | "Identity" => self.softmax(node.input.first()?),
            // Zeros in the place of what is no number, where a row sees nothing.
            "Where" => node.input.iter().find_map(|input| self.softmax(input)),
            _ => None,
        }
    }

    /// The product of two activations that a value is made of, and whether something is added to it.
    fn scores(&self, value: &str) -> Option<(&'a Node, bool)> {
        let node = self.maker(value)?;
        match node.op_type.as_str() {
            "MatMul" => self.factors(node).map(|_| (node, false)),
            "Reshape" | "Cast" | "Identity" => self.scores(node.input.first()?),
            "Mul" | "Div" => node.input.iter().find_map(|input| self.scores(input)),
            "Add" => node.input.iter().find_map(|input| self.scores(input)).map(|(node, _)| (node, true)),
            _ => None,
        }
    }

    /// The product of weights that a value is made of, and the heads that it is split into.
    fn projection(&self, value: &str) -> Option<(usize, Option<Heads>)> {
        if let Some(product) = self.products.get(value).copied() {
            return Some((product, None));
        }
        let node = self.maker(value)?;
        match node.op_type.as_str() {
            "Reshape" => {
                let (product, heads) = self.projection(node.input.first()?)?;
                let here = || Heads::of(&self.graph.shape(node.input.get(1)?));
                Some((product, heads.or_else(here)))
            }
            "Transpose" | "Identity" => self.projection(node.input.first()?),
            "Mul" | "Div" => node.input.iter().find_map(|input| self.projection(input)),
            _ => None,
        }
    }
}

//! Graphs written anew, with products of integers.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{BufWriter, Write};
use std::path::Path;

use prost::Message;

use super::attention::{self, Attention};
use super::balance::{Scales, Weights, scales};
use super::graph::{Graph, MAX_FILE, is_onnx};
use super::plan::{Plan, Product};
use crate::error::{Error, Result};
use crate::files::{new_file, rename};
use crate::onnx::field;
use crate::onnx::proto::{self, Node, Tensor};

/// How the names of new values begin.
const PREFIX: &str = "clip_search_quantized_";
/// The level of 0: activations have no sign, as the instructions want it.
const ZERO: u8 = 128;
pub(super) const MICROSOFT: &str = "com.microsoft";
/// From it on, the sizes of what a value is split into are an input.
const SIZES_ARE_INPUT: i64 = 13;

/// The fields of the new graph, in order.
pub(super) type Pieces<'a> = Vec<Cow<'a, [u8]>>;

/// Those of an operator that does attention in one.
pub(super) fn attributes(attention: &Attention) -> Vec<proto::Attribute> {
    let causal = i64::from(attention.is_masked);
    vec![attribute("num_heads", attention.heads as i64, Vec::new()), attribute("unidirectional", causal, Vec::new())]
}

/// Adds Microsoft's operators to those of a graph.
pub(super) fn with_microsofts(sets: &mut Vec<proto::OperatorSet>) {
    if !sets.iter().any(|set| set.domain == MICROSOFT) {
        sets.push(proto::OperatorSet { domain: MICROSOFT.to_owned(), version: 1 });
    }
}

/// Writes the graph with its products of integers; returns the bytes of the file.
pub(super) fn quantized(graph: &Graph<'_>, plan: &Plan, ranges: &[Vec<f32>], target: &Path) -> Result<u64> {
    let sizes = ranges.iter().map(Vec::len);
    if !sizes.eq(plan.observed()) || ranges.iter().flatten().any(|range| !range.is_finite() || *range < 0.0) {
        return Err(graph.bad("the ranges of its calibration are not those of its products"));
    }
    let (ranges, proofs) = ranges.split_at(plan.groups.len());
    let proven = plan.attentions.iter().zip(proofs).filter(|(_, proof)| Attention::is_proven(proof));
    let fused: Vec<&Attention> = proven.map(|(attention, _)| attention).collect();
    let mut tensors: Pieces = Vec::new();
    let mut put = |tensor: Tensor, values: Vec<u8>| add_tensor(&mut tensors, tensor, values.into());
    put(scalar("zero", proto::UINT8), vec![ZERO]);
    let mut groups: HashMap<usize, Vec<Node>> = HashMap::new();
    let mut changed: HashMap<usize, Node> = HashMap::new();
    for (group, ranges) in ranges.iter().enumerate() {
        let first = plan.of_group(group).map(|product| product.place).min().unwrap_or_default();
        let attention = fused.iter().find(|attention| attention.group == group).copied();
        let made = quantized_group(graph, plan, group, attention, ranges, &mut changed, &mut put)?;
        groups.entry(first).or_default().extend(made);
    }
    let mut nodes = Vec::new();
    let used = (!fused.is_empty()).then(|| attention::used(graph, plan, &fused));
    // What attention was spelled out with.
    let is_gone = |index: usize| {
        let is_used = |output: &String, used: &HashSet<&str>| {
            used.contains(output.as_str()) && fused.iter().all(|attention| attention.output != *output)
        };
        used.as_ref().is_some_and(|used| !graph.nodes[index].1.output.iter().any(|output| is_used(output, used)))
    };
    for index in 0..graph.nodes.len() {
        match changed.remove(&index) {
            Some(node) => nodes.push(New::Made(node)),
            None if plan.products.iter().any(|product| product.node == index || product.place == index) => {}
            None if is_gone(index) => {}
            None => nodes.push(New::Copied(index)),
        }
        nodes.extend(groups.remove(&index).into_iter().flatten().map(New::Made));
    }
    if !graph.has_subgraphs {
        drop_unread(graph, &mut nodes);
    }
    let read: HashSet<&str> = nodes.iter().flat_map(|node| node.inputs(graph)).collect();
    let mut pieces: Pieces = Vec::new();
    for node in &nodes {
        match node {
            New::Copied(index) => pieces.push(graph.nodes[*index].0.whole.into()),
            New::Made(node) => add_message(&mut pieces, proto::NODE, node.encode_to_vec()),
        }
    }
    pieces.extend(graph.rest.iter().map(|field| Cow::Borrowed(field.whole)));
    for (index, one) in graph.initializers.iter().enumerate() {
        let is_output = graph.outputs.contains(&one.tensor.name);
        if !graph.has_subgraphs && !is_output && !read.contains(one.tensor.name.as_str()) {
            continue;
        }
        if one.tensor.data_location == proto::EXTERNAL {
            let inside = Tensor { external_data: Vec::new(), data_location: 0, ..one.tensor.clone() };
            add_tensor(&mut pieces, inside, graph.bytes(index)?);
        } else {
            pieces.push(one.field.whole.into());
        }
    }
    pieces.extend(tensors);
    let mut sets = graph.operator_sets.clone();
    with_microsofts(&mut sets);
    write(graph, &sets, &pieces, target)
}

/// A node of the new graph.
enum New {
    /// That of this number, as it is.
    Copied(usize),
    Made(Node),
}

impl New {
    fn inputs<'a>(&'a self, graph: &'a Graph<'_>) -> impl Iterator<Item = &'a str> {
        let node = match self {
            New::Copied(index) => &graph.nodes[*index].1,
            New::Made(node) => node,
        };
        node.input.iter().map(String::as_str)
    }
}

/// The nodes that quantise the input of a group and multiply it, with its weights put away. Products of one input are one: for a
/// short text, starting one costs more than its multiplications. The nodes whose constants take up the factors go to `changed`.
fn quantized_group(
    graph: &Graph<'_>,
    plan: &Plan,
    group: usize,
    attention: Option<&Attention>,
    ranges: &[f32],
    changed: &mut HashMap<usize, Node>,
    put: &mut impl FnMut(Tensor, Vec<u8>),
) -> Result<Vec<Node>> {
    let products: Vec<&Product> = match attention {
        Some(attention) => attention.products.iter().map(|product| &plan.products[*product]).collect(),
        None => plan.of_group(group).collect(),
    };
    // The same few bytes of a file may be the weights of many.
    let size = |product: &&Product| product.weights.dims.iter().fold(1_u64, |all, &one| all.saturating_mul(one as u64));
    if products.iter().map(size).fold(0, u64::saturating_add) > MAX_FILE {
        return Err(graph.unsupported("products of one input with more weights than a file may have"));
    }
    let weights: Vec<Weights> = products.iter().map(|product| weights(graph, product)).collect::<Result<_>>()?;
    let Scales { factors, scale } = scales(ranges, &weights);
    let weights = Weights::beside_each_other(&weights);
    let (levels, columns) = weights.quantize(&factors);
    let dims = vec![factors.len() as i64, columns.len() as i64];
    let tensor = Tensor { dims, data_type: proto::INT8, name: of("weights", group), ..Default::default() };
    put(tensor, levels.into_iter().map(|level| level as u8).collect());
    put(floats(of("columns", group), columns.len()), bytes(&columns));
    put(scalar(&format!("scale_{group}"), proto::FLOAT), bytes(&[scale]));
    let inverse: Vec<f32> = factors.iter().map(|factor| 1.0 / factor).collect();
    let (input, mut nodes) = (&plan.groups[group].input, Vec::new());
    let balanced = match &plan.groups[group].norm {
        Some(norm) => {
            norm.multiply(graph, &inverse, group, changed, put)?;
            input.clone()
        }
        None => {
            put(floats(of("factors", group), inverse.len()), bytes(&inverse));
            nodes.push(node("Mul", &[input, &of("factors", group)], &of("balanced", group)));
            of("balanced", group)
        }
    };
    let inputs = [balanced, of("scale", group), format!("{PREFIX}zero")];
    nodes.push(node("QuantizeLinear", &inputs.each_ref().map(String::as_str), &of("levels", group)));
    let bias = biases(graph, &products, group, put)?;
    if let Some(attention) = attention {
        let bias = bias.unwrap_or_else(|| {
            put(floats(of("biases", group), columns.len()), bytes(&vec![0.0; columns.len()]));
            of("biases", group)
        });
        nodes.push(integer_attention(attention, &bias));
        return Ok(nodes);
    }
    match &products[..] {
        [product] => nodes.push(integer_product(group, bias, &product.output)),
        _ => {
            nodes.push(integer_product(group, bias, &of("products", group)));
            nodes.push(split(graph, &products, group, put));
        }
    }
    Ok(nodes)
}

/// The name of what is added to the products of a group: what the graph has, or, of several, those beside each other.
fn biases(
    graph: &Graph<'_>,
    products: &[&Product],
    group: usize,
    put: &mut impl FnMut(Tensor, Vec<u8>),
) -> Result<Option<String>> {
    if let [product] = products {
        return Ok(product.bias.clone());
    }
    if products.iter().all(|product| product.bias.is_none()) {
        return Ok(None);
    }
    let mut all = Vec::new();
    for product in products {
        match &product.bias {
            Some(bias) => all.extend(graph.vector(bias)?),
            None => all.resize(all.len() + product.weights.dims[1], 0.0),
        }
    }
    put(floats(of("biases", group), all.len()), bytes(&all));
    Ok(Some(of("biases", group)))
}

/// The node that takes the products of a group apart.
fn split(graph: &Graph<'_>, products: &[&Product], group: usize, put: &mut impl FnMut(Tensor, Vec<u8>)) -> Node {
    let sizes: Vec<i64> = products.iter().map(|product| product.weights.dims[1] as i64).collect();
    let mut made = node("Split", &[&of("products", group)], "");
    made.name = of("split", group);
    made.output = products.iter().map(|product| product.output.clone()).collect();
    made.attribute.push(attribute("axis", -1, Vec::new()));
    if graph.operator_set() >= SIZES_ARE_INPUT {
        put(integers(of("sizes", group), sizes.len()), sizes.iter().flat_map(|size| size.to_le_bytes()).collect());
        made.input.push(of("sizes", group));
    } else {
        made.attribute.push(attribute("split", 0, sizes));
    }
    made
}

/// The weights of a product, as rows of input channels.
fn weights(graph: &Graph<'_>, product: &Product) -> Result<Weights> {
    let [rows, columns] = product.weights.dims[..] else { return Err(graph.bad("weights that are no matrix")) };
    let stored = graph.values(product.weights.initializer)?;
    if !product.weights.is_transposed {
        return Ok(Weights { values: stored, columns });
    }
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| column * rows + row));
    Ok(Weights { values: places.map(|place| stored[place]).collect(), columns })
}

/// The node that multiplies the levels of a group by its weights, with their sum.
fn integer_product(group: usize, bias: Option<String>, output: &str) -> Node {
    let inputs = ["levels", "weights", "scale", "columns"].map(|what| of(what, group));
    let mut made = node("MatMulIntegerToFloat", &inputs.each_ref().map(String::as_str), output);
    made.input.push(format!("{PREFIX}zero"));
    MICROSOFT.clone_into(&mut made.domain);
    if let Some(bias) = bias {
        made.input.extend([String::new(), bias]);
    }
    made
}

/// The node that does the same with the weights of queries, keys and values, and attention after it.
fn integer_attention(attention: &Attention, bias: &str) -> Node {
    let [levels, weights, scale, columns] =
        ["levels", "weights", "scale", "columns"].map(|what| of(what, attention.group));
    let zero = format!("{PREFIX}zero");
    let inputs = [&*levels, &*weights, bias, &*scale, &*columns, "", &*zero];
    let mut made = node("QAttention", &inputs, &attention.output);
    MICROSOFT.clone_into(&mut made.domain);
    made.attribute = attributes(attention);
    made
}

/// Drops the casts and transpositions of weights that nothing reads any more.
fn drop_unread(graph: &Graph<'_>, nodes: &mut Vec<New>) {
    loop {
        let read: HashSet<String> = nodes.iter().flat_map(|node| node.inputs(graph)).map(str::to_owned).collect();
        let before = nodes.len();
        nodes.retain(|node| match node {
            New::Made(_) => true,
            New::Copied(index) => {
                let node = &graph.nodes[*index].1;
                let is_of_weights = is_onnx(&node.domain)
                    && matches!(node.op_type.as_str(), "Cast" | "Identity" | "Transpose")
                    && node.output.iter().all(|output| graph.constant(output).is_some());
                !is_of_weights
                    || node.output.iter().any(|output| read.contains(output) || graph.outputs.contains(output))
            }
        });
        if nodes.len() == before {
            return;
        }
    }
}

/// Writes the model with another graph; returns the bytes of the file.
pub(super) fn write(graph: &Graph<'_>, sets: &[proto::OperatorSet], pieces: &Pieces<'_>, target: &Path) -> Result<u64> {
    let file = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| Error::Write { file: file.clone(), reason: error.to_string() };
    let mut start: Vec<u8> = graph.model.iter().flat_map(|field| field.whole).copied().collect();
    for set in sets {
        let message = set.encode_to_vec();
        start.extend(field(proto::OPERATOR_SET, message.len() as u64));
        start.extend(message);
    }
    let inner: usize = pieces.iter().map(|piece| piece.len()).sum();
    start.extend(field(proto::GRAPH, inner as u64));
    let total = (start.len() + inner) as u64;
    if total > MAX_FILE {
        return Err(graph.unsupported(format!("a graph that has {total} bytes in one file")));
    }
    let mut new = new_file(target.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    let mut out = BufWriter::new(new.as_file_mut());
    let pieces = pieces.iter().map(|piece| &**piece);
    [&*start].into_iter().chain(pieces).try_for_each(|piece| out.write_all(piece)).map_err(failed)?;
    out.flush().map_err(failed)?;
    drop(out);
    new.as_file().sync_all().map_err(failed)?;
    rename(new, target).map_err(failed)?;
    Ok(total)
}

pub(super) fn of(what: &str, number: usize) -> String {
    format!("{PREFIX}{what}_{number}")
}

pub(super) fn node(kind: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: kind.to_owned(),
        ..Default::default()
    }
}

pub(super) fn attribute(name: &str, number: i64, numbers: Vec<i64>) -> proto::Attribute {
    let is_list = !numbers.is_empty();
    proto::Attribute {
        name: name.to_owned(),
        i: (!is_list).then_some(number),
        ints: numbers,
        kind: if is_list { proto::INTS_ATTRIBUTE } else { proto::INT_ATTRIBUTE },
        ..Default::default()
    }
}

pub(super) fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let mut message = integers(name.to_owned(), values.len()).encode_to_vec();
    message.extend(field(proto::RAW_DATA, (8 * values.len()) as u64));
    message.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    message
}

fn integers(name: String, length: usize) -> Tensor {
    Tensor { data_type: proto::INT64, ..floats(name, length) }
}

pub(super) fn floats(name: String, length: usize) -> Tensor {
    Tensor { dims: vec![length as i64], data_type: proto::FLOAT, name, ..Default::default() }
}

fn scalar(name: &str, data_type: i32) -> Tensor {
    Tensor { data_type, name: format!("{PREFIX}{name}"), ..Default::default() }
}

pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Adds a field that holds a message.
pub(super) fn add_message(pieces: &mut Pieces<'_>, number: u32, message: Vec<u8>) {
    pieces.push(field(number, message.len() as u64).into());
    pieces.push(message.into());
}

/// Adds an initialiser with its values.
pub(super) fn add_tensor<'a>(pieces: &mut Pieces<'a>, tensor: Tensor, values: Cow<'a, [u8]>) {
    let mut message = tensor.encode_to_vec();
    message.extend(field(proto::RAW_DATA, values.len() as u64));
    pieces.push(field(proto::INITIALIZER, (message.len() + values.len()) as u64).into());
    pieces.push(message.into());
    pieces.push(values);
}

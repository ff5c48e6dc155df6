//! A graph that takes 8-bit pixels: rescaling and normalising are its first operators, so that a quarter of the bytes travel to
//! where it runs.

use std::borrow::Cow;
use std::path::Path;

use prost::Message;

use super::graph::{self, Graph};
use super::rewrite::{Pieces, add_message, add_tensor, attribute, bytes, floats, ints, node, write};
use crate::error::Result;
use crate::onnx::proto::{self, Dimension, Shape, TensorType, Type, ValueInfo};

const PREFIX: &str = "clip_search_levels_";

/// What becomes of pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// Name of the new input: (batch, height, width, 3), red, green, blue.
    pub name: String,
    /// Height and width.
    pub size: (u32, u32),
    /// The factor on the levels of each channel.
    pub scale: [f32; 3],
    /// What is added after it.
    pub shift: [f32; 3],
    /// Whether the graph wants blue first.
    pub reverse: bool,
}

/// Writes a copy of an image encoder's graph that takes 8-bit pixels. It wants the external data of the source beside it.
///
/// # Errors
/// [`crate::Error::BadFile`]; [`crate::Error::Unsupported`] where the graph has another number of inputs than one, or an input
/// that is neither of 32 nor of 16 bits; [`crate::Error::Write`].
pub fn take_levels(source: &Path, target: &Path, levels: &Levels) -> Result<u64> {
    let file = graph::read(source)?;
    let graph = Graph::parse(source, &file)?;
    let is_input = |field: &&super::wire::Field<'_>| field.number == proto::INPUT;
    let inputs: Vec<ValueInfo> = graph
        .rest
        .iter()
        .filter(is_input)
        .map(|field| ValueInfo::decode(field.content).map_err(|error| graph.bad(error.to_string())))
        .collect::<Result<_>>()?;
    let [input] = &inputs[..] else {
        return Err(graph.unsupported(format!("a graph with {} inputs, not one", inputs.len())));
    };
    let kind = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()).map_or(0, |tensor| tensor.elem_type);
    if ![proto::FLOAT, proto::FLOAT16].contains(&kind) {
        return Err(graph.unsupported(format!("an input of type {kind}, not of 32-bit or 16-bit numbers")));
    }
    let mut pieces: Pieces<'_> = Vec::new();
    for node in nodes(levels, &input.name, kind) {
        add_message(&mut pieces, proto::NODE, node.encode_to_vec());
    }
    pieces.extend(graph.nodes.iter().map(|(field, _)| Cow::Borrowed(field.whole)));
    pieces.extend(graph.initializers.iter().map(|one| Cow::Borrowed(one.field.whole)));
    for (name, values) in [("scale", levels.scale), ("shift", levels.shift)] {
        add_tensor(&mut pieces, floats(format!("{PREFIX}{name}"), 3), bytes(&values).into());
    }
    if levels.reverse {
        add_message(&mut pieces, proto::INITIALIZER, ints(&format!("{PREFIX}order"), &[2, 1, 0]));
    }
    pieces.extend(graph.rest.iter().filter(|field| !is_input(field)).map(|field| Cow::Borrowed(field.whole)));
    add_message(&mut pieces, proto::INPUT, value_info(levels).encode_to_vec());
    write(&graph, &graph.operator_sets, &pieces, target)
}

fn nodes(levels: &Levels, input: &str, kind: i32) -> Vec<proto::Node> {
    let name = |what: &str| format!("{PREFIX}{what}");
    let to = |kind: i32| attribute("to", i64::from(kind), Vec::new());
    let mut cast = node("Cast", &[&levels.name], &name("float"));
    cast.attribute.push(to(proto::FLOAT));
    let mut nodes = vec![cast];
    let mut last = name("float");
    if levels.reverse {
        let mut gather = node("Gather", &[&last, &name("order")], &name("reversed"));
        gather.attribute.push(attribute("axis", 3, Vec::new()));
        nodes.push(gather);
        last = name("reversed");
    }
    nodes.push(node("Mul", &[&last, &name("scale")], &name("scaled")));
    nodes.push(node("Add", &[&name("scaled"), &name("shift")], &name("normalized")));
    let is_half = kind == proto::FLOAT16;
    let planes = if is_half { name("planes") } else { input.to_owned() };
    let mut transpose = node("Transpose", &[&name("normalized")], &planes);
    transpose.attribute.push(attribute("perm", 0, vec![0, 3, 1, 2]));
    nodes.push(transpose);
    if is_half {
        let mut cast = node("Cast", &[&planes], input);
        cast.attribute.push(to(proto::FLOAT16));
        nodes.push(cast);
    }
    nodes
}

fn value_info(levels: &Levels) -> ValueInfo {
    let fixed = |size: u32| Dimension { dim_value: Some(size.into()), dim_param: None };
    let batch = Dimension { dim_value: None, dim_param: Some("batch".to_owned()) };
    let shape = Some(Shape { dim: vec![batch, fixed(levels.size.0), fixed(levels.size.1), fixed(3)] });
    let tensor_type = Some(TensorType { elem_type: proto::UINT8, shape });
    ValueInfo { name: levels.name.clone(), r#type: Some(Type { tensor_type }) }
}

//! What is taken for attention, and what it returns, on small graphs that spell it out.

#[path = "../../../tests/common/mod.rs"]
mod common;

use super::super::graph::{self, Graph};
use super::super::rewrite::{add_message, add_tensor, attribute, bytes, floats, ints, node};
use super::super::tests::write;
use super::super::{observe, quantize};
use crate::onnx::field;
use crate::onnx::proto::{self, Node};
use common::{cosine, load, noise};
use ort::session::Session;
use ort::value::Tensor;
use prost::Message;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PREFIX: &str = "range_";
const SEQUENCE: usize = 5;
const CHANNELS: usize = 16;
const HEADS: i64 = 2;

/// A graph that spells out attention.
struct Source {
    /// Whether the row does not see the column.
    hides: Option<fn(usize, usize) -> bool>,
    /// What the queries are multiplied by.
    scale: f32,
    /// As older exports give shapes: put together in a run, with the heads from a node.
    shape_in_run: bool,
    /// As newer exports of torch: with the channels of a head, and zeros where a share is no number.
    is_newer: bool,
    /// All tokens of a batch in one axis.
    is_flat: bool,
    /// Tokens before texts, of which each run of the calibration has one.
    is_sequence_first: bool,
    /// Version of the operators.
    operators: i64,
    /// A node more, and what the graph returns of it, if anything.
    more: Option<(Node, Option<&'static str>)>,
}

fn plain() -> Source {
    Source {
        hides: None,
        scale: 8_f32.sqrt().recip(),
        shape_in_run: false,
        is_newer: false,
        is_flat: false,
        is_sequence_first: false,
        operators: 17,
        more: None,
    }
}

/// A node that returns a number.
fn constant(name: &str, value: i64) -> Vec<u8> {
    let about = proto::Attribute { name: "value".to_owned(), kind: 4, ..Default::default() };
    let tensor = graph::Integers { data_type: proto::INT64, int64_data: vec![value], ..Default::default() };
    let tensor = graph::ConstantAttribute { name: String::new(), t: Some(tensor) };
    let whole = [about.encode_to_vec(), tensor.encode_to_vec()].concat();
    [node("Constant", &[], name).encode_to_vec(), field(5, whole.len() as u64), whole].concat()
}

fn causal(row: usize, column: usize) -> bool {
    column > row
}

impl Source {
    fn write(&self, folder: &Path) -> PathBuf {
        self.write_nodes(folder, &self.nodes())
    }

    fn write_nodes(&self, folder: &Path, nodes: &[Node]) -> PathBuf {
        let mut inner = Vec::new();
        let mut put = |number, message| add_message(&mut inner, number, message);
        let size = |param: &str| proto::Dimension { dim_value: None, dim_param: Some(param.to_owned()) };
        let value = |name: &str, dims: Vec<proto::Dimension>| {
            let tensor_type = proto::TensorType { elem_type: proto::FLOAT, shape: Some(proto::Shape { dim: dims }) };
            proto::ValueInfo { name: name.to_owned(), r#type: Some(proto::Type { tensor_type: Some(tensor_type) }) }
                .encode_to_vec()
        };
        let channels = proto::Dimension { dim_value: Some(CHANNELS as i64), dim_param: None };
        let dims = |is_flat: bool| match is_flat {
            true => vec![size("tokens"), channels.clone()],
            false => vec![size("batch"), size("sequence"), channels.clone()],
        };
        put(proto::INPUT, value("x", dims(self.is_flat)));
        put(proto::OUTPUT, value("y", dims(self.is_flat)));
        for (name, values) in [("heads", vec![0, 0, HEADS, -1]), ("joined", vec![0, 0, CHANNELS as i64])] {
            let values = match (self.is_flat, name) {
                (true, "heads") => vec![-1, SEQUENCE as i64, HEADS, CHANNELS as i64 / HEADS],
                (true, _) => vec![-1, CHANNELS as i64],
                (_, "heads") if self.is_newer => vec![0, 0, -1, CHANNELS as i64 / HEADS],
                _ => values,
            };
            put(proto::INITIALIZER, ints(name, &values));
        }
        for (name, values) in [("zero", vec![0]), ("two", vec![2]), ("rest", vec![-1])] {
            put(proto::INITIALIZER, ints(name, &values));
        }
        put(proto::NODE, constant("number", HEADS));
        for node in nodes {
            put(proto::NODE, node.encode_to_vec());
        }
        if let Some((node, output)) = &self.more {
            put(proto::NODE, node.encode_to_vec());
            if let Some(output) = output {
                put(proto::OUTPUT, proto::ValueInfo { name: (*output).to_owned(), r#type: None }.encode_to_vec());
            }
        }
        let mask = |place: usize| match self.hides {
            Some(hides) if hides(place / SEQUENCE, place % SEQUENCE) => f32::MIN,
            _ => 0.0,
        };
        let weights = |seed: u32| noise(seed, CHANNELS * CHANNELS);
        let square = vec![CHANNELS as i64; 2];
        for (name, dims, values) in [
            ("wq", square.clone(), weights(1)),
            ("wk", square.clone(), weights(2)),
            ("wv", square.clone(), weights(3)),
            ("wo", square, weights(4)),
            ("bq", vec![CHANNELS as i64], noise(5, CHANNELS)),
            ("bv", vec![CHANNELS as i64], noise(6, CHANNELS)),
            ("scale", vec![1], vec![self.scale]),
            ("nothing", vec![1], vec![0.0]),
            ("mask", vec![SEQUENCE as i64; 2], (0..SEQUENCE * SEQUENCE).map(mask).collect()),
        ] {
            add_tensor(&mut inner, proto::Tensor { dims, ..floats(name.to_owned(), 0) }, bytes(&values).into());
        }
        write(folder, &inner, self.operators)
    }

    /// The order of axes, where the first two are those of the input.
    fn order(&self, axes: [i64; 4]) -> [i64; 4] {
        axes.map(|axis| if self.is_sequence_first && axis < 2 { 1 - axis } else { axis })
    }

    fn nodes(&self) -> Vec<Node> {
        let with = |mut node: Node, name: &str, values: &[i64]| {
            node.attribute.push(match values {
                [one] => attribute(name, *one, Vec::new()),
                _ => attribute(name, 0, values.to_vec()),
            });
            node
        };
        let transposed = |from: &str, to: &str, perm: &[i64]| with(node("Transpose", &[from], to), "perm", perm);
        let mut nodes = Vec::new();
        let shape = if self.shape_in_run { "shape_in_run" } else { "heads" };
        if self.shape_in_run {
            nodes.extend([
                node("Shape", &["x"], "shape"),
                node("Slice", &["shape", "zero", "two"], "batch_and_sequence"),
                node("Unsqueeze", &["number", "zero"], "number_of_heads"),
                with(node("Concat", &["batch_and_sequence", "number_of_heads", "rest"], "shape_in_run"), "axis", &[0]),
            ]);
        }
        nodes.extend([
            node("MatMul", &["x", "wq"], "xq"),
            node("Add", &["xq", "bq"], "q"),
            node("MatMul", &["x", "wk"], "k"),
            node("MatMul", &["x", "wv"], "xv"),
            node("Add", &["bv", "xv"], "v"),
            node("Reshape", &["q", shape], "q4"),
            node("Mul", &["q4", "scale"], "scaled"),
            transposed("scaled", "queries", &self.order([0, 2, 1, 3])),
            node("Reshape", &["k", shape], "k4"),
            transposed("k4", "keys", &self.order([0, 2, 3, 1])),
            node("Reshape", &["v", shape], "v4"),
            transposed("v4", "values", &self.order([0, 2, 1, 3])),
            node("MatMul", &["queries", "keys"], "products"),
        ]);
        let scores = if self.hides.is_some() { "scores" } else { "products" };
        if self.hides.is_some() {
            nodes.push(node("Add", &["products", "mask"], "scores"));
        }
        nodes.push(with(node("Softmax", &[scores], "shares"), "axis", &[-1]));
        if self.is_newer {
            nodes.extend([
                node("IsNaN", &["shares"], "are_none"),
                node("Where", &["are_none", "nothing", "shares"], "numbers"),
            ]);
        }
        nodes.extend([
            node("MatMul", &[if self.is_newer { "numbers" } else { "shares" }, "values"], "mixed"),
            transposed("mixed", "tokens", if self.is_sequence_first { &[2, 0, 1, 3] } else { &[0, 2, 1, 3] }),
            node("Reshape", &["tokens", "joined"], "attended"),
            node("MatMul", &["attended", "wo"], "y"),
        ]);
        nodes
    }

    /// Quantises; returns the operators, after a look at the vectors.
    fn quantized(&self) -> Vec<String> {
        let folder = TempDir::new().unwrap();
        let [observed, target] = ["observed.onnx", "target.onnx"].map(|name| folder.path().join(name));
        let source = self.write(folder.path());
        let count = observe(&source, &observed, PREFIX).unwrap();
        let mut session = load(&observed);
        let mut ranges = vec![Vec::new(); count];
        for seed in 10..14 {
            let answer = session.run(ort::inputs!["x" => self.input(seed..seed + 1)]).unwrap();
            for (index, most) in ranges.iter_mut().enumerate() {
                let values = answer[format!("{PREFIX}{index}").as_str()].try_extract_tensor::<f32>().unwrap().1;
                most.resize(values.len(), 0_f32);
                most.iter_mut().zip(values).for_each(|(most, value)| *most = most.max(*value));
            }
        }
        quantize(&source, &target, &ranges).unwrap();
        let bytes = graph::read(&target).unwrap();
        let graph = Graph::parse(&target, &bytes).unwrap();
        let operators = graph.nodes.iter().map(|(_, node)| node.op_type.clone()).collect();
        if self.is_sequence_first {
            return operators;
        }
        let (mut exact, mut session) = (load(&source), load(&target));
        let together = self.run(&mut session, 20..23);
        let alone: Vec<f32> = (20..23).flat_map(|seed| self.run(&mut session, seed..seed + 1)).collect();
        assert_eq!(alone, together);
        let near = cosine(&self.run(&mut exact, 20..23), &together);
        assert!((0.999..1.0 - 1e-9).contains(&near), "{near}");
        operators
    }

    fn input(&self, seeds: std::ops::Range<u32>) -> Tensor<f32> {
        let rows = seeds.len();
        let values: Vec<f32> = seeds.flat_map(|seed| noise(seed, SEQUENCE * CHANNELS)).collect();
        if self.is_sequence_first {
            return Tensor::from_array(([SEQUENCE, rows, CHANNELS], values)).unwrap();
        }
        match self.is_flat {
            true => Tensor::from_array(([rows * SEQUENCE, CHANNELS], values)).unwrap(),
            false => Tensor::from_array(([rows, SEQUENCE, CHANNELS], values)).unwrap(),
        }
    }

    fn run(&self, session: &mut Session, seeds: std::ops::Range<u32>) -> Vec<f32> {
        let answer = session.run(ort::inputs!["x" => self.input(seeds)]).unwrap();
        answer["y"].try_extract_tensor::<f32>().unwrap().1.to_vec()
    }
}

fn is_one(source: &Source) -> bool {
    let operators = source.quantized();
    let is_one = operators.contains(&"QAttention".to_owned());
    assert_eq!(operators.contains(&"Softmax".to_owned()), !is_one, "{operators:?}");
    is_one
}

#[test]
fn attention_that_is_spelled_out_becomes_one_operator() {
    let whole = ["QuantizeLinear", "QAttention", "Mul", "QuantizeLinear", "MatMulIntegerToFloat"];
    let operators = |source: Source| {
        let mut found = source.quantized();
        found.retain(|name| name != "Constant");
        found
    };
    let balanced = ["Mul"].into_iter().chain(whole).collect::<Vec<_>>();
    assert_eq!(operators(plain()), balanced);
    assert_eq!(operators(Source { hides: Some(causal), ..plain() }), balanced);
    assert_eq!(operators(Source { hides: Some(causal), shape_in_run: true, ..plain() }), balanced);
    assert_eq!(operators(Source { hides: Some(causal), is_newer: true, ..plain() }), balanced);
    assert_eq!(operators(Source { operators: 18, ..plain() }), balanced);
}

/// Whatever has the outline alone stays as it is.
#[test]
fn what_is_not_attention_is_left() {
    let hides: [fn(usize, usize) -> bool; 3] =
        [|row, column| column < row, |row, column| column > row + 1, |row, column| row == SEQUENCE - 1 && column == 0];
    for hides in hides {
        assert!(!is_one(&Source { hides: Some(hides), ..plain() }));
    }
    assert!(!is_one(&Source { scale: 1.0, ..plain() }));
    assert!(!is_one(&Source { is_flat: true, ..plain() }));
    assert!(!is_one(&Source { is_sequence_first: true, ..plain() }));
}

#[test]
fn what_others_see_is_kept() {
    for value in ["q", "k", "shares", "mixed", "tokens"] {
        let more = Some((node("Neg", &[value], "other"), Some("other")));
        assert!(!is_one(&Source { more, ..plain() }), "{value}");
    }
    // A shape of what is gone would be missing, that of the output is not.
    for (value, is_found) in [("q", false), ("attended", true)] {
        let more = Some((node("Shape", &[value], "other"), Some("other")));
        assert_eq!(is_one(&Source { more, ..plain() }), is_found, "{value}");
    }
}

/// A product that nothing reads is made anyway, and so is what it is a product of.
#[test]
fn what_nobody_reads_does_no_harm() {
    let product = node("MatMul", &["q", "wo"], "other");
    assert!(!is_one(&Source { more: Some((product, None)), ..plain() }));
    for value in ["x", "attended"] {
        let product = node("MatMul", &[value, "wv"], "other");
        let is_of_its_group = value == "x";
        assert_eq!(is_one(&Source { more: Some((product, None)), ..plain() }), !is_of_its_group);
    }
}

/// Files that ONNX Runtime would refuse, or that have the same value in many places, end the search, too.
#[test]
fn circles_and_crowds_end() {
    let outputs = |nodes: Vec<Node>| {
        let folder = TempDir::new().unwrap();
        let source = plain().write_nodes(folder.path(), &nodes);
        observe(&source, &folder.path().join("observed.onnx"), PREFIX).unwrap()
    };
    let replaced = |output: &str, node: Node| {
        let mut nodes = plain().nodes();
        let old = nodes.iter_mut().find(|node| node.output[0] == output).unwrap();
        *old = node;
        nodes
    };
    // The inputs of two groups, and attention.
    assert_eq!(outputs(plain().nodes()), 3);
    assert_eq!(outputs(replaced("tokens", node("Reshape", &["mixed", "tokens"], "tokens"))), 2);
    let level = |number: usize| if number == 0 { "x".to_owned() } else { format!("level_{number}") };
    let mut nodes = replaced("scaled", node("Mul", &["level_12", "scale"], "scaled"));
    nodes.extend((0..12).map(|number| node("Mul", &[level(number).as_str(); 100], &level(number + 1))));
    assert_eq!(outputs(nodes), 2);
}

//! What is joined with what, on small graphs.

use super::balance::{Scales, Weights, scales};
use super::graph::{self, Graph};
use super::rewrite::{Pieces, add_message, add_tensor, bytes, floats, node};
use super::{observe, quantize};
use crate::onnx::field;
use crate::onnx::proto::{self, Node};
use proptest::prelude::*;
use prost::Message;
use std::path::Path;
use tempfile::TempDir;

const RANGES: [f32; 2] = [8.0, 0.5];
const GAMMA: [f32; 2] = [2.0, 3.0];
const BETA: [f32; 2] = [0.5, -1.0];
const W1: [f32; 6] = [1.0, -2.0, 0.25, 0.5, 4.0, -0.125];
const W2: [f32; 2] = [3.0, -1.0];
const B1: [f32; 3] = [0.1, 0.2, 0.3];

/// A normalisation of two channels, and two products of what comes out of it: one with a sum, of three channels, and one
/// without, of one.
fn source(folder: &Path, norm: &[Node], outputs: &[&str], operators: i64) -> std::path::PathBuf {
    let products = [
        node("MatMul", &["normal", "w1"], "product"),
        node("Add", &["product", "b1"], "y1"),
        node("MatMul", &["normal", "w2"], "y2"),
    ];
    let mut inner = Vec::new();
    for node in norm.iter().chain(&products) {
        add_message(&mut inner, proto::NODE, node.encode_to_vec());
    }
    let constants: [(&str, Vec<i64>, &[f32]); 5] = [
        ("gamma", vec![2], &GAMMA),
        ("beta", vec![2], &BETA),
        ("w1", vec![2, 3], &W1),
        ("w2", vec![2, 1], &W2),
        ("b1", vec![3], &B1),
    ];
    for (name, dims, values) in constants {
        let tensor = proto::Tensor { dims, ..floats(name.to_owned(), 0) };
        add_tensor(&mut inner, tensor, bytes(values).into());
    }
    for name in outputs {
        let output = proto::ValueInfo { name: (*name).to_owned(), r#type: None };
        add_message(&mut inner, proto::OUTPUT, output.encode_to_vec());
    }
    write(folder, &inner, operators)
}

/// Writes a model whose graph has these fields.
pub(super) fn write(folder: &Path, graph: &Pieces<'_>, operators: i64) -> std::path::PathBuf {
    let set = proto::OperatorSet { domain: String::new(), version: operators };
    let mut file = proto::Model { ir_version: 8, opset_import: vec![set], ..Default::default() }.encode_to_vec();
    file.extend(field(proto::GRAPH, graph.iter().map(|piece| piece.len() as u64).sum()));
    file.extend(graph.concat());
    let path = folder.join("source.onnx");
    std::fs::write(&path, file).unwrap();
    path
}

fn spelled_out() -> [Node; 2] {
    [node("Mul", &["gamma", "x"], "scaled"), node("Add", &["scaled", "beta"], "normal")]
}

/// Quantises, and returns the operators in their order; `look` sees the graph.
fn quantized(norm: &[Node], outputs: &[&str], operators: i64, look: impl Fn(&Graph<'_>)) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let (source, target) = (source(folder.path(), norm, outputs, operators), folder.path().join("target.onnx"));
    assert_eq!(observe(&source, &target, "range_").unwrap(), 1);
    assert_eq!(quantize(&source, &target, &[RANGES.to_vec()]).unwrap().products, 2);
    let bytes = graph::read(&target).unwrap();
    let graph = Graph::parse(&target, &bytes).unwrap();
    look(&graph);
    graph.nodes.iter().map(|(_, node)| node.op_type.clone()).collect()
}

fn close(found: &[f32], expected: &[f32]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-6)
}

/// What the channels are divided by.
fn factors() -> [f32; 2] {
    let weights = [Weights { values: W1.to_vec(), columns: 3 }, Weights { values: W2.to_vec(), columns: 1 }];
    let Scales { factors, .. } = scales(&RANGES, &weights);
    factors.try_into().unwrap()
}

fn takes_up_the_balance(graph: &Graph<'_>) {
    let [first, second] = factors();
    assert!(first > 1.2 && second < 0.8, "{first} {second}");
    let named = |what: &str| graph.vector(&format!("clip_search_quantized_{what}_0")).unwrap();
    assert!(close(&named("norm_scale"), &[GAMMA[0] / first, GAMMA[1] / second]));
    assert!(close(&named("norm_offset"), &[BETA[0] / first, BETA[1] / second]));
    assert!(close(&named("biases"), &[B1[0], B1[1], B1[2], 0.0]));
    assert_eq!(named("columns").len(), 4);
}

#[test]
fn a_normalisation_that_is_spelled_out_takes_up_the_balance() {
    let names = quantized(&spelled_out(), &["y1", "y2"], 13, |graph| {
        takes_up_the_balance(graph);
        let split = &graph.nodes[4].1;
        assert_eq!((split.input.len(), &split.output[..]), (2, &["y1".to_owned(), "y2".to_owned()][..]));
    });
    assert_eq!(names, ["Mul", "Add", "QuantizeLinear", "MatMulIntegerToFloat", "Split"]);
}

#[test]
fn a_normalisation_in_one_takes_up_the_balance() {
    let norm = [node("LayerNormalization", &["x", "gamma", "beta"], "normal")];
    let names = quantized(&norm, &["y1", "y2"], 17, takes_up_the_balance);
    assert_eq!(names, ["LayerNormalization", "QuantizeLinear", "MatMulIntegerToFloat", "Split"]);
}

/// As our own graphs have it: with the sum that was normalised as its fourth output, which others read.
#[test]
fn a_normalisation_of_a_sum_takes_up_the_balance() {
    let mut norm = node("SkipLayerNormalization", &["x", "skip", "gamma", "beta"], "normal");
    "com.microsoft".clone_into(&mut norm.domain);
    norm.output.extend(["", "", "sum"].map(str::to_owned));
    let next = node("Neg", &["sum"], "other");
    let names = quantized(&[norm.clone(), next.clone()], &["y1", "y2", "other"], 17, takes_up_the_balance);
    assert_eq!(names, ["SkipLayerNormalization", "Neg", "QuantizeLinear", "MatMulIntegerToFloat", "Split"]);
    norm.output[1] = "mean".to_owned();
    let names = quantized(&[norm, next], &["y1", "y2", "other"], 17, |_| {});
    assert!(names.contains(&"Mul".to_owned()), "{names:?}");
}

/// A shape is the same in any scale; and an offset need not be.
#[test]
fn shapes_and_missing_offsets_do_no_harm() {
    let norm = [node("LayerNormalization", &["x", "gamma"], "normal"), node("Shape", &["normal"], "shape")];
    let names = quantized(&norm, &["y1", "y2", "shape"], 17, |graph| {
        let [first, second] = factors();
        let scale = graph.vector("clip_search_quantized_norm_scale_0").unwrap();
        assert!(close(&scale, &[GAMMA[0] / first, GAMMA[1] / second]));
    });
    assert_eq!(names, ["LayerNormalization", "Shape", "QuantizeLinear", "MatMulIntegerToFloat", "Split"]);
}

#[test]
fn columns_keep_their_order() {
    let weights = [Weights { values: W1.to_vec(), columns: 3 }, Weights { values: W2.to_vec(), columns: 1 }];
    let Weights { values, columns } = Weights::beside_each_other(&weights);
    assert_eq!((values, columns), (vec![1.0, -2.0, 0.25, 3.0, 0.5, 4.0, -0.125, -1.0], 4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    /// Whatever the bytes: an error or a file, and no panic.
    #[test]
    fn damaged_graphs(places in prop::collection::vec((0.0..1.0, any::<u8>()), 1..6)) {
        let folder = TempDir::new().unwrap();
        let path = source(folder.path(), &spelled_out(), &["y1", "y2"], 13);
        let mut bytes = std::fs::read(&path).unwrap();
        for (place, value) in places {
            let place = (place * bytes.len() as f64) as usize;
            bytes[place] = value;
        }
        std::fs::write(&path, &bytes).unwrap();
        let target = folder.path().join("target.onnx");
        let written = quantize(&path, &target, &[RANGES.to_vec()]);
        prop_assert_eq!(written.is_ok(), target.exists());
    }
}

/// Until version 13 of the operators, the sizes were an attribute.
#[test]
fn sizes_are_where_the_operators_want_them() {
    quantized(&spelled_out(), &["y1", "y2"], 12, |graph| {
        let split = &graph.nodes[4].1;
        let sizes = split.attribute.iter().find(|attribute| attribute.name == "split").unwrap();
        assert_eq!((split.input.len(), &sizes.ints[..]), (1, &[3, 1][..]));
    });
}

#[test]
fn a_value_that_others_see_stays_as_it_is() {
    let shared = node("Mul", &["gamma", "x"], "scaled");
    let cases: [(Vec<Node>, Vec<&str>); 4] = [
        // Answered by the graph.
        (spelled_out().to_vec(), vec!["y1", "y2", "normal"]),
        (spelled_out().to_vec(), vec!["y1", "y2", "scaled"]),
        // Read by another node.
        ([&spelled_out()[..], &[node("Neg", &["scaled"], "other")]].concat(), vec!["y1", "y2", "other"]),
        ([&spelled_out()[..], &[node("Neg", &["normal"], "other")]].concat(), vec!["y1", "y2", "other"]),
    ];
    for (norm, outputs) in cases {
        let names = quantized(&norm, &outputs, 13, |graph| {
            assert_eq!(graph.nodes[0].1, shared);
            assert!(close(&graph.vector("beta").unwrap(), &BETA));
            let inverse = graph.vector("clip_search_quantized_factors_0").unwrap();
            assert!(close(&inverse, &factors().map(|factor| 1.0 / factor)));
        });
        assert_eq!(names.iter().filter(|name| *name == "Mul").count(), 2, "{names:?}");
    }
}

//! Graphs that would answer something else than a text's or an image's embedding: each is an error that says why.

mod common;

use clip::{Cancel, Error, LongText, Precision, TextEncoder, Tokenizer};
use common::*;

fn refused(copy: &Copy) -> String {
    match copy.spec().and_then(|spec| TextEncoder::load(&spec, &on_cpu(Precision::Fp32), &runtime())) {
        Err(Error::BadModel { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Renames an output of a graph in place: names of the same length.
fn rename(copy: &Copy, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let path = copy.file("onnx/text_model.onnx");
    let mut bytes = std::fs::read(&path).unwrap();
    let mut count = 0;
    for start in 0..bytes.len() - from.len() {
        if &bytes[start..start + from.len()] == from.as_bytes() {
            bytes[start..start + from.len()].copy_from_slice(to.as_bytes());
            count += 1;
        }
    }
    assert!(count >= 2, "the output and what makes it");
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_pooled_is_not_projected() {
    let copy = Copy::with_text_graph("pooled.onnx");
    assert!(refused(&copy).contains("pooler_output is not projected"), "{}", refused(&copy));
    // Any other name of the only output with a vector for each text is its embedding.
    rename(&copy, "pooler_output", "somethingelse");
    TextEncoder::load(&copy.spec().unwrap(), &on_cpu(Precision::Fp32), &runtime()).unwrap();
}

#[test]
fn outputs_of_another_shape() {
    let copy = Copy::with_text_graph("transposed.onnx");
    let reason = refused(&copy);
    assert!(reason.contains("output text_embeds is 32 x 1 for 1 items, not 1 x 32"), "{reason}");
}

#[test]
fn one_text_that_the_model_has_no_vector_for() {
    let copy = Copy::with_text_graph("nan.onnx");
    let spec = copy.spec().unwrap();
    let tokenizer = Tokenizer::load(&spec).unwrap();
    let mut encoder = TextEncoder::load(&spec, &on_cpu(Precision::Fp32), &runtime()).unwrap();
    let ids = |text| tokenizer.encode(text, LongText::Error).unwrap();
    assert!(encoder.embed(&[&ids("a cat")], &Cancel::new()).is_ok());
    match encoder.embed(&[&ids("a #")], &Cancel::new()) {
        Err(Error::BadEmbedding { reason, .. }) => assert_eq!(reason, "has values that are not finite"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_that_has_no_vector_for_any_text() {
    let copy = Copy::with_text_graph("all_nan.onnx");
    let reason = refused(&copy);
    assert!(reason.contains("whatever it is given"), "{reason}");
}

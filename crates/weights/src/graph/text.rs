//! `input_ids` (batch, sequence) of 64-bit integers to `text_embeds` (batch, dimension).

use super::block::{Rows, Tokens, all_tokens, pooled_token};
use crate::model::{TextModel, TextPooling};
use crate::onnx::{Attribute, Builder, Dimension, Precision, Value};

/// The graph of a text encoder. The sequence is free where the encoder is causal, so that a text is run at its own length
/// and padding behind its end changes nothing; else it is the length that the model was trained with.
pub(crate) fn text(model: &TextModel, precision: Precision) -> Builder {
    let mut graph = Builder::new("text", precision);
    let transformer = &model.transformer;
    let width = transformer.width;
    let sequence = if model.is_causal { Dimension::Free("sequence") } else { Dimension::Fixed(model.context) };
    let ids = graph.input_ids("input_ids", &[Dimension::Free("batch"), sequence]);
    let shape = graph.node("Shape", &[&ids], &[]);

    let table = graph.weight(&model.tokens);
    let embedded = graph.node("Gather", &[&table, &ids], &[]);
    let mut positions = graph.weight(&model.positions);
    if model.is_causal {
        let length = graph.node("Shape", &[&ids], &[("start", Attribute::Int(1))]);
        let (start, axis) = (graph.ints(&[0]), graph.ints(&[0]));
        positions = graph.node("Slice", &[&positions, &start, &length, &axis], &[]);
    }
    let embedded = graph.node("Add", &[&embedded, &positions], &[]);
    let rows = graph.reshape(&embedded, &[-1, width as i64]);

    let end = end(&mut graph, model.pooling, &ids);
    let tokens = TextTokens { shape, end, is_causal: model.is_causal };
    let (last, before) = model.blocks.split_last().expect("a transformer has at least one layer");
    let rows = all_tokens(&mut graph, transformer, before, &tokens, Rows::new(rows));
    let rows = pooled_token(&mut graph, transformer, last, &tokens, rows);
    let (mut pooled, _) = rows.norm(&mut graph, &model.norm, transformer.epsilon);
    if let Some(projection) = &model.projection {
        pooled = graph.linear(&pooled, &[projection]);
    }
    graph.output("text_embeds", &pooled, &[Dimension::Free("batch"), Dimension::Fixed(model.dimension)]);
    graph
}

/// The index of the token that is read off, (batch, 1); nothing where it is the last.
fn end(graph: &mut Builder, pooling: TextPooling, ids: &str) -> Option<Value> {
    // The first of equal ones is what ArgMax and torch's argmax take. ArgMax of 64-bit integers is not everywhere.
    let scores = match pooling {
        TextPooling::Last => return None,
        TextPooling::Highest => graph.cast_to_int32(ids),
        TextPooling::FirstOf(id) => {
            let id = graph.int(id);
            let is_end = graph.node("Equal", &[ids, &id], &[]);
            graph.cast_to_int32(&is_end)
        }
    };
    Some(graph.node("ArgMax", &[&scores], &[("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(1))]))
}

struct TextTokens {
    /// (batch, sequence)
    shape: Value,
    end: Option<Value>,
    is_causal: bool,
}

impl Tokens for TextTokens {
    fn unfold(&self, graph: &mut Builder, rows: &str, width: usize) -> Value {
        let width = graph.ints(&[width as i64]);
        let shape = graph.node("Concat", &[&self.shape, &width], &[("axis", Attribute::Int(0))]);
        graph.node("Reshape", &[rows, &shape], &[])
    }

    fn pool(&self, graph: &mut Builder, rows: &str, width: usize) -> Value {
        let tokens = self.unfold(graph, rows, width);
        match &self.end {
            Some(end) => graph.node("GatherND", &[&tokens, end], &[("batch_dims", Attribute::Int(1))]),
            None => {
                let last = graph.int(-1);
                graph.node("Gather", &[&tokens, &last], &[("axis", Attribute::Int(1))])
            }
        }
    }

    fn is_causal(&self) -> bool {
        self.is_causal
    }

    fn visible(&self, graph: &mut Builder) -> Option<Value> {
        let end = self.end.as_ref().filter(|_| self.is_causal)?;
        let end = graph.reshape(end, &[-1]);
        let one = graph.ints(&[1]);
        let count = graph.node("Add", &[&end, &one], &[]);
        Some(graph.cast_to_int32(&count))
    }
}

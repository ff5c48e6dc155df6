//! A block of a transformer.

use crate::model::{Activation, Attention, Block, Linear, Transformer};
use crate::onnx::{Attribute, Builder, Value};

/// Rows whose last sum is still to be done.
pub(super) struct Rows {
    value: Value,
    added: Option<Value>,
}

impl Rows {
    pub fn new(value: Value) -> Rows {
        Rows { value, added: None }
    }

    /// The rows normalised, and the rows.
    pub fn norm(self, graph: &mut Builder, norm: &crate::model::Norm, epsilon: f32) -> (Value, Value) {
        match self.added {
            Some(added) => graph.skip_norm([&self.value, &added], norm, epsilon),
            None => (graph.norm(&self.value, norm, epsilon), self.value),
        }
    }
}

/// Shapes of the tokens, which depend on the encoder.
pub(super) trait Tokens {
    /// The rows as (batch, sequence, `width`).
    fn unfold(&self, graph: &mut Builder, rows: &str, width: usize) -> Value;
    /// Of rows of this width, those of the tokens that are read off: (batch, `width`).
    fn pool(&self, graph: &mut Builder, rows: &str, width: usize) -> Value;
    /// True where a token sees only the tokens before it.
    fn is_causal(&self) -> bool;
    /// How many tokens the token that is read off sees, a vector of 32-bit integers; nothing where it sees all.
    fn visible(&self, graph: &mut Builder) -> Option<Value>;
}

/// All blocks but the last.
pub(super) fn all_tokens(
    graph: &mut Builder,
    transformer: &Transformer,
    blocks: &[Block],
    tokens: &dyn Tokens,
    mut rows: Rows,
) -> Rows {
    for block in blocks {
        let (normed, value) = rows.norm(graph, &block.norm1, transformer.epsilon);
        let Attention { query, key, value: values, output } = &block.attention;
        let [query, key, values] = project(graph, &normed, [query, key, values], transformer.width, tokens);
        let causal = [("unidirectional", Attribute::Int(1))];
        let more = if tokens.is_causal() { &causal[..] } else { &[] };
        let attended = attend(graph, transformer, &[&query, &key, &values], more, output);
        rows = perceptron(graph, transformer, block, Rows { value, added: Some(attended) });
    }
    rows
}

/// The last block, for the tokens that are read off.
pub(super) fn pooled_token(
    graph: &mut Builder,
    transformer: &Transformer,
    block: &Block,
    tokens: &dyn Tokens,
    rows: Rows,
) -> Rows {
    let width = transformer.width;
    let (normed, value) = rows.norm(graph, &block.norm1, transformer.epsilon);
    let Attention { query, key, value: values, output } = &block.attention;
    let [key, values] = project(graph, &normed, [key, values], width, tokens);
    let (normed, value) = (tokens.pool(graph, &normed, width), tokens.pool(graph, &value, width));
    let query = graph.linear(&normed, &[query]);
    let query = graph.reshape(&query, &[-1, 1, width as i64]);
    let attended = match tokens.visible(graph) {
        // The fourth input is a bias, which the projections have had.
        Some(visible) => attend(graph, transformer, &[&query, &key, &values, "", &visible], &[], output),
        None => attend(graph, transformer, &[&query, &key, &values], &[], output),
    };
    perceptron(graph, transformer, block, Rows { value, added: Some(attended) })
}

/// One product for all of some projections, then each as (batch, sequence, width).
fn project<const N: usize>(
    graph: &mut Builder,
    rows: &str,
    layers: [&Linear; N],
    width: usize,
    tokens: &dyn Tokens,
) -> [Value; N] {
    let joined = graph.linear(rows, &layers);
    let joined = tokens.unfold(graph, &joined, N * width);
    graph.node_with("Split", &[&joined], &[("axis", Attribute::Int(-1))], [true; N])
}

/// Attention and the layer behind it, as rows.
pub(super) fn attend(
    graph: &mut Builder,
    transformer: &Transformer,
    inputs: &[&str],
    more: &[(&str, Attribute)],
    output: &Linear,
) -> Value {
    let mut attributes = vec![("num_heads", Attribute::Int(transformer.heads as i64))];
    attributes.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    let attended = graph.node("MultiHeadAttention", inputs, &attributes);
    let rows = graph.reshape(&attended, &[-1, transformer.width as i64]);
    graph.linear(&rows, &[output])
}

fn perceptron(graph: &mut Builder, transformer: &Transformer, block: &Block, rows: Rows) -> Rows {
    let (normed, value) = rows.norm(graph, &block.norm2, transformer.epsilon);
    let added = two_layers(graph, transformer.activation, &normed, &block.rise, &block.fall);
    Rows { value, added: Some(added) }
}

/// A linear layer, an activation, and a linear layer.
pub(super) fn two_layers(
    graph: &mut Builder,
    activation: Activation,
    rows: &str,
    rise: &Linear,
    fall: &Linear,
) -> Value {
    let hidden = graph.linear(rows, &[rise]);
    let hidden = match activation {
        Activation::QuickGelu => graph.node("QuickGelu", &[&hidden], &[("alpha", Attribute::Float(1.702))]),
        Activation::Gelu => graph.node("Gelu", &[&hidden], &[]),
        Activation::GeluTanh => graph.node("FastGelu", &[&hidden], &[]),
    };
    graph.linear(&hidden, &[fall])
}

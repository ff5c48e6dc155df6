//! `pixel_values` (batch, 3, height, width) to `image_embeds` (batch, dimension).

use super::block::{Rows, Tokens, all_tokens, attend, pooled_token, two_layers};
use crate::model::{AttentionPool, ImageModel, ImagePooling};
use crate::onnx::{Attribute, Builder, Dimension, Precision, Value};

/// The graph of an image encoder.
pub(crate) fn image(model: &ImageModel, precision: Precision) -> Builder {
    let mut graph = Builder::new("image", precision);
    let transformer = &model.transformer;
    let count = model.tokens();
    let size = [
        Dimension::Free("batch"),
        Dimension::Fixed(3),
        Dimension::Fixed(model.size.height),
        Dimension::Fixed(model.size.width),
    ];
    let pixels = graph.input("pixel_values", &size);
    let batch = graph.node("Shape", &[&pixels], &[("start", Attribute::Int(0)), ("end", Attribute::Int(1))]);

    let mut rows = patches(&mut graph, model, &pixels, &batch);
    if let Some(norm) = &model.pre_norm {
        rows = graph.norm(&rows, norm, transformer.epsilon);
    }
    let tokens = ImageTokens { count };
    let mut pooled = match &model.pooling {
        ImagePooling::Class => {
            let (last, before) = model.blocks.split_last().expect("a transformer has at least one layer");
            let rows = all_tokens(&mut graph, transformer, before, &tokens, Rows::new(rows));
            let rows = pooled_token(&mut graph, transformer, last, &tokens, rows);
            rows.norm(&mut graph, &model.norm, transformer.epsilon).0
        }
        ImagePooling::Attention(pool) => {
            let rows = all_tokens(&mut graph, transformer, &model.blocks, &tokens, Rows::new(rows));
            let (rows, _) = rows.norm(&mut graph, &model.norm, transformer.epsilon);
            attention_pool(&mut graph, model, pool, &tokens, &rows, &batch)
        }
    };
    if let Some(projection) = &model.projection {
        pooled = graph.linear(&pooled, &[projection]);
    }
    graph.output("image_embeds", &pooled, &[Dimension::Free("batch"), Dimension::Fixed(model.dimension)]);
    graph
}

/// One row for each token: the class token and the patches, with their positions.
fn patches(graph: &mut Builder, model: &ImageModel, pixels: &str, batch: &str) -> Value {
    let width = model.transformer.width;
    let mut inputs = vec![pixels.to_owned(), graph.weight(&model.patches)];
    inputs.extend(model.patches_bias.as_ref().map(|bias| graph.weight(bias)));
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let patch = || Attribute::Ints(vec![model.patch.height as i64, model.patch.width as i64]);
    // Pixels beyond the last whole patch are left out, as the reference leaves them.
    let patches = graph.node("Conv", &inputs, &[("kernel_shape", patch()), ("strides", patch())]);
    let patches = graph.reshape(&patches, &[0, width as i64, -1]);
    let mut tokens = graph.node("Transpose", &[&patches], &[("perm", Attribute::Ints(vec![0, 2, 1]))]);
    if let Some(class) = &model.class {
        let class = graph.shaped(class, vec![1, 1, width]);
        let ones = graph.ints(&[1, 1]);
        let shape = graph.node("Concat", &[batch, &ones], &[("axis", Attribute::Int(0))]);
        let class = graph.node("Expand", &[&class, &shape], &[]);
        tokens = graph.node("Concat", &[&class, &tokens], &[("axis", Attribute::Int(1))]);
    }
    let positions = graph.shaped(&model.positions, vec![1, model.tokens(), width]);
    let tokens = graph.node("Add", &[&tokens, &positions], &[]);
    graph.reshape(&tokens, &[-1, width as i64])
}

/// One learned query for all images, and a perceptron beside a residual.
fn attention_pool(
    graph: &mut Builder,
    model: &ImageModel,
    pool: &AttentionPool,
    tokens: &ImageTokens,
    rows: &str,
    batch: &str,
) -> Value {
    let transformer = &model.transformer;
    let width = transformer.width;
    // ONNX Runtime computes it once, when it loads the graph.
    let probe = graph.shaped(&pool.probe, vec![1, width]);
    let query = graph.linear(&probe, &[&pool.attention.query]);
    let query = graph.reshape(&query, &[1, 1, width as i64]);
    let ones = graph.ints(&[1, 1]);
    let shape = graph.node("Concat", &[batch, &ones], &[("axis", Attribute::Int(0))]);
    let query = graph.node("Expand", &[&query, &shape], &[]);
    let joined = graph.linear(rows, &[&pool.attention.key, &pool.attention.value]);
    let joined = tokens.unfold(graph, &joined, 2 * width);
    let [key, value] = graph.node_with("Split", &[&joined], &[("axis", Attribute::Int(-1))], [true; 2]);
    let attended = attend(graph, transformer, &[&query, &key, &value], &[], &pool.attention.output);
    let normed = graph.norm(&attended, &pool.norm, transformer.epsilon);
    let added = two_layers(graph, transformer.activation, &normed, &pool.rise, &pool.fall);
    graph.node("Add", &[&attended, &added], &[])
}

struct ImageTokens {
    count: usize,
}

impl Tokens for ImageTokens {
    fn unfold(&self, graph: &mut Builder, rows: &str, width: usize) -> Value {
        graph.reshape(rows, &[-1, self.count as i64, width as i64])
    }

    fn pool(&self, graph: &mut Builder, rows: &str, width: usize) -> Value {
        let tokens = self.unfold(graph, rows, width);
        let first = graph.int(0);
        graph.node("Gather", &[&tokens, &first], &[("axis", Attribute::Int(1))])
    }

    fn is_causal(&self) -> bool {
        false
    }

    fn visible(&self, _: &mut Builder) -> Option<Value> {
        None
    }
}

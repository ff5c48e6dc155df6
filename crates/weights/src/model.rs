//! What all families have in common: two transformers, described by numbers, and the tensors that fill them.

use crate::error::{Error, Result};
use crate::source::Tensor;

/// Highest numbers that a configuration may have: far above any model, and low enough that nothing overflows.
const MAX_WIDTH: usize = 1 << 15;
const MAX_LAYERS: usize = 512;
const MAX_CONTEXT: usize = 1 << 13;
const MAX_VOCABULARY: usize = 1 << 23;
const MAX_SIDE: usize = 4096;

/// The function between the two layers of a block's perceptron.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// With the error function.
    Gelu,
    /// With the hyperbolic tangent.
    GeluTanh,
}

/// The numbers of a transformer.
#[derive(Debug, Clone)]
pub(crate) struct Transformer {
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    /// Width between the two layers of the perceptron.
    pub hidden: usize,
    pub epsilon: f32,
    pub activation: Activation,
}

/// The token at which a text is read off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextPooling {
    /// That of the highest id, the first of them.
    Highest,
    /// The first of this id, or the very first where there is none.
    FirstOf(i64),
    /// The last, padding included.
    Last,
}

/// The text encoder.
#[derive(Debug)]
pub(crate) struct TextModel {
    pub transformer: Transformer,
    pub vocabulary: usize,
    pub context: usize,
    /// A token sees the tokens before it only, so that a text may be run at its own length.
    pub is_causal: bool,
    pub pooling: TextPooling,
    pub dimension: usize,
    pub tokens: Tensor,
    pub positions: Tensor,
    pub blocks: Vec<Block>,
    pub norm: Norm,
    pub projection: Option<Linear>,
}

/// The image encoder.
#[derive(Debug)]
pub(crate) struct ImageModel {
    pub transformer: Transformer,
    pub size: Grid,
    pub patch: Grid,
    pub dimension: usize,
    /// (width, 3, patch height, patch width)
    pub patches: Tensor,
    pub patches_bias: Option<Tensor>,
    pub class: Option<Tensor>,
    pub positions: Tensor,
    pub pre_norm: Option<Norm>,
    pub blocks: Vec<Block>,
    pub norm: Norm,
    pub pooling: ImagePooling,
    pub projection: Option<Linear>,
}

impl ImageModel {
    /// Number of tokens: one for each whole patch, and the class token.
    pub fn tokens(&self) -> usize {
        self.size.patches(self.patch) + usize::from(self.class.is_some())
    }
}

/// How the tokens of an image become one vector.
#[derive(Debug)]
pub(crate) enum ImagePooling {
    /// The class token, which is the first.
    Class,
    /// Attention of a learned query to all tokens, and a block's perceptron.
    Attention(Box<AttentionPool>),
}

#[derive(Debug)]
pub(crate) struct AttentionPool {
    /// (…, width)
    pub probe: Tensor,
    pub attention: Attention,
    pub norm: Norm,
    pub rise: Linear,
    pub fall: Linear,
}

/// Height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub height: usize,
    pub width: usize,
}

impl Grid {
    /// Whole patches of a size that fit.
    pub fn patches(self, patch: Grid) -> usize {
        (self.height / patch.height) * (self.width / patch.width)
    }
}

/// One layer of a transformer.
#[derive(Debug)]
pub(crate) struct Block {
    pub norm1: Norm,
    pub attention: Attention,
    pub norm2: Norm,
    pub rise: Linear,
    pub fall: Linear,
}

#[derive(Debug)]
pub(crate) struct Attention {
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub output: Linear,
}

#[derive(Debug)]
pub(crate) struct Norm {
    pub weight: Tensor,
    pub bias: Tensor,
}

/// A matrix, and what is added.
#[derive(Debug)]
pub(crate) struct Linear {
    pub weight: Tensor,
    /// False where the rows are outputs, as PyTorch's `Linear` has them.
    pub rows_are_inputs: bool,
    pub bias: Option<Tensor>,
}

impl Transformer {
    /// Refuses numbers that no model has, before anything is multiplied or allocated.
    pub fn check(&self, file: &str, of: &str) -> Result<()> {
        bounded(file, of, "width", self.width, MAX_WIDTH)?;
        bounded(file, of, "number of layers", self.layers, MAX_LAYERS)?;
        bounded(file, of, "number of heads", self.heads, MAX_WIDTH)?;
        bounded(file, of, "hidden width", self.hidden, 8 * MAX_WIDTH)?;
        if !self.width.is_multiple_of(self.heads) {
            let (width, heads) = (self.width, self.heads);
            return Err(Error::bad(file, format!("{of}: the width, {width}, is no multiple of {heads} heads")));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(Error::bad(file, format!("{of}: the epsilon of layer normalisation is {}", self.epsilon)));
        }
        Ok(())
    }
}

/// As [`Transformer::check`], for the other numbers of a text encoder.
pub(crate) fn check_text(file: &str, vocabulary: usize, context: usize, dimension: usize) -> Result<()> {
    bounded(file, "text", "vocabulary", vocabulary, MAX_VOCABULARY)?;
    bounded(file, "text", "context", context, MAX_CONTEXT)?;
    bounded(file, "text", "dimension", dimension, MAX_WIDTH)
}

/// As [`Transformer::check`], for the other numbers of an image encoder.
pub(crate) fn check_image(file: &str, size: Grid, patch: Grid, dimension: usize) -> Result<()> {
    for (what, side) in [("image size", size.height), ("image size", size.width)] {
        bounded(file, "image", what, side, MAX_SIDE)?;
    }
    for (side, of) in [(patch.height, size.height), (patch.width, size.width)] {
        bounded(file, "image", "patch size", side, of)?;
    }
    bounded(file, "image", "dimension", dimension, MAX_WIDTH)
}

fn bounded(file: &str, of: &str, what: &str, value: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(Error::bad(file, format!("{of}: the {what} is {value}, it must be 1 to {max}")))
    }
}

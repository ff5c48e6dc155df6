//! The graphs of the two encoders.
//!
//! Tokens are rows of one matrix (batch × sequence, width) everywhere but inside attention, so that every linear layer is
//! one product with its bias. Residual sums are left open until the next layer normalisation, which takes them along.
//! Only the tokens that are read off go through the last block: for its other tokens, only keys and values matter.

mod block;
mod image;
mod text;

pub(crate) use image::image;
pub(crate) use text::text;

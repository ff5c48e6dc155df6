//! 32-bit ONNX graphs to graphs whose matrix products are of 8-bit integers, for CPUs.
//!
//! ```text
//! observe   the graph, and as more outputs the largest magnitude of each channel of what goes into its products
//!    ↓      run by the caller on a calibration set
//! quantize  MatMul, Gemm  →  Mul (balance) · QuantizeLinear · MatMulIntegerToFloat · Split
//! ```
//!
//! Products of the same input become one. Where the calibration proves that the graph spells out attention, its queries, keys and
//! values become one operator with it (QAttention). The balance goes into the scale and the offset of a layer normalisation, where
//! the input is that of one.
//!
//! Activations have one scale for each input of products, which the calibration fixes: a vector does not depend on what is in its
//! batch, as it does where the scale is taken from the batch (DynamicQuantizeLinear). Weights have one scale for each
//! output channel, and 7 of the 8 bits: sums of pairs then fit the 16 bits that AVX2 and AVX-512 without VNNI have for
//! them. A few input channels of a transformer are a hundred times as large as the rest, and would leave these a handful of
//! levels; so each channel is divided by a factor that its weights are multiplied by (SmoothQuant, Xiao et al. 2023,
//! arXiv:2211.10438, with α = ½).
//!
//! Everything else of a file is copied as it stands: convolutions, products of two activations, embeddings.

mod attention;
mod balance;
mod graph;
mod levels;
mod norm;
mod observe;
mod plan;
mod rewrite;
#[cfg(test)]
mod tests;
mod wire;

use std::path::Path;

pub use levels::{Levels, take_levels};

use crate::error::Result;
use graph::Graph;
use plan::Plan;

/// What [`quantize`] has written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quantized {
    /// Products that are of integers now.
    pub products: usize,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes a copy of a graph that also answers the largest magnitudes of the input channels of its matrix products, and how far
/// attention is from what the graph spells out.
///
/// These outputs are vectors, named by `prefix` and a number from 0. The copy wants the external data of the source beside
/// it. Returns how many outputs there are more.
///
/// # Errors
/// [`crate::Error::BadFile`]; [`crate::Error::Unsupported`] where the graph has no products with constant weights, or is of a
/// version that cannot be rewritten; [`crate::Error::Write`].
pub fn observe(source: &Path, target: &Path, prefix: &str) -> Result<usize> {
    let bytes = graph::read(source)?;
    let graph = Graph::parse(source, &bytes)?;
    let plan = Plan::of(&graph)?;
    observe::observed(&graph, &plan, prefix, target)?;
    Ok(plan.observed().count())
}

/// Writes a graph whose matrix products are of 8-bit integers. All of it is in one file.
///
/// `ranges` are the largest values of the outputs that [`observe`] has added, in their order.
///
/// # Errors
/// Those of [`observe`], and [`crate::Error::BadFile`] where the ranges are not those of the graph, or not finite.
pub fn quantize(source: &Path, target: &Path, ranges: &[Vec<f32>]) -> Result<Quantized> {
    let bytes = graph::read(source)?;
    let graph = Graph::parse(source, &bytes)?;
    let plan = Plan::of(&graph)?;
    let bytes = rewrite::quantized(&graph, &plan, ranges, target)?;
    Ok(Quantized { products: plan.products.len(), bytes })
}

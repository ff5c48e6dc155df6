//! ONNX files: the messages, a graph that is being built, and writing it to a file.

mod builder;
pub(crate) mod proto;
mod write;

pub(crate) use builder::{Attribute, Builder, Dimension, Value};
pub(crate) use write::{field, write};

/// Type of the numbers of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32-bit floating point, which gives what the reference gives.
    #[default]
    F32,
    /// 16-bit floating point: half the size, for GPUs. Inputs and outputs stay 32-bit.
    F16,
}

//! The two encoders of a model as ONNX Runtime sessions.

mod failure;
mod graph;
mod image;
mod ranges;
mod role;
mod stage;
mod text;

pub(crate) use graph::{normalize, output_names};
pub(crate) use role::Role;
pub(crate) use text::{Padding, SAME, cosine, numbers, probe_texts};

pub use self::image::ImageEncoder;
pub use ranges::RANGE_PREFIX;
pub use stage::{ImageStager, StagedImages};
pub use text::TextEncoder;

use crate::device::{Device, Precision};

/// How an encoder is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionOptions {
    /// Where it runs.
    pub device: Device,
    /// Threads that work on one operator; 0 is one per core that this process may use.
    pub threads: usize,
    /// Which of the model's files is loaded.
    pub precision: Precision,
    /// Most bytes of a GPU's memory that the session may take for weights and intermediate values; 0 is no limit.
    pub max_gpu_memory: u64,
}

impl SessionOptions {
    fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

//! Arithmetic on embeddings. No I/O, no Postgres, no model.
//!
//! ```text
//! vectors    dot product, cosine, unit length, weighted combination
//! labels     zero-shot classification: similarities of one embedding to many labels, softmax or sigmoid
//! threshold  from a random sample of similarities to the one that random pairs rarely reach
//! ```

mod labels;
mod threshold;
mod vectors;

pub use labels::{Labels, Logits, Score};
pub use threshold::{Background, threshold};
pub use vectors::{combine, cosine, dot, unit};

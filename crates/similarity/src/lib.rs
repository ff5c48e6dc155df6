//! Arithmetic on embeddings. No I/O, no Postgres, no model.
//!
//! ```text
//! vectors    dot product, cosine, unit length, weighted combination
//! groups     what is connected by pairs
//! labels     zero-shot classification: similarities of one embedding to many labels, softmax or sigmoid
//! threshold  from a random sample of similarities to the one that random pairs rarely reach
//! ```
//!
//! Vectors come from one model: they have one length, and what has no direction (zeros, or what cancels out) is `None`.
//!
//! ```
//! use similarity::{combine, cosine};
//!
//! let (dog, snow) = (vec![1.0, 0.0], vec![0.0, 1.0]);
//! let dog_in_snow = combine(&[dog.clone(), snow], &[1.0, 1.0]).expect("they do not cancel each other out");
//! assert!((cosine(&dog, &dog_in_snow) - 0.5_f32.sqrt()).abs() < 1e-6);
//! ```

mod groups;
mod labels;
mod threshold;
mod vectors;

pub use groups::groups;
pub use labels::{Labels, Logits, Score};
pub use threshold::{Background, threshold};
pub use vectors::{combine, cosine, dot, unit};

//! CLIP models in the layout of the Hugging Face hub's ONNX exports: a directory becomes embeddings.
//!
//! ```text
//! ModelName ─ catalog::find ─> directory ─ ModelSpec::read ─> ModelSpec
//!                                                               │
//!      text  ─ Tokenizer::encode ──> ids ───── TextTower::embed ┤
//!      bytes ─ Preprocessor::run ──> pixels ─ VisionTower::embed┴──> L2-normalised f32 vectors
//! ```
//!
//! Everything that decides a vector is read from the model's own files; the reference is `CLIPModel`,
//! `CLIPImageProcessorPil` and `CLIPTokenizer` of the Python package transformers. [`Runtime`] opens the ONNX Runtime
//! library, once per process. Tokenizing and preprocessing need no runtime and can run on other threads than the towers.

pub mod catalog;
pub mod diagnosis;

mod cancel;
mod device;
mod error;
mod name;
mod picture;
mod runtime;
mod session;
mod spec;
mod tokenizer;

pub use cancel::Cancel;
pub use device::{Device, Precision, Provider};
pub use error::{Error, Result};
pub use name::ModelName;
pub use ndarray::{Array3, ArrayView3};
pub use picture::{
    FORMATS, Limits, PictureInfo, Preprocessor, Reading, RgbImage, Thumbnail, Transparency, decode, media_type,
    picture_info, thumbnail,
};
pub use runtime::Runtime;
pub use session::{SessionOptions, TextTower, VisionTower};
pub use spec::{Filter, ImageSpec, Modality, ModelSpec, Normalize, Resize, TokenIds, TowerStamp};
pub use tokenizer::{LongText, Tokenizer};

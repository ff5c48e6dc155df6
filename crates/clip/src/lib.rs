//! CLIP models in the layout of the Hugging Face hub's ONNX exports: a directory becomes embeddings.
//!
//! ```text
//! ModelName ─ catalog::find ─> directory ─ ModelSpec::read ─> ModelSpec
//!                                                               │
//!      text  ─ Tokenizer::encode ──> ids ───── TextEncoder::embed ┤
//!      bytes ─ Preprocessor::run ──> pixels ─ ImageEncoder::embed┴──> L2-normalised f32 vectors
//! ```
//!
//! Everything that decides a vector is read from the model's own files; the reference is `CLIPModel`,
//! `CLIPImageProcessorPil` and `CLIPTokenizer` of the Python package transformers. [`Runtime`] opens the ONNX Runtime
//! library, once per process. Tokenizing and preprocessing need no runtime and can run on other threads than the encoders.

pub mod catalog;
pub mod diagnosis;

mod cancel;
mod device;
mod error;
mod image;
mod name;
mod pieces;
mod runtime;
mod session;
mod spec;
mod tokenizer;

pub use self::image::{
    FORMATS, ImageInfo, Limits, Preprocessor, Reading, RgbImage, Thumbnail, Transparency, decode, image_info,
    media_type, prepare_decoders, thumbnail,
};
pub use cancel::Cancel;
pub use device::{Device, Devices, Precision, Provider};
pub use error::{Error, Result};
pub use name::ModelName;
pub use ndarray::{Array3, ArrayView3};
pub use runtime::Runtime;
pub use session::{ImageEncoder, ImageStager, SessionOptions, StagedImages, TextEncoder};
pub use spec::{EncoderStamp, Filter, ImageSpec, Modality, ModelSpec, Normalize, Resize, TokenIds};
pub use tokenizer::{LongText, Tokenizer};

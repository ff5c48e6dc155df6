//! CLIP models as ONNX graphs, in the layouts that are published: a directory becomes embeddings.
//!
//! ```text
//! ModelName ─ catalog::find ─> directory ─ layouts ─ ModelSpec::read ─> ModelSpec
//!                                                               │
//!      text  ─ Tokenizer::encode ──> ids ───── TextEncoder::embed ┤
//!      bytes ─ Preprocessor::run ──> pixels ─ ImageEncoder::embed┴──> L2-normalised f32 vectors
//! ```
//!
//! An encoder that a model server runs is a [`RemoteEncoder`] in place of the two: it sends ids or pixels, and needs no
//! ONNX Runtime.
//!
//! Everything that decides a vector is read from the model's own files; the references are the classes of the Python
//! packages transformers and open_clip that the files name. [`Runtime`] opens the ONNX Runtime
//! library, once per process. Tokenizing and preprocessing need no runtime and can run on other threads than the encoders.
//!
//! ```no_run
//! use clip::{Cancel, Device, LongText, ModelName, ModelSpec, Runtime, SessionOptions, TextEncoder, Tokenizer};
//! use std::path::Path;
//!
//! let name = ModelName::parse("openai/clip-vit-base-patch32")?;
//! let spec = ModelSpec::read(Path::new("/models/openai/clip-vit-base-patch32"), &name)?;
//! let ids = Tokenizer::load(&spec)?.encode("a photo of a cat", LongText::Truncate)?;
//!
//! let runtime = Runtime::init(Path::new("/usr/lib/libonnxruntime.so"))?;
//! let precision = spec.choose(None)?.text;
//! let options = SessionOptions { device: Device::Cpu, threads: 0, precision, max_gpu_memory: 0 };
//! let vectors = TextEncoder::load(&spec, &options, &runtime)?.embed(&[ids.as_slice()], &Cancel::new())?;
//! assert_eq!(vectors[0].len(), spec.dimension);
//! # Ok::<(), clip::Error>(())
//! ```

pub mod catalog;
pub mod diagnosis;

mod cancel;
mod device;
mod error;
mod image;
mod layouts;
mod name;
mod pieces;
mod remote_encoder;
mod runtime;
mod session;
mod spec;
mod text;

pub use self::image::{
    FORMATS, Frame, FrameRange, Frames, Gray16, ImageInfo, Limits, MAX_FRAMES_IN_PART, OTHER_FORMATS, OnTruncated,
    PART_BYTES, Preprocessor, Reading, RgbImage, Thumbnail, Transparency, decode, decodes_heif, frames, image_info,
    media_type, prepare_decoders, thumbnail,
};
pub use cancel::Cancel;
pub use device::{Device, Devices, Precision, Precisions, Provider};
pub use error::{Error, Result};
pub use name::ModelName;
pub use ndarray::{Array3, ArrayView3};
pub use remote_encoder::{RemoteEncoder, RemoteInput, RemoteProbe};
pub use runtime::Runtime;
pub use session::{ImageEncoder, ImageStager, RANGE_PREFIX, SessionOptions, StagedImages, TextEncoder};
pub use spec::{CropRounding, EncoderStamp, Filter, ImageSpec, Modality, ModelSpec, Normalize, Resize, TokenIds};
pub use text::{LongText, Tokenizer};

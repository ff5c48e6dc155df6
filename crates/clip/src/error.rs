//! What can go wrong, one variant for each thing a caller can act on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. The text states the fact; what to do about it is for the caller to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// The name is not `owner/name`.
    #[error("\"{name}\" is not a model name (owner/name)")]
    InvalidModelName {
        /// The text that was given, shortened and with control characters escaped.
        name: String,
    },
    /// No model root has a directory of this name.
    #[error("model \"{name}\" is not installed in {}", show_paths(.roots))]
    NoSuchModel {
        /// Name of the model.
        name: String,
        /// The directories that were searched.
        roots: Vec<PathBuf>,
    },
    /// The model has no ONNX files of this precision.
    #[error("model \"{model}\" has no {precision} files, only {}", .available.join(", "))]
    NoSuchPrecision {
        /// Name of the model.
        model: String,
        /// The precision that was asked for.
        precision: String,
        /// The precisions that the model has.
        available: Vec<String>,
    },
    /// A file of the model cannot be read, is malformed, or asks for something that is not supported.
    #[error("{file} of model \"{model}\" cannot be used: {reason}")]
    BadModel {
        /// Name of the model.
        model: String,
        /// The file, relative to the model's directory.
        file: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A text without a space or digit for so long that its first tokens are not worth the time.
    #[error("text has {bytes} bytes without a place to cut it, more than {max}")]
    TextTooLarge {
        /// Bytes without such a place.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The text has more tokens than the model reads, and truncation was not asked for.
    #[error("text has {}{tokens} tokens, the model reads {context_length}", if *is_read { "" } else { "at least " })]
    TextTooLong {
        /// Tokens of the text, start and end tokens included.
        tokens: usize,
        /// Whether these are all.
        is_read: bool,
        /// Tokens that the model reads, start and end tokens included.
        context_length: usize,
    },
    /// The tokenizer failed on a text.
    #[error("model \"{model}\" cannot tokenize the text: {reason}")]
    Tokenize {
        /// Name of the model.
        model: String,
        /// What the tokenizer said.
        reason: String,
    },

    /// The bytes are not an image in a known format.
    #[error("{} not an image in a known format", describe_bytes(*.bytes, .starts))]
    NotAnImage {
        /// Number of bytes.
        bytes: usize,
        /// The first few bytes in hexadecimal.
        starts: String,
        /// What they are, where they are text.
        text: Option<lookalike::TextKind>,
    },
    /// The image's format, or a feature of it, is known but cannot be decoded.
    #[error("{format} image is of a kind that is not supported: {reason}")]
    UnsupportedImage {
        /// Name of the format.
        format: String,
        /// What is not supported.
        reason: String,
    },
    /// The image is damaged or truncated.
    #[error("{format} image is corrupt: {reason}")]
    CorruptImage {
        /// Name of the format.
        format: String,
        /// What the decoder said.
        reason: String,
    },
    /// The image has too many bytes.
    #[error("image has {bytes} bytes, more than {max}")]
    ImageTooLarge {
        /// Number of bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The image's header says that it has too many pixels.
    #[error("image is {width} x {height}, more than {max} pixels")]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit on width times height.
        max: u64,
    },
    /// Decoding the image takes too long.
    #[error("decoding the image takes more than {limit_ms} ms")]
    ImageTimeout {
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// Decoding the image takes too much memory.
    #[error("decoding the image takes more than {} MiB of memory", .limit >> 20)]
    ImageMemory {
        /// The limit in bytes.
        limit: u64,
    },
    /// The image made its decoder crash.
    #[error("the decoder crashed on the image: {reason}")]
    DecoderCrashed {
        /// How its process ended.
        reason: String,
    },
    /// No image is at fault: the process that decodes it could not be started, or was killed from outside.
    #[error("the image could not be decoded: {reason}")]
    DecoderUnavailable {
        /// What happened.
        reason: String,
    },

    /// The ONNX Runtime library cannot be opened.
    #[error("ONNX Runtime library {} cannot be used: {reason}", .path.display())]
    RuntimeLibrary {
        /// The library.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The text is not a device.
    #[error("\"{value}\" is not a device (auto, cpu, cuda, cuda:N, cuda:N,cuda:M, cuda:all)")]
    InvalidDevice {
        /// The text that was given.
        value: String,
    },
    /// The text is not a precision.
    #[error("\"{value}\" is not a precision ({})", crate::Precision::names())]
    InvalidPrecision {
        /// The text that was given.
        value: String,
    },
    /// The device that was asked for cannot be had.
    #[error("device {device} is not available: {reason}")]
    DeviceUnavailable {
        /// The device.
        device: String,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// ONNX Runtime failed while running the model.
    #[error("model \"{model}\" failed: {reason}")]
    Inference {
        /// Name of the model.
        model: String,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// Memory, of the machine or of the device, ran out while loading or running the model.
    #[error("model \"{model}\" ran out of memory: {reason}")]
    OutOfMemory {
        /// Name of the model.
        model: String,
        /// What ONNX Runtime said.
        reason: String,
    },
    /// The model answered with a vector that cannot be normalised.
    #[error("model \"{model}\" answered with a vector that {reason}")]
    BadEmbedding {
        /// Name of the model.
        model: String,
        /// What is wrong with the vector.
        reason: String,
    },
    /// The caller cancelled the request.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// True where the image is at fault: other images of the same request may be fine.
    pub fn is_about_image(&self) -> bool {
        matches!(
            self,
            Error::NotAnImage { .. }
                | Error::UnsupportedImage { .. }
                | Error::CorruptImage { .. }
                | Error::ImageTooLarge { .. }
                | Error::TooManyPixels { .. }
                | Error::ImageTimeout { .. }
                | Error::ImageMemory { .. }
                | Error::DecoderCrashed { .. }
        )
    }
}

/// Text for messages: at most `max` characters, control characters escaped.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let mut shown: String = text.chars().take(max).flat_map(char::escape_debug).collect();
    if text.chars().nth(max).is_some() {
        shown.push('…');
    }
    shown
}

fn show_paths(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    if shown.is_empty() { "any model directory (none is set)".to_owned() } else { shown.join(", ") }
}

fn describe_bytes(bytes: usize, starts: &str) -> String {
    match bytes {
        0 => "0 bytes are".to_owned(),
        1 => format!("1 byte ({starts}) is"),
        _ => format!("{bytes} bytes (starting {starts}) are"),
    }
}

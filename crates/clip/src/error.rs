//! What can go wrong, one variant for each thing a caller can act on.

use errors::ErrorClass;
use lookalike::TextKind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

errors::error_table! {
    /// An error of this crate, with what the server tells its clients.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    #[non_exhaustive]
    pub enum Error: ErrorClass {
        /// The name is not `owner/name`.
        InvalidModelName {
            /// The text that was given, shortened and with control characters escaped.
            name: String,
        } => InvalidModelName {
            message: "\"{name}\" is not a model name (owner/name)",
            hint: "A model's name is its path below clip_search.model_dir, such as openai/clip-vit-base-patch32.",
        }
        /// No model root has a directory of this name. Where models lie on the disk is the administrator's business.
        NoSuchModel {
            /// Name of the model.
            name: String,
            /// The directories that were searched.
            roots: Vec<PathBuf>,
        } => NoSuchModel {
            message: "model \"{name}\" is not installed",
            hint: "SELECT name FROM clip_models() lists what is installed; a superuser can install it with clip_install_model.",
        }
        /// The model has no ONNX files of this precision.
        NoSuchPrecision {
            /// Name of the model.
            model: String,
            /// The precision that was asked for.
            precision: String,
            /// The precisions that the model has.
            available: Vec<String>,
        } => BadModel {
            let available = available.join(", ");
            message: "model \"{model}\" has no {precision} files, only {available}",
            hint: "Set clip_search.precision to one of them, or to auto.",
        }
        /// The text is not a precision.
        InvalidPrecision {
            /// The text that was given.
            value: String,
        } => BadModel {
            let precisions = crate::Precision::names();
            message: "\"{value}\" is not a precision ({precisions})",
            hint: "Set clip_search.precision to one of them, or to auto.",
        }
        /// A file of the model is malformed, missing, or asks for something that is not supported.
        BadModel {
            /// Name of the model.
            model: String,
            /// The file, relative to the model's directory.
            file: String,
            /// What is wrong with it.
            reason: String,
        } => BadModel {
            message: "{file} of model \"{model}\" cannot be used: {reason}",
            hint: "Download the model again, with all of its files.",
        }
        /// A file of the model must not be read.
        ForbiddenModel {
            /// Name of the model.
            model: String,
            /// The file, relative to the model's directory.
            file: String,
            /// What is wrong with it.
            reason: String,
        } => BadModel {
            message: "{file} of model \"{model}\" cannot be used: {reason}",
            hint: "Make the model's files readable for the user that PostgreSQL runs as; where links lead to another folder, \
                   run SELECT clip_restart_server() as a superuser.",
        }
        /// An encoder's files are no longer those that the model was read with, and its other encoder is in memory.
        ReplacedModel {
            /// Name of the model.
            model: String,
            /// The encoder.
            encoder: String,
        } => BadModel {
            message: "the {encoder} encoder of model \"{model}\" cannot be used: its files were replaced while the model was \
                      loaded",
            hint: "Run SELECT clip_restart_server() as a superuser, and embed again.",
        }

        /// A text without a space or digit for so long that its first tokens are not worth the time.
        TextTooLarge {
            /// Bytes without such a place.
            bytes: usize,
            /// The limit.
            max: usize,
        } => LimitExceeded {
            message: "text has {bytes} bytes without a place to cut it, more than {max}",
            hint: "Pass its beginning, such as left(the_text, 1000): a model reads some dozen words.",
        }
        /// The text has more tokens than the model reads, and truncation was not asked for.
        TextTooLong {
            /// Tokens of the text, start and end tokens included.
            tokens: usize,
            /// Whether these are all.
            is_read: bool,
            /// Tokens that the model reads, start and end tokens included.
            context_length: usize,
        } => LimitExceeded {
            let tokens = if *is_read { tokens.to_string() } else { format!("at least {tokens}") };
            message: "text has {tokens} tokens, the model reads {context_length}",
            hint: "Shorten the text, or set clip_search.on_long_text to truncate.",
        }
        /// The tokenizer failed on a text.
        Tokenize {
            /// Name of the model.
            model: String,
            /// What the tokenizer said.
            reason: String,
        } => Internal {
            message: "model \"{model}\" cannot tokenize the text: {reason}",
            docs: "A defect of the model or of clip_search: please report it.",
        }

        /// The bytes are not an image in a known format.
        NotAnImage {
            /// Number of bytes.
            bytes: usize,
            /// The first few bytes in hexadecimal.
            starts: String,
            /// What they are, where they are text.
            text: Option<TextKind>,
        } => BadImage {
            let bytes_are = describe_bytes(*bytes, starts);
            let remedy = image_remedy(*text);
            message: "{bytes_are} not an image in a known format",
            hint: "{remedy}",
            docs: "Pass the bytes of an image file: JPEG, PNG, GIF, WebP, BMP, TIFF, …. Where they are text, such as a URL, a path \
                   or base64, the HINT says what to call.",
        }
        /// The bytes are a file of another kind, such as PDF.
        OtherFile {
            /// Name of the format.
            kind: String,
        } => BadImage {
            message: "the bytes are not an image but a file of the format {kind}",
            hint: "Convert it to JPEG or PNG, or take an image out of it, before it is stored.",
        }
        /// The image's format, or a feature of it, is known but cannot be decoded.
        UnsupportedImage {
            /// Name of the format.
            format: String,
            /// What is not supported.
            reason: String,
        } => UnsupportedImage {
            message: "{format} image is of a kind that is not supported: {reason}",
            hint: "Convert the image to JPEG or PNG.",
        }
        /// The image is damaged or truncated.
        CorruptImage {
            /// Name of the format.
            format: String,
            /// What the decoder said.
            reason: String,
        } => BadImage {
            message: "{format} image is corrupt: {reason}",
            hint: "The file is damaged or was cut short; upload it again.",
        }
        /// The image has too many bytes.
        ImageTooLarge {
            /// Number of bytes.
            bytes: usize,
            /// The limit.
            max: usize,
        } => LimitExceeded {
            message: "image has {bytes} bytes, more than {max}",
            hint: "Scale the image down, or raise clip_search.max_image_bytes.",
        }
        /// The image's header says that it has too many pixels.
        TooManyPixels {
            /// Width in pixels.
            width: u32,
            /// Height in pixels.
            height: u32,
            /// The limit on width times height.
            max: u64,
        } => LimitExceeded {
            message: "image is {width} x {height}, more than {max} pixels",
            hint: "Scale the image down, or raise clip_search.max_image_pixels.",
        }
        /// Decoding the image takes too long.
        ImageTimeout {
            /// The limit in milliseconds.
            limit_ms: u64,
        } => LimitExceeded {
            message: "decoding the image takes more than {limit_ms} ms",
            hint: "Scale the image down, or raise clip_search.image_timeout.",
        }
        /// Decoding the image takes too much memory.
        ImageMemory {
            /// The limit in bytes.
            limit: u64,
        } => LimitExceeded {
            let mebibytes = limit >> 20;
            message: "decoding the image takes more than {mebibytes} MiB of memory",
            hint: "Scale the image down, or raise clip_search.max_image_pixels.",
        }
        /// The image made its decoder crash.
        DecoderCrashed {
            /// How its process ended.
            reason: String,
        } => BadImage {
            message: "the decoder crashed on the image: {reason}",
            hint: "The file may be damaged; make the image anew, as JPEG or PNG.",
        }
        /// No image is at fault: the process that decodes it could not be started, or was killed from outside.
        DecoderUnavailable {
            /// What happened.
            reason: String,
        } => OutOfMemory {
            message: "the image could not be decoded: {reason}",
            hint: "The machine may be short of memory or processes; the kernel's log says so.",
        }

        /// The ONNX Runtime library cannot be opened.
        RuntimeLibrary {
            /// The library.
            path: PathBuf,
            /// Why not.
            reason: String,
        } => RuntimeUnavailable {
            let library = path.display();
            message: "ONNX Runtime library {library} cannot be used: {reason}",
            hint: "Run make install, or set clip_search.onnxruntime_library to the path of libonnxruntime.so.",
        }
        /// The text is not a device.
        InvalidDevice {
            /// The text that was given.
            value: String,
        } => DeviceUnavailable {
            message: "\"{value}\" is not a device (auto, cpu, cuda, cuda:N, cuda:N,cuda:M, cuda:all)",
            hint: "Correct clip_search.device.",
        }
        /// The device that was asked for cannot be had.
        DeviceUnavailable {
            /// The device.
            device: String,
            /// What ONNX Runtime said.
            reason: String,
        } => DeviceUnavailable {
            message: "device {device} is not available: {reason}",
            hint: "Set clip_search.device to auto or cpu, or clip_search.onnxruntime_library to a build with CUDA.",
        }
        /// ONNX Runtime failed while running the model.
        Inference {
            /// Name of the model.
            model: String,
            /// What ONNX Runtime said.
            reason: String,
        } => Internal {
            message: "model \"{model}\" failed: {reason}",
            docs: "A defect of the model or of clip_search: please report it.",
        }
        /// Memory, of the machine or of the device, ran out while loading or running the model.
        OutOfMemory {
            /// Name of the model.
            model: String,
            /// What ONNX Runtime said.
            reason: String,
        } => OutOfMemory {
            message: "model \"{model}\" ran out of memory: {reason}",
            hint: "Raise clip_search.max_server_memory where it is the limit, lower clip_search.max_batch, or use a smaller \
                   model.",
        }
        /// The model answered with a vector that cannot be normalised.
        BadEmbedding {
            /// Name of the model.
            model: String,
            /// What is wrong with the vector.
            reason: String,
        } => BadEmbedding {
            message: "model \"{model}\" answered with a vector that {reason}",
            hint: "Leave this item out, or set clip_search.precision to a more exact one: other items are not affected.",
        }
        /// No endpoint of a remote encoder can be reached.
        RemoteUnreachable {
            /// Name of the model.
            model: String,
            /// The encoder.
            encoder: String,
            /// The endpoint, and what happened.
            reason: String,
        } => RemoteUnreachable {
            message: "no model server of the {encoder} encoder of model \"{model}\" can be reached: {reason}",
            hint: "Try again later. An administrator checks that the server runs, and the endpoints in the model's remote.json.",
        }
        /// A remote encoder has not answered in time.
        RemoteTimeout {
            /// Name of the model.
            model: String,
            /// The encoder.
            encoder: String,
            /// The endpoint, and how long it was waited for.
            reason: String,
        } => RemoteTimeout {
            message: "the model server of the {encoder} encoder of model \"{model}\" did not answer in time: {reason}",
            hint: "Try again later, embed fewer items at a time, or raise timeout_ms in the model's remote.json.",
        }
        /// A model server does not have the model, refuses the request, or answers with something else than its vectors.
        RemoteRefused {
            /// Name of the model.
            model: String,
            /// The encoder.
            encoder: String,
            /// The endpoint, and its words.
            reason: String,
        } => RemoteRefused {
            message: "the model server of the {encoder} encoder of model \"{model}\" cannot be used: {reason}",
            hint: "Compare the model's remote.json with what the server has: name, version, inputs and data type. \
                   clip-search-server models export-triton writes what fits.",
        }
        /// A model server wants other credentials.
        RemoteDenied {
            /// Name of the model.
            model: String,
            /// The encoder.
            encoder: String,
            /// The endpoint, and its words.
            reason: String,
        } => RemoteDenied {
            message: "permission denied by the model server of the {encoder} encoder of model \"{model}\": {reason}",
            hint: "An administrator corrects the headers or the certificate that the model's remote.json names.",
        }
        /// A model server takes no request of this size.
        RemoteTooLarge {
            /// Name of the model.
            model: String,
            /// The encoder.
            encoder: String,
            /// The endpoint, and its words.
            reason: String,
        } => RemoteTooLarge {
            message: "a request is too large for the model server of the {encoder} encoder of model \"{model}\": {reason}",
            hint: "Raise the server's limit on messages, and max_message_bytes in the model's remote.json; images as UINT8 \
                   take a quarter of the bytes.",
        }
        /// The caller cancelled the request.
        Cancelled => Cancelled {
            message: "cancelled",
            docs: "Nobody waits for the answer any more: the statement was cancelled, or its session has ended.",
        }
    }
}

impl Error {
    /// True where the image is at fault: other images of the same request may be fine.
    pub fn is_about_image(&self) -> bool {
        matches!(
            self,
            Error::NotAnImage { .. }
                | Error::OtherFile { .. }
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
    let show = |character: char| match character {
        '\'' | '"' => character.to_string(),
        _ => character.escape_debug().collect(),
    };
    let mut shown: String = text.chars().take(max).map(show).collect();
    if text.chars().nth(max).is_some() {
        shown.push('…');
    }
    shown
}

fn describe_bytes(bytes: usize, starts: &str) -> String {
    match bytes {
        0 => "0 bytes are".to_owned(),
        1 => format!("1 byte ({starts}) is"),
        _ => format!("{bytes} bytes (starting {starts}) are"),
    }
}

/// What whoever passed text in the place of an image has to do.
fn image_remedy(text: Option<TextKind>) -> &'static str {
    match text {
        Some(TextKind::Url) => "They are a URL: clip_fetch_image fetches the image.",
        Some(TextKind::DataUrl) => {
            "They are a data URL: pass decode(split_part(the_url, ',', 2), 'base64'), or clip_fetch_image(the_url)."
        }
        Some(TextKind::Path) => {
            "They are a path: pass the content of the file. A superuser reads a file of the server with pg_read_binary_file."
        }
        Some(TextKind::Hex) => {
            "They are hexadecimal digits: pass decode(the_digits, 'hex'), without a prefix such as \\x."
        }
        Some(TextKind::Base64) => "They are base64: pass decode(the_text, 'base64').",
        Some(TextKind::Other) => "They are text: pass the bytes of an image file, or call clip_embed_text.",
        None => "Pass the bytes of an image file: JPEG, PNG, GIF, WebP, BMP, TIFF, …",
    }
}

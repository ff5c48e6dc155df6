//! What can go wrong, one variant for each thing a caller can act on.

use errors::CommandClass;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

errors::error_table! {
    /// An error of this crate.
    #[derive(Debug, Clone, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum Error: CommandClass {
        /// The source has no configuration and weights in a layout that is known.
        NoWeights {
            /// What it has.
            reason: String,
        } => Unusable {
            message: "there are no PyTorch weights: {reason}",
            hint: "docs/models-pytorch.md lists which weights can be converted. Install a repository that has ONNX files.",
        }
        /// The model is of a kind that this crate does not convert.
        Unsupported {
            /// The file that says so, relative to the source.
            file: String,
            /// The setting or kind, by name.
            what: String,
        } => Unusable {
            message: "{file}: {what} is not supported",
            hint: "docs/models-pytorch.md lists which weights can be converted. Install a repository that has ONNX files.",
        }
        /// A file cannot be read, is malformed, truncated or out of limits.
        BadFile {
            /// The file, relative to the source.
            file: String,
            /// What is wrong with it.
            reason: String,
        } => Unusable {
            message: "{file} cannot be used: {reason}",
            hint: "docs/models-pytorch.md lists which weights can be converted. Install a repository that has ONNX files.",
        }
        /// A tensor that the model needs is not there.
        MissingTensor {
            /// The file of weights, or its index.
            file: String,
            /// Name of the first tensor that is missing.
            tensor: String,
        } => Unusable {
            message: "{file} has no tensor \"{tensor}\"",
            hint: "docs/models-pytorch.md lists which weights can be converted. Install a repository that has ONNX files.",
        }
        /// There are tensors that the model, as its configuration says, does not have: it is of another kind.
        UnexpectedTensor {
            /// The file of weights, or its index.
            file: String,
            /// Name of the first such tensor.
            tensor: String,
            /// How many more there are.
            more: usize,
        } => Unusable {
            let and_more = and_more(*more);
            message: "{file} has a tensor \"{tensor}\" that the model of its configuration does not have{and_more}",
            hint: "docs/models-pytorch.md lists which weights can be converted. Install a repository that has ONNX files.",
        }
        /// A tensor has another shape than the configuration says.
        Shape {
            /// Name of the tensor.
            tensor: String,
            /// Its shape.
            found: Vec<usize>,
            /// The shape that follows from the configuration.
            expected: Vec<usize>,
        } => Unusable {
            message: "tensor \"{tensor}\" has the shape {found:?}, its configuration says {expected:?}",
            hint: "docs/models-pytorch.md lists which weights can be converted. Install a repository that has ONNX files.",
        }
        /// A tensor has values that no model can have been trained to, or that the precision cannot hold.
        BadTensor {
            /// Name of the tensor.
            tensor: String,
            /// What is wrong with it.
            reason: String,
        } => Unusable {
            message: "tensor \"{tensor}\" {reason}",
            hint: "docs/models-pytorch.md lists which weights can be converted. Install a repository that has ONNX files.",
        }
        /// A file of the target cannot be written.
        Write {
            /// The file, relative to the target.
            file: String,
            /// What the operating system says.
            reason: String,
        } => Io {
            message: "could not write {file}: {reason}",
            hint: "The disk may be full. Install it again.",
        }
    }
}

impl Error {
    pub(crate) fn bad(file: &str, reason: impl Into<String>) -> Error {
        Error::BadFile { file: file.to_owned(), reason: reason.into() }
    }

    pub(crate) fn unsupported(file: &str, what: impl Into<String>) -> Error {
        Error::Unsupported { file: file.to_owned(), what: what.into() }
    }
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(", and {more} more") }
}

/// At most `max` characters of a text from a file, control characters escaped.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    let escaped = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    let mut shown: String = text.chars().take(max).map(escaped).collect();
    if text.chars().nth(max).is_some() {
        shown.push('…');
    }
    shown
}

//! What can go wrong, one variant for each thing a caller can act on.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. The text states the fact; what to do about it is for the caller to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source has no configuration and weights in a layout that is known.
    #[error("there are no PyTorch weights: {0}")]
    NoWeights(String),
    /// The model is of a kind that this crate does not convert.
    #[error("{file}: {what} is not supported")]
    Unsupported {
        /// The file that says so, relative to the source.
        file: String,
        /// The setting or kind, by name.
        what: String,
    },
    /// A file cannot be read, is malformed, truncated or out of limits.
    #[error("{file} cannot be used: {reason}")]
    BadFile {
        /// The file, relative to the source.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that the model needs is not there.
    #[error("{file} has no tensor \"{tensor}\"")]
    MissingTensor {
        /// The file of weights, or its index.
        file: String,
        /// Name of the first tensor that is missing.
        tensor: String,
    },
    /// There are tensors that the model, as its configuration says, does not have: it is of another kind.
    #[error("{file} has a tensor \"{tensor}\" that the model of its configuration does not have{}", and_more(*.more))]
    UnexpectedTensor {
        /// The file of weights, or its index.
        file: String,
        /// Name of the first such tensor.
        tensor: String,
        /// How many more there are.
        more: usize,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor \"{tensor}\" has the shape {found:?}, its configuration says {expected:?}")]
    Shape {
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
    },
    /// A tensor has values that no model can have been trained to, or that the precision cannot hold.
    #[error("tensor \"{tensor}\" {reason}")]
    BadTensor {
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the target cannot be written.
    #[error("could not write {file}: {reason}")]
    Write {
        /// The file, relative to the target.
        file: String,
        /// What the operating system says.
        reason: String,
    },
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

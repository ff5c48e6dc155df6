//! What a fetch gives.

use std::fmt;

/// What a URL led to.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The body, decoded. At least one byte.
    pub bytes: Vec<u8>,
    /// What the server says the bytes are, unchecked.
    pub content_type: Option<String>,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, content_type } = self;
        f.debug_struct("Fetched").field("bytes", &bytes.len()).field("content_type", content_type).finish()
    }
}

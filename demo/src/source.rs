//! Where images come from.

use anyhow::{Context, Result};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What is known of an image before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Says which image this is, and in which version: an image whose key is in the database is not read again.
    pub key: String,
    /// What people call it.
    pub name: String,
}

/// A list of images.
pub trait Source {
    /// What these images are, as part of a sentence.
    fn title(&self) -> String;

    /// All images, in a fixed order, each with a key of its own.
    fn items(&self) -> Vec<Item>;

    /// The encoded image (PNG, JPEG, …) of `items()[index]`.
    ///
    /// # Errors
    /// It cannot be read; the others may still be.
    fn read(&self, index: usize) -> Result<Vec<u8>>;
}

/// Changes when the file's content does: its length and its time.
///
/// # Errors
/// There is no such file.
pub fn revision_of(path: &Path) -> Result<String> {
    let metadata = path.metadata().with_context(|| format!("could not read {}", path.display()))?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Ok(format!("{}-{}", metadata.len(), modified.as_nanos()))
}

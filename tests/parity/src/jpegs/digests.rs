//! jpegs.json: digests of what Pillow makes of the files.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clip::RgbImage;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::golden_dir;

/// What Pillow makes of each file, by name.
#[derive(Deserialize)]
pub struct JpegDigests {
    files: Vec<Line>,
}

/// Name, the file's digest, the image's, and the image's with `LOAD_TRUNCATED_IMAGES` if that is another.
#[derive(Deserialize)]
struct Line(String, String, Option<String>, #[serde(default)] Option<String>);

/// What Pillow makes of a file: digests of images, or `None` where it refuses the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// Of the file.
    pub file: String,
    /// As it reads by default.
    pub strict: Option<String>,
    /// With `LOAD_TRUNCATED_IMAGES`.
    pub lenient: Option<String>,
}

impl JpegDigests {
    /// Reads jpegs.json.
    ///
    /// # Errors
    /// If it is not there or not as it should be.
    pub fn read() -> Result<BTreeMap<String, Expectation>> {
        let path = golden_dir().join("jpegs.json");
        let json = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let digests: Self =
            serde_json::from_slice(&json).with_context(|| format!("{} is malformed", path.display()))?;
        let lines = digests.files.into_iter().map(|Line(name, file, strict, lenient)| {
            let lenient = lenient.or_else(|| strict.clone());
            (name, Expectation { file, strict, lenient })
        });
        Ok(lines.collect())
    }

    /// The digest of a file.
    pub fn of_bytes(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The digest of an image.
    pub fn of_image(image: &RgbImage) -> String {
        let size = format!("{}x{}", image.width(), image.height());
        Self::of_bytes(&[size.as_bytes(), image.as_raw()].concat())
    }
}

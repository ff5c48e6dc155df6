//! The images of tests/golden/formats, made there by make_formats.py, and what the reference makes of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clip::RgbImage;
use serde::Deserialize;

use crate::golden_dir;

/// formats.json.
#[derive(Deserialize)]
pub struct Corpus {
    /// The programs that made the images and the reference.
    pub versions: BTreeMap<String, String>,
    /// The images, in the order of docs/parity.md.
    pub images: Vec<Image>,
}

/// An image of the corpus.
#[derive(Deserialize)]
pub struct Image {
    /// Format, as docs/parity.md has it.
    pub format: String,
    /// What is special about it.
    pub variant: String,
    /// The file, relative to tests/golden/formats.
    pub file: String,
    /// What PIL says if it does not read the file.
    pub refused: Option<String>,
    /// What PIL makes of it, the orientation that EXIF states not applied.
    #[serde(flatten)]
    pub plain: Option<Reference>,
    /// The same with the orientation applied, if it is not the usual one.
    pub turned: Option<Reference>,
}

/// PIL's `convert("RGB")` and the golden model's embedding of that.
#[derive(Deserialize)]
pub struct Reference {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// A file with the pixels.
    pixels: String,
    /// The file has each `step`-th pixel of each `step`-th row.
    #[serde(default = "one")]
    step: u32,
    /// The golden model's.
    pub embedding: Vec<f32>,
}

fn one() -> u32 {
    1
}

impl Corpus {
    /// Reads formats.json.
    ///
    /// # Errors
    /// If the file is not there or is not as it should be.
    pub fn read() -> Result<Self> {
        let path = golden_dir().join("formats.json");
        let json = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} is malformed", path.display()))
    }
}

impl Image {
    /// The file's bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let path = golden_dir().join("formats").join(&self.file);
        std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
    }
}

impl Reference {
    /// The largest difference of a channel of a pixel, in levels of 8 bits. None if the size is another.
    ///
    /// # Errors
    /// If the reference's pixels cannot be read.
    pub fn difference(&self, image: &RgbImage) -> Result<Option<u8>> {
        if image.dimensions() != (self.width, self.height) {
            return Ok(None);
        }
        let path = golden_dir().join("formats/reference").join(&self.pixels);
        let wanted = image::open(&path).with_context(|| format!("{} cannot be read", path.display()))?.into_rgb8();
        let pairs =
            wanted.enumerate_pixels().map(|(x, y, pixel)| (pixel, image.get_pixel(x * self.step, y * self.step)));
        Ok(pairs.flat_map(|(a, b)| (0..3).map(|channel| a.0[channel].abs_diff(b.0[channel]))).max())
    }
}

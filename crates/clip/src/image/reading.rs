//! How an image is to be understood.

use serde::{Deserialize, Serialize};

use super::samples::Gray16;

/// What becomes of transparent pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Transparency {
    /// The alpha channel is left out and the colours below it show, as with PIL's `convert("RGB")`, and so with
    /// OpenAI's CLIP, open_clip, and transformers before it composited.
    #[default]
    Drop,
    /// The image is laid on white, as the reference's `convert_to_rgb` (transformers 5.23) does, and as people see it
    /// on a page: what colours lie below transparent pixels is an accident of the program that wrote the file.
    White,
}

/// How an image is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What becomes of transparent pixels.
    pub transparency: Transparency,
    /// Whether the image is turned the way EXIF says that people see it. PIL and the reference do not do that.
    pub apply_orientation: bool,
    /// What becomes of gray of more than 8 bits.
    pub gray16: Gray16,
    /// What becomes of a file that ends too early.
    pub on_truncated: OnTruncated,
    /// Whether a JPEG file is decoded in a half, a quarter or an eighth of its size, where that is still twice what a model
    /// reads: less work for nearly the same vector. It holds for a [`crate::Preprocessor`] alone.
    pub jpeg_scaling: bool,
}

/// From width and height of an image to those that it is to be decoded with at least. Without it, it is decoded in full.
pub(super) type Enough<'a> = Option<&'a dyn Fn(u32, u32) -> (u64, u64)>;

/// What becomes of a file that ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnTruncated {
    /// It is refused, as PIL does.
    #[default]
    Error,
    /// What there is of it is decoded, as PIL does with `LOAD_TRUNCATED_IMAGES`.
    Decode,
}

impl Default for Reading {
    /// The way people see it, and transparency as PIL's `convert("RGB")` has it.
    fn default() -> Self {
        Self {
            transparency: Transparency::default(),
            apply_orientation: true,
            gray16: Gray16::default(),
            on_truncated: OnTruncated::default(),
            jpeg_scaling: false,
        }
    }
}

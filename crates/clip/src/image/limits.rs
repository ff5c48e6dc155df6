//! How large an image may be, checked before it is decoded, and the errors that all decoders have.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, shorten};

/// What a decoder may take beside the image itself: tables, one row of tiles, a compressed block.
const DECODER_SCRATCH: u64 = 64 << 20;
/// Most bytes that a decoder may take for a pixel: the image and a copy, with four channels of 16 bits.
pub(super) const BYTES_PER_PIXEL: u64 = 16;

/// Bounds on an image, checked before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most bytes of the encoded image.
    pub max_bytes: usize,
    /// Most pixels, width times height. Decoding takes up to 8 bytes for each, usually 3 or 4.
    pub max_pixels: u64,
}

impl Limits {
    /// Most bytes that decoding an image, resizing it and making a thumbnail take: 16 for each pixel, the file and a copy of
    /// it, and what does not depend on the image.
    pub fn memory(&self) -> u64 {
        let pixels = self.max_pixels.saturating_mul(BYTES_PER_PIXEL);
        pixels.saturating_add(2 * self.max_bytes as u64).saturating_add(2 * DECODER_SCRATCH)
    }
}

impl Default for Limits {
    /// 64 MiB, and the 89,478,485 pixels from which on PIL warns of a decompression bomb.
    fn default() -> Limits {
        Limits { max_bytes: 64 << 20, max_pixels: 89_478_485 }
    }
}

/// The number of pixels, if they are not too many.
pub(super) fn check_size(name: &str, width: u32, height: u32, limits: &Limits) -> Result<u64> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        return Err(Error::TooManyPixels { width, height, max: limits.max_pixels });
    }
    if pixels == 0 {
        return Err(corrupt(name, &format!("it is {width} x {height} pixels")));
    }
    Ok(pixels)
}

/// The memory that a decoder may take for so many pixels. Not all decoders heed it, so the dimensions are checked too.
pub(super) fn memory(pixels: u64) -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(pixels.saturating_mul(BYTES_PER_PIXEL).saturating_add(DECODER_SCRATCH));
    limits
}

pub(super) fn corrupt(name: &str, reason: &str) -> Error {
    Error::CorruptImage { format: name.to_owned(), reason: shorten(reason.trim_end(), 200) }
}

pub(super) fn truncated(name: &str, length: usize) -> Error {
    corrupt(name, &format!("it is truncated after {length} bytes"))
}

pub(super) fn unsupported(name: &str, reason: &str) -> Error {
    Error::UnsupportedImage { format: name.to_owned(), reason: shorten(reason.trim_end(), 200) }
}

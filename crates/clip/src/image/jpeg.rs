//! JPEG, by libjpeg-turbo as PIL calls it.

use ::jpeg::{Decoder, Error as JpegError, Header, Limits as JpegLimits, Output};
use image::{DynamicImage, GrayImage, RgbImage};

use super::limits::{Limits, check_size, corrupt, memory, truncated, unsupported};
use super::reading::{Enough, OnTruncated};
use super::samples::cmyk_to_rgb;
use crate::error::{Error, Result};

const NAME: &str = "JPEG";
/// Encoders write a dozen at most. Each goes over all pixels, and one of ten bytes takes a tenth of a second of an image
/// of the usual limit.
const MAX_SCANS: u32 = 100;

pub(super) fn read(bytes: &[u8], limits: &Limits, on_truncated: OnTruncated, enough: Enough) -> Result<DynamicImage> {
    let failed = |error| failure(NAME, bytes.len(), error);
    let mut decoder = Decoder::new(None, bytes, on_truncated == OnTruncated::Decode).map_err(failed)?;
    let Header { width, height, components, .. } = decoder.header();
    let bounds = bounds(check_size(NAME, width, height, limits)?);
    if let Some(enough) = enough {
        let (width, height) = enough(width, height);
        decoder.scale_down_to(width, height).map_err(failed)?;
    }
    let (width, height) = decoder.size();
    let (mut pixels, _) = decoder.decode(Output::Colours, bounds).map_err(failed)?;
    let image = match components {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        3 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => {
            // Adobe's programs store how little ink there is, and PIL takes all such files for theirs.
            pixels.iter_mut().for_each(|ink| *ink = !*ink);
            RgbImage::from_raw(width, height, cmyk_to_rgb(&pixels)).map(DynamicImage::from)
        }
    };
    Ok(image.expect("a byte for each component of each pixel"))
}

/// Width and height, as stored.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let Header { width, height, .. } = Decoder::new(None, bytes, false).ok()?.header();
    Some((width, height))
}

/// What libjpeg may take for so many pixels.
pub(super) fn bounds(pixels: u64) -> JpegLimits {
    JpegLimits { max_memory: memory(pixels).max_alloc.unwrap_or(u64::MAX), max_scans: MAX_SCANS }
}

/// What is wrong with a file of so many bytes, in the format that messages name.
pub(super) fn failure(name: &str, length: usize, error: JpegError) -> Error {
    match error {
        JpegError::Truncated => truncated(name, length),
        JpegError::Corrupt(reason) => corrupt(name, &reason),
        error => unsupported(name, &error.to_string()),
    }
}

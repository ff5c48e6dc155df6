//! What there is of JPEG and PNG files that end too early, as PIL reads it with `LOAD_TRUNCATED_IMAGES`: what is missing is
//! gray in the one, black in the other. Other formats are seldom seen cut.

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat};

use super::limits::{Limits, corrupt};
use super::reading::{Enough, OnTruncated, Reading};
use super::{jpeg, orientation, png};
use crate::error::Result;

/// Reads a file that a decoder refused as damaged.
pub(super) fn read(
    bytes: &[u8],
    format: ImageFormat,
    name: &str,
    limits: &Limits,
    reading: Reading,
    enough: Enough,
) -> Result<(DynamicImage, Orientation)> {
    let orientation = || orientation::of(bytes, format);
    match format {
        ImageFormat::Jpeg => Ok((jpeg::read(bytes, limits, OnTruncated::Decode, enough)?, orientation())),
        ImageFormat::Png => {
            let whole = png::repaired(&png::without_metadata(bytes), limits.max_pixels, OnTruncated::Decode);
            let whole = whole.ok_or_else(|| corrupt(name, "nothing of it can be read"))?;
            png::read(&whole, name, limits, reading.gray16).map(|image| (image, orientation()))
        }
        _ => Err(corrupt(name, "a part of it is not enough")),
    }
}

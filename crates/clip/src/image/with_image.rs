//! The decoders of the crate `image`.

use std::io::Cursor;

use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use super::limits::{Limits, check_size, corrupt, memory, truncated, unsupported};
use crate::error::{Error, Result};

/// Decodes an image of a format that needs no preparation.
pub(super) fn read_with_image(bytes: &[u8], format: ImageFormat, name: &str, limits: &Limits) -> Result<DynamicImage> {
    let failed = |error| failure(name, bytes.len(), error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(memory(limits.max_pixels));
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let pixels = check_size(name, width, height, limits)?;
    decoder.set_limits(memory(pixels)).map_err(failed)?;
    DynamicImage::from_decoder(decoder).map_err(failed)
}

fn failure(name: &str, length: usize, error: ImageError) -> Error {
    match error {
        error if is_end_of_file(&error) => truncated(name, length),
        ImageError::Unsupported(error) => unsupported(name, &error.to_string()),
        ImageError::Limits(error) if !matches!(error.kind(), LimitErrorKind::DimensionError) => {
            unsupported(name, "decoding takes too much memory")
        }
        error => corrupt(name, &error.to_string()),
    }
}

/// Decoders hand on what reading said, at one remove or another.
fn is_end_of_file(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_end = |error: &std::io::Error| error.kind() == std::io::ErrorKind::UnexpectedEof;
    match error.downcast_ref::<ImageError>() {
        Some(ImageError::IoError(error)) => is_end(error),
        _ => error.downcast_ref::<std::io::Error>().is_some_and(is_end) || error.source().is_some_and(is_end_of_file),
    }
}

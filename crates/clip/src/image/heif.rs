//! HEIC and AVIF, which phones write, with the system's libheif where it is there.

use super::limits::{Limits, check_size, corrupt, unsupported};
use crate::error::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, RgbaImage};

/// An error on its way through libheif's calls.
enum Failure {
    Heif(heif::Error),
    Other(Error),
}

impl From<heif::Error> for Failure {
    fn from(error: heif::Error) -> Self {
        Self::Heif(error)
    }
}

/// Decodes an image. The turns and mirrors that the file states are applied, as every viewer does: they are part of
/// the format, not of its metadata.
///
/// # Errors
/// [`Error::UnsupportedImage`] without libheif, or where libheif has no decoder for it; [`Error::CorruptImage`],
/// [`Error::TooManyPixels`].
pub(super) fn open(bytes: &[u8], name: &'static str, limits: &Limits) -> Result<(DynamicImage, Orientation)> {
    let accept = |width, height| check_size(name, width, height, limits).map(|_| ()).map_err(Failure::Other);
    let decoded = heif::decode(bytes, accept).map_err(|failure| match failure {
        Failure::Heif(heif::Error::Library(reason) | heif::Error::Unsupported(reason)) => unsupported(name, &reason),
        Failure::Heif(heif::Error::Corrupt(reason)) => corrupt(name, &reason),
        Failure::Other(error) => error,
    })?;
    let heif::Image { width, height, channels, samples } = decoded;
    let image = match channels {
        4 => RgbaImage::from_raw(width, height, samples).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, samples).map(DynamicImage::from),
    };
    let image = image.ok_or_else(|| corrupt(name, "it has fewer pixels than it says"))?;
    Ok((image, Orientation::NoTransforms))
}

/// Whether libheif is there.
pub fn decodes_heif() -> bool {
    heif::open().is_ok()
}

/// Opens libheif and its decoders, where they are there. The first image tells where they are not.
pub fn prepare() {
    let _ = heif::open();
}

/// `HEIC` or `AVIF`, by the brand of the file.
pub(super) fn name_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes.get(4..12)?.strip_prefix(b"ftyp")? {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"mif1" | b"msf1" => Some("HEIC"),
        _ => None,
    }
}

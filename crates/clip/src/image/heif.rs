//! HEIC and AVIF, which telephones write, with the system's libheif: only in builds with the feature `heif`.

use super::limits::{Limits, unsupported};
#[cfg(feature = "heif")]
use super::limits::{check_size, corrupt};
use crate::error::Result;
use image::DynamicImage;
use image::metadata::Orientation;

/// Decodes an image. The turns and mirrors that the file states are applied, as every viewer does: they are part of
/// the format, not of its metadata.
///
/// # Errors
/// [`crate::Error::UnsupportedImage`] in a build without libheif, or where libheif has no decoder for it;
/// [`crate::Error::CorruptImage`], [`crate::Error::TooManyPixels`].
#[cfg(feature = "heif")]
pub(super) fn open(bytes: &[u8], name: &'static str, limits: &Limits) -> Result<(DynamicImage, Orientation)> {
    use image::{RgbImage, RgbaImage};
    use libheif_rs::{ColorSpace, HeifContext, HeifErrorCode, RgbChroma};

    let failed = |error: libheif_rs::HeifError| match error.code {
        HeifErrorCode::UnsupportedFileType | HeifErrorCode::UnsupportedFeature => unsupported(name, &error.message),
        _ => corrupt(name, &error.message),
    };
    let context = HeifContext::read_from_bytes(bytes).map_err(failed)?;
    let handle = context.primary_image_handle().map_err(failed)?;
    check_size(name, handle.width(), handle.height(), limits)?;
    let (chroma, channels) = if handle.has_alpha_channel() { (RgbChroma::Rgba, 4) } else { (RgbChroma::Rgb, 3) };
    let decoded = handle.decode(ColorSpace::Rgb(chroma), false).map_err(failed)?;
    let plane = decoded.planes().interleaved.ok_or_else(|| corrupt(name, "it has no colours"))?;
    // Rows are padded.
    let length = plane.width as usize * channels;
    let rows = plane.data.chunks_exact(plane.stride.max(1)).take(plane.height as usize);
    let pixels: Vec<u8> = rows.flat_map(|row| &row[..length.min(row.len())]).copied().collect();
    let image = match channels {
        4 => RgbaImage::from_raw(plane.width, plane.height, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(plane.width, plane.height, pixels).map(DynamicImage::from),
    };
    let image = image.ok_or_else(|| corrupt(name, "it has fewer pixels than it says"))?;
    Ok((image, Orientation::NoTransforms))
}

/// Says which feature is missing.
#[cfg(not(feature = "heif"))]
pub(super) fn open(_: &[u8], name: &'static str, _: &Limits) -> Result<(DynamicImage, Orientation)> {
    Err(unsupported(name, "clip-search-server was built without the feature heif (libheif)"))
}

/// Has libheif load its decoders, which may be libraries of their own.
#[cfg(feature = "heif")]
#[expect(unsafe_code, reason = "libheif-rs does not offer it")]
pub fn prepare() {
    // SAFETY: may be called at any time; a null pointer asks for the defaults. What fails is told by the first image.
    unsafe { libheif_sys::heif_init(std::ptr::null_mut()) };
}

/// Nothing to prepare without libheif.
#[cfg(not(feature = "heif"))]
pub fn prepare() {}

/// `HEIC` or `AVIF`, by the brand of the file.
pub(super) fn name_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes.get(4..12)?.strip_prefix(b"ftyp")? {
        b"avif" | b"avis" => Some("AVIF"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"mif1" | b"msf1" => Some("HEIC"),
        _ => None,
    }
}

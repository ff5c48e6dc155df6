//! Encoded bytes to 8-bit RGB, with the meaning of PIL's `Image.open(…).convert("RGB")`.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat, RgbImage};

use super::ico::{self, Inside};
use super::limits::{Limits, corrupt, truncated};
use super::reading::{Enough, OnTruncated, Reading};
use super::rgb::to_rgb;
use super::samples::Gray16;
use super::unknown::not_decoded;
use super::with_image::read_with_image;
use super::{bmp, damaged, fields, gif, heif, jpeg, jpeg2000, jxl, orientation, png, tga, tiff, tiff_tags, webp};
use crate::error::{Error, Result};

/// The formats that are decoded with the crate `image` or beside it, with their names in messages.
pub const FORMATS: [(ImageFormat, &str); 10] = [
    (ImageFormat::Jpeg, "JPEG"),
    (ImageFormat::Png, "PNG"),
    (ImageFormat::Gif, "GIF"),
    (ImageFormat::WebP, "WebP"),
    (ImageFormat::Bmp, "BMP"),
    (ImageFormat::Tiff, "TIFF"),
    (ImageFormat::Pnm, "PNM"),
    (ImageFormat::Ico, "ICO"),
    (ImageFormat::Tga, "TGA"),
    (ImageFormat::Qoi, "QOI"),
];

/// The formats that the crate `image` does not know, and that are decoded.
pub const OTHER_FORMATS: [&str; 2] = [jpeg2000::NAME, jxl::NAME];

/// Decodes an image. The first frame of an animation is taken.
///
/// # Errors
/// [`Error::NotAnImage`], [`Error::UnsupportedImage`], [`Error::CorruptImage`], [`Error::ImageTooLarge`],
/// [`Error::TooManyPixels`].
pub fn decode(bytes: &[u8], limits: &Limits, reading: Reading) -> Result<RgbImage> {
    decode_damaged(bytes, limits, reading, None).map(|(image, _)| image)
}

/// The same, and what is wrong with the file where [`Reading::on_truncated`] passes over it.
pub(super) fn decode_damaged(
    bytes: &[u8],
    limits: &Limits,
    reading: Reading,
    enough: Enough,
) -> Result<(RgbImage, Option<Error>)> {
    let Opened { mut image, orientation, damage, .. } = open(bytes, limits, reading, enough)?;
    if reading.apply_orientation {
        image.apply_orientation(orientation);
    }
    Ok((to_rgb(image, reading), damage))
}

/// The media type of an image in a format that is known by its first bytes, whether this build decodes it or not.
pub fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match heif::name_of(bytes) {
        Some("AVIF") => return Some("image/avif"),
        Some(_) => return Some("image/heic"),
        None if jpeg2000::is_one(bytes) => return Some("image/jp2"),
        None if jxl::is_one(bytes) => return Some("image/jxl"),
        None => {}
    }
    let known = format_of(bytes).map(|(format, _)| format);
    known.or_else(|| image::guess_format(bytes).ok()).map(|format| format.to_mime_type())
}

/// An image as its file has it.
pub(super) struct Opened {
    pub image: DynamicImage,
    /// How people see it; not applied.
    pub orientation: Orientation,
    /// The format's name in messages.
    pub name: &'static str,
    /// What is wrong with the file, of which what there is was decoded.
    pub damage: Option<Error>,
}

/// Decodes an image. A JPEG file may be scaled down as far as `enough` allows, which is given the sides as they are after the
/// image is turned, if `reading` has it turned.
pub(super) fn open(bytes: &[u8], limits: &Limits, reading: Reading, enough: Enough) -> Result<Opened> {
    if bytes.len() > limits.max_bytes {
        return Err(Error::ImageTooLarge { bytes: bytes.len(), max: limits.max_bytes });
    }
    if let Some(name) = heif::name_of(bytes) {
        return guarded(name, || heif::open(bytes, name, limits));
    }
    if jpeg2000::is_one(bytes) {
        return guarded(jpeg2000::NAME, || jpeg2000::open(bytes, limits));
    }
    if jxl::is_one(bytes) {
        return guarded(jxl::NAME, || jxl::open(bytes, limits));
    }
    let (format, name) = format_of(bytes).ok_or_else(|| not_decoded(bytes))?;
    let turned = enough.map(|enough| {
        let swaps = reading.apply_orientation && swaps_sides(orientation::of(bytes, format));
        move |width, height| {
            if !swaps {
                return enough(width, height);
            }
            let (high, wide) = enough(height, width);
            (wide, high)
        }
    });
    let enough: Enough = turned.as_ref().map(|turned| turned as _);
    let damage = match guarded(name, || read(bytes, format, name, limits, reading.gray16, enough)) {
        Err(error @ Error::CorruptImage { .. }) if reading.on_truncated == OnTruncated::Decode => error,
        result => return result,
    };
    match guarded(name, || damaged::read(bytes, format, name, limits, reading, enough)) {
        Ok(opened) => Ok(Opened { damage: Some(damage), ..opened }),
        Err(_) => Err(damage),
    }
}

/// Whether an image that is turned is as wide as it was high.
fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Decoders see whatever users upload: a bug in one costs one image, not the process.
fn guarded(name: &'static str, decode: impl FnOnce() -> Result<(DynamicImage, Orientation)>) -> Result<Opened> {
    let decoded = catch_unwind(AssertUnwindSafe(decode));
    let (image, orientation) = decoded.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(corrupt(name, &format!("the decoder gave up ({})", said.unwrap_or("panic"))))
    })?;
    Ok(Opened { image, orientation, name, damage: None })
}

/// The format by its first bytes. TGA has none that are its own; see [`tga::is_tga`].
pub(super) fn format_of(bytes: &[u8]) -> Option<(ImageFormat, &'static str)> {
    let is_big_tiff = || bytes.starts_with(b"II\x2b\0") || bytes.starts_with(b"MM\0\x2b");
    let guessed = image::guess_format(bytes).ok().or_else(|| is_big_tiff().then_some(ImageFormat::Tiff));
    let format = guessed.or_else(|| tga::is_tga(bytes).then_some(ImageFormat::Tga))?;
    FORMATS.into_iter().find(|(known, _)| *known == format)
}

fn read(
    bytes: &[u8],
    format: ImageFormat,
    name: &str,
    limits: &Limits,
    gray16: Gray16,
    enough: Enough,
) -> Result<(DynamicImage, Orientation)> {
    let orientation = orientation::of(bytes, format);
    let bytes = &*harmless(bytes, format, name, limits)?;
    match format {
        ImageFormat::Gif => return Ok((gif::read(bytes, limits)?, Orientation::NoTransforms)),
        ImageFormat::Tiff => return Ok((tiff::read(bytes, limits, gray16)?, Orientation::NoTransforms)),
        ImageFormat::Ico => {
            let image = match ico::largest(bytes)? {
                Inside::Png(png) => png::read(&png::without_metadata(&png), name, limits, gray16),
                Inside::Icon(icon) => read_with_image(&icon, format, name, limits),
            };
            return Ok((image?, orientation));
        }
        ImageFormat::Jpeg => return Ok((jpeg::read(bytes, limits, OnTruncated::Error, enough)?, orientation)),
        ImageFormat::WebP => return Ok((webp::read(bytes, limits)?, orientation)),
        _ => {}
    }
    let mut image = match format {
        ImageFormat::Png => png::read(bytes, name, limits, gray16)?,
        _ => read_with_image(bytes, format, name, limits)?,
    };
    fields::spread(&mut image, bytes, format);
    Ok((image, orientation))
}

/// The file as it may be given to a decoder that takes memory for metadata, whatever they say that they need.
pub(super) fn harmless<'a>(bytes: &'a [u8], format: ImageFormat, name: &str, limits: &Limits) -> Result<Cow<'a, [u8]>> {
    match format {
        ImageFormat::Png => Ok(png::without_metadata(bytes)),
        ImageFormat::WebP => webp::complete(bytes).map(Cow::Borrowed),
        ImageFormat::Bmp => bmp::prepared(bytes, limits),
        ImageFormat::Tiff if !tiff_tags::are_there(bytes) => Err(truncated(name, bytes.len())),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

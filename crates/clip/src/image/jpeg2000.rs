//! JPEG 2000: files (JP2) and bare code streams.

use super::jpeg2000_parts::{self, CODE_STREAM};
use super::limits::{BYTES_PER_PIXEL, Limits, check_size, corrupt, unsupported};
use super::samples::cmyk_to_rgb;
use crate::error::Result;
use hayro_jpeg2000::{ComponentData, DecodeSettings, DecoderContext, Image};
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, Luma, RgbImage, RgbaImage};

/// In messages.
pub(super) const NAME: &str = "JPEG 2000";

/// Bytes that the decoder takes for a sample: a coefficient and what it becomes.
const BYTES_PER_SAMPLE: u64 = 8;

/// By its first bytes.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n") || bytes.starts_with(CODE_STREAM)
}

/// The code streams of a file: itself, or its boxes "jp2c", of which there is usually one.
fn code_streams(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_bare = bytes.starts_with(CODE_STREAM);
    let mut rest = if is_bare { &[] } else { bytes };
    let boxes = std::iter::from_fn(move || {
        let (head, behind) = rest.split_at_checked(8)?;
        let (length, kind) = head.split_at(4);
        let (size, content) = match u32::from_be_bytes(length.try_into().ok()?) {
            // To the end of the file; and of a size that takes 64 bits.
            0 => (behind.len(), behind),
            1 => {
                let (long, behind) = behind.split_at_checked(8)?;
                (usize::try_from(u64::from_be_bytes(long.try_into().ok()?)).ok()?.checked_sub(16)?, behind)
            }
            size => (usize::try_from(size).ok()?.checked_sub(8)?, behind),
        };
        let (content, behind) = content.split_at(size.min(content.len()));
        rest = behind;
        Some((kind, content))
    });
    let inside = boxes.filter(|(kind, _)| *kind == b"jp2c").map(|(_, content)| content);
    is_bare.then_some(bytes).into_iter().chain(inside)
}

/// Decodes an image. The profile of its colours is not looked at, as PIL does not.
///
/// # Errors
/// [`crate::Error::CorruptImage`], [`crate::Error::UnsupportedImage`], [`crate::Error::TooManyPixels`].
pub(super) fn open(bytes: &[u8], limits: &Limits) -> Result<(DynamicImage, Orientation)> {
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let failed = |error: hayro_jpeg2000::DecodeError| corrupt(NAME, &error.to_string());
    if code_streams(bytes).any(jpeg2000_parts::are_too_many) {
        return Err(corrupt(NAME, "it has more parts than its size has room for"));
    }
    let image = Image::new(bytes, &settings).map_err(failed)?;
    let (width, height) = (image.width(), image.height());
    let pixels = check_size(NAME, width, height, limits)?;
    let channels = u64::from(image.color_space().num_channels()) + u64::from(image.has_alpha());
    if channels > 5 {
        return Err(unsupported(NAME, "it has more than five channels"));
    }
    if pixels.saturating_mul(channels * BYTES_PER_SAMPLE) > limits.max_pixels.saturating_mul(BYTES_PER_PIXEL) {
        return Err(unsupported(NAME, "decoding takes too much memory"));
    }
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(failed)?;
    let components = decoded.components();
    let image = match components {
        [gray] if gray.bit_depth() > 8 => {
            let samples = gray.samples().iter().map(|sample| level(*sample, gray.bit_depth(), 16)).collect();
            ImageBuffer::<Luma<u16>, _>::from_raw(width, height, samples).map(DynamicImage::from)
        }
        [_] => GrayImage::from_raw(width, height, interleaved(components)).map(DynamicImage::from),
        [_, _] => GrayAlphaImage::from_raw(width, height, interleaved(components)).map(DynamicImage::from),
        [_, _, _] => RgbImage::from_raw(width, height, interleaved(components)).map(DynamicImage::from),
        [_, _, _, _] if image.color_space().num_channels() == 4 => {
            RgbImage::from_raw(width, height, cmyk_to_rgb(&interleaved(components))).map(DynamicImage::from)
        }
        [_, _, _, _] => RgbaImage::from_raw(width, height, interleaved(components)).map(DynamicImage::from),
        _ => return Err(unsupported(NAME, "it has an unusual number of channels")),
    };
    let image = image.ok_or_else(|| corrupt(NAME, "it has fewer pixels than it says"))?;
    Ok((image, Orientation::NoTransforms))
}

fn interleaved(components: &[ComponentData]) -> Vec<u8> {
    let pixels = components.iter().map(|component| component.samples().len()).min().unwrap_or(0);
    let pixel = |at: usize| components.iter().map(move |of| level(of.samples()[at], of.bit_depth(), 8) as u8);
    (0..pixels).flat_map(pixel).collect()
}

/// A sample of so many bits as a level of 8 or 16 bits, by shifting, as PIL does it.
fn level(sample: f32, depth: u8, bits: u8) -> u16 {
    let most = |bits: u8| (1_u64 << bits) - 1;
    // No sample is above a depth of 32 bits: numbers that are not finite become 0 or the most.
    let value = (sample.round_ties_even().max(0.0) as u64).min(most(depth.min(38)));
    let value = match depth.checked_sub(bits) {
        Some(0) => value,
        Some(surplus) => (value + (1 << (surplus - 1))) >> surplus,
        None => value << (bits - depth),
    };
    value.min(most(bits)) as u16
}

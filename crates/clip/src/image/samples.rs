//! Samples of many kinds to levels of 8 bits and to red, green and blue, as PIL does it.

use serde::{Deserialize, Serialize};
use tiff::decoder::DecodingResult;

/// What becomes of gray of more than 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Gray16 {
    /// The upper 8 bits, as PIL has it for colours of 16 bits, and as people see it in a viewer.
    #[default]
    Scale,
    /// What does not fit in 8 bits is cut off, as PIL's `convert("RGB")` of its modes `I;16`, `I` and `F` does. Nearly all
    /// pixels of an X-ray or a depth map are white then.
    Pil,
}

impl Gray16 {
    /// A level of 8 bits from one of so many, at least 8.
    pub(super) fn level(self, value: u16, bits: u8) -> u8 {
        match self {
            Gray16::Scale => (value >> (bits - 8)).min(255) as u8,
            Gray16::Pil => value.min(255) as u8,
        }
    }
}

/// PIL reads 16 bits per channel by leaving out the lower byte.
pub(super) fn high(value: u16) -> u8 {
    (value >> 8) as u8
}

/// Numbers to levels. Colours of 16 bits lose their lower byte, and colours in floating point, which PIL refuses, are from 0
/// to 1; for gray of 16 bits see [`Gray16`], which also takes gray in floating point for 0 to 1 where none is above. All
/// other gray is cut to 0 to 255, as PIL's modes I and F: integers of 32 bits are measurements or labels, and no range is
/// the usual one. None for samples that nobody uses for images.
pub(super) fn to_8_bits(samples: DecodingResult, is_gray: bool, gray16: Gray16) -> Option<Vec<u8>> {
    let cut = |value: f64| value as u8;
    let is_scaled = gray16 == Gray16::Scale;
    Some(match samples {
        DecodingResult::U8(samples) => samples,
        // To PIL these are not signed.
        DecodingResult::I8(samples) if is_gray => samples.into_iter().map(i8::cast_unsigned).collect(),
        DecodingResult::U16(samples) if is_gray => samples.into_iter().map(|value| gray16.level(value, 16)).collect(),
        DecodingResult::U16(samples) => samples.into_iter().map(high).collect(),
        DecodingResult::U32(samples) if is_gray => samples.into_iter().map(|value| value.min(255) as u8).collect(),
        DecodingResult::I16(samples) if is_gray && is_scaled => {
            samples.into_iter().map(|value| gray16.level(value.max(0).cast_unsigned(), 15)).collect()
        }
        DecodingResult::I16(samples) if is_gray => samples.into_iter().map(|value| value.clamp(0, 255) as u8).collect(),
        DecodingResult::I32(samples) if is_gray => samples.into_iter().map(|value| value.clamp(0, 255) as u8).collect(),
        DecodingResult::F32(samples) if is_gray && !(is_scaled && samples.iter().all(|value| *value <= 1.0)) => {
            samples.into_iter().map(|value| cut(value.into())).collect()
        }
        DecodingResult::F32(samples) => {
            samples.into_iter().map(|value| cut((f64::from(value) * 255.0).round())).collect()
        }
        _ => return None,
    })
}

/// Rows of samples of 1, 2 or 4 bits to bytes: levels from 0 to 255, or indices as they are.
pub(super) fn unpack(packed: &[u8], samples_in_row: usize, bits: usize, as_indices: bool) -> Vec<u8> {
    let most = (1u8 << bits) - 1;
    let factor = if as_indices { 1 } else { 255 / most };
    let stride = (samples_in_row * bits).div_ceil(8);
    let sample = |row: &[u8], index: usize| {
        let at = index * bits;
        (row[at / 8] >> (8 - bits - at % 8) & most) * factor
    };
    packed.chunks_exact(stride).flat_map(|row| (0..samples_in_row).map(move |index| sample(row, index))).collect()
}

/// Indices into a palette that has all reds, then all greens, then all blues.
pub(super) fn palette_to_rgb(indices: &[u8], palette: &[u8]) -> Vec<u8> {
    let size = palette.len() / 3;
    let channel = |index: u8, channel: usize| match usize::from(index) {
        index if index < size => palette[channel * size + index],
        _ => 0,
    };
    indices.iter().flat_map(|&index| [0, 1, 2].map(|number| channel(index, number))).collect()
}

/// PIL's `cmyk2rgb`; 0 is no ink.
pub(super) fn cmyk_to_rgb(inks: &[u8]) -> Vec<u8> {
    let ink = |ink: u8, black: u8| {
        let light = 255 - u32::from(black);
        let product = u32::from(ink) * light + 128;
        (light - (((product >> 8) + product) >> 8)) as u8
    };
    inks.chunks_exact(4).flat_map(|pixel| [0, 1, 2].map(|number| ink(pixel[number], pixel[3]))).collect()
}

/// Colours that were multiplied by their alpha back to themselves; what is transparent is black.
pub(super) fn unmultiply(mut pixels: Vec<u8>) -> Vec<u8> {
    for pixel in pixels.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        for colour in &mut pixel[..3] {
            *colour = (u32::from(*colour) * 255).checked_div(alpha).unwrap_or(0).min(255) as u8;
        }
    }
    pixels
}

/// JFIF's YCbCr, in PIL's fixed point with 6 bits behind the point.
pub(super) fn ycbcr_to_rgb(mut pixels: Vec<u8>) -> Vec<u8> {
    let part = |factor: f64, value: u8| (factor * 64.0 * (f64::from(value) - 128.0)).round() as i32;
    for pixel in pixels.chunks_exact_mut(3) {
        let (y, cb, cr) = (i32::from(pixel[0]), pixel[1], pixel[2]);
        let sums = [part(1.402, cr), part(-0.34414, cb) + part(-0.71414, cr), part(1.772, cb)];
        for (value, sum) in pixel.iter_mut().zip(sums) {
            *value = (y + (sum >> 6)).clamp(0, 255) as u8;
        }
    }
    pixels
}

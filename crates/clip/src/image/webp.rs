//! WebP: a check that the decoder does not make, since it takes memory for what a chunk says that it is long; and the
//! first frame of an animation on its canvas, as libwebp lays it there.

use image::{DynamicImage, GenericImage, ImageFormat, RgbImage, RgbaImage};

use super::limits::{Limits, check_size, corrupt, truncated};
use super::with_image::read_with_image;
use crate::error::Result;

const NAME: &str = "WebP";
/// "RIFF", the length and "WEBP"; and a chunk's name and length.
const START: usize = 12;
const HEAD: usize = 8;
/// Of a file's extended header.
const HAS_ALPHA: u8 = 0x10;
const IS_ANIMATED: u8 = 0x02;

/// The WebP file without what lies behind its end, all of its chunks complete; or where the file stops. libwebp, and so
/// PIL, refuses such files too: what is missing may be no more than the orientation, but nobody knows.
pub(super) fn complete(bytes: &[u8]) -> Result<&[u8]> {
    let truncated = || truncated(NAME, bytes.len());
    let end = number(bytes, 4, 4).ok_or_else(truncated)? + HEAD;
    let file = bytes.get(..end).ok_or_else(truncated)?;
    let mut at = START;
    while at + HEAD <= end {
        at += HEAD + number(bytes, at + 4, 4).ok_or_else(truncated)?;
        if at > end {
            return Err(truncated());
        }
        // Chunks of an odd length are followed by a byte that does not count.
        at += at % 2;
    }
    Ok(file)
}

/// Decodes the image, or the first frame of an animation. What that does not cover is black, and transparent if the
/// file says that it has transparent parts: no viewer heeds the background colour that it names.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<DynamicImage> {
    let mut parts = chunks(&bytes[START.min(bytes.len())..]);
    let Some((b"VP8X", header)) = parts.next().filter(|(_, header)| header.len() >= 10 && header[0] & IS_ANIMATED != 0)
    else {
        return read_with_image(bytes, ImageFormat::WebP, NAME, limits);
    };
    let side = |data: &[u8], at: usize| number(data, at, 3).map(|side| side as u32 + 1);
    let broken = || corrupt(NAME, "its animation has no first frame");
    let (width, height) = side(header, 4).zip(side(header, 7)).ok_or_else(broken)?;
    check_size(NAME, width, height, limits)?;
    let frame = parts.find_map(|(name, frame)| (name == b"ANMF").then_some(frame)).ok_or_else(broken)?;
    // Column and row, both halved, size, duration and flags.
    let (image, place) = frame.get(16..).zip(number(frame, 0, 3).zip(number(frame, 3, 3))).ok_or_else(broken)?;
    let (left, top) = (place.0 as u32 * 2, place.1 as u32 * 2);
    let size = side(frame, 6).zip(side(frame, 9)).ok_or_else(broken)?;
    check_size(NAME, size.0, size.1, limits)?;
    if left + size.0 > width || top + size.1 > height {
        return Err(corrupt(NAME, "the first frame of its animation is beyond the canvas"));
    }
    let image = read_with_image(&alone(image, &frame[6..12]), ImageFormat::WebP, NAME, limits)?;
    if (image.width(), image.height()) != size {
        return Err(corrupt(NAME, "the first frame of its animation has another size than it says"));
    }
    // There is nothing below the first frame that its transparent parts could be blended with.
    let placed = if header[0] & HAS_ALPHA != 0 {
        let mut canvas = RgbaImage::new(width, height);
        canvas.copy_from(&image.into_rgba8(), left, top).map(|()| canvas.into())
    } else {
        let mut canvas = RgbImage::new(width, height);
        canvas.copy_from(&image.into_rgb8(), left, top).map(|()| canvas.into())
    };
    placed.map_err(|error| corrupt(NAME, &error.to_string()))
}

/// A file of one image, of the chunks of a frame; `size` is that of the frame, as it stands there.
fn alone(image: &[u8], size: &[u8]) -> Vec<u8> {
    let has_alpha = chunks(image).any(|(name, _)| name == b"ALPH");
    let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
    if has_alpha {
        file.extend_from_slice(b"VP8X\x0a\0\0\0");
        file.extend_from_slice(&[HAS_ALPHA, 0, 0, 0]);
        file.extend_from_slice(size);
    }
    for (name, content) in chunks(image).filter(|(name, _)| matches!(*name, b"ALPH" | b"VP8 " | b"VP8L")) {
        file.extend_from_slice(name);
        file.extend_from_slice(&(content.len() as u32).to_le_bytes());
        file.extend_from_slice(content);
        file.resize(file.len().next_multiple_of(2), 0);
    }
    let length = (file.len() - HEAD) as u32;
    file[4..8].copy_from_slice(&length.to_le_bytes());
    file
}

/// Name and content of each whole chunk.
pub(super) fn chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, behind) = rest.split_first_chunk::<4>()?;
        let length = number(behind, 0, 4)?;
        let content = behind.get(4..4usize.checked_add(length)?)?;
        rest = behind.get(4 + length + length % 2..).unwrap_or_default();
        Some((name, content))
    })
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let digits = bytes.get(at..at.checked_add(length)?)?;
    Some(digits.iter().rev().fold(0, |sum, digit| sum << 8 | usize::from(*digit)))
}

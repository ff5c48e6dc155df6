//! WebP: a check that the decoder does not make, since it takes memory for what a chunk says that it is long; and the
//! frames of an animation on their canvas, as libwebp lays them there.

use image::{DynamicImage, GenericImageView, ImageFormat, Rgba, RgbaImage};

use super::canvas::{Area, Undo, shown};
use super::frames::{Delay, Sequence};
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

/// Decodes the image, or the first frame of an animation.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<DynamicImage> {
    let Some(mut frames) = Frames::of(bytes, limits)? else {
        return read_with_image(bytes, ImageFormat::WebP, NAME, limits);
    };
    frames.advance()?.ok_or_else(|| corrupt(NAME, "its animation has no first frame"))?;
    Ok(shown(frames.canvas, frames.has_alpha))
}

/// The frames of an animation. What none covers is black, and transparent if the file says that it has transparent parts: no
/// viewer heeds the background colour that it names. The crate's own animations do, and clear parts that are not the frame's.
pub(super) struct Frames<'a> {
    chunks: Box<dyn Iterator<Item = (&'a [u8; 4], &'a [u8])> + 'a>,
    limits: Limits,
    has_alpha: bool,
    canvas: RgbaImage,
    latest: Option<Latest>,
}

/// The frame on top.
struct Latest {
    area: Area,
    /// Whether it is to be cleared away.
    is_disposed: bool,
    /// Whether nothing below it counts.
    is_key: bool,
}

impl<'a> Frames<'a> {
    /// `None` for a file without an animation.
    pub(super) fn of(bytes: &'a [u8], limits: &Limits) -> Result<Option<Self>> {
        let mut chunks = chunks(&bytes[START.min(bytes.len())..]);
        let Some((b"VP8X", header)) =
            chunks.next().filter(|(_, header)| header.len() >= 10 && header[0] & IS_ANIMATED != 0)
        else {
            return Ok(None);
        };
        let size = side(header, 4).zip(side(header, 7));
        let (width, height) = size.ok_or_else(|| corrupt(NAME, "its animation has no size"))?;
        check_size(NAME, width, height, limits)?;
        Ok(Some(Self {
            chunks: Box::new(chunks),
            limits: *limits,
            has_alpha: header[0] & HAS_ALPHA != 0,
            canvas: RgbaImage::new(width, height),
            latest: None,
        }))
    }
}

impl Sequence for Frames<'_> {
    /// As libwebp's `WebPAnimDecoderGetNext`.
    fn advance(&mut self) -> Result<Option<Delay>> {
        const IS_NOT_BLENDED: u8 = 0x02;
        const IS_DISPOSED: u8 = 0x01;
        let Some((_, frame)) = self.chunks.find(|(name, _)| *name == b"ANMF") else { return Ok(None) };
        let broken = || corrupt(NAME, "a frame of its animation is not whole");
        // Column and row, both halved, size, duration and flags.
        let (image, place) = frame.get(16..).zip(number(frame, 0, 3).zip(number(frame, 3, 3))).ok_or_else(broken)?;
        let (width, height) = side(frame, 6).zip(side(frame, 9)).ok_or_else(broken)?;
        let area = Area { left: place.0 as u32 * 2, top: place.1 as u32 * 2, width, height };
        let (duration, flags) = number(frame, 12, 3).zip(frame.get(15)).ok_or_else(broken)?;
        check_size(NAME, width, height, &self.limits)?;
        let (canvas_width, canvas_height) = self.canvas.dimensions();
        if area.left + width > canvas_width || area.top + height > canvas_height {
            return Err(corrupt(NAME, "a frame of its animation is beyond the canvas"));
        }
        let image = read_with_image(&alone(image, &frame[6..12]), ImageFormat::WebP, NAME, &self.limits)?;
        if image.dimensions() != (width, height) {
            return Err(corrupt(NAME, "a frame of its animation has another size than it says"));
        }

        let is_full = |area: &Area| (area.width, area.height) == (canvas_width, canvas_height);
        let is_blended = flags & IS_NOT_BLENDED == 0;
        let is_key = self.latest.as_ref().is_none_or(|latest| {
            is_full(&area) && (!is_blended || !image.color().has_alpha())
                || latest.is_disposed && (is_full(&latest.area) || latest.is_key)
        });
        let cleared = self.latest.take().filter(|latest| latest.is_disposed).map(|latest| latest.area);
        match cleared {
            _ if is_key => self.canvas.fill(0),
            Some(area) => Undo::Fill(area, Rgba([0; 4])).apply(&mut self.canvas),
            None => {}
        }
        for (x, y, pixel) in image.into_rgba8().enumerate_pixels() {
            let (x, y) = (area.left + x, area.top + y);
            let below = self.canvas.get_pixel_mut(x, y);
            let has_below = is_blended && !is_key && !cleared.is_some_and(|cleared| cleared.contains(x, y));
            *below = if has_below { blended(*pixel, *below) } else { *pixel };
        }
        self.latest = Some(Latest { area, is_disposed: flags & IS_DISPOSED != 0, is_key });
        Ok(Some(Delay::Milliseconds(duration as u32)))
    }

    fn image(&mut self) -> Result<DynamicImage> {
        Ok(shown(self.canvas.clone(), self.has_alpha))
    }
}

/// libwebp's arithmetic, which is not quite the usual one.
fn blended(Rgba(above): Rgba<u8>, Rgba(below): Rgba<u8>) -> Rgba<u8> {
    match above[3] {
        255 => return Rgba(above),
        0 => return Rgba(below),
        _ => {}
    }
    let over = u32::from(above[3]);
    let under = (u32::from(below[3]) * (256 - over)) >> 8;
    let alpha = over + under;
    let scale = (1 << 24) / alpha;
    let colour = |channel: usize| {
        let sum = u32::from(above[channel]) * over + u32::from(below[channel]) * under;
        ((u64::from(sum) * u64::from(scale)) >> 24) as u8
    };
    Rgba([colour(0), colour(1), colour(2), alpha as u8])
}

/// A side in pixels, which is stored less one.
fn side(data: &[u8], at: usize) -> Option<u32> {
    number(data, at, 3).map(|side| side as u32 + 1)
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

//! The frames of an animation and the pages of a file, each as people see it, as PNG files of their own.
//!
//! An animation may have thousands of frames, which take gigabytes: they are made part by part, each part from the beginning
//! of the file, since a frame is laid on those before it. Whoever asks for the next part need not be remembered.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageEncoder, ImageFormat};
use serde::{Deserialize, Serialize};

use super::decode::{self, Opened};
use super::limits::{Limits, corrupt};
use super::reading::{OnTruncated, Reading};
use super::rgb::with_8_bits;
use super::samples::Gray16;
use super::{apng, gif, info, jxl, tiff, webp};
use crate::error::{Error, Result};

/// Most frames of a part.
pub const MAX_FRAMES_IN_PART: usize = 1000;
/// A part ends with the frame that makes it longer than this.
pub const PART_BYTES: usize = 16 << 20;
/// A part ends with the frame with which this many pixels were decoded: about a second of work.
const PART_PIXELS: u64 = 32 << 20;

/// Which frames are wanted. They are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRange {
    /// The first.
    pub first: u32,
    /// Distance from one to the next.
    pub every: u32,
    /// Most frames, those of later parts included.
    pub max: u32,
}

/// A part of the frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frames {
    /// In order.
    pub frames: Vec<Frame>,
    /// With which the next part begins, if there may be one.
    pub next: Option<u32>,
    /// Why there are no more frames, where the file is damaged and [`OnTruncated::Decode`] passes over it.
    pub damage: Option<Error>,
}

/// A frame or page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Counted from 1.
    pub number: u32,
    /// How long it is shown. Pages and still images have no such time.
    pub delay_ms: Option<u32>,
    /// A PNG. `None` where the file has one image: it is the frame.
    pub png: Option<Vec<u8>>,
}

/// How long a frame is shown.
pub(super) enum Delay {
    Milliseconds(u32),
    /// It is no part of an animation.
    Unknown,
}

/// The frames of a file, one after the other.
pub(super) trait Sequence {
    /// Goes to the next frame; `None` behind the last.
    fn advance(&mut self) -> Result<Option<Delay>>;

    /// The frame that was gone to, as people see it but for its orientation.
    fn image(&mut self) -> Result<DynamicImage>;
}

/// Makes images of frames: of an animated GIF, PNG, WebP or JPEG XL, or the pages of a TIFF file. The first is what
/// [`crate::decode`] sees of the file. A file with one image is its own frame.
///
/// # Errors
/// Those of [`crate::decode`], of any frame up to the last that is wanted.
pub fn frames(bytes: &[u8], limits: &Limits, reading: Reading, range: FrameRange) -> Result<Frames> {
    // Also where it is not wanted: it says what is wrong with the file in the words of all other functions.
    let first = decode::open(bytes, limits, reading, None)?;
    let name = first.name;
    let still = || {
        let frame = Frame { number: 1, delay_ms: None, png: None };
        Frames { frames: if range.first <= 1 { vec![frame] } else { Vec::new() }, ..Frames::default() }
    };
    if first.damage.is_some() {
        return Ok(still());
    }
    let made = catch_unwind(AssertUnwindSafe(|| match sequence(bytes, limits, reading)? {
        Some(mut sequence) => part(&mut *sequence, first, reading, range),
        None => Ok(still()),
    }));
    made.unwrap_or_else(|_| Err(corrupt(name, "the decoder gave up on a frame")))
}

/// `None` where there is one image.
fn sequence<'a>(bytes: &'a [u8], limits: &Limits, reading: Reading) -> Result<Option<Box<dyn Sequence + 'a>>> {
    if jxl::is_one(bytes) {
        return Ok(jxl::Frames::of(bytes, limits)?.map(|frames| Box::new(frames) as _));
    }
    let Some((format, name)) = decode::format_of(bytes) else { return Ok(None) };
    let harmless = decode::harmless(bytes, format, name, limits)?;
    if info::frames(&harmless, format).is_none_or(|count| count < 2) {
        return Ok(None);
    }
    Ok(match format {
        ImageFormat::Gif => Some(Box::new(gif::Frames::new(bytes, limits)?)),
        ImageFormat::Png => Some(Box::new(apng::Frames::new(harmless, limits, reading.gray16)?)),
        ImageFormat::Tiff => Some(Box::new(tiff::Pages::new(bytes, limits, reading))),
        ImageFormat::WebP => webp::Frames::of(webp::complete(bytes)?, limits)?.map(|frames| Box::new(frames) as _),
        _ => None,
    })
}

fn part(sequence: &mut dyn Sequence, first: Opened, reading: Reading, range: FrameRange) -> Result<Frames> {
    let Opened { image, orientation, name, .. } = first;
    let orientation = if reading.apply_orientation { orientation } else { Orientation::NoTransforms };
    let mut size = pixels(&image);
    let mut first = Some(image);
    // Number, delay and, where the frame is wanted, the image.
    let mut step = |number: u32, is_wanted: bool| -> Result<Option<(Delay, Option<DynamicImage>)>> {
        let Some(delay) = sequence.advance()? else { return Ok(None) };
        let first = first.take().filter(|_| number == 1);
        let image = match first {
            _ if !is_wanted => None,
            Some(first) => Some(first),
            None => Some(sequence.image()?),
        };
        Ok(Some((delay, image)))
    };

    let mut part = Frames::default();
    let (mut wanted, mut bytes, mut decoded) = (range.first.max(1), 0, 0);
    for number in 1.. {
        if part.frames.len() as u64 >= u64::from(range.max) {
            return Ok(part);
        }
        let (delay, image) = match step(number, number == wanted) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(part),
            Err(error) => {
                let error = of_frame(error, number);
                if reading.on_truncated == OnTruncated::Error || !matches!(error, Error::CorruptImage { .. }) {
                    return Err(error);
                }
                part.damage = Some(error);
                return Ok(part);
            }
        };
        if let Some(mut image) = image {
            size = pixels(&image);
            image.apply_orientation(orientation);
            let png = encode(image, reading.gray16).map_err(|error| corrupt(name, &error.to_string()))?;
            bytes += png.len();
            let delay_ms = if let Delay::Milliseconds(delay) = delay { Some(delay) } else { None };
            part.frames.push(Frame { number, delay_ms, png: Some(png) });
            let Some(next) = number.checked_add(range.every.max(1)) else { return Ok(part) };
            wanted = next;
        }
        // What was passed over to get to the first does not count: each part has one frame at least.
        let Some(last) = part.frames.last() else { continue };
        decoded += size;
        let is_long = part.frames.len() >= MAX_FRAMES_IN_PART || bytes > PART_BYTES || decoded > PART_PIXELS;
        if is_long && last.number == number && part.frames.len() as u64 != u64::from(range.max) {
            part.next = Some(wanted);
            return Ok(part);
        }
    }
    Ok(part)
}

fn pixels(image: &DynamicImage) -> u64 {
    u64::from(image.width()) * u64::from(image.height())
}

fn of_frame(error: Error, number: u32) -> Error {
    match error {
        Error::CorruptImage { format, reason } => {
            Error::CorruptImage { format, reason: format!("frame {number}: {reason}") }
        }
        Error::UnsupportedImage { format, reason } => {
            Error::UnsupportedImage { format, reason: format!("frame {number}: {reason}") }
        }
        error => error,
    }
}

/// A PNG that is decoded to the same levels. What is nowhere transparent has no alpha channel.
fn encode(image: DynamicImage, gray16: Gray16) -> image::ImageResult<Vec<u8>> {
    let image = match with_8_bits(image, gray16) {
        DynamicImage::ImageRgba8(image) if image.pixels().all(|pixel| pixel.0[3] == 255) => {
            DynamicImage::from(image).into_rgb8().into()
        }
        image => image,
    };
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(image.as_bytes(), image.width(), image.height(), image.color().into())?;
    Ok(png)
}

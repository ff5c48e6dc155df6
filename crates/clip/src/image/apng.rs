//! The frames of an animated PNG on its canvas, as the specification lays them there.
//!
//! The decoder of the crate `image` knows no 16 bits, and restores an area to what it was before it was cleared.

use std::borrow::Cow;
use std::io::Cursor;

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, Rgba, RgbaImage};
use png::{BitDepth, BlendOp, ColorType, Decoder, DecodingError, DisposeOp, OutputInfo, Reader, Transformations};

use super::canvas::{Area, Undo};
use super::frames::{Delay, Sequence};
use super::limits::{Limits, check_size, corrupt, memory, truncated, unsupported};
use super::samples::{Gray16, high};
use crate::error::{Error, Result};

const NAME: &str = "PNG";
const TOO_MUCH: &str = "decoding takes too much memory";

/// Frames of an animation, and the image that stands before it where that is no part of it; 1 without an animation.
pub(super) fn count(bytes: &[u8]) -> Option<u32> {
    let reader = Decoder::new(Cursor::new(bytes)).read_info().ok()?;
    let info = reader.info();
    let frames = info.animation_control().map_or(1, |animation| animation.num_frames.max(1));
    Some(frames.saturating_add(is_apart(&reader).into()))
}

/// Whether the image that programs without animations show is no frame.
fn is_apart<R: std::io::BufRead + std::io::Seek>(reader: &Reader<R>) -> bool {
    reader.info().animation_control().is_some() && reader.info().frame_control().is_none()
}

/// Frame by frame; first the image that stands before them, if there is one.
pub(super) struct Frames<'a> {
    reader: Reader<Cursor<Cow<'a, [u8]>>>,
    length: usize,
    gray16: Gray16,
    /// Most bytes of a frame.
    buffer_size: usize,
    canvas: RgbaImage,
    undo: Undo,
    /// Whether the next one is no frame.
    is_apart: bool,
    is_first: bool,
    remaining: u32,
}

impl<'a> Frames<'a> {
    /// The file must have an animation.
    pub(super) fn new(bytes: Cow<'a, [u8]>, limits: &Limits, gray16: Gray16) -> Result<Self> {
        let length = bytes.len();
        let most = memory(limits.max_pixels).max_alloc.and_then(|bytes| usize::try_from(bytes).ok());
        let most = png::Limits { bytes: most.unwrap_or(usize::MAX) };
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), most);
        decoder.set_transformations(Transformations::EXPAND);
        let reader = decoder.read_info().map_err(|error| failure(length, &error))?;
        let (width, height) = (reader.info().width, reader.info().height);
        check_size(NAME, width, height, limits)?;
        let buffer_size = reader.output_buffer_size().ok_or_else(|| unsupported(NAME, TOO_MUCH))?;
        let remaining = reader.info().animation_control().map_or(0, |animation| animation.num_frames);
        Ok(Self {
            length,
            gray16,
            buffer_size,
            canvas: RgbaImage::new(width, height),
            undo: Undo::Nothing,
            is_apart: is_apart(&reader),
            is_first: true,
            remaining,
            reader,
        })
    }

    /// Reads the next frame, as it is in the file.
    fn read(&mut self) -> Result<RgbaImage> {
        // As large as the canvas, and kept no longer than it takes.
        let mut buffer = vec![0; self.buffer_size];
        let info = self.reader.next_frame(&mut buffer).map_err(|error| failure(self.length, &error))?;
        self.converted(buffer, &info).ok_or_else(|| corrupt(NAME, "a frame has fewer pixels than it says"))
    }

    fn converted(&self, mut buffer: Vec<u8>, info: &OutputInfo) -> Option<RgbaImage> {
        let OutputInfo { width, height, color_type, line_size, .. } = *info;
        if self.reader.info().interlaced {
            // Rows are as far apart as those of the whole image.
            let stride = self.reader.output_line_size(self.reader.info().width)?;
            let rows = buffer.chunks_exact(stride).take(height as usize);
            buffer = rows.flat_map(|row| &row[..line_size]).copied().collect();
        }
        buffer.truncate(line_size * height as usize);
        if info.bit_depth == BitDepth::Sixteen {
            let level =
                |value| if color_type == ColorType::Grayscale { self.gray16.level(value, 16) } else { high(value) };
            buffer = buffer.chunks_exact(2).map(|pair| level(u16::from_be_bytes([pair[0], pair[1]]))).collect();
        }
        let image: DynamicImage = match color_type {
            ColorType::Grayscale => GrayImage::from_raw(width, height, buffer)?.into(),
            ColorType::GrayscaleAlpha => GrayAlphaImage::from_raw(width, height, buffer)?.into(),
            ColorType::Rgb => RgbImage::from_raw(width, height, buffer)?.into(),
            _ => RgbaImage::from_raw(width, height, buffer)?.into(),
        };
        Some(image.into_rgba8())
    }
}

impl Sequence for Frames<'_> {
    fn advance(&mut self) -> Result<Option<Delay>> {
        if std::mem::take(&mut self.is_apart) {
            self.canvas = self.read()?;
            let (width, height) = self.canvas.dimensions();
            self.undo = Undo::Fill(Area { left: 0, top: 0, width, height }, Rgba([0; 4]));
            return Ok(Some(Delay::Unknown));
        }
        std::mem::take(&mut self.undo).apply(&mut self.canvas);
        let Some(remaining) = self.remaining.checked_sub(1) else { return Ok(None) };
        self.remaining = remaining;

        let frame = self.read()?;
        let control = *self.reader.info().frame_control().ok_or_else(|| corrupt(NAME, "a frame has no place"))?;
        let area = Area {
            left: control.x_offset,
            top: control.y_offset,
            width: control.width.min(frame.width()),
            height: control.height.min(frame.height()),
        };
        if area.left + area.width > self.canvas.width() || area.top + area.height > self.canvas.height() {
            return Err(corrupt(NAME, "a frame is beyond the canvas"));
        }
        self.undo = match control.dispose_op {
            DisposeOp::None => Undo::Nothing,
            DisposeOp::Previous if !self.is_first => Undo::restore(&self.canvas, area),
            // Before the first frame, the canvas is empty.
            DisposeOp::Background | DisposeOp::Previous => Undo::Fill(area, Rgba([0; 4])),
        };
        self.is_first = false;
        for (x, y, pixel) in frame.enumerate_pixels() {
            let below = self.canvas.get_pixel_mut(area.left + x, area.top + y);
            *below = match control.blend_op {
                BlendOp::Source => *pixel,
                BlendOp::Over => over(*pixel, *below),
            };
        }
        let denominator = if control.delay_den == 0 { 100 } else { u32::from(control.delay_den) };
        let delay = (u32::from(control.delay_num) * 1000 + denominator / 2) / denominator;
        Ok(Some(Delay::Milliseconds(delay)))
    }

    fn image(&mut self) -> Result<DynamicImage> {
        Ok(self.canvas.clone().into())
    }
}

/// The specification's operation of this name: one colour seen through another.
fn over(Rgba(above): Rgba<u8>, Rgba(below): Rgba<u8>) -> Rgba<u8> {
    match (above[3], below[3]) {
        (0, _) => return Rgba(below),
        (255, _) | (_, 0) => return Rgba(above),
        _ => {}
    }
    // All in 255ths of 255ths.
    let alpha = u32::from(above[3]);
    let (over, under) = (alpha * 255, (255 - alpha) * u32::from(below[3]));
    let sum = over + under;
    let colour =
        |channel: usize| ((u32::from(above[channel]) * over + u32::from(below[channel]) * under + sum / 2) / sum) as u8;
    Rgba([colour(0), colour(1), colour(2), ((sum + 127) / 255) as u8])
}

fn failure(length: usize, error: &DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => truncated(NAME, length),
        DecodingError::LimitsExceeded => unsupported(NAME, TOO_MUCH),
        error => corrupt(NAME, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_seen_through_others() {
        for (above, below, seen) in [
            ([10, 20, 30, 255], [1, 2, 3, 255], [10, 20, 30, 255]),
            ([10, 20, 30, 0], [1, 2, 3, 200], [1, 2, 3, 200]),
            ([10, 20, 30, 0], [1, 2, 3, 0], [1, 2, 3, 0]),
            ([10, 20, 30, 7], [1, 2, 3, 0], [10, 20, 30, 7]),
            // Half of it over an opaque colour, which stays opaque.
            ([200, 0, 100, 128], [0, 200, 100, 255], [100, 100, 100, 255]),
            // 128/255 + 127/255 * 128/255 = 0.7519
            ([255, 0, 0, 128], [0, 0, 255, 128], [170, 0, 85, 192]),
        ] {
            assert_eq!(over(Rgba(above), Rgba(below)), Rgba(seen), "{above:?} over {below:?}");
        }
    }
}

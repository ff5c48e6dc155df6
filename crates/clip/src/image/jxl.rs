//! JPEG XL: code streams, bare or in a container.

use super::frames::{Delay, Sequence};
use super::limits::{Limits, check_size, corrupt, memory, truncated, unsupported};
use super::reading::OnTruncated;
use super::{jpeg, orientation};
use crate::error::Result;
use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Pixel, PixelWithColorType, Rgb, Rgba};
use jxl_oxide::{AllocTracker, FrameBufferSample, ImageStream, JpegReconstructionStatus, JxlImage};
use std::io::{self, Write};

/// In messages.
pub(super) const NAME: &str = "JPEG XL";

/// By its first bytes.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0x0a]) || bytes.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
}

/// Decodes the first frame. The turns and mirrors that the file states are applied, as every decoder does: they are part of
/// the format, not of its metadata.
///
/// # Errors
/// [`crate::Error::CorruptImage`], [`crate::Error::UnsupportedImage`], [`crate::Error::TooManyPixels`].
pub(super) fn open(bytes: &[u8], limits: &Limits) -> Result<(DynamicImage, Orientation)> {
    let image = read(bytes, limits)?;
    check_size(NAME, image.width(), image.height(), limits)?;
    let format = image.pixel_format();
    if format.has_black() {
        return Err(unsupported(NAME, "its colours are inks"));
    }
    if !image.is_loading_done() {
        return Err(truncated(NAME, bytes.len()));
    }
    if matches!(image.jpeg_reconstruction_status(), JpegReconstructionStatus::Available) {
        // To the last byte. Its own decoder has the pixels that everybody else sees.
        let mut whole = Limited { bytes: Vec::new(), most: limits.max_bytes };
        image.reconstruct_jpeg(&mut whole).map_err(|error| corrupt(NAME, &error.to_string()))?;
        let orientation = orientation::of(&whole.bytes, ImageFormat::Jpeg);
        return Ok((jpeg::read(&whole.bytes, limits, OnTruncated::Error, None)?, orientation));
    }
    Ok((rendered(&image, 0)?, Orientation::NoTransforms))
}

/// A frame, on those before it.
fn rendered(image: &JxlImage, index: usize) -> Result<DynamicImage> {
    let format = image.pixel_format();
    let is_deep = image.image_header().metadata.bit_depth.bits_per_sample() > 8;
    let render = image.render_frame(index).map_err(failed)?;
    let stream = render.stream();
    let image = match (format.is_grayscale(), format.has_alpha(), is_deep) {
        (true, false, false) => pixels::<Luma<u8>>(stream).map(DynamicImage::from),
        (true, false, true) => pixels::<Luma<u16>>(stream).map(DynamicImage::from),
        (true, true, false) => pixels::<LumaA<u8>>(stream).map(DynamicImage::from),
        (true, true, true) => pixels::<LumaA<u16>>(stream).map(DynamicImage::from),
        (false, false, false) => pixels::<Rgb<u8>>(stream).map(DynamicImage::from),
        (false, false, true) => pixels::<Rgb<u16>>(stream).map(DynamicImage::from),
        (false, true, false) => pixels::<Rgba<u8>>(stream).map(DynamicImage::from),
        (false, true, true) => pixels::<Rgba<u16>>(stream).map(DynamicImage::from),
    };
    image.ok_or_else(|| corrupt(NAME, "it has other channels than it says"))
}

/// The frames of an animation.
pub(super) struct Frames {
    image: JxlImage,
    /// Of frames that were gone to.
    count: usize,
}

impl Frames {
    /// `None` for a file with one image.
    pub(super) fn of(bytes: &[u8], limits: &Limits) -> Result<Option<Self>> {
        let image = read(bytes, limits)?;
        check_size(NAME, image.width(), image.height(), limits)?;
        Ok((image.num_loaded_keyframes() > 1).then_some(Self { image, count: 0 }))
    }
}

impl Sequence for Frames {
    fn advance(&mut self) -> Result<Option<Delay>> {
        let Some(frame) = self.image.frame_header(self.count) else { return Ok(None) };
        self.count += 1;
        let delay = self.image.image_header().metadata.animation.as_ref().map_or(Delay::Unknown, |animation| {
            let ticks = u64::from(frame.duration).saturating_mul(1000 * u64::from(animation.tps_denominator));
            let second = u64::from(animation.tps_numerator).max(1);
            Delay::Milliseconds(u32::try_from((ticks + second / 2) / second).unwrap_or(u32::MAX))
        });
        Ok(Some(delay))
    }

    fn image(&mut self) -> Result<DynamicImage> {
        rendered(&self.image, self.count.saturating_sub(1))
    }
}

/// What is compressed well may become more than fits.
struct Limited {
    bytes: Vec<u8>,
    most: usize,
}

impl Write for Limited {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.most {
            return Err(io::Error::other("the JPEG file that it was made of is too large"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Frames of an animation; `None` where the file is too damaged to tell.
pub(super) fn frames(bytes: &[u8], limits: &Limits) -> Option<u32> {
    u32::try_from(read(bytes, limits).ok()?.num_loaded_keyframes()).ok()
}

fn read(bytes: &[u8], limits: &Limits) -> Result<JxlImage> {
    let most = memory(limits.max_pixels).max_alloc.and_then(|most| usize::try_from(most).ok());
    JxlImage::builder().alloc_tracker(AllocTracker::with_limit(most.unwrap_or(usize::MAX))).read(bytes).map_err(failed)
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> crate::Error {
    corrupt(NAME, &error.to_string())
}

/// None where the file's channels are not those of the pixel.
fn pixels<P>(mut stream: ImageStream<'_>) -> Option<ImageBuffer<P, Vec<P::Subpixel>>>
where
    P: PixelWithColorType,
    P::Subpixel: FrameBufferSample + Default + Clone,
{
    let (width, height, channels) = (stream.width(), stream.height(), stream.channels());
    if channels != u32::from(<P as Pixel>::CHANNEL_COUNT) {
        return None;
    }
    let mut samples = vec![P::Subpixel::default(); width as usize * height as usize * channels as usize];
    stream.write_to_buffer(&mut samples);
    ImageBuffer::from_raw(width, height, samples)
}

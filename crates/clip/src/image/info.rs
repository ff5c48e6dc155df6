//! What an image is like, of whatever bytes: nothing here fails.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{ImageDecoder, ImageFormat, ImageReader};

use super::decode;
use super::limits::{self, Limits};
use super::reading::Reading;
use super::{apng, jpeg, jxl, orientation, tiff_tags};

/// Frames are counted up to this number: a few bytes are enough for a frame, and a file may have millions.
pub(super) const MOST_FRAMES: u32 = 100_000;

/// What is known of an image. What its bytes do not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// Media type, such as `image/jpeg`; also of formats that are not decoded here.
    pub format: Option<&'static str>,
    /// In pixels, as stored: before it is turned.
    pub width: Option<u32>,
    /// In pixels, as stored.
    pub height: Option<u32>,
    /// EXIF orientation, 1 (upright) to 8.
    pub orientation: Option<u8>,
    /// Frames of an animation or pages of a TIFF file, of which the first is embedded; at most 100,000 are counted.
    pub frames: Option<u32>,
    /// Whether there is an alpha channel or a transparent colour.
    pub has_alpha: Option<bool>,
    /// Why it cannot be embedded, where it cannot.
    pub error: Option<String>,
}

/// Looks at an image: at its header, and by decoding it whether it could be embedded.
pub fn image_info(bytes: &[u8], limits: &Limits) -> ImageInfo {
    let mut info = ImageInfo { format: decode::media_type(bytes), ..ImageInfo::default() };
    // What cannot be given to a decoder says why in `error`.
    if let Some((format, name)) = decode::format_of(bytes)
        && let Ok(harmless) = decode::harmless(bytes, format, name, limits)
    {
        // A decoder that gives up on the header gives up on the image too, which says so in `error`.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            info.orientation = Some(orientation::of(bytes, format).to_exif());
            read_header(&harmless, format, limits, &mut info)
        }));
        info.frames = catch_unwind(AssertUnwindSafe(|| frames(&harmless, format))).ok().flatten();
    }
    if jxl::is_one(bytes) {
        info.frames = catch_unwind(AssertUnwindSafe(|| jxl::frames(bytes, limits))).ok().flatten();
    }
    match decode::open(bytes, limits, Reading::default(), None) {
        Ok(opened) => {
            // Some variants are read by decoders of ours, whose headers `image` does not know.
            let image = &opened.image;
            info.width.get_or_insert(image.width());
            info.height.get_or_insert(image.height());
            info.has_alpha.get_or_insert(image.color().has_alpha());
            info.orientation.get_or_insert(opened.orientation.to_exif());
            info.frames.get_or_insert(1);
        }
        Err(error) => info.error = Some(error.to_string()),
    }
    info
}

fn read_header(bytes: &[u8], format: ImageFormat, limits: &Limits, info: &mut ImageInfo) -> Option<()> {
    if format == ImageFormat::Jpeg {
        let (width, height) = jpeg::size(bytes)?;
        (info.width, info.height, info.has_alpha) = (Some(width), Some(height), Some(false));
        return Some(());
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits::memory(limits.max_pixels));
    let decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    (info.width, info.height) = (Some(width), Some(height));
    info.has_alpha = Some(decoder.color_type().has_alpha());
    Some(())
}

/// Counts without decoding; `None` where the file is too damaged to tell.
pub(super) fn frames(bytes: &[u8], format: ImageFormat) -> Option<u32> {
    let cursor = Cursor::new(bytes);
    match format {
        ImageFormat::Gif => {
            let mut options = gif::DecodeOptions::new();
            options.skip_frame_decoding(true);
            let mut decoder = options.read_info(cursor).ok()?;
            let mut frames = 0;
            while frames < MOST_FRAMES && matches!(decoder.next_frame_info(), Ok(Some(_))) {
                frames += 1;
            }
            Some(frames)
        }
        ImageFormat::Png => Some(apng::count(bytes)?.min(MOST_FRAMES)),
        ImageFormat::WebP => {
            let decoder = image_webp::WebPDecoder::new(cursor).ok()?;
            Some(if decoder.is_animated() { decoder.num_frames().clamp(1, MOST_FRAMES) } else { 1 })
        }
        ImageFormat::Tiff => Some((tiff_tags::pages(bytes, MOST_FRAMES).len() as u32).max(1)),
        _ => Some(1),
    }
}

//! Images made small, for people to look at.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ImageEncoder, RgbImage, RgbaImage};

use super::decode::{self, Opened};
use super::limits::Limits;
use super::reading::{OnTruncated, Reading};
use crate::error::{Error, Result};

/// Nobody sees a difference to more at this size.
const JPEG_QUALITY: u8 = 85;
/// Longest side in pixels that is made small in one go: the resizer's tables take some 40 bytes for each pixel of a side.
const MAX_RESIZED_SIDE: u32 = 1 << 19;
/// What longer ones become first.
const REDUCED_SIDE: u32 = 1 << 16;

/// An encoded image of limited size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thumbnail {
    /// It has no transparent part.
    Jpeg(Vec<u8>),
    /// It has transparent parts, and keeps them.
    Png(Vec<u8>),
}

/// Decodes an image and makes it small: at most `max_side` pixels wide and high, in its proportions, never larger than
/// it was. It is turned the way EXIF says that people see it; other metadata is left out. Of an animation the first
/// frame is taken.
///
/// # Errors
/// Those of [`crate::decode`].
pub fn thumbnail(bytes: &[u8], max_side: u32, limits: &Limits, on_truncated: OnTruncated) -> Result<Thumbnail> {
    let reading = Reading { on_truncated, ..Reading::default() };
    let Opened { mut image, orientation, name, .. } = decode::open(bytes, limits, reading, None)?;
    // An encoder or resizer that fails is one image lost, as with decoders.
    catch_unwind(AssertUnwindSafe(|| {
        image = shrink(image, max_side)?;
        image.apply_orientation(orientation);
        encode(&image)
    }))
    .unwrap_or_else(|_| Err("panic".to_owned()))
    .map_err(|reason| Error::CorruptImage { format: name.to_owned(), reason })
}

/// Antialiased, with colours weighted by their opacity, so that what lies below transparent pixels does not show.
fn shrink(image: DynamicImage, max_side: u32) -> Result<DynamicImage, String> {
    let image = match image.color().has_alpha() {
        true => DynamicImage::from(image.into_rgba8()),
        false => DynamicImage::from(image.into_rgb8()),
    };
    let (width, height) = (image.width(), image.height());
    let longest = width.max(height);
    if longest <= max_side {
        return Ok(image);
    }
    let image = if longest > MAX_RESIZED_SIDE { reduced(image) } else { image };
    let side = |side: u32| {
        ((u64::from(side) * u64::from(max_side) + u64::from(longest) / 2) / u64::from(longest)).max(1) as u32
    };
    let (from, to) = ((image.width(), image.height()), (side(width), side(height)));
    let small = match &image {
        DynamicImage::ImageRgba8(image) => {
            RgbaImage::from_raw(to.0, to.1, resized::<U8x4>(image, from, to)?).map(DynamicImage::from)
        }
        image => {
            let pixels = resized::<U8x3>(image.as_bytes(), from, to)?;
            RgbImage::from_raw(to.0, to.1, pixels).map(DynamicImage::from)
        }
    };
    Ok(small.expect("as many bytes as pixels need"))
}

/// Of these pixels alone: for any kind of pixel, compiling the resizer took as long as the rest of this crate.
fn resized<P: PixelTrait>(pixels: &[u8], from: (u32, u32), to: (u32, u32)) -> Result<Vec<u8>, String> {
    let mut small = vec![0; to.0 as usize * to.1 as usize * P::size()];
    let source = TypedImageRef::<P>::from_buffer(from.0, from.1, pixels).map_err(|error| error.to_string())?;
    let mut target = TypedImage::<P>::from_buffer(to.0, to.1, &mut small).map_err(|error| error.to_string())?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom)).use_alpha(true);
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|error| error.to_string())?;
    Ok(small)
}

/// An image that is longer than any photograph, averaged over blocks, which takes no tables.
fn reduced(image: DynamicImage) -> DynamicImage {
    let (width, height) = (image.width().min(REDUCED_SIDE), image.height().min(REDUCED_SIDE));
    image.thumbnail_exact(width, height)
}

fn encode(image: &DynamicImage) -> Result<Thumbnail, String> {
    let mut bytes = Vec::new();
    let failed = |error: image::ImageError| error.to_string();
    let transparent = image.as_rgba8().filter(|image| image.pixels().any(|pixel| pixel.0[3] < 255));
    if let Some(image) = transparent {
        let (width, height) = image.dimensions();
        PngEncoder::new(&mut bytes)
            .write_image(image, width, height, image::ExtendedColorType::Rgba8)
            .map_err(failed)?;
        return Ok(Thumbnail::Png(bytes));
    }
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(&image.to_rgb8()).map_err(failed)?;
    Ok(Thumbnail::Jpeg(bytes))
}

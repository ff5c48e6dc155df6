//! Decoded samples to 8-bit RGB.

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

use super::reading::{Reading, Transparency};
use super::samples::{Gray16, high};

/// The colours as PIL has them. It reads 16 bits per channel by leaving out the lower byte.
pub(super) fn to_rgb(image: DynamicImage, Reading { transparency, gray16, .. }: Reading) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let under = |colour: u8, alpha: u8| match transparency {
        Transparency::Drop => colour,
        Transparency::White => over_white(colour, alpha),
    };
    let gray = |value: u8| [value; 3];
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    match &image {
        DynamicImage::ImageRgb8(_) => return image.into_rgb8(),
        DynamicImage::ImageLuma8(p) => rgb.extend(p.iter().flat_map(|&v| gray(v))),
        DynamicImage::ImageLuma16(p) => rgb.extend(p.iter().flat_map(|&v| gray(gray16.level(v, 16)))),
        DynamicImage::ImageLumaA8(p) => rgb.extend(p.pixels().flat_map(|p| gray(under(p.0[0], p.0[1])))),
        DynamicImage::ImageLumaA16(p) => {
            rgb.extend(p.pixels().flat_map(|p| gray(under(high(p.0[0]), high(p.0[1])))));
        }
        DynamicImage::ImageRgba8(p) => {
            rgb.extend(p.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]].map(|v| under(v, p.0[3]))));
        }
        DynamicImage::ImageRgb16(p) => rgb.extend(p.iter().map(|&v| high(v))),
        DynamicImage::ImageRgba16(p) => {
            rgb.extend(p.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]].map(|v| under(high(v), high(p.0[3])))));
        }
        _ => return image.into_rgb8(),
    }
    RgbImage::from_raw(width, height, rgb).expect("three bytes were pushed for each pixel")
}

/// The same channels with the 8 bits that [`to_rgb`] would take of them.
pub(super) fn with_8_bits(image: DynamicImage, gray16: Gray16) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    let cut = |samples: &[u16]| samples.iter().map(|&value| high(value)).collect();
    let image: Option<DynamicImage> = match &image {
        DynamicImage::ImageLuma16(p) => {
            let levels = p.iter().map(|&value| gray16.level(value, 16)).collect();
            GrayImage::from_raw(width, height, levels).map(DynamicImage::from)
        }
        DynamicImage::ImageLumaA16(p) => GrayAlphaImage::from_raw(width, height, cut(p)).map(DynamicImage::from),
        DynamicImage::ImageRgb16(p) => RgbImage::from_raw(width, height, cut(p)).map(DynamicImage::from),
        DynamicImage::ImageRgba16(p) => RgbaImage::from_raw(width, height, cut(p)).map(DynamicImage::from),
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => return image,
        _ => return image.into_rgb8().into(),
    };
    image.expect("a byte for each sample")
}

/// PIL's `alpha_composite` on opaque white: fixed point with 7 extra bits.
fn over_white(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha) = (u32::from(colour), u32::from(alpha));
    let sum = (colour * alpha + 255 * (255 - alpha)) * 128 + (128 << 7);
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}

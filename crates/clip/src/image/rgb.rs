//! Decoded samples to 8-bit RGB.

use image::{DynamicImage, RgbImage};

use super::reading::{Reading, Transparency};
use super::samples::high;

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

/// PIL's `alpha_composite` on opaque white: fixed point with 7 extra bits.
fn over_white(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha) = (u32::from(colour), u32::from(alpha));
    let sum = (colour * alpha + 255 * (255 - alpha)) * 128 + (128 << 7);
    ((((sum >> 8) + sum) >> 8) >> 7) as u8
}

//! Pixels of 16 bits in BMP and TGA: PIL spreads 5 and 6 bits over 8 by cutting, the decoder by rounding.

use image::{DynamicImage, ImageFormat};

/// Changes the levels of an image of 16 bits per pixel to PIL's.
pub(super) fn spread(image: &mut DynamicImage, bytes: &[u8], format: ImageFormat) {
    let Some(green_bits) = green_bits(bytes, format) else { return };
    let tables = [level(5), level(green_bits), level(5)];
    let change = |pixel: &mut [u8]| {
        for (value, table) in pixel.iter_mut().zip(&tables) {
            *value = table[usize::from(*value)];
        }
    };
    match image {
        DynamicImage::ImageRgb8(image) => image.chunks_exact_mut(3).for_each(change),
        DynamicImage::ImageRgba8(image) => image.chunks_exact_mut(4).for_each(change),
        _ => {}
    }
}

/// By a rounded level PIL's level. The upper bits of both are those of the file.
fn level(bits: u32) -> [u8; 256] {
    let most = (1u32 << bits) - 1;
    std::array::from_fn(|value| ((value as u32 >> (8 - bits)) * 255 / most) as u8)
}

/// Bits of green if the image has 16 bits per pixel, two times 5 for red and blue.
fn green_bits(bytes: &[u8], format: ImageFormat) -> Option<u32> {
    let number = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    match format {
        // Bits per pixel; with a mask for each colour (3) that of green.
        ImageFormat::Bmp if number(14)? >= 40 && number(28)? == 16 => match (number(30)?, number(58)?) {
            (3, 0x7e0) => Some(6),
            (3, 0x3e0) | (0, _) => Some(5),
            _ => None,
        },
        ImageFormat::Tga if matches!(bytes.get(16)?, 15 | 16) && matches!(bytes.get(2)?, 2 | 10) => Some(5),
        _ => None,
    }
}

//! Images made ready: for the emoji model, and small for the gallery.

use anyhow::Result;
use gallery::Image;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage, Rgba, RgbaImage, imageops};
use std::io::Cursor;

/// An image up to this many bytes is shown as it is.
const SMALL_BYTES: usize = 48 * 1024;
/// Longest side of an image made small, in pixels: sharp on a phone, where an image is some 120 points wide.
const SMALL_SIDE: u32 = 360;

/// A PNG on plain white, square, with the drawing in the middle: what the model `clip-search/emoji` was trained on.
///
/// # Errors
/// It is not an image.
pub fn square_on_white(encoded: &[u8]) -> Result<Vec<u8>> {
    let drawing = image::load_from_memory(encoded)?.into_rgba8();
    let side = drawing.width().max(drawing.height());
    let mut square = RgbaImage::from_pixel(side, side, Rgba([255; 4]));
    let (left, top) = ((side - drawing.width()) / 2, (side - drawing.height()) / 2);
    imageops::overlay(&mut square, &drawing, left.into(), top.into());
    let mut out = Cursor::new(Vec::new());
    DynamicImage::from(square).into_rgb8().write_to(&mut out, ImageFormat::Png)?;
    Ok(out.into_inner())
}

/// What the gallery shows: small images as they are, others made small.
pub fn preview(encoded: &[u8]) -> Image {
    let format = image::guess_format(encoded).ok();
    let small = encoded.len() <= SMALL_BYTES;
    match format {
        Some(ImageFormat::Gif) if small => Image::Gif(encoded.to_vec()),
        Some(ImageFormat::Jpeg) if small => Image::Jpeg(encoded.to_vec()),
        Some(ImageFormat::Png) if small => Image::Png(encoded.to_vec()),
        Some(ImageFormat::WebP) if small => Image::WebP(encoded.to_vec()),
        // This build may not know the format, though the database's server does.
        _ => format
            .and_then(|format| made_small(encoded, format))
            .map_or_else(|| Image::Broken("no preview".to_owned()), Image::Jpeg),
    }
}

fn made_small(encoded: &[u8], format: ImageFormat) -> Option<Vec<u8>> {
    let mut decoder = ImageReader::with_format(Cursor::new(encoded), format).into_decoder().ok()?;
    let orientation = decoder.orientation().ok()?;
    let mut image = DynamicImage::from_decoder(decoder).ok()?;
    image.apply_orientation(orientation);
    if image.width().max(image.height()) > SMALL_SIDE {
        image = image.thumbnail(SMALL_SIDE, SMALL_SIDE);
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 82).encode_image(&flat(&image)).ok()?;
    Some(bytes)
}

/// JPEG has no transparency: what was transparent becomes white.
fn flat(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0;
        let over_white = |value: u8| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        Rgb([over_white(r), over_white(g), over_white(b)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        image.write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn squares_are_white_around_and_behind_the_drawing() {
        let drawing = RgbaImage::from_fn(6, 4, |x, _| if x < 3 { Rgba([200, 0, 0, 255]) } else { Rgba([0; 4]) });
        let png = square_on_white(&encoded(&drawing.into(), ImageFormat::Png)).unwrap();
        let square = image::load_from_memory(&png).unwrap();
        assert_eq!((square.width(), square.height(), square.color()), (6, 6, image::ColorType::Rgb8));
        let square = square.to_rgb8();
        assert_eq!(square.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(square.get_pixel(0, 1).0, [200, 0, 0]);
        assert_eq!(square.get_pixel(5, 3).0, [255; 3]);
        assert_eq!(square.get_pixel(0, 5).0, [255; 3]);
        assert!(square_on_white(b"no image").is_err());
    }

    #[test]
    fn previews_are_small_and_of_a_kind_that_browsers_show() {
        let small = encoded(&RgbImage::new(20, 10).into(), ImageFormat::Png);
        assert_eq!(preview(&small), Image::Png(small));

        let large = RgbImage::from_fn(900, 600, |x, y| Rgb([(x * y) as u8, (x ^ y) as u8, (x + y) as u8]));
        let Image::Jpeg(shown) = preview(&encoded(&large.into(), ImageFormat::Png)) else { panic!("not a JPEG") };
        let shown = image::load_from_memory(&shown).unwrap();
        assert_eq!((shown.width(), shown.height()), (360, 240));

        let bmp = encoded(&RgbImage::new(4, 4).into(), ImageFormat::Bmp);
        assert!(matches!(preview(&bmp), Image::Jpeg(_)));
        assert!(matches!(preview(b"no image"), Image::Broken(_)));
    }

    #[test]
    fn transparency_becomes_white() {
        let clear = RgbaImage::from_pixel(2, 2, Rgba([0, 0, 0, 0]));
        assert_eq!(flat(&clear.into()).get_pixel(1, 1).0, [255; 3]);
        let half = RgbaImage::from_pixel(1, 1, Rgba([255, 0, 0, 128]));
        assert_eq!(flat(&half.into()).get_pixel(0, 0).0, [255, 127, 127]);
    }
}

//! Images made small.

use clip::{Error, Limits, OnTruncated, Thumbnail, thumbnail};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use std::io::Cursor;

/// Red above blue, wider than high.
fn image(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |_, y| if y < height / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) })
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A JPEG whose EXIF block states this orientation.
fn oriented(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8).unwrap();
    bytes
}

fn small(bytes: &[u8], max_side: u32) -> (Thumbnail, DynamicImage) {
    let made = thumbnail(bytes, max_side, &Limits::default(), OnTruncated::Error).unwrap();
    let (Thumbnail::Jpeg(encoded) | Thumbnail::Png(encoded)) = &made;
    let format = if matches!(made, Thumbnail::Jpeg(_)) { ImageFormat::Jpeg } else { ImageFormat::Png };
    let decoded = image::load_from_memory_with_format(encoded, format).unwrap();
    (made, decoded)
}

fn is_red(image: &DynamicImage, x: u32, y: u32) -> bool {
    let Rgb([red, _, blue]) = *image.to_rgb8().get_pixel(x, y);
    red > 200 && blue < 60
}

#[test]
fn proportions_are_kept_and_nothing_is_enlarged() {
    for (width, height, side, expected) in [
        (640, 480, 256, (256, 192)),
        (480, 640, 256, (192, 256)),
        (100, 50, 256, (100, 50)),
        (256, 256, 256, (256, 256)),
        (4000, 3, 100, (100, 1)),
        (1, 1, 1, (1, 1)),
        (640, 480, 1, (1, 1)),
    ] {
        let (_, made) = small(&png(image(width, height)), side);
        assert_eq!((made.width(), made.height()), expected, "{width} x {height} to {side}");
    }
}

#[test]
fn people_see_it_upright() {
    let upright = image(64, 32);
    // What a camera writes for an image that is to be seen as `upright`, by orientation.
    let stored: [(u8, RgbImage); 8] = [
        (1, upright.clone()),
        (2, image::imageops::flip_horizontal(&upright)),
        (3, image::imageops::rotate180(&upright)),
        (4, image::imageops::flip_vertical(&upright)),
        (5, image::imageops::flip_horizontal(&image::imageops::rotate90(&upright))),
        (6, image::imageops::rotate270(&upright)),
        (7, image::imageops::flip_horizontal(&image::imageops::rotate270(&upright))),
        (8, image::imageops::rotate90(&upright)),
    ];
    for (orientation, stored) in stored {
        let (made, shown) = small(&oriented(&stored, orientation), 32);
        assert!(matches!(made, Thumbnail::Jpeg(_)));
        assert_eq!((shown.width(), shown.height()), (32, 16), "orientation {orientation}");
        assert!(is_red(&shown, 16, 2) && !is_red(&shown, 16, 13), "orientation {orientation}");
    }
}

#[test]
fn transparency_is_kept_where_there_is_some() {
    let opaque = RgbaImage::from_pixel(300, 300, Rgba([9, 9, 9, 255]));
    assert!(matches!(small(&png(opaque.clone()), 100).0, Thumbnail::Jpeg(_)));
    let mut holed = opaque;
    // Green below full transparency must not shine through at the edge.
    for (x, _, pixel) in holed.enumerate_pixels_mut() {
        if x >= 150 {
            *pixel = Rgba([0, 255, 0, 0]);
        }
    }
    let (made, shown) = small(&png(holed), 100);
    assert!(matches!(made, Thumbnail::Png(_)));
    for pixel in shown.to_rgba8().pixels().filter(|pixel| pixel.0[3] > 8) {
        assert!(pixel.0[1] < 60, "{pixel:?}");
    }
}

#[test]
fn sixteen_bits_and_gray_become_eight() {
    let deep = DynamicImage::from(image(80, 40)).into_rgb16();
    let (_, shown) = small(&png(deep), 20);
    assert!(is_red(&shown, 10, 2) && !is_red(&shown, 10, 8));
    let (_, shown) = small(&png(DynamicImage::from(image(80, 40)).into_luma_alpha8()), 20);
    assert_eq!((shown.width(), shown.height()), (20, 10));
}

#[test]
fn what_is_no_image_is_refused_as_everywhere() {
    let limits = Limits { max_bytes: 5000, max_pixels: 100 };
    let refused = |bytes: &[u8]| thumbnail(bytes, 10, &limits, OnTruncated::Error).unwrap_err();
    assert!(matches!(refused(b"text"), Error::NotAnImage { .. }));
    assert!(matches!(refused(&[0; 6000]), Error::ImageTooLarge { .. }));
    assert!(matches!(refused(&png(image(20, 20))), Error::TooManyPixels { .. }));
    let jpeg = oriented(&image(10, 10), 1);
    assert!(matches!(refused(&jpeg[..jpeg.len() - 30]), Error::CorruptImage { .. }));
}

#[test]
fn media_types_of_what_phones_make_are_known() {
    assert_eq!(clip::media_type(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"), Some("image/heic"));
    assert_eq!(clip::media_type(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1"), Some("image/avif"));
    assert_eq!(clip::media_type(&png(image(2, 2))), Some("image/png"));
    assert_eq!(clip::media_type(b"<html><body>404"), None);
}

//! JPEG files that are decoded in a part of their size.

mod common;

use clip::{CropRounding, Error, Filter, ImageSpec, Limits, OnTruncated, Preprocessor, Reading, Resize};
use common::image_file;
use parity::{golden_dir, jpegs, spec};

const SCALED: Reading = Reading {
    transparency: clip::Transparency::Drop,
    apply_orientation: true,
    gray16: clip::Gray16::Scale,
    on_truncated: OnTruncated::Error,
    jpeg_scaling: true,
};
const EXACT: Reading = Reading { jpeg_scaling: false, ..SCALED };

fn resized(resize: Option<Resize>, height: u32, width: u32) -> ImageSpec {
    let crop_rounding = CropRounding::Down;
    ImageSpec { height, width, resize, filter: Filter::Bicubic, center_crop: true, crop_rounding, ..spec().image }
}

fn pixels(spec: &ImageSpec, reading: Reading, bytes: &[u8]) -> Vec<u8> {
    Preprocessor::of(spec.clone()).with_reading(reading).pixels(bytes, &Limits::default()).unwrap().0
}

/// The mean difference of a value, in levels of 8 bits.
fn difference(spec: &ImageSpec, bytes: &[u8]) -> f64 {
    let (exact, scaled) = (pixels(spec, EXACT, bytes), pixels(spec, SCALED, bytes));
    assert_eq!(exact.len(), scaled.len());
    exact.iter().zip(&scaled).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / exact.len() as f64
}

/// An image of 4000 x 3000 pixels.
fn large() -> Vec<u8> {
    jpegs().into_iter().find(|jpeg| jpeg.name == "large_baseline").unwrap().bytes
}

#[test]
fn only_what_is_twice_the_input_is_scaled() {
    let bytes = large();
    // 1500 pixels high at a half.
    for (edge, is_scaled) in [(224, true), (750, true), (751, false)] {
        let difference = difference(&resized(Some(Resize::ShortestEdge(edge)), edge, edge), &bytes);
        assert_eq!(difference > 0.0, is_scaled, "{edge}: {difference}");
        assert!(difference < 2.0, "{edge}: {difference}");
    }
    // Both sides count, and an image that is only cropped is not made smaller.
    let wide = |width| resized(Some(Resize::Exact { height: 224, width }), 224, width);
    assert!(difference(&wide(1000), &bytes) > 0.0);
    assert_eq!(difference(&wide(1001), &bytes), 0.0);
    assert_eq!(difference(&resized(None, 224, 224), &bytes), 0.0);
}

/// Sides are compared as they are after the image is turned.
#[test]
fn a_turned_image_is_scaled_by_its_turned_sides() {
    let exif = *b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let bytes = large();
    let turned = [&bytes[..2], &exif, &bytes[2..]].concat();
    let exact = |height, width| resized(Some(Resize::Exact { height, width }), height, width);
    // Twice 1,000 rows are more than half of 3,000, and half of 4,000.
    assert_eq!(difference(&exact(1000, 224), &bytes), 0.0);
    let found = difference(&exact(1000, 224), &turned);
    assert!(found > 0.0 && found < 2.0, "{found}");
    let as_stored = Reading { apply_orientation: false, ..SCALED };
    let spec = exact(1000, 224);
    assert_eq!(
        pixels(&spec, as_stored, &turned),
        pixels(&spec, Reading { apply_orientation: false, ..EXACT }, &turned)
    );
}

/// The limit is on the image's own pixels, and what is damaged is refused or read as far as it goes.
#[test]
fn limits_and_damage_are_those_of_the_whole_image() {
    let (bytes, spec) = (large(), resized(Some(Resize::ShortestEdge(224)), 224, 224));
    let preprocessor = Preprocessor::of(spec.clone()).with_reading(SCALED);
    let limits = Limits { max_pixels: 4000 * 3000 - 1, ..Limits::default() };
    assert!(matches!(
        preprocessor.pixels(&bytes, &limits),
        Err(Error::TooManyPixels { width: 4000, height: 3000, .. })
    ));
    let cut = &bytes[..bytes.len() / 2];
    assert!(matches!(preprocessor.pixels(cut, &Limits::default()), Err(Error::CorruptImage { .. })));
    let lenient = Preprocessor::of(spec.clone()).with_reading(Reading { on_truncated: OnTruncated::Decode, ..SCALED });
    let (part, damage) = lenient.pixels(cut, &Limits::default()).unwrap();
    assert!(damage.is_some());
    assert_ne!(part, pixels(&spec, SCALED, &bytes));
}

/// Formats that have no DCT to scale, and JPEG inside TIFF.
#[test]
fn other_images_are_exact() {
    let spec = resized(Some(Resize::ShortestEdge(8)), 8, 8);
    assert!(difference(&spec, &image_file("photo_444.jpg")) > 0.0);
    assert_eq!(difference(&spec, &image_file("photo.bmp")), 0.0);
    let tiff = std::fs::read(golden_dir().join("formats/tiff/jpeg_ycbcr22.tiff")).unwrap();
    assert_eq!(difference(&spec, &tiff), 0.0);
}

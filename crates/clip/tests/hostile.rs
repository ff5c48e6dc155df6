//! Bytes that are not an image, or a bad one, and texts of all kinds.

mod common;

use clip::{Error, Limits, LongText, Preprocessor, Reading, Tokenizer, decode};
use common::*;
use proptest::prelude::*;

fn error(bytes: &[u8]) -> Error {
    let error = decode(bytes, &Limits::default(), Reading::default()).expect_err("was decoded");
    assert!(error.is_about_image(), "{error}");
    assert!(error.to_string().len() < 300, "{error}");
    error
}

#[test]
fn what_is_no_image() {
    assert_eq!(error(b"").to_string(), "0 bytes are not an image in a known format");
    assert_eq!(error(b"x").to_string(), "1 byte (78) is not an image in a known format");
    let text = error(b"Lorem ipsum dolor sit amet");
    assert_eq!(text.to_string(), "26 bytes (starting 4c 6f 72 65 6d 20 69 70) are not an image in a known format");
    for bytes in [&b"<p>no image</p>"[..], &[0; 1000], &[255; 1000]] {
        assert!(matches!(error(bytes), Error::NotAnImage { .. }), "{bytes:?}");
    }
}

#[test]
fn truncated_images_of_every_format() {
    for image in golden().images {
        let bytes = image_file(&image.file);
        let whole = decode(&bytes, &Limits::default(), Reading::default()).unwrap();
        for length in (1..20).map(|part| bytes.len() * part / 20) {
            match decode(&bytes[..length], &Limits::default(), Reading::default()) {
                Err(error) => assert!(error.is_about_image(), "{}: {error}", image.file),
                // Only something behind the pixels was cut off.
                Ok(part) => assert_eq!(part, whole, "{} from {length} of {} bytes", image.file, bytes.len()),
            }
        }
    }
}

#[test]
fn the_formats_are_those_that_are_compiled_in() {
    let mut compiled: Vec<_> = image::ImageFormat::all().filter(image::ImageFormat::reading_enabled).collect();
    let mut listed: Vec<_> = clip::FORMATS.iter().map(|(format, _)| *format).collect();
    let name = |format: &image::ImageFormat| format!("{format:?}");
    compiled.sort_by_key(name);
    listed.sort_by_key(name);
    assert_eq!(listed, compiled);
}

#[test]
fn files_of_other_kinds_are_named() {
    let said = |start: &[u8]| error(&[start, &[0; 600]].concat()).to_string();
    let no_decoder = [
        (&b"DDS \x7c\0\0\0"[..], "DDS"),
        (b"farbfeld", "farbfeld"),
        (b"#?RADIANCE\n", "Radiance HDR"),
        (b"\x76\x2f\x31\x01", "OpenEXR"),
        (b"<?xml version=\"1.0\"?>\n<!-- a drawing -->\n<svg xmlns=\"http://www.w3.org/2000/svg\">", "SVG"),
        (b"\xef\xbb\xbf<svg>", "SVG"),
        (b"8BPS\0\x01", "PSD"),
    ];
    for (start, name) in no_decoder {
        let wanted = format!("{name} image is of a kind that is not supported: this build has no decoder for it");
        assert_eq!(said(start), wanted);
    }
    let other = [
        (&b"%PDF-1.7\n"[..], "PDF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "MP4"),
        (b"PK\x03\x04\x14\0", "ZIP"),
        (b"\x1f\x8b\x08\0", "GZ"),
        (b"\x7fELF\x02\x01\x01\0", "ELF"),
    ];
    for (start, kind) in other {
        assert_eq!(said(start), format!("the bytes are not an image but a file of the format {kind}"));
    }
}

#[test]
fn a_truncated_jpeg_says_where() {
    let bytes = image_file("photo_420.jpg");
    let cut = &bytes[..bytes.len() - 100];
    let text = error(cut).to_string();
    assert_eq!(text, format!("JPEG image is corrupt: it is truncated after {} bytes", cut.len()));
}

/// A PNG header that promises so many pixels, and no data.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = image_file("tiny.png");
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = !0u32;
    for byte in &bytes[12..29] {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 });
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

#[test]
fn limits_are_checked_on_the_header() {
    let max = Limits::default().max_pixels;
    for (width, height) in [(100_000, 100_000), (9_460, 9_460), (89_478_486, 1)] {
        assert_eq!(error(&png_header(width, height)), Error::TooManyPixels { width, height, max });
    }
    // A single row of it is too much for the decoder.
    assert!(matches!(error(&png_header(0x7fff_ffff, 1)), Error::UnsupportedImage { .. }));
    // Within the limit, but nothing behind the header.
    assert!(matches!(error(&png_header(5_000, 5_000)), Error::CorruptImage { .. }));
    assert!(matches!(error(&png_header(0, 5)), Error::CorruptImage { .. }));
    // A BMP and a GIF likewise.
    let mut bmp = image_file("photo.bmp");
    bmp[18..22].copy_from_slice(&60_000i32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000i32.to_le_bytes());
    assert!(matches!(error(&bmp), Error::TooManyPixels { .. }));
    let mut gif = image_file("photo.gif");
    gif[6..10].copy_from_slice(&[0xff; 4]);
    assert!(matches!(error(&gif), Error::TooManyPixels { .. }));

    let bytes = image_file("wide.png");
    let exactly = Limits { max_bytes: bytes.len(), max_pixels: 97 * 50 };
    assert!(decode(&bytes, &exactly, Reading::default()).is_ok());
    let few_bytes = Limits { max_bytes: bytes.len() - 1, ..exactly };
    let wanted = Error::ImageTooLarge { bytes: bytes.len(), max: bytes.len() - 1 };
    assert_eq!(decode(&bytes, &few_bytes, Reading::default()).unwrap_err(), wanted);
    let few_pixels = Limits { max_pixels: 97 * 50 - 1, ..exactly };
    let wanted = Error::TooManyPixels { width: 97, height: 50, max: 97 * 50 - 1 };
    assert_eq!(decode(&bytes, &few_pixels, Reading::default()).unwrap_err(), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes are, decoding ends with an image or with an error about the image.
    #[test]
    fn damaged_images(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let images = golden().images;
        let mut bytes = image_file(&which.get(&images).file);
        for (at, value) in changes {
            let at = at.index(bytes.len().min(200));
            bytes[at] = value;
        }
        if cut.index(2) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20 };
        match Preprocessor::new(&spec()).run(&bytes, &limits) {
            Ok(input) => prop_assert!(input.iter().all(|value| value.is_finite())),
            Err(error) => prop_assert!(error.is_about_image(), "{}", error),
        }
    }

    /// Whatever the text is, it has a start, an end, and at most the context's number of tokens.
    #[test]
    fn any_text(text in "\\PC{0,120}|[a-z ]{0,200}|(.|\n){0,60}") {
        thread_local!(static TOKENIZER: Tokenizer = Tokenizer::load(&spec()).unwrap());
        let spec = spec();
        let ids = TOKENIZER.with(|tokenizer| tokenizer.encode(&text, LongText::Truncate)).unwrap();
        prop_assert!((2..=77).contains(&ids.len()));
        prop_assert_eq!((ids.first().copied(), ids.last().copied()), (spec.tokens.bos, spec.tokens.eos));
    }
}

#[test]
fn long_texts_end() {
    // Not timed: a tokenizer that took time by the square of a word's length would be at this for hours.
    let tokenizer = Tokenizer::load(&spec()).unwrap();
    for piece in ["a photo of a cat ", "x", "photo", "1", "!", "猫", "e\u{301}", "👩‍👧", "a\u{200b}", "'s"] {
        for characters in [10_000, 400_000] {
            let text = piece.repeat(characters / piece.chars().count());
            match tokenizer.encode(&text, LongText::Truncate) {
                Ok(ids) => assert_eq!(ids.len(), 77, "{piece:?}"),
                // Without a place to cut it.
                Err(Error::TextTooLarge { .. }) => {
                    assert!(characters == 400_000 && piece != "1" && !piece.contains(' '))
                }
                Err(error) => panic!("{piece:?}: {error}"),
            }
        }
    }
}

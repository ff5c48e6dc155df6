//! What is told of images, whole and broken.

use clip::{ImageInfo, Limits, image_info};
use std::path::Path;

fn image(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/images").join(name)).unwrap()
}

fn info(bytes: &[u8]) -> ImageInfo {
    image_info(bytes, &Limits::default())
}

fn gif(frames: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, 2, 2, &[0, 0, 0, 255, 255, 255]).unwrap();
    for _ in 0..frames {
        let frame = gif::Frame { width: 2, height: 2, buffer: vec![0, 1, 0, 1].into(), ..gif::Frame::default() };
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

#[test]
fn whole_images() {
    for (name, format, has_alpha) in [
        ("photo_420.jpg", "image/jpeg", false),
        ("gray.jpg", "image/jpeg", false),
        ("alpha.png", "image/png", true),
        ("gray_alpha.png", "image/png", true),
        ("exact.png", "image/png", false),
        ("photo.webp", "image/webp", false),
        ("photo.bmp", "image/bmp", false),
        ("photo.tiff", "image/tiff", false),
    ] {
        let found = info(&image(name));
        let (width, height) = image::load_from_memory(&image(name)).map(|p| (p.width(), p.height())).unwrap();
        let expected = ImageInfo {
            format: Some(format),
            width: Some(width),
            height: Some(height),
            orientation: Some(1),
            frames: Some(1),
            has_alpha: Some(has_alpha),
            error: None,
        };
        assert_eq!(found, expected, "{name}");
    }
}

/// What can be embedded has a size, whichever decoder reads it.
#[test]
fn every_variant_of_every_format() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/formats");
    let (mut seen, mut refused) = (0, 0);
    for folder in std::fs::read_dir(formats).unwrap().map(|entry| entry.unwrap()) {
        if folder.file_name() == "reference" || !folder.path().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let found = info(&std::fs::read(&file).unwrap());
            seen += 1;
            refused += i32::from(found.error.is_some());
            assert!(found.format.is_some() || found.error.is_some(), "{}: {found:?}", file.display());
            let known = [found.width, found.height, found.frames, found.orientation.map(u32::from)];
            assert!(found.error.is_some() || known.iter().all(Option::is_some), "{}: {found:?}", file.display());
        }
    }
    // Those that PIL refuses, too, and a few that tests/parity/src/expected.rs names.
    assert!(seen > 500 && refused < 25, "{refused} of {seen}");
}

#[test]
fn frames_are_counted() {
    for frames in [1, 2, 500] {
        let found = info(&gif(frames));
        assert_eq!((found.frames, found.error), (Some(frames as u32), None));
    }
    // Cut in the third of five: the first can be embedded.
    let whole = gif(5);
    let cut = &whole[..whole.len() * 11 / 20];
    let found = info(cut);
    assert!(found.error.is_none() && (1..5).contains(&found.frames.unwrap()), "{found:?}");
}

#[test]
fn pages_are_counted() {
    for (name, pages) in [("pages", 3), ("bigtiff", 1), ("big_endian", 1)] {
        let found = info(&image(&format!("../formats/tiff/{name}.tiff")));
        assert_eq!((found.frames, found.error), (Some(pages), None), "{name}");
    }
}

/// 40,000 pages with as many tags each, one over the other: reading them all would take minutes.
#[test]
fn pages_that_overlap_are_counted_without_reading_their_tags() {
    const PAGES: u16 = 40_000;
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    // Each page begins 12 bytes behind the one before, and so does the link behind its last entry.
    for at in 0..2 * u32::from(PAGES) {
        let page = (at + 1).checked_sub(PAGES.into()).filter(|page| (1..PAGES.into()).contains(page));
        let next = page.map_or(0, |page| 8 + 12 * page);
        bytes.extend(PAGES.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        bytes.extend([0; 6]);
    }
    assert_eq!(info(&bytes).frames, Some(u32::from(PAGES)));
}

#[test]
fn broken_images_say_why() {
    let whole = image("photo_420.jpg");
    let cut = info(&whole[..whole.len() / 2]);
    assert_eq!((cut.format, cut.frames), (Some("image/jpeg"), Some(1)));
    assert!(
        cut.width.is_some() && cut.error.as_ref().is_some_and(|error| error.contains("truncated after")),
        "{cut:?}"
    );

    let nothing = info(b"");
    assert!(nothing.format.is_none() && nothing.width.is_none() && nothing.error.is_some());
    let text = info(b"This is a text, not an image.");
    assert!(text.format.is_none() && text.error.is_some());

    let heic = info(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    assert_eq!(heic.format, Some("image/heic"));
    assert!(heic.error.is_some_and(|error| error.contains("HEIC")), "the error names the format");

    let small = image_info(&whole, &Limits { max_bytes: 10, ..Limits::default() });
    assert!(small.error.is_some_and(|error| error.contains("more than 10")));
    let few = image_info(&whole, &Limits { max_pixels: 10, ..Limits::default() });
    assert!(few.width.is_some() && few.error.is_some_and(|error| error.contains("10 pixels")));
}

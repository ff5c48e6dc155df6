//! Images that promise much end soon and take little memory, whatever they promise.

use clip::{FrameRange, Limits, ModelName, ModelSpec, OnTruncated, Preprocessor, Reading};
use fuzz_targets::memory::peak_of;
use fuzz_targets::seeds::bombs::{self, Outcome};
use fuzz_targets::{LIMITS, MEMORY};
use std::io::Write;

fn preprocessor() -> Preprocessor {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/models/golden/small");
    let name = ModelName::parse("golden/small").unwrap();
    Preprocessor::new(&ModelSpec::read(directory.as_ref(), &name).unwrap())
}

/// Reads each bomb, describes it, and makes a thumbnail and frames of it; what is wrong with any is said at the end.
fn explode(limits: &Limits, most: usize) {
    // Printing a backtrace takes memory that would count as the decoder's.
    fuzz_targets::tolerate_caught_panics();
    let preprocessor = preprocessor();
    let mut wrong = Vec::new();
    for bomb in bombs::all() {
        let (result, peak) = peak_of(|| preprocessor.run(&bomb.bytes, limits).map(|_| ()));
        let (_, small) = peak_of(|| clip::thumbnail(&bomb.bytes, 64, limits, OnTruncated::Decode).is_ok());
        let (_, described) = peak_of(|| clip::image_info(&bomb.bytes, limits));
        let range = FrameRange { first: 1, every: 1, max: 10 };
        let (_, framed) = peak_of(|| clip::frames(&bomb.bytes, limits, Reading::default(), range).is_ok());
        let said = result.as_ref().map_or_else(ToString::to_string, |()| "an image".to_owned());
        let peak = peak.max(small).max(described).max(framed);
        let line = format!("{}: {} bytes, {} KiB: {said}", bomb.name, bomb.bytes.len(), peak >> 10);
        println!("{line}");
        let fine = match result {
            Ok(()) => bomb.outcome == Outcome::Ignored,
            Err(error) => error.is_about_image(),
        };
        if !fine || peak > most {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "more than {} KiB, or read although it is no image:\n{}", most >> 10, wrong.join("\n"));
}

/// A PNG of one bit for each pixel.
fn black(width: u32, height: u32) -> Vec<u8> {
    let mut rows = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let row = vec![0; 1 + width.div_ceil(8) as usize];
    (0..height).for_each(|_| rows.write_all(&row).unwrap());
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([1, 0, 0, 0, 0]);
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let content = [kind, data].concat();
        let crc = crc32fast::hash(&content);
        [&(data.len() as u32).to_be_bytes(), content.as_slice(), &crc.to_be_bytes()].concat()
    };
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &rows.finish().unwrap()), chunk(b"IEND", &[])].concat();
    [b"\x89PNG\r\n\x1a\n", chunks.as_slice()].concat()
}

/// As many pixels as there may be, in one row or one column: the resizer's tables are bounded, too.
#[test]
fn the_longest_images_stay_within_the_budget() {
    // A quarter of the usual pixels: memory is in proportion, and so is the time.
    let limits = Limits { max_bytes: 1 << 20, max_pixels: Limits::default().max_pixels / 4 };
    let most = limits.max_pixels as u32;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/models/golden/small");
    let spec = ModelSpec::read(directory.as_ref(), &ModelName::parse("golden/small").unwrap()).unwrap().image;
    let squash = clip::ImageSpec {
        resize: Some(clip::Resize::Exact { height: spec.height, width: spec.width }),
        filter: clip::Filter::Bicubic,
        ..spec.clone()
    };
    // Each image takes 67 MB as red, green and blue, and 3 kB as a file.
    for (width, height) in [(most, 1), (1, most), (most / 7, 7)] {
        let image = black(width, height);
        for spec in [&spec, &squash] {
            let (made, peak) = peak_of(|| Preprocessor::of(spec.clone()).run(&image, &limits));
            made.unwrap();
            println!("{width} x {height}: {} MiB", peak >> 20);
            assert!(peak as u64 <= limits.memory(), "{width} x {height}: {peak} bytes");
        }
        for side in [64, 4096] {
            let (made, peak) = peak_of(|| clip::thumbnail(&image, side, &limits, OnTruncated::Error));
            made.unwrap();
            println!("{width} x {height} to {side}: {} MiB", peak >> 20);
            assert!(peak as u64 <= limits.memory(), "a thumbnail of {width} x {height}: {peak} bytes");
        }
    }
}

#[test]
fn within_small_limits() {
    explode(&LIMITS, MEMORY);
}

#[test]
fn within_the_default_limits() {
    // Bombs of more than a megabyte get further here; none has more pixels.
    explode(&Limits::default(), MEMORY);
}

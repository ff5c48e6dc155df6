//! Images decoded in a part of their size, beside Pillow's `draft`.

use jpeg::{Decoder, Limits, Output};
use parity::{JpegDigests, golden_dir, jpegs};
use std::collections::HashMap;

const LIMITS: Limits = Limits { max_memory: 1 << 30, max_scans: 100 };

#[test]
fn scaled_images_are_pillows() {
    let json = std::fs::read(golden_dir().join("jpegs_scaled.json")).unwrap();
    let expected: Vec<(String, u32, String)> = serde_json::from_slice(&json).unwrap();
    let files: HashMap<String, Vec<u8>> = jpegs().into_iter().map(|jpeg| (jpeg.name, jpeg.bytes)).collect();
    for (name, divisor, digest) in &expected {
        let mut decoder = Decoder::new(None, &files[name], false).unwrap();
        let header = decoder.header();
        decoder.scale_down_to((header.width / divisor).into(), (header.height / divisor).into()).unwrap();
        let (width, height) = decoder.size();
        let (pixels, _) = decoder.decode(Output::Colours, LIMITS).unwrap();
        let rgb = match header.components {
            1 => pixels.iter().flat_map(|gray| [*gray; 3]).collect(),
            _ => pixels,
        };
        let found = JpegDigests::of_bytes(&[format!("{width}x{height}").as_bytes(), &rgb].concat());
        assert_eq!(&found, digest, "{name}, 1/{divisor}: {width} x {height}");
    }
    assert!(expected.len() >= 200, "only {} were compared", expected.len());
    for divisor in [2, 4, 8] {
        assert!(expected.iter().any(|(_, other, _)| *other == divisor), "none by {divisor}");
    }
}

#[test]
fn the_smallest_that_is_enough_is_taken() {
    let large = jpegs().into_iter().find(|jpeg| jpeg.name == "large_baseline").unwrap().bytes;
    let size = |width, height| {
        let mut decoder = Decoder::new(None, &large, false).unwrap();
        decoder.scale_down_to(width, height).unwrap();
        decoder.size()
    };
    assert_eq!(size(1, 1), (500, 375));
    assert_eq!(size(500, 375), (500, 375));
    assert_eq!(size(501, 375), (1000, 750));
    assert_eq!(size(500, 376), (1000, 750));
    assert_eq!(size(1001, 1), (2000, 1500));
    assert_eq!(size(2001, 1), (4000, 3000));
    assert_eq!(size(u64::MAX, u64::MAX), (4000, 3000));
}

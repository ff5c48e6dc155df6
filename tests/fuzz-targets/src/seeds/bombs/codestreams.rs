//! JPEG 2000 and JPEG XL, of which this library writes none: a golden file is changed.

use super::{Bomb, ignored, refused};
use crate::golden;

pub(super) fn bombs() -> Vec<Bomb> {
    vec![
        refused("JPEG 2000 of 4294967295 x 4294967295", jpeg2000(u32::MAX, u32::MAX)),
        refused("JPEG 2000 of 60000 x 60000", jpeg2000(60_000, 60_000)),
        refused("JPEG 2000 of 9400 x 9400", jpeg2000(9_400, 9_400)),
        refused("JPEG 2000 of 1000 x 1000 in a million tiles", jpeg2000(1_000, 1)),
        refused("JPEG 2000 of 1000 x 1000 in precincts of one pixel", with_small_precincts(1_000)),
        refused("JPEG 2000 with 16384 components", with_components(16_384)),
        ignored("JPEG XL of 1000 x 1000 of nothing", read("jpegxl/flat.jxl")),
    ]
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(golden::dir().join("formats").join(name)).expect("the golden images are there")
}

/// A square, in square tiles: their sizes stand in the marker SIZ, which comes first.
fn jpeg2000(side: u32, tile: u32) -> Vec<u8> {
    let mut bytes = read("jpeg2000/rgb.j2k");
    for (at, value) in [(8, side), (12, side), (24, tile), (28, tile)] {
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

/// The marker COD, which comes next, has the number of resolutions, and a byte for the precincts of each where its first says so.
fn with_small_precincts(side: u32) -> Vec<u8> {
    let bytes = jpeg2000(side, side);
    let (before, cod) = bytes.split_at(bytes.windows(2).position(|marker| marker == [0xff, 0x52]).expect("it has one"));
    let without_levels = [&cod[..3], &[13, cod[4] | 1], &cod[5..9], &[0], &cod[10..14], &[0]].concat();
    [before, &without_levels, &cod[14..]].concat()
}

fn with_components(count: u16) -> Vec<u8> {
    let bytes = read("jpeg2000/rgb.j2k");
    // Three bytes each, behind their number; the length of the marker counts itself.
    let length = u16::try_from(38 + 3 * u32::from(count)).expect("it fits");
    let components = [7, 1, 1].repeat(count.into());
    [&bytes[..4], &length.to_be_bytes(), &bytes[6..40], &count.to_be_bytes(), &components, &bytes[51..]].concat()
}

//! WebP.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};

use super::{Bomb, Size, exif, ignored, refused};

/// Flags of VP8X.
const ANIMATION: u8 = 1 << 1;
const EXIF: u8 = 1 << 3;
const PROFILE: u8 = 1 << 5;

pub(super) fn bombs(size: Size) -> Vec<Bomb> {
    let pixels = pixels(4, 4);
    let frame = |width: u32, height: u32| {
        let sizes = [u24(0), u24(0), u24(width - 1), u24(height - 1), u24(40)].concat();
        chunk(b"ANMF", &[sizes.as_slice(), &[0], &pixels].concat())
    };
    let animation = |width, height, frames: Vec<u8>| {
        riff(&[extended(ANIMATION, width, height), chunk(b"ANIM", &[0; 6]), frames].concat())
    };
    let beside = |flag: u8, kind: &[u8; 4], data: &[u8]| {
        riff(&[extended(flag, 4, 4), pixels.clone(), chunk(kind, data)].concat())
    };
    let lossless = |width: u32, height: u32| {
        let bits = (width - 1) | (height - 1) << 14;
        riff(&chunk(b"VP8L", &[&[0x2f], bits.to_le_bytes().as_slice(), &[0; 8]].concat()))
    };
    let lossy = |width: u16, height: u16| {
        let sizes = [width.to_le_bytes(), height.to_le_bytes()].concat();
        riff(&chunk(b"VP8 ", &[b"\x10\x02\0\x9d\x01\x2a", sizes.as_slice(), &[0; 32]].concat()))
    };
    vec![
        refused("WebP, canvas of 16777216 x 16777216", animation(1 << 24, 1 << 24, frame(1 << 24, 1 << 24))),
        refused("WebP, canvas of 65535 x 65537", riff(&[extended(0, 65_535, 65_537), pixels.clone()].concat())),
        refused("WebP, animation of 16777216 x 1", animation(1 << 24, 1, frame(4, 1))),
        refused("WebP, frame larger than the canvas", animation(4, 4, frame(1 << 24, 1 << 24))),
        refused("WebP, lossless of 16384 x 16384", lossless(16_384, 16_384)),
        refused("WebP, lossless of 1000 x 1000 without pixels", lossless(1_000, 1_000)),
        refused("WebP, lossy of 16383 x 16383", lossy(16_383, 16_383)),
        refused("WebP, lossy of 1000 x 1000 without pixels", lossy(1_000, 1_000)),
        refused("WebP, chunk of 4 GiB", {
            let mut bytes = riff(&chunk(b"VP8 ", b"\x10\x02\0\x9d\x01\x2a\x04\0\x04\0"));
            bytes[16..20].fill(0xff);
            bytes
        }),
        ignored("WebP, animation of many frames", animation(4, 4, frame(4, 4).repeat(size.repeats))),
        ignored("WebP with a cycle in EXIF", beside(EXIF, b"EXIF", &exif::cycle())),
        ignored("WebP with 65535 tags in EXIF", beside(EXIF, b"EXIF", &exif::many())),
        ignored("WebP with a profile of 4 GiB", lying(beside(PROFILE, b"ICCP", &[0; 4]))),
        ignored("WebP with EXIF of 4 GiB behind the end", {
            let good = riff(&[extended(EXIF, 4, 4), pixels.clone()].concat());
            [good.as_slice(), b"EXIF", &[0xff; 4]].concat()
        }),
        ignored("WebP with EXIF of 4 GiB", lying(beside(EXIF, b"EXIF", &[0; 4]))),
    ]
}

/// The same with a last chunk, of 4 bytes, that claims far more.
fn lying(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 8;
    bytes[at..at + 4].fill(0xff);
    bytes
}

fn riff(chunks: &[u8]) -> Vec<u8> {
    let length = chunks.len() as u32 + 4;
    [b"RIFF", length.to_le_bytes().as_slice(), b"WEBP", chunks].concat()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let padding = &[0][..data.len() % 2];
    [kind, (data.len() as u32).to_le_bytes().as_slice(), data, padding].concat()
}

fn extended(flags: u8, width: u32, height: u32) -> Vec<u8> {
    chunk(b"VP8X", &[[flags, 0, 0, 0].as_slice(), &u24(width - 1), &u24(height - 1)].concat())
}

fn u24(value: u32) -> [u8; 3] {
    let [a, b, c, _] = value.to_le_bytes();
    [a, b, c]
}

/// The chunk of a good lossless image.
fn pixels(width: u32, height: u32) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    RgbImage::new(width, height).write_to(&mut file, ImageFormat::WebP).expect("RGB can be written");
    file.into_inner()[12..].to_vec()
}

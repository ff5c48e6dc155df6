//! JPEG.

use std::io::Cursor;

use image::{GrayImage, ImageFormat};

use super::{Bomb, Size, exif, ignored, refused};

pub(super) fn bombs(size: Size) -> Vec<Bomb> {
    let good = good();
    let behind_start = |parts: &[u8]| [&good[..2], parts, &good[2..]].concat();
    let mut scans = vec![0xff, 0xd8];
    scans.extend(segment(0xc2, &frame(1_000, 1_000)));
    scans.extend(segment(0xdb, &[vec![0], vec![1; 64]].concat()));
    scans.extend(segment(0xc4, &[vec![0, 1], vec![0; 15], vec![0]].concat()));
    for _ in 0..size.repeats {
        scans.extend(segment(0xda, &[1, 1, 0, 0, 0, 0]));
        scans.push(0);
    }
    scans.extend([0xff, 0xd9]);
    let profile = |number: u8| segment(0xe2, &[b"ICC_PROFILE\0".as_slice(), &[number, 255], &[0; 60_000]].concat());
    vec![
        refused("JPEG of 65535 x 65535", resized(&good, 65_535, 65_535)),
        ignored("JPEG of 65500 x 17 with pixels for 16 x 16", resized(&good, 65_500, 17)),
        refused("JPEG of 0 x 0", resized(&good, 0, 0)),
        refused("JPEG, progressive, of 65535 x 65535", {
            let mut bytes = resized(&good, 65_535, 65_535);
            let at = position(&bytes);
            bytes[at + 1] = 0xc2;
            bytes
        }),
        refused("JPEG with many scans", scans),
        refused(
            "JPEG with a segment that is too long",
            good[..2].iter().copied().chain(*b"\xff\xe1\xff\xffExif\0\0").collect(),
        ),
        ignored("JPEG with a cycle in EXIF", behind_start(&app1(&exif::cycle()))),
        ignored("JPEG with 65535 tags in EXIF", behind_start(&app1(&exif::many()))),
        ignored("JPEG with many EXIF", behind_start(&app1(&exif::cycle()).repeat(size.repeats / 10))),
        ignored("JPEG with 255 profiles of one number", behind_start(&profile(1).repeat((size.repeats / 80).min(255)))),
        ignored("JPEG with many comments", behind_start(&segment(0xfe, b"x").repeat(size.repeats))),
    ]
}

fn good() -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let image = GrayImage::from_fn(16, 16, |x, y| image::Luma([(x * y) as u8]));
    image.write_to(&mut file, ImageFormat::Jpeg).expect("gray can be written");
    file.into_inner()
}

/// A good image with so many bytes of comments in it.
pub(super) fn padded(bytes: usize) -> Vec<u8> {
    let good = good();
    [&good[..2], &segment(0xfe, &[0; 60_000]).repeat(bytes / 60_000 + 1), &good[2..]].concat()
}

fn segment(code: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, code], (data.len() as u16 + 2).to_be_bytes().as_slice(), data].concat()
}

fn app1(exif: &[u8]) -> Vec<u8> {
    segment(0xe1, &[b"Exif\0\0", exif].concat())
}

/// The header of a gray image.
fn frame(width: u16, height: u16) -> Vec<u8> {
    let ([h0, h1], [w0, w1]) = (height.to_be_bytes(), width.to_be_bytes());
    vec![8, h0, h1, w0, w1, 1, 1, 0x11, 0]
}

/// Where the frame's header is.
fn position(bytes: &[u8]) -> usize {
    bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline image has it")
}

fn resized(bytes: &[u8], width: u16, height: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = position(&bytes) + 5;
    bytes[at..at + 2].copy_from_slice(&height.to_be_bytes());
    bytes[at + 2..at + 4].copy_from_slice(&width.to_be_bytes());
    bytes
}

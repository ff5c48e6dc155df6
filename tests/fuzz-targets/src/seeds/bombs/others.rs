//! GIF, BMP, ICO, TGA, QOI and PNM.

use super::png::{chunk, header, png};
use super::{Bomb, Size, ignored, refused};
use crate::seeds::formats::TGA_FOOTER;

pub(super) fn bombs(size: Size) -> Vec<Bomb> {
    let mut gif_codes = vec![8];
    // A clear code and one pixel, over and over, with codes of 9 bits: 0x100, 0x000.
    gif_codes.extend(
        [&[72], [0x00, 0x01, 0x00, 0x04, 0x00, 0x10, 0x00, 0x40, 0x00].repeat(8).as_slice()]
            .concat()
            .repeat(size.repeats),
    );
    gif_codes.push(0);
    let run = [0xfd].repeat(64);
    let huge = png(&[header(50_000, 50_000, 8, 6, 0), chunk(b"IDAT", &[0x78, 1])]);
    vec![
        refused("GIF of 65535 x 65535", gif(65_535, 65_535, &frame(65_535, 65_535, &[8, 0]))),
        refused("GIF with a frame of 65535 x 65535", gif(1, 1, &frame(65_535, 65_535, &gif_codes))),
        refused("GIF of 1000 x 1000 without pixels", gif(1_000, 1_000, &[])),
        ignored("GIF with a row of 1000 x 1000", gif(1_000, 1_000, &frame(1_000, 1, &gif_codes))),
        ignored("GIF with many frames", gif(1, 1, &frame(1, 1, &[2, 2, 0x44, 1, 0]).repeat(size.repeats))),
        ignored(
            "GIF with many comments",
            gif(1, 1, &[b"!\xfe\x01x\0".repeat(size.repeats), frame(1, 1, &[2, 2, 0x44, 1, 0])].concat()),
        ),
        refused("BMP of 2147483647 x 2147483647", bmp(i32::MAX, i32::MAX, 24, 0, 0)),
        refused("BMP of 60000 x -60000", bmp(60_000, -60_000, 32, 0, 0)),
        refused("BMP with a row of 2147483647", bmp(i32::MAX, 1, 1, 0, 0)),
        refused("BMP with the height -2147483648", bmp(1, i32::MIN, 24, 0, 0)),
        refused("BMP of 1000 x 1000 without pixels", bmp(1_000, 1_000, 24, 0, 0)),
        refused("BMP with 4294967295 colours", bmp(100, 100, 8, 0, u32::MAX)),
        refused("BMP of 60000 x 60000 in runs", bmp(60_000, 60_000, 8, 1, 0)),
        refused("BMP with a header of 4 GiB", [b"BM".as_slice(), &[0; 12], &[0xff; 40]].concat()),
        refused("ICO with a PNG of 50000 x 50000", ico(1, &huge)),
        refused("ICO with a BMP of 60000 x 60000", ico(1, &bmp(60_000, 60_000, 32, 0, 0)[14..])),
        refused("ICO with 65535 images", ico(65_535, &huge)),
        refused("TGA of 65535 x 65535", tga(65_535, 65_535, 2, 0)),
        refused("TGA of 65535 x 65535 in runs", tga(65_535, 65_535, 10, 0)),
        refused("TGA with 65535 colours", tga(1_000, 1_000, 1, 65_535)),
        refused("TGA of 1000 x 1000 without pixels", tga(1_000, 1_000, 2, 0)),
        refused("QOI of 4294967295 x 4294967295", qoi(u32::MAX, u32::MAX, &run)),
        refused("QOI of 20000 x 20000", qoi(20_000, 20_000, &run)),
        refused("QOI of 1000 x 1000 with too few runs", qoi(1_000, 1_000, &run)),
        refused("PNM of 4294967295 x 4294967295", b"P6 4294967295 4294967295 255\n\0".to_vec()),
        refused("PNM of 99999999999999999999 x 1", b"P5 99999999999999999999 1 255\n\0".to_vec()),
        refused("PNM, bits, of 60000 x 60000", b"P4 60000 60000\n\0".to_vec()),
        refused("PNM, text, of 1000 x 1000 without pixels", b"P3 1000 1000 65535\n1 2 3".to_vec()),
        refused(
            "PNM with 4294967295 samples",
            b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4294967295\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n\0".to_vec(),
        ),
        refused("PNM with a long comment", [b"P6 #".as_slice(), &vec![b'x'; size.repeats]].concat()),
        refused("PNM with a long number", [b"P6 ".as_slice(), &vec![b'0'; size.repeats]].concat()),
    ]
}

/// With a palette of two colours.
fn gif(width: u16, height: u16, blocks: &[u8]) -> Vec<u8> {
    let sizes = [width.to_le_bytes(), height.to_le_bytes()].concat();
    [b"GIF89a", sizes.as_slice(), &[0x80, 0, 0], &[0, 0, 0, 255, 255, 255], blocks, b";"].concat()
}

fn frame(width: u16, height: u16, codes: &[u8]) -> Vec<u8> {
    let sizes = [0, 0, width, height].map(u16::to_le_bytes).concat();
    [b",", sizes.as_slice(), &[0], codes].concat()
}

fn bmp(width: i32, height: i32, bits: u16, compression: u32, colours: u32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    bytes.extend([0_u32, 0, 54, 40].map(u32::to_le_bytes).concat());
    bytes.extend([width, height].map(i32::to_le_bytes).concat());
    bytes.extend([1, bits].map(u16::to_le_bytes).concat());
    bytes.extend([compression, 0, 0, 0, colours, 0].map(u32::to_le_bytes).concat());
    bytes.extend([0xff, 1].repeat(8));
    bytes
}

fn ico(images: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = [0, 1, images].map(u16::to_le_bytes).concat();
    bytes.extend([0, 0, 0, 0, 1, 0, 32, 0]);
    bytes.extend([data.len() as u32, 22].map(u32::to_le_bytes).concat());
    bytes.extend(data);
    bytes
}

fn tga(width: u16, height: u16, kind: u8, colours: u16) -> Vec<u8> {
    let mut bytes = vec![0, u8::from(kind == 1), kind];
    bytes.extend([0, colours].map(u16::to_le_bytes).concat());
    bytes.push(24);
    bytes.extend([0, 0, width, height].map(u16::to_le_bytes).concat());
    bytes.extend([if kind == 1 { 8 } else { 24 }, 0]);
    bytes.extend(TGA_FOOTER);
    bytes
}

fn qoi(width: u32, height: u32, runs: &[u8]) -> Vec<u8> {
    let sizes = [width, height].map(u32::to_be_bytes).concat();
    [b"qoif", sizes.as_slice(), &[3, 0], runs, &[0, 0, 0, 0, 0, 0, 0, 1]].concat()
}

//! PNG.

use super::{Bomb, Size, exif, ignored, refused, zlib};

pub(super) fn bombs(size: Size) -> Vec<Bomb> {
    let bomb = zlib(size.unpacked);
    let one = || header(1, 1, 8, 2, 0);
    let pixel = || chunk(b"IDAT", &deflated(&[0, 1, 2, 3]));
    let beside = |kind: &[u8; 4], data: &[u8]| png(&[one(), chunk(kind, data), pixel()]);
    let with = |start: &[u8]| [start, &bomb].concat();
    let mut animated = vec![one(), chunk(b"acTL", &[[0xff; 4], [0; 4]].concat())];
    animated.extend((0..size.repeats as u32).map(|i| chunk(b"fcTL", &frame_control(i))));
    animated.push(pixel());
    let texts = vec![chunk(b"tEXt", b"key\0value"); size.repeats];
    vec![
        refused("PNG of 2147483647 x 2147483647", png(&[header(0x7fff_ffff, 0x7fff_ffff, 8, 2, 0), pixel()])),
        refused("PNG of 50000 x 50000", png(&[header(50_000, 50_000, 16, 6, 0), pixel()])),
        refused("PNG with a row of 2147483647", png(&[header(0x7fff_ffff, 1, 8, 2, 0), pixel()])),
        refused("PNG of 1000 x 1000, interlaced, 16 bits, one pixel", png(&[header(1_000, 1_000, 16, 6, 1), pixel()])),
        refused("PNG of 1000 x 1000 without pixels", png(&[header(1_000, 1_000, 8, 2, 0)])),
        ignored("PNG with too much in IDAT", png(&[one(), chunk(b"IDAT", &bomb)])),
        ignored("PNG with a bomb in iCCP", beside(b"iCCP", &with(b"profile\0\0"))),
        ignored("PNG with a bomb in zTXt", beside(b"zTXt", &with(b"key\0\0"))),
        ignored("PNG with a bomb in iTXt", beside(b"iTXt", &with(b"key\0\x01\0en\0key\0"))),
        ignored("PNG with a cycle in eXIf", beside(b"eXIf", &exif::cycle())),
        ignored("PNG with 65535 tags in eXIf", beside(b"eXIf", &exif::many())),
        ignored("PNG with many tEXt", png(&[vec![one()], texts, vec![pixel()]].concat())),
        ignored("APNG with many frames", png(&animated)),
        refused("PNG with a chunk of 2 GiB", {
            let mut bytes = png(&[one()]);
            bytes.truncate(bytes.len() - 12);
            bytes.extend(b"\x7f\xff\xff\xffiCCPprofile\0\0");
            bytes
        }),
    ]
}

pub(super) fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n", chunks.concat().as_slice(), &chunk(b"IEND", &[])].concat()
}

pub(super) fn header(width: u32, height: u32, bits: u8, colour: u8, interlaced: u8) -> Vec<u8> {
    let mut data = [width.to_be_bytes(), height.to_be_bytes()].concat();
    data.extend([bits, colour, 0, 0, interlaced]);
    chunk(b"IHDR", &data)
}

pub(super) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let content = [kind, data].concat();
    let crc = crc32fast::hash(&content);
    [&(data.len() as u32).to_be_bytes(), content.as_slice(), &crc.to_be_bytes()].concat()
}

/// Number, width, height, offset, delay, and what becomes of the frame.
fn frame_control(number: u32) -> Vec<u8> {
    [number, 1, 1, 0, 0, 0x0001_0001].map(u32::to_be_bytes).concat().into_iter().chain([0, 0]).collect()
}

/// A zlib stream of one stored block.
fn deflated(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let (low, high) = data.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    let mut bytes = vec![0x78, 1, 1];
    bytes.extend(length.to_le_bytes());
    bytes.extend((!length).to_le_bytes());
    bytes.extend(data);
    bytes.extend((high << 16 | low).to_be_bytes());
    bytes
}

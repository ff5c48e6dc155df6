//! TIFF.

use super::exif::{Entry, directory, rest_at};
use super::{Bomb, Size, ignored, refused, zlib};

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES: u16 = 277;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTES: u16 = 279;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTES: u16 = 325;
const ICC: u16 = 34_675;

const NONE: u32 = 1;
const JPEG: u32 = 7;
const DEFLATE: u32 = 8;

pub(super) fn bombs(size: Size) -> Vec<Bomb> {
    let bomb = zlib(size.unpacked);
    let strips = gray(1_000, 1_000, NONE, &[]).len() as u32;
    vec![
        refused("TIFF of 4294967295 x 4294967295", gray(u32::MAX, u32::MAX, NONE, &[0; 8])),
        refused("TIFF of 60000 x 60000", gray(60_000, 60_000, DEFLATE, &bomb)),
        refused("TIFF with a row of 4294967295", gray(u32::MAX, 1, NONE, &[0; 8])),
        refused("TIFF of 1000 x 1000 without pixels", gray(1_000, 1_000, NONE, &[])),
        refused("TIFF with a strip of 4 GiB", edited(1_000, 1_000, STRIP_BYTES, (4, 1, u32::MAX))),
        refused("TIFF with 4294967295 strips", edited(1_000, 1_000, STRIP_OFFSETS, (4, u32::MAX, strips))),
        refused("TIFF with 4294967295 bits per sample", edited(10, 10, BITS, (3, u32::MAX, 8))),
        refused("TIFF with 65535 samples", edited(1_000, 1_000, SAMPLES, (3, 1, 65_535))),
        refused("TIFF with a tile of 4294967280 x 4294967280", tiled(10, 10, u32::MAX - 15, u32::MAX - 15, &bomb)),
        ignored("TIFF with a tile of 65520 x 65520", tiled(10, 10, 65_520, 65_520, &bomb)),
        ignored("TIFF with a tile of 16 x 2147483648", tiled(1, 1, 16, 1 << 31, &bomb)),
        ignored("TIFF with too much in a strip", gray(1, 1, DEFLATE, &bomb)),
        ignored("TIFF with a profile of 4 GiB", edited(1, 1, ICC, (7, u32::MAX, 8))),
        refused("TIFF whose strips are all the same padded JPEG", same_jpeg(size, false)),
        refused("TIFF whose tiles are all the same padded JPEG", same_jpeg(size, true)),
        ignored("TIFF whose strips are all the same few bytes", same_strip()),
        ignored("TIFF that is its own next", {
            let mut bytes = gray(1, 1, NONE, &[7]);
            let next = rest_at(9) as usize - 4;
            bytes[next..next + 4].copy_from_slice(&8_u32.to_le_bytes());
            bytes
        }),
        ignored("TIFF of many pages of many tags, one over the other", overlapping(size.repeats)),
        refused("TIFF with a directory of 65535 tags", {
            let mut bytes = gray(1, 1, NONE, &[7]);
            bytes[8..10].fill(0xff);
            bytes
        }),
        refused(
            "BigTIFF with 2^64 tags",
            b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ),
    ]
}

fn entries(width: u32, height: u32, compression: u32, data: usize) -> Vec<Entry> {
    vec![
        (WIDTH, 4, 1, width),
        (HEIGHT, 4, 1, height),
        (BITS, 3, 1, 8),
        (COMPRESSION, 3, 1, compression),
        (PHOTOMETRIC, 3, 1, 1),
        (STRIP_OFFSETS, 4, 1, rest_at(9)),
        (SAMPLES, 3, 1, 1),
        (ROWS_PER_STRIP, 4, 1, height),
        (STRIP_BYTES, 4, 1, data as u32),
    ]
}

/// A gray image of one strip.
fn gray(width: u32, height: u32, compression: u32, data: &[u8]) -> Vec<u8> {
    directory(&entries(width, height, compression, data.len()), 0, data)
}

/// A gray image in which one tag has another type, count and value.
fn edited(width: u32, height: u32, tag: u16, (kind, count, value): (u16, u32, u32)) -> Vec<u8> {
    let mut entries = entries(width, height, NONE, 4);
    match entries.iter_mut().find(|entry| entry.0 == tag) {
        Some(entry) => *entry = (tag, kind, count, value),
        // The last of the tags before it makes room.
        None => entries.push((tag, kind, count, value)),
    }
    if let Some(strip) = entries.iter_mut().find(|entry| entry.0 == STRIP_OFFSETS && tag != STRIP_OFFSETS) {
        strip.3 = 8;
    }
    directory(&entries, 0, &[0; 4])
}

/// An image of as many strips or tiles as there are repeats, all of which name one JPEG, which is padded with comments: a file
/// of a megabyte or so for whose decoding gigabytes have to be read.
fn same_jpeg(size: Size, is_tiled: bool) -> Vec<u8> {
    const SIDE: u32 = 16;
    let count = size.repeats as u32;
    let jpeg = super::jpeg::padded(size.unpacked / 256);
    let entries = |at: [u32; 2]| {
        let (columns, rows) = (SIDE, SIDE * count);
        let mut entries = entries(columns, rows, JPEG, 0);
        entries.retain(|entry| ![STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES].contains(&entry.0));
        let [offsets, bytes] = at;
        if is_tiled {
            entries.extend([(TILE_WIDTH, 4, 1, SIDE), (TILE_HEIGHT, 4, 1, SIDE)]);
            entries.extend([(TILE_OFFSETS, 4, count, offsets), (TILE_BYTES, 4, count, bytes)]);
        } else {
            entries.extend([(STRIP_OFFSETS, 4, count, offsets), (ROWS_PER_STRIP, 4, 1, SIDE)]);
            entries.extend([(STRIP_BYTES, 4, count, bytes)]);
            entries.sort_by_key(|entry| entry.0);
        }
        entries
    };
    let first = rest_at(entries([0, 0]).len());
    let (offsets, lengths) = (first, first + 4 * count);
    let at = lengths + 4 * count;
    let tables = [vec![at; size.repeats], vec![jpeg.len() as u32; size.repeats]].concat();
    let rest = [tables.into_iter().flat_map(u32::to_le_bytes).collect(), jpeg].concat();
    directory(&entries([offsets, lengths]), 0, &rest)
}

/// As some programs write an image that is empty in large parts.
fn same_strip() -> Vec<u8> {
    const ROWS: u32 = 64;
    let mut entries = entries(1000, ROWS, NONE, 0);
    entries.retain(|entry| ![STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES].contains(&entry.0));
    let first = rest_at(entries.len() + 3);
    entries.extend([
        (STRIP_OFFSETS, 4, ROWS, first),
        (ROWS_PER_STRIP, 4, 1, 1),
        (STRIP_BYTES, 4, ROWS, first + 4 * ROWS),
    ]);
    entries.sort_by_key(|entry| entry.0);
    let tables = [[first + 8 * ROWS; ROWS as usize], [1000; ROWS as usize]].concat();
    let rest = [tables.into_iter().flat_map(u32::to_le_bytes).collect(), vec![7; 1000]].concat();
    directory(&entries, 0, &rest)
}

fn tiled(width: u32, height: u32, tile_width: u32, tile_height: u32, data: &[u8]) -> Vec<u8> {
    let mut entries = entries(width, height, DEFLATE, 0);
    entries.retain(|entry| ![STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES].contains(&entry.0));
    let at = rest_at(entries.len() + 4);
    entries.extend([
        (TILE_WIDTH, 4, 1, tile_width),
        (TILE_HEIGHT, 4, 1, tile_height),
        (TILE_OFFSETS, 4, 1, at),
        (TILE_BYTES, 4, 1, data.len() as u32),
    ]);
    directory(&entries, 0, data)
}

/// So many pages, each with still more tags, that overlap: each begins one tag behind the one before. What the last two
/// bytes of a tag are, is the number of tags to the page that begins there, and what the first four bytes of a tag are
/// behind a page's last, is where the next page is.
fn overlapping(pages: usize) -> Vec<u8> {
    const NEEDED: [(u16, u16); 9] = [
        (WIDTH, 1),
        (HEIGHT, 1),
        (BITS, 8),
        (COMPRESSION, 1),
        (PHOTOMETRIC, 1),
        (STRIP_OFFSETS, 8),
        (SAMPLES, 1),
        (ROWS_PER_STRIP, 1),
        (STRIP_BYTES, 1),
    ];
    let tags = pages + NEEDED.len();
    let entry = |head: [u16; 4], value: u16| [head, [value, tags as u16, 0, 0]].concat().into_iter().take(6);
    let needed = NEEDED.into_iter().map(|(tag, value)| ([tag, 3, 1, 0], value));
    // Private tags, which nobody looks at.
    let shared = (0..pages).map(|index| ([0xc000 + (index % 0x3000) as u16, 3, 1, 0], 1)).chain(needed);
    let links = (1..=pages as u32).map(|page| {
        let at = if page < pages as u32 { 8 + 12 * page } else { 0 };
        ([at as u16, (at >> 16) as u16, 1, 0], 1)
    });
    let entries = shared.chain(links).flat_map(|(head, value)| entry(head, value));
    let words = [tags as u16].into_iter().chain(entries);
    [b"II*\0\x08\0\0\0".to_vec(), words.flat_map(u16::to_le_bytes).collect(), vec![0; 4]].concat()
}

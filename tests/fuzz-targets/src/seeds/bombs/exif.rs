//! EXIF data that leads a reader astray. EXIF is a small TIFF file.

/// An entry of a directory: tag, type, count, value or offset.
pub(super) type Entry = (u16, u16, u32, u32);

/// A little-endian TIFF header, a directory at 8, the offset of the next one, and what follows.
pub(super) fn directory(entries: &[Entry], next: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(next.to_le_bytes());
    bytes.extend(rest);
    bytes
}

/// Where the bytes behind a directory of so many entries start.
pub(super) fn rest_at(entries: usize) -> u32 {
    8 + 2 + 12 * entries as u32 + 4
}

/// A directory that is its own next, its own EXIF part and its own GPS part, with an orientation of four billion values.
pub(super) fn cycle() -> Vec<u8> {
    directory(&[(0x112, 3, 0xffff_ffff, 6), (0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0x14a, 4, 0x4000_0000, 8)], 8, &[])
}

/// A directory that claims 65,535 entries.
pub(super) fn many() -> Vec<u8> {
    let mut bytes = directory(&[(0x112, 3, 1, 3)], 0, &[]);
    bytes[8..10].fill(0xff);
    bytes
}

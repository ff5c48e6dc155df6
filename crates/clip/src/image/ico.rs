//! Which of an icon's images PIL takes: the largest, and of several of one size that of the least depth.

use crate::error::Result;

use super::limits::{corrupt, truncated};

const ENTRY: usize = 16;
const NAME: &str = "ICO";

/// The image inside.
pub(super) enum Inside {
    /// A whole PNG file.
    Png(Vec<u8>),
    /// An icon of one bitmap, which has no file format of its own.
    Icon(Vec<u8>),
}

pub(super) fn largest(bytes: &[u8]) -> Result<Inside> {
    let cut = || truncated(NAME, bytes.len());
    let count = bytes.get(4..6).map(|count| usize::from(u16::from_le_bytes([count[0], count[1]]))).ok_or_else(cut)?;
    let directory = bytes.get(6..6 + count * ENTRY).ok_or_else(cut)?;
    let side = |byte: u8| if byte == 0 { 256 } else { u32::from(byte) };
    let area = |entry: &[u8]| side(entry[0]) * side(entry[1]);
    let depth = |entry: &[u8]| match (u16::from_le_bytes([entry[6], entry[7]]), entry[2]) {
        (0, 0) => 256,
        (0, colours) => u16::from(colours).next_power_of_two().trailing_zeros() as u16,
        (bits, _) => bits,
    };
    let best = directory.chunks_exact(ENTRY).min_by_key(|entry| (std::cmp::Reverse(area(entry)), depth(entry)));
    let best = best.ok_or_else(|| corrupt(NAME, "it has no image"))?;

    let number = |at: usize| u32::from_le_bytes([best[at], best[at + 1], best[at + 2], best[at + 3]]);
    let (length, start) = (number(8) as usize, number(12) as usize);
    let image = bytes.get(start..start.saturating_add(length)).ok_or_else(cut)?;
    if image.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Inside::Png(image.to_vec()));
    }
    let mut icon = [&[0, 0, 1, 0, 1, 0], best, image].concat();
    icon[18..22].copy_from_slice(&(6 + ENTRY as u32).to_le_bytes());
    Ok(Inside::Icon(icon))
}

//! BMP files of the kinds that PIL reads and the decoder does not, as a file that it reads: headers of OS/2, wrong
//! offsets and plane counts, pixels whose last padding is cut, and run lengths, of which skipped pixels have colour 0.

use std::borrow::Cow;

use super::limits::{Limits, check_size, truncated};
use crate::error::Result;

const NAME: &str = "BMP";
const FILE_HEADER: usize = 14;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const FIELDS: u32 = 3;

/// What the headers say.
struct Header {
    /// Of the second header, in bytes.
    size: usize,
    width: usize,
    height: usize,
    bits: usize,
    compression: u32,
    /// Bytes of masks and palette behind the headers.
    tables: usize,
    /// Where the pixels begin.
    pixels: usize,
}

pub(super) fn prepared<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>> {
    let Some(header) = header(bytes) else { return Ok(Cow::Borrowed(bytes)) };
    let Header { size, width, height, bits, compression, tables, pixels } = header;
    // Whatever is wrong with it, the decoder says so.
    let Some(of_pixels) = bytes.get(pixels..) else { return Ok(Cow::Borrowed(bytes)) };
    check_size(NAME, width as u32, height as u32, limits)?;
    let (data, compression, bits) = match (compression, bits) {
        (RLE8, 8) | (RLE4, 4) => {
            let indices = indices(of_pixels, width, height, bits == 4);
            let indices = indices.ok_or_else(|| truncated(NAME, bytes.len()))?;
            (Cow::Owned(with_padding(&indices, width)), 0, 8)
        }
        _ => {
            let stride = (width * bits).div_ceil(32) * 4;
            let (wanted, padding) = (stride * height, stride - (width * bits).div_ceil(8));
            let has_end = (1..=padding).contains(&wanted.saturating_sub(of_pixels.len()));
            let is_plain = size != 64
                && (size == 12 || bytes[26..28] == [1, 0])
                && pixels >= FILE_HEADER + size + tables
                && bytes[10..14] == (pixels as u32).to_le_bytes();
            if is_plain && !has_end {
                return Ok(Cow::Borrowed(bytes));
            }
            let mut data = of_pixels[..wanted.min(of_pixels.len())].to_vec();
            if has_end {
                data.resize(wanted, 0);
            }
            (Cow::Owned(data), compression, bits)
        }
    };
    let kept = if size == 64 { 40 } else { size };
    let mut file = bytes[..FILE_HEADER + kept].to_vec();
    file[FILE_HEADER] = kept as u8;
    if size > 12 {
        file[26..28].copy_from_slice(&[1, 0]);
        file[28..30].copy_from_slice(&(bits as u16).to_le_bytes());
        file[30..34].copy_from_slice(&compression.to_le_bytes());
        file[34..38].copy_from_slice(&[0; 4]);
        if bits <= 8 {
            file[46..50].copy_from_slice(&(tables as u32 / 4).to_le_bytes());
        }
    }
    file.extend_from_slice(bytes.get(FILE_HEADER + size..FILE_HEADER + size + tables).unwrap_or_default());
    let start = file.len() as u32;
    file[10..14].copy_from_slice(&start.to_le_bytes());
    file.extend_from_slice(&data);
    Ok(file.into())
}

/// `None` for files that are left as they are.
fn header(bytes: &[u8]) -> Option<Header> {
    let word = |at: usize| Some(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let number = |at: usize| Some(u32::from(word(at)?) | u32::from(word(at + 2)?) << 16);
    let size = number(FILE_HEADER)? as usize;
    let (width, height, bits, compression, colours) = match size {
        12 => (word(18)?.into(), word(20)?.into(), word(24)?, 0, 0),
        40 | 52 | 56 | 64 | 108 | 124 => {
            let height = number(22)?.cast_signed().unsigned_abs();
            (number(18)?, height, word(28)?, number(30)?, number(46)?)
        }
        _ => return None,
    };
    bytes.get(FILE_HEADER + size)?;
    let palette = match bits {
        1 | 4 | 8 if colours == 0 => 1 << bits,
        1 | 4 | 8 => colours as usize,
        16 | 24 | 32 => 0,
        _ => return None,
    };
    if palette > 256 || width > i32::MAX as u32 {
        return None;
    }
    let masks = if compression == FIELDS && size == 40 { 12 } else { 0 };
    let tables = masks + palette * if size == 12 { 3 } else { 4 };
    let pixels = match number(10)? as usize {
        0 => FILE_HEADER + size + tables,
        // Some forget the palette.
        start if start == FILE_HEADER + size && bits <= 8 => start + tables,
        start => start,
    };
    Some(Header {
        size,
        width: width as usize,
        height: height as usize,
        bits: bits.into(),
        compression,
        tables,
        pixels,
    })
}

/// Rows of indices, in the order of the file, of run lengths as PIL reads them: to it they are one long row. `None` if
/// there are too few.
fn indices(runs: &[u8], width: usize, height: usize, are_halves: bool) -> Option<Vec<u8>> {
    let wanted = width * height;
    let mut indices: Vec<u8> = Vec::with_capacity(wanted);
    let mut column = 0;
    let mut runs = runs;
    let mut take = |length: usize| {
        let (taken, rest) = runs.split_at(length.min(runs.len()));
        runs = rest;
        taken
    };
    let half = |byte: u8, index: usize| if index.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
    while indices.len() < wanted {
        let &[count, value] = take(2) else { break };
        match (count, value) {
            (0, 0) => {
                indices.resize(indices.len().next_multiple_of(width), 0);
                column = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let &[right, up] = take(2) else { break };
                let skipped = usize::from(right) + usize::from(up) * width;
                indices.resize((indices.len() + skipped).min(wanted), 0);
                column = indices.len() % width;
            }
            (0, count) => {
                let count = usize::from(count);
                let fitting = count.min(wanted - indices.len());
                let length = if are_halves { fitting.div_ceil(2) } else { fitting };
                let stretch = take(length);
                if are_halves {
                    indices.extend((0..fitting.min(stretch.len() * 2)).map(|index| half(stretch[index / 2], index)));
                } else {
                    indices.extend_from_slice(stretch);
                }
                if stretch.len() < length {
                    break;
                }
                column += count;
                take(length % 2);
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(column));
                indices.extend((0..count).map(|index| if are_halves { half(value, index) } else { value }));
                column += count;
            }
        }
    }
    indices.truncate(wanted);
    (indices.len() == wanted).then_some(indices)
}

fn with_padding(indices: &[u8], width: usize) -> Vec<u8> {
    let padding = width.next_multiple_of(4) - width;
    indices.chunks_exact(width).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0, padding))).collect()
}

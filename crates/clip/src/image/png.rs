//! PNG files without what is not the image: a few hundred kilobytes of a compressed profile or text can be gigabytes.
//! And damaged files that PIL reads, made whole.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc, Decompress, FlushDecompress, Status};
use image::{DynamicImage, GrayAlphaImage, ImageFormat};

use super::limits::Limits;
use super::reading::OnTruncated;
use super::samples::{Gray16, high};
use super::with_image::read_with_image;
use crate::error::{Error, Result};

const SIGNATURE: usize = 8;
/// A colour type.
const INDEXED: u8 = 3;
/// Length, type and checksum of a chunk.
const FRAME: usize = 12;

/// PNG, repaired where it is damaged in a way that PIL passes over.
pub(super) fn read(bytes: &[u8], name: &str, limits: &Limits, gray16: Gray16) -> Result<DynamicImage> {
    let image = match read_with_image(bytes, ImageFormat::Png, name, limits) {
        Err(error @ Error::CorruptImage { .. }) => {
            let repaired = repaired(bytes, limits.max_pixels, OnTruncated::Error);
            let repaired = repaired.ok_or_else(|| error.clone())?;
            read_with_image(&repaired, ImageFormat::Png, name, limits).map_err(|_| error)?
        }
        result => result?,
    };
    match image {
        // One transparent level: to PIL it is an image without alpha, whose 16 bits it understands in another way.
        DynamicImage::ImageLumaA16(image) if bytes.get(24..26) == Some(&[16, 0]) => {
            let (width, height) = image.dimensions();
            let cut = |pixel: &image::LumaA<u16>| [gray16.level(pixel.0[0], 16), high(pixel.0[1])];
            let cut = image.pixels().flat_map(cut).collect();
            let image = GrayAlphaImage::from_raw(width, height, cut).expect("two bytes for each pixel");
            Ok(image.into())
        }
        image => Ok(image),
    }
}

/// The file without colour profiles and texts, which are not used here, and without a part of a colour at the end of the
/// palette, which the decoder does not expect. A file that is damaged stays as it is, for the
/// decoder to say so.
pub(super) fn without_metadata(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = Vec::new();
    let (mut at, mut copied) = (SIGNATURE, 0);
    while let Some((name, content)) = chunk(bytes, at) {
        let end = at + FRAME + content.len();
        let is_uneven = name == b"PLTE" && !content.len().is_multiple_of(3);
        if is_uneven || matches!(name, b"iCCP" | b"zTXt" | b"iTXt" | b"tEXt") {
            kept.extend_from_slice(&bytes[copied..at]);
            copied = end;
        }
        if is_uneven {
            write_chunk(&mut kept, name, &content[..content.len() / 3 * 3]);
        }
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    kept.extend_from_slice(&bytes[copied..]);
    Cow::Owned(kept)
}

/// Name and content of each whole chunk up to the end of the image.
pub(super) fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut at = SIGNATURE;
    std::iter::from_fn(move || {
        let (name, content) = chunk(bytes, at)?;
        at += FRAME + content.len();
        Some((name, content))
    })
    .take_while(|(name, _)| *name != b"IEND")
}

/// Name and content of the chunk at a place, if all of it is there.
fn chunk(bytes: &[u8], at: usize) -> Option<(&[u8; 4], &[u8])> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    rest.get(..length.checked_add(4)?).map(|content| (name, &content[..length]))
}

/// A whole file of what there is of a damaged one, for a decoder that refused it: without its end, with other checksums
/// of its data than it says, with two palettes, or with whole rows missing, which are black. `None` where PIL refuses it
/// too. With [`OnTruncated::Decode`], its data may end anywhere. `max_pixels` bounds the memory.
pub(super) fn repaired(bytes: &[u8], max_pixels: u64, on_truncated: OnTruncated) -> Option<Vec<u8>> {
    let (b"IHDR", header) = chunk(bytes, SIGNATURE)? else { return None };
    if bytes[SIGNATURE + 8 + header.len()..][..4] != checksum(b"IHDR", header) {
        return None;
    }
    let header: &[u8; 13] = header.try_into().ok()?;
    let (mut palette, mut transparency, mut data) = (None, None, Vec::new());
    let mut at = SIGNATURE;
    let mut is_behind_data = false;
    while let Some((name, content)) = start_of_chunk(bytes, at) {
        match name {
            b"IDAT" if !is_behind_data => data.extend_from_slice(content),
            b"IEND" => break,
            _ => {
                is_behind_data = !data.is_empty();
                // Of several palettes PIL takes the last.
                match name {
                    b"PLTE" if !is_behind_data => palette = Some(content),
                    b"tRNS" if !is_behind_data => transparency = Some(content),
                    _ => {}
                }
            }
        }
        at += FRAME + content.len();
    }
    let size = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if u64::from(size(0)) * u64::from(size(4)) > max_pixels {
        return None;
    }
    let passes = passes(header)?;
    let rows = match (&passes[..], on_truncated) {
        (_, OnTruncated::Decode) => inflate_some(&data, &passes)?,
        ([Rows { length, count }], OnTruncated::Error) if header[12] == 0 => inflate(&data, length * count, *length)?,
        _ => return None,
    };

    let mut file = bytes[..SIGNATURE].to_vec();
    write_chunk(&mut file, b"IHDR", header);
    match palette {
        Some(palette) => write_chunk(&mut file, b"PLTE", &palette[..(palette.len() / 3 * 3).min(768)]),
        // PIL makes a black image of it.
        None if header[9] == INDEXED => return None,
        None => {}
    }
    if let Some(transparency) = transparency {
        write_chunk(&mut file, b"tRNS", transparency);
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&rows).and_then(|()| encoder.finish()).ok().map(|data| write_chunk(&mut file, b"IDAT", &data))?;
    write_chunk(&mut file, b"IEND", b"");
    Some(file)
}

/// Rows of one length.
struct Rows {
    /// Bytes, with that of the filter.
    length: usize,
    count: usize,
}

/// The rows of a file: of one pass, or of up to seven where it is interlaced.
fn passes(header: &[u8; 13]) -> Option<Vec<Rows>> {
    /// Of each pass, first column, first row, and the steps from one to the next.
    const ADAM7: [[u32; 4]; 7] =
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
    let [w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, _, _, interlaced] = *header;
    let channels = match colour {
        0 | 3 => 1,
        2 => 3,
        4 => 2,
        6 => 4,
        _ => return None,
    };
    let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
    let rows = |width: u32, height: u32| {
        let bits = u64::from(width) * channels * u64::from(depth);
        Some(Rows { length: usize::try_from(bits.div_ceil(8) + 1).ok()?, count: height as usize })
    };
    if interlaced == 0 {
        return Some(vec![rows(width, height)?]);
    }
    let size = |side: u32, first: u32, step: u32| side.saturating_sub(first).div_ceil(step);
    let sizes = ADAM7.map(|[x, y, across, down]| (size(width, x, across), size(height, y, down)));
    sizes.into_iter().filter(|(width, height)| *width > 0 && *height > 0).map(|(w, h)| rows(w, h)).collect()
}

/// The whole rows at the beginning of damaged data, and zeros for the others; `None` where there is none.
fn inflate_some(data: &[u8], passes: &[Rows]) -> Option<Vec<u8>> {
    let wanted = passes.iter().map(|rows| rows.length * rows.count).sum();
    let mut inflated = Vec::with_capacity(wanted);
    // Whatever ends it, what came before stays.
    let _ = ZlibDecoder::new(data).take(wanted as u64).read_to_end(&mut inflated);
    let mut whole = 0;
    for rows in passes {
        let count = ((inflated.len() - whole) / rows.length).min(rows.count);
        whole += count * rows.length;
        if count < rows.count {
            break;
        }
    }
    inflated.truncate(whole);
    inflated.resize(wanted, 0);
    (whole > 0).then_some(inflated)
}

/// So many bytes of what compressed data hold. Where their end is marked early, what is missing is zeros, if it is rows
/// of a length.
fn inflate(data: &[u8], wanted: usize, row: usize) -> Option<Vec<u8>> {
    let mut inflated = Vec::with_capacity(wanted);
    let mut decompress = Decompress::new(true);
    loop {
        let read = usize::try_from(decompress.total_in()).ok()?;
        let (from, to) = (read, inflated.len());
        let status = decompress.decompress_vec(&data[read..], &mut inflated, FlushDecompress::None).ok()?;
        let is_stuck = decompress.total_in() == from as u64 && inflated.len() == to;
        match status {
            _ if inflated.len() == wanted => return Some(inflated),
            Status::StreamEnd if inflated.len().is_multiple_of(row) => {
                inflated.resize(wanted, 0);
                return Some(inflated);
            }
            Status::StreamEnd | Status::BufError => return None,
            Status::Ok if is_stuck => return None,
            Status::Ok => {}
        }
    }
}

fn write_chunk(file: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    file.extend_from_slice(&(content.len() as u32).to_be_bytes());
    file.extend_from_slice(name);
    file.extend_from_slice(content);
    file.extend_from_slice(&checksum(name, content));
}

fn checksum(name: &[u8; 4], content: &[u8]) -> [u8; 4] {
    let mut sum = Crc::new();
    sum.update(name);
    sum.update(content);
    sum.sum().to_be_bytes()
}

/// Name and content of the chunk at a place, as far as they are there.
fn start_of_chunk(bytes: &[u8], at: usize) -> Option<(&[u8; 4], &[u8])> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_first_chunk::<4>()?;
    Some((name, &rest[..rest.len().min(u32::from_be_bytes(*length) as usize)]))
}

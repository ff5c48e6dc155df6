//! How people see an image, as PIL's `ImageOps.exif_transpose` finds it: by EXIF, and where that says nothing, by XMP.
//!
//! Of the crates for EXIF none reads the prefixes, types and broken directories that PIL reads, and all take memory for
//! every tag that a file says that it has; here one number is looked for.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use image::ImageFormat;
use image::metadata::Orientation;

const TAG: u64 = 0x112;
const PREFIX: &[u8] = b"Exif\0\0";
/// Most bytes of a compressed text that are looked at; EXIF and XMP have a few kilobytes.
const MAX_TEXT: u64 = 1 << 20;

/// The orientation that a file states, upright if it states none. For TIFF, see [`of_tiff`].
pub(super) fn of(bytes: &[u8], format: ImageFormat) -> Orientation {
    let Metadata { exif, xmp } = match format {
        ImageFormat::Jpeg => in_jpeg(bytes),
        ImageFormat::Png => in_png(bytes),
        ImageFormat::WebP => in_webp(bytes),
        ImageFormat::Tiff => return of_tiff(bytes),
        _ => return Orientation::NoTransforms,
    };
    let exif = exif.and_then(|exif| number(without_prefix(without_prefix(&exif)), TAG));
    orientation(exif.or_else(|| xmp.and_then(|xmp| in_xmp(&xmp))))
}

/// Of the first page of a TIFF file, which is the same as EXIF.
pub(super) fn of_tiff(bytes: &[u8]) -> Orientation {
    const XMP: u64 = 700;
    orientation(number(bytes, TAG).or_else(|| in_xmp(find(bytes, XMP)?.data)))
}

fn orientation(value: Option<u64>) -> Orientation {
    let known = value.and_then(|value| Orientation::from_exif(value.try_into().ok()?));
    known.unwrap_or(Orientation::NoTransforms)
}

/// Parts of a file that may say how it is seen.
#[derive(Default)]
struct Metadata<'a> {
    exif: Option<Cow<'a, [u8]>>,
    xmp: Option<Cow<'a, [u8]>>,
}

/// EXIF is what all segments of that name have together, since one has 64 KB at most; of XMP the last counts.
fn in_jpeg(bytes: &[u8]) -> Metadata<'_> {
    let mut found = Metadata::default();
    for (code, content) in segments(bytes) {
        if code != 0xe1 {
            continue;
        }
        if let Some(more) = content.strip_prefix(PREFIX) {
            match &mut found.exif {
                Some(exif) => exif.to_mut().extend_from_slice(more),
                None => found.exif = Some(more.into()),
            }
        } else if let Some(xmp) = content.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            found.xmp = Some(xmp.into());
        }
    }
    found
}

/// The segments of a JPEG file before its first scan: code and content.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    const START_OF_SCAN: u8 = 0xda;
    let mut rest = bytes.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let marker = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
            let code = rest[marker + 1];
            rest = &rest[marker + 2..];
            match code {
                START_OF_SCAN => return None,
                // Markers without a segment.
                0x01 | 0xc8 | 0xd0..=0xd9 | 0xf0..=0xfd => {}
                _ => {
                    let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])).max(2);
                    let content = rest.get(2..length)?;
                    rest = &rest[length..];
                    return Some((code, content));
                }
            }
        }
    })
}

/// In chunks anywhere, of which the last counts; EXIF also in the text that ImageMagick makes of it.
fn in_png(bytes: &[u8]) -> Metadata<'_> {
    let mut found = Metadata::default();
    let mut profile = None;
    for (name, content) in super::png::chunks(bytes) {
        match name {
            b"eXIf" => found.exif = Some(content.into()),
            b"iTXt" => found.xmp = xmp_of_text(content).or(found.xmp),
            b"tEXt" => profile = content.strip_prefix(PROFILE).and_then(from_hex).or(profile),
            b"zTXt" => {
                let text = content.strip_prefix(PROFILE).and_then(|text| text.strip_prefix(&[0]));
                profile = text.and_then(|text| from_hex(&inflate(text))).or(profile);
            }
            _ => {}
        }
    }
    found.exif = found.exif.or(profile.map(Cow::from));
    found
}

const PROFILE: &[u8] = b"Raw profile type exif\0";

/// The XMP of an international text: a name, whether it is compressed, two more names, and it.
fn xmp_of_text(content: &[u8]) -> Option<Cow<'_, [u8]>> {
    let rest = content.strip_prefix(b"XML:com.adobe.xmp\0")?;
    let (flags, rest) = rest.split_at_checked(2)?;
    let text = rest.splitn(3, |byte| *byte == 0).nth(2)?;
    match flags {
        [0, _] => Some(text.into()),
        [_, 0] => Some(inflate(text).into()),
        _ => None,
    }
}

fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    // What could be read of a damaged text will do.
    let _ = ZlibDecoder::new(bytes).take(MAX_TEXT).read_to_end(&mut text);
    text
}

/// Three lines, the last with the length, and bytes in hexadecimal.
fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.splitn(4, |byte| *byte == b'\n').nth(3)?;
    let digits: Vec<u8> = digits
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| char::from(*byte).to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Chunks of the file that its header announces.
fn in_webp(bytes: &[u8]) -> Metadata<'_> {
    const EXIF: u8 = 8;
    const XMP: u8 = 4;
    let mut found = Metadata::default();
    let mut flags = 0;
    for (name, content) in super::webp::chunks(bytes.get(12..).unwrap_or_default()) {
        match name {
            b"VP8X" => flags = content.first().copied().unwrap_or(0),
            b"EXIF" if flags & EXIF != 0 && found.exif.is_none() => found.exif = Some(content.into()),
            b"XMP " if flags & XMP != 0 && found.xmp.is_none() => found.xmp = Some(content.into()),
            _ => {}
        }
    }
    found
}

fn in_xmp(xmp: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"tiff:Orientation";
    let digit = |rest: &[u8]| {
        let rest = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        rest.first().filter(|digit| digit.is_ascii_digit()).map(|digit| u64::from(digit - b'0'))
    };
    let places = xmp.windows(NAME.len()).enumerate().filter(|(_, part)| *part == NAME);
    places.into_iter().find_map(|(at, _)| digit(&xmp[at + NAME.len()..]))
}

fn without_prefix(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(PREFIX).unwrap_or(exif)
}

/// An entry of a directory.
struct Entry<'a> {
    kind: u64,
    data: &'a [u8],
    is_little: bool,
}

/// The first value of a tag of the first directory. Zero, which means nothing, where it is no integer of those types
/// that PIL takes for one: it does not look elsewhere then.
fn number(tiff: &[u8], tag: u64) -> Option<u64> {
    let Entry { kind, data, is_little } = find(tiff, tag)?;
    let is_integer = matches!(kind, 3 | 4 | 6 | 8 | 9 | 13 | 16);
    Some(if is_integer { integer(data, 0, size(kind)?, is_little).unwrap_or(0) } else { 0 })
}

/// The first entry of a tag that can be read. As with PIL, an entry of an unknown type or with more data than the file
/// has is passed over, and one whose data begin behind the end ends the directory.
fn find(tiff: &[u8], tag: u64) -> Option<Entry<'_>> {
    let (is_little, is_big_tiff) = match tiff.get(..4)? {
        b"II*\0" | b"II\0*" => (true, false),
        b"MM\0*" | b"MM*\0" => (false, false),
        b"II+\0" => (true, true),
        b"MM\0+" => (false, true),
        _ => return None,
    };
    let number = |at: usize, length: usize| integer(tiff, at, length, is_little);
    let (word, start, count) = if is_big_tiff { (8, 8, 8) } else { (4, 4, 2) };
    let directory = usize::try_from(number(start, word)?).ok()?;
    let entries = number(directory, count)?;
    let mut outside = 0u64;
    for index in 0..usize::try_from(entries).ok()? {
        let at = directory.checked_add(count)?.checked_add(index.checked_mul(4 + 2 * word)?)?;
        let place = at + 4 + word;
        tiff.get(at..place + word)?;
        let (found, kind) = (number(at, 2)?, number(at + 2, 2)?);
        let Some(length) = size(kind).and_then(|size| number(at + 4, word)?.checked_mul(size as u64)) else { continue };
        let data = if length > word as u64 {
            outside = outside.saturating_add(length);
            if outside > tiff.len() as u64 {
                continue;
            }
            let place = usize::try_from(number(place, word)?).ok()?;
            tiff.get(place..place.checked_add(length as usize)?)?
        } else {
            &tiff[place..place + length as usize]
        };
        if found == tag && !data.is_empty() {
            return Some(Entry { kind, data, is_little });
        }
    }
    None
}

/// Bytes of one value of a type.
fn size(kind: u64) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 => Some(8),
        _ => None,
    }
}

fn integer(bytes: &[u8], at: usize, length: usize, is_little: bool) -> Option<u64> {
    let digits = bytes.get(at..at.checked_add(length)?)?.iter();
    let join = |sum, digit: &u8| sum << 8 | u64::from(*digit);
    Some(if is_little { digits.rev().fold(0, join) } else { digits.fold(0, join) })
}

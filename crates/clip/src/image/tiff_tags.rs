//! Tags of a TIFF file's first page, to be changed before the decoder sees them where it would refuse or fail.

use std::borrow::Cow;
use std::collections::HashSet;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const STRIP_OFFSETS: u16 = 273;
const STRIP_LENGTHS: u16 = 279;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_LENGTHS: u16 = 325;

const LZW: u64 = 5;
const JPEG: u64 = 7;
const WHITE_IS_ZERO: u64 = 0;
const GRAY: u64 = 1;
const PALETTE: u64 = 3;

/// A file that the decoder reads.
pub(super) struct Prepared<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// Its samples are indices into a palette, though it now says that they are gray: the decoder refuses palettes.
    pub has_palette: bool,
    /// Its gray is none where it is white, though it now says that it is none where it is black: the decoder turns some
    /// depths and not others.
    pub is_inverted: bool,
    /// Width of an image of gray of 12 bits, which the decoder refuses: now it says that it is three times as wide, of
    /// 4 bits.
    pub twelve_bits: Option<u32>,
    /// Width and height of a file of tiles in LZW, which it now gives as those of all its tiles. The decoder must only
    /// read whole tiles of them: where it reads part of one, weezl 0.1 loses bytes (image-rs/image-tiff#395).
    pub lzw_tiles: Option<(u32, u32)>,
}

pub(super) fn prepare(bytes: &[u8]) -> Prepared<'_> {
    let mut prepared = Prepared {
        bytes: Cow::Borrowed(bytes),
        has_palette: false,
        is_inverted: false,
        twelve_bits: None,
        lzw_tiles: None,
    };
    let page = Page { bytes };
    let value = |tag| page.find(tag).map(|place| place.value);
    if let Some(place) = page.find(PHOTOMETRIC).filter(|place| place.value == PALETTE) {
        page.write(prepared.bytes.to_mut(), place, GRAY);
        prepared.has_palette = true;
    }
    if let Some(place) = page.find(PHOTOMETRIC).filter(|place| place.value == WHITE_IS_ZERO) {
        page.write(prepared.bytes.to_mut(), place, GRAY);
        prepared.is_inverted = true;
    }
    if let (Some(bits), Some(width), None) = (page.find(BITS), page.find(WIDTH), page.find(TILE_WIDTH))
        && bits.value == 12
        && width.value.saturating_mul(3) >> (8 * width.length) == 0
    {
        page.write(prepared.bytes.to_mut(), bits, 4);
        page.write(prepared.bytes.to_mut(), width, width.value * 3);
        prepared.twelve_bits = Some(width.value as u32);
    }
    if let Some(place) = page.find(FILL_ORDER).filter(|place| place.value == 2 && value(COMPRESSION) != Some(JPEG)) {
        page.mirror(prepared.bytes.to_mut());
        page.write(prepared.bytes.to_mut(), place, 1);
    }
    let whole = |side: u16, tile: u16| {
        let (side, tile) = (page.find(side)?, page.find(tile)?.value);
        let whole = side.value.checked_next_multiple_of(tile)?;
        (whole >> (8 * side.length) == 0).then_some((side, whole))
    };
    if let (Some(LZW), Some(width), Some(height)) =
        (value(COMPRESSION), whole(WIDTH, TILE_WIDTH), whole(HEIGHT, TILE_HEIGHT))
    {
        page.write(prepared.bytes.to_mut(), width.0, width.1);
        page.write(prepared.bytes.to_mut(), height.0, height.1);
        prepared.lzw_tiles = Some((width.0.value as u32, height.0.value as u32));
    }
    prepared
}

/// Whether the values of all tags of the first page could be in the file: the decoder takes memory for as many as a tag
/// says that it has, and 32 bytes for each.
pub(super) fn are_there(bytes: &[u8]) -> bool {
    let page = Page { bytes };
    let Some((entries, _, word)) = page.entries() else { return true };
    entries.into_iter().all(|at| {
        let size = match page.number(at + 2, 2) {
            Some(3 | 8) => 2,
            Some(4 | 9 | 11 | 13) => 4,
            Some(5 | 10 | 12 | 16..=18) => 8,
            _ => 1,
        };
        let count = page.number(at + 4, word).unwrap_or(0);
        count.saturating_mul(size) <= bytes.len() as u64
    })
}

/// Where the directories of pages are, of at most `most`, by going from one to the next without reading the tags:
/// directories may overlap, and a file of a megabyte have 80,000 of them with 65,535 tags each.
pub(super) fn pages(bytes: &[u8], most: u32) -> Vec<u64> {
    let page = Page { bytes };
    let Some(Widths { header, word, count, entry }) = page.widths() else { return Vec::new() };
    let end_of = |directory: u64| -> Option<usize> {
        let directory = usize::try_from(directory).ok().filter(|directory| *directory > 0)?;
        let length = usize::try_from(page.number(directory, count)?).ok()?.checked_mul(entry)?;
        directory.checked_add(count)?.checked_add(length)
    };
    let (mut pages, mut seen) = (Vec::new(), HashSet::new());
    let mut link = header;
    while (pages.len() as u32) < most {
        let Some(directory) = page.number(link, word) else { break };
        match end_of(directory) {
            Some(end) if seen.insert(end) => link = end,
            _ => break,
        }
        pages.push(directory);
    }
    pages
}

/// Makes another page the first, given where its directory is.
pub(super) fn begin_with(bytes: &mut [u8], directory: u64) {
    const HEADER: usize = 16;
    let header = bytes[..HEADER.min(bytes.len())].to_vec();
    let page = Page { bytes: &header };
    if let Some(Widths { header: at, word: length, .. }) =
        page.widths().filter(|widths| widths.header + widths.word <= bytes.len())
    {
        page.write(bytes, Place { at, length, value: 0 }, directory);
    }
}

struct Page<'a> {
    bytes: &'a [u8],
}

/// Where the first link is and how long things are; they differ in BigTIFF, which has 64 bits for offsets and counts.
struct Widths {
    /// The link to the first directory.
    header: usize,
    /// An offset, or a tag's count.
    word: usize,
    /// A directory's number of entries.
    count: usize,
    /// An entry.
    entry: usize,
}

/// Where a tag has its number, and how many bytes.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    length: usize,
    value: u64,
}

impl Page<'_> {
    fn is_little(&self) -> bool {
        self.bytes.starts_with(b"I")
    }

    fn number(&self, at: usize, length: usize) -> Option<u64> {
        let digits = self.bytes.get(at..at.checked_add(length)?)?.iter();
        let join = |sum, digit: &u8| sum << 8 | u64::from(*digit);
        Some(if self.is_little() { digits.rev().fold(0, join) } else { digits.fold(0, join) })
    }

    fn widths(&self) -> Option<Widths> {
        Some(match self.number(2, 2)? {
            43 => Widths { header: 8, word: 8, count: 8, entry: 20 },
            _ => Widths { header: 4, word: 4, count: 2, entry: 12 },
        })
    }

    /// Where the tags of the first page are, how long each is, and how long a count or an offset is.
    fn entries(&self) -> Option<(Vec<usize>, usize, usize)> {
        let Widths { header, word, count, entry } = self.widths()?;
        let directory = usize::try_from(self.number(header, word)?).ok()?;
        let first = directory.checked_add(count)?;
        let entries = self.number(directory, count)?.min(1 << 16) as usize;
        let places = (0..entries).map_while(|index| Some(first + index * entry).filter(|at| *at < self.bytes.len()));
        Some((places.collect(), entry, word))
    }

    /// A tag that is one number of 16 or 32 bits.
    fn find(&self, tag: u16) -> Option<Place> {
        let (entries, entry, word) = self.entries()?;
        let at = entries.into_iter().find(|at| self.number(*at, 2) == Some(tag.into()))?;
        let length = match self.number(at + 2, 2)? {
            3 => 2,
            4 => 4,
            _ => return None,
        };
        let at = at + entry - word;
        Some(Place { at, length, value: self.number(at, length)? })
    }

    /// All values of a tag whose numbers have 16, 32 or 64 bits.
    fn values(&self, tag: u16) -> Option<Vec<u64>> {
        let (entries, entry, word) = self.entries()?;
        let at = entries.into_iter().find(|at| self.number(*at, 2) == Some(tag.into()))?;
        let length = match self.number(at + 2, 2)? {
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return None,
        };
        let size = usize::try_from(self.number(at + 4, word)?).ok()?.checked_mul(length)?;
        let inline = at + entry - word;
        let start = if size <= word { inline } else { usize::try_from(self.number(inline, word)?).ok()? };
        self.bytes.get(start..start.checked_add(size)?)?;
        (start..start + size).step_by(length).map(|at| self.number(at, length)).collect()
    }

    /// Turns round the bits of each byte of the image, in a copy of the file. Strips that overlap are left as they are:
    /// a few kilobytes of them could be gigabytes of work.
    fn mirror(&self, copy: &mut [u8]) {
        let pairs = [(STRIP_OFFSETS, STRIP_LENGTHS), (TILE_OFFSETS, TILE_LENGTHS)];
        let found = pairs.into_iter().find_map(|(starts, lengths)| self.values(starts).zip(self.values(lengths)));
        let (starts, lengths) = found.unwrap_or_default();
        if lengths.iter().fold(0, |sum: u64, length| sum.saturating_add(*length)) > copy.len() as u64 {
            return;
        }
        for (start, length) in starts.into_iter().zip(lengths) {
            let start = usize::try_from(start).unwrap_or(usize::MAX).min(copy.len());
            let end = start.saturating_add(length as usize).min(copy.len());
            copy[start..end].iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
    }

    fn write(&self, bytes: &mut [u8], place: Place, value: u64) {
        let to = &mut bytes[place.at..place.at + place.length];
        if self.is_little() {
            to.copy_from_slice(&value.to_le_bytes()[..place.length]);
        } else {
            to.copy_from_slice(&value.to_be_bytes()[8 - place.length..]);
        }
    }
}

//! Fax inside TIFF that the decoder does not read: CCITT group 3 in one and two dimensions, and its run lengths alone.

use std::convert::Infallible;
use std::io::{Read, Seek};

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, ByteReader};
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::limits::{corrupt, truncated};
use crate::error::Result;

const NAME: &str = "TIFF";
const RUN_LENGTHS: u64 = 2;
const GROUP_3: u64 = 3;
/// Of the options of group 3: rows may be told by how they differ from the one before.
const TWO_DIMENSIONS: u64 = 1;

/// Rows of bits, each row filled to whole bytes; 1 is black. `None` if the image is compressed otherwise.
pub(super) fn read<R: Read + Seek>(decoder: &mut Decoder<R>, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut values = |tag| decoder.find_tag_unsigned_vec::<u64>(tag).ok().flatten().unwrap_or_default();
    let [compression @ (RUN_LENGTHS | GROUP_3)] = values(Tag::Compression)[..] else { return Ok(None) };
    // T4Options.
    let options = values(Tag::Unknown(292)).first().copied().unwrap_or(0);
    let (starts, lengths) = (values(Tag::StripOffsets), values(Tag::StripByteCounts));
    let broken = || corrupt(NAME, "its strips do not fit");
    let (width, height) = decoder.dimensions().map_err(|error| corrupt(NAME, &error.to_string()))?;
    let (strip_width, strip_height) = decoder.chunk_dimensions();
    if strip_width != width || starts.len() != height.div_ceil(strip_height) as usize || lengths.len() != starts.len() {
        return Err(broken());
    }
    let stride = width.div_ceil(8) as usize;
    let mut rows = Vec::with_capacity(stride * height as usize);
    for (start, length) in starts.into_iter().zip(lengths) {
        let part = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
        let part = part.and_then(|(start, end)| bytes.get(start..end)).ok_or_else(|| truncated(NAME, bytes.len()))?;
        let end = (rows.len() + strip_height as usize * stride).min(stride * height as usize);
        let mut strip = Strip::new(part, width, compression == RUN_LENGTHS, options & TWO_DIMENSIONS != 0);
        while rows.len() < end {
            strip.row().ok_or_else(|| corrupt(NAME, "its fax data are damaged"))?;
            draw(&strip.changes, width, stride, &mut rows);
        }
    }
    Ok(Some(rows))
}

/// Appends a row that is white up to the first change, then black up to the second.
fn draw(changes: &[u32], width: u32, stride: usize, rows: &mut Vec<u8>) {
    let at = rows.len();
    rows.resize(at + stride, 0);
    for pair in changes.chunks(2) {
        for column in pair[0]..pair.get(1).copied().unwrap_or(width).min(width) {
            rows[at + column as usize / 8] |= 0x80 >> (column % 8);
        }
    }
}

/// Decodes row by row.
struct Strip<I> {
    bits: ByteReader<I>,
    width: u32,
    are_aligned: bool,
    has_two_dimensions: bool,
    /// Columns where the colour of the latest row changes, which begins with white.
    changes: Vec<u32>,
}

impl<'a> Strip<Box<dyn Iterator<Item = Result<u8, Infallible>> + 'a>> {
    fn new(data: &'a [u8], width: u32, are_aligned: bool, has_two_dimensions: bool) -> Self {
        // The reader finds no code whose longest form would go beyond the end.
        let data = data.iter().copied().chain([0; 4]).map(Ok);
        let Ok(bits) = ByteReader::new(Box::new(data) as Box<dyn Iterator<Item = _>>);
        Self { bits, width, are_aligned, has_two_dimensions, changes: Vec::new() }
    }

    fn row(&mut self) -> Option<()> {
        if self.are_aligned {
            let rest = self.bits.bits_to_byte_boundary();
            self.bits.consume(rest).ok()?;
        } else {
            self.pass_end_of_line()?;
        }
        let before = std::mem::take(&mut self.changes);
        if self.has_two_dimensions && !self.bit()? { self.row_like(&before) } else { self.row_of_runs() }
    }

    fn bit(&mut self) -> Option<bool> {
        let bit = self.bits.peek(1)?;
        self.bits.consume(1).ok()?;
        Some(bit == 1)
    }

    /// Eleven zeros or more and a one; some writers leave it out. No code begins with nine zeros.
    fn pass_end_of_line(&mut self) -> Option<()> {
        if self.bits.peek(9) == Some(0) {
            while !self.bit()? {}
        }
        Some(())
    }

    fn run(&mut self, is_black: bool) -> Option<u32> {
        let mut length = 0u32;
        loop {
            let part = if is_black { black::decode(&mut self.bits) } else { white::decode(&mut self.bits) }?;
            length = length.checked_add(part.into())?;
            if part < 64 {
                return Some(length);
            }
        }
    }

    fn row_of_runs(&mut self) -> Option<()> {
        let (mut column, mut is_black) = (0u32, false);
        while column < self.width {
            column = column.checked_add(self.run(is_black)?).filter(|column| *column <= self.width)?;
            self.changes.push(column);
            is_black = !is_black;
        }
        Some(())
    }

    /// A row that is told by how it differs from the one before.
    fn row_like(&mut self, before: &[u32]) -> Option<()> {
        let (mut column, mut is_black, mut is_first) = (0u32, false, true);
        let mut next = 0;
        while column < self.width {
            // The next change of the row before to the other colour, and the one behind it.
            next = usize::saturating_sub(next, 2);
            while before
                .get(next)
                .is_some_and(|change| *change < column || *change == column && !is_first || (next % 2 == 1) != is_black)
            {
                next += 1;
            }
            let change = |index: usize| before.get(index).copied().unwrap_or(self.width).min(self.width);
            let (b1, b2) = (change(next), change(next + 1));
            match mode::decode(&mut self.bits)? {
                Mode::Pass => column = b2,
                Mode::Vertical(by) => {
                    let to = b1.checked_add_signed(by.into()).filter(|to| (column..=self.width).contains(to))?;
                    self.changes.push(to);
                    (column, is_black) = (to, !is_black);
                }
                Mode::Horizontal => {
                    for colour in [is_black, !is_black] {
                        column = column.checked_add(self.run(colour)?).filter(|column| *column <= self.width)?;
                        self.changes.push(column);
                    }
                }
                Mode::Extension | Mode::EOF => return None,
            }
            is_first = false;
        }
        Some(())
    }
}

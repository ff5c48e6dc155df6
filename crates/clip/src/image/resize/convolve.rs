//! Weighted sums of rows of 8-bit values: the inner loops of a resizing.
//!
//! Each value of a row is added up by itself, beside its neighbours, so that the compiler makes vector instructions of the
//! loops. [`Level`] says which the processor has (AVX-512, AVX2, SSE4.2, SSE2; NEON); integers add up to the same with
//! all of them. Along a row, where neighbours have other weights, the neighbours are those of other rows: [`ROWS`] rows
//! are laid side by side, pixel by pixel.

use fearless_simd::{Level, dispatch};

use super::weights::{HALF, PRECISION, Taps};

/// Rows that are resampled at once.
pub(super) const ROWS: usize = 16;
/// Sums that are kept in registers: those of a pixel of each row.
const LANES: usize = 3 * ROWS;

/// Pixels that are laid side by side at once.
const TILE: usize = 16;

/// Adds rows of 8-bit values to a row of sums: one for each weight, `stride` values apart.
pub(super) fn add_rows(level: Level, sums: &mut [i32], rows: &[u8], stride: usize, weights: &[i32]) {
    dispatch!(level, _ => add(sums, rows, stride, weights));
}

/// Sums to 8 bits.
pub(super) fn clip_row(level: Level, sums: &[i32], row: &mut [u8]) {
    dispatch!(level, _ => clip_all(sums, row));
}

/// Resamples a few rows along themselves.
pub(super) struct RowResizer<'a> {
    level: Level,
    taps: &'a Taps,
    /// The first pixel of a row that is needed, and the one behind the last.
    range: (usize, usize),
    /// Scratch space: the rows side by side, and the result.
    wide: Vec<u8>,
    narrow: Vec<u8>,
}

impl<'a> RowResizer<'a> {
    pub(super) fn new(level: Level, taps: &'a Taps) -> Self {
        Self { level, taps, range: taps.range(), wide: Vec::new(), narrow: Vec::new() }
    }

    /// Appends up to [`ROWS`] resampled rows to `output`. Each of `rows` begins with the first pixel of the taps' range.
    pub(super) fn run(&mut self, rows: &[&[u8]], output: &mut Vec<u8>) {
        let Self { level, taps, range: (first, last), wide, narrow } = self;
        if rows.is_empty() {
            return;
        }
        wide.resize(3 * rows.len() * (*last - *first), 0);
        narrow.resize(3 * rows.len() * taps.len(), 0);
        dispatch!(*level, _ => along_rows(rows, *first, taps, wide, narrow));
        let start = output.len();
        output.resize(start + narrow.len(), 0);
        for (row, made) in output[start..].chunks_exact_mut(3 * taps.len()).enumerate() {
            let pixels = narrow.chunks_exact(3 * rows.len()).map(|pixels| &pixels[3 * row..][..3]);
            made.chunks_exact_mut(3).zip(pixels).for_each(|(to, from)| to.copy_from_slice(from));
        }
    }
}

#[inline(always)]
fn along_rows(rows: &[&[u8]], offset: usize, taps: &Taps, wide: &mut [u8], narrow: &mut [u8]) {
    if let Ok(rows) = <&[&[u8]; ROWS]>::try_from(rows) {
        lay_side_by_side(rows, wide);
        along::<LANES>(wide, offset, taps, narrow);
        return;
    }
    let lanes = 3 * rows.len();
    lay_few_side_by_side(rows, 0, wide);
    along_few(wide, lanes, offset, taps, narrow);
}

/// [`TILE`] pixels of each row at a time. Four bytes are moved for the three of a pixel, which takes one instruction: the
/// fourth is written over by the pixel of the next row.
#[inline(always)]
fn lay_side_by_side(rows: &[&[u8]; ROWS], wide: &mut [u8]) {
    let (tiles, rest) = wide.as_chunks_mut::<{ TILE * LANES }>();
    for (index, tile) in tiles.iter_mut().enumerate() {
        for (row, values) in rows.iter().enumerate() {
            let values: &[u8; 3 * TILE] = values[3 * TILE * index..].first_chunk().expect("rows have all pixels");
            for x in 0..TILE {
                let length = if row + 1 < ROWS && x + 1 < TILE { 4 } else { 3 };
                tile[x * LANES + 3 * row..][..length].copy_from_slice(&values[3 * x..][..length]);
            }
        }
    }
    let done = tiles.len() * 3 * TILE;
    lay_few_side_by_side(rows, done, rest);
}

/// The rows from so many bytes on, without hurry.
#[inline(always)]
fn lay_few_side_by_side(rows: &[&[u8]], from: usize, wide: &mut [u8]) {
    for (row, values) in rows.iter().enumerate() {
        let places = wide.chunks_exact_mut(3 * rows.len()).map(|pixels| &mut pixels[3 * row..][..3]);
        places.zip(values[from..].chunks_exact(3)).for_each(|(to, from)| to.copy_from_slice(from));
    }
}

#[inline(always)]
fn along<const N: usize>(wide: &[u8], offset: usize, taps: &Taps, narrow: &mut [u8]) {
    for ((first, weights), pixels) in taps.iter().zip(narrow.as_chunks_mut::<N>().0) {
        let mut sums = [HALF; N];
        add_fixed(&mut sums, &wide[(first - offset) * N..], N, weights);
        clip_all(&sums, pixels);
    }
}

/// The same for fewer rows than [`ROWS`].
#[inline(always)]
fn along_few(wide: &[u8], lanes: usize, offset: usize, taps: &Taps, narrow: &mut [u8]) {
    for ((first, weights), pixels) in taps.iter().zip(narrow.chunks_exact_mut(lanes)) {
        let mut sums = [HALF; LANES];
        add_rest(&mut sums[..lanes], &wide[(first - offset) * lanes..], lanes, weights);
        clip_all(&sums, pixels);
    }
}

#[inline(always)]
fn add(sums: &mut [i32], rows: &[u8], stride: usize, weights: &[i32]) {
    let (chunks, rest) = sums.as_chunks_mut::<LANES>();
    let rest_at = chunks.len() * LANES;
    for (index, sums) in chunks.iter_mut().enumerate() {
        add_fixed(sums, &rows[index * LANES..], stride, weights);
    }
    if !rest.is_empty() {
        add_rest(rest, &rows[rest_at..], stride, weights);
    }
}

#[inline(always)]
fn add_fixed<const N: usize>(sums: &mut [i32; N], rows: &[u8], stride: usize, weights: &[i32]) {
    // A copy, which is kept in registers.
    let mut kept = *sums;
    for (index, weight) in weights.iter().enumerate() {
        let row: &[u8; N] = rows[index * stride..].first_chunk().expect("a row has all values that are summed up");
        for (sum, value) in kept.iter_mut().zip(row) {
            *sum += i32::from(*value) * weight;
        }
    }
    *sums = kept;
}

#[inline(always)]
fn add_rest(sums: &mut [i32], rows: &[u8], stride: usize, weights: &[i32]) {
    for (index, weight) in weights.iter().enumerate() {
        for (sum, value) in sums.iter_mut().zip(&rows[index * stride..]) {
            *sum += i32::from(*value) * weight;
        }
    }
}

#[inline(always)]
fn clip_all(sums: &[i32], values: &mut [u8]) {
    for (value, sum) in values.iter_mut().zip(sums) {
        *value = clip(*sum);
    }
}

#[inline(always)]
pub(super) fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

//! PIL's `Image.resize` for 8-bit RGB, bit by bit, and only for the pixels that are wanted.
//!
//! PIL resamples with a convolution whose support grows with the reduction (antialiasing), along the rows and along the
//! columns, with 8 bits in between and coefficients in fixed point. Each result depends on the input alone,
//! not on its neighbours, so a part of the resized image can be computed by itself: what a centre crop throws away is
//! never made, and memory is bounded by the crop, also for an image of 5000 x 1 pixels whose shorter side becomes 224.

use std::f64::consts::PI;

use image::RgbImage;

use crate::spec::Filter;

/// Bits behind the point of the coefficients: 32, less 8 for the pixel and 2 for sums that overshoot.
const PRECISION: u32 = 32 - 8 - 2;
/// One half in fixed point: sums are rounded to the nearest.
const HALF: i32 = 1 << (PRECISION - 1);
/// Most bytes of an axis' weights. An image so long that it needs more has few rows or columns (or few pixels would be left
/// of any limit), and its weights are made for one output pixel at a time.
const MAX_WEIGHTS: usize = 16 << 20;

/// One axis of a resizing: the input's pixels, the output's, and the range of the output's that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub input: u32,
    pub output: u64,
    pub start: u64,
    pub length: u32,
}

/// The wanted part of the resized image.
pub(super) fn resize(image: &RgbImage, x: Axis, y: Axis, filter: Filter) -> RgbImage {
    if filter == Filter::Nearest {
        return nearest(image, x, y);
    }
    // PIL leaves out the pass of an axis that keeps its size.
    let changes = |axis: Axis| u64::from(axis.input) != axis.output;
    if changes(x) && weights_size(x, filter) > MAX_WEIGHTS && !is_vertical_first(x, y) {
        let narrow = rows_at_once(image, &Scale::new(x, filter));
        let done = Axis { input: x.length, output: x.length.into(), start: 0, length: x.length };
        return resize(&narrow, done, y, filter);
    }
    let columns = changes(x).then(|| Taps::new(x, filter));
    let is_long = weights_size(y, filter) > MAX_WEIGHTS;
    let done = match &columns {
        _ if !changes(y) => {
            let mut done = Vec::with_capacity(x.length as usize * y.length as usize * 3);
            for row in 0..y.length as usize {
                first_pass(image, x, &columns, y.start as usize + row, &mut done);
            }
            done
        }
        Some(columns) if is_vertical_first(x, y) => columns_then_rows(image, Some(columns), x, &Scale::new(y, filter)),
        None if is_long => columns_then_rows(image, None, x, &Scale::new(y, filter)),
        _ => {
            let rows = Taps::new(y, filter);
            along_columns(x.length as usize * 3, &rows, |row, wide| first_pass(image, x, &columns, row, wide))
        }
    };
    RgbImage::from_raw(x.length, y.length, done).expect("the passes made length by length pixels")
}

/// Bytes of the weights that [`Taps`] of the axis have.
fn weights_size(axis: Axis, filter: Filter) -> usize {
    Scale::new(axis, filter).stride() * axis.length as usize * size_of::<i32>()
}

/// Pillow 13 takes the columns first where the height shrinks by more than twice what the width does; Pillow 12 always
/// takes the rows first. The order matters because of the 8 bits in between: by a level or so in photos, by up to 26 in
/// noise. (Found by trying Pillow 13.0 on 404 sizes, limits included, and Pillow 12.3 on some of them.)
fn is_vertical_first(x: Axis, y: Axis) -> bool {
    let shrinks_by = |axis: Axis| i128::from(axis.input) - i128::from(axis.output);
    shrinks_by(y) > 0 && shrinks_by(y) > 2 * shrinks_by(x)
}

/// Appends a row of the input, resampled along the row and cut to what is wanted.
fn first_pass(image: &RgbImage, x: Axis, columns: &Option<Taps>, row: usize, wide: &mut Vec<u8>) {
    let input = row_of(image, row);
    match columns {
        Some(taps) => along_row(input, 0, taps, wide),
        None => wide.extend_from_slice(&input[x.start as usize * 3..][..x.length as usize * 3]),
    }
}

fn row_of(image: &RgbImage, row: usize) -> &[u8] {
    let stride = image.width() as usize * 3;
    &image.as_raw()[row * stride..][..stride]
}

/// The input pixels that make one output pixel, and where their weights start.
struct Tap {
    first: usize,
    count: usize,
}

/// The weights of all wanted output pixels of an axis.
struct Taps {
    taps: Vec<Tap>,
    /// `stride` weights for each tap, in fixed point.
    weights: Vec<i32>,
    stride: usize,
}

/// How an axis is resampled: makes the weights of one output pixel at a time.
struct Scale {
    axis: Axis,
    kernel: fn(f64) -> f64,
    /// Input pixels for an output pixel.
    scale: f64,
    /// The distance in input pixels at which the kernel ends.
    support: f64,
}

impl Scale {
    fn new(axis: Axis, filter: Filter) -> Scale {
        let (kernel, radius) = kernel(filter);
        let scale = f64::from(axis.input) / axis.output as f64;
        Scale { axis, kernel, scale, support: radius * scale.max(1.0) }
    }

    /// Most weights of an output pixel.
    fn stride(&self) -> usize {
        (self.support.ceil() as usize * 2 + 1).min(self.axis.input as usize)
    }

    fn tap(&self, index: usize) -> Tap {
        let center = self.center(index);
        // Conversions to integers cut towards zero, and negative ones become zero, as there.
        let first = (center - self.support + 0.5) as usize;
        let last = ((center + self.support + 0.5) as usize).min(self.axis.input as usize);
        Tap { first, count: last - first }
    }

    fn center(&self, index: usize) -> f64 {
        ((self.axis.start + index as u64) as f64 + 0.5) * self.scale
    }

    /// The weights of an output pixel in fixed point, after `precompute_coeffs` and `normalize_coeffs_8bpc` of Pillow's
    /// Resample.c. `exact` is scratch space.
    fn weigh(&self, index: usize, tap: &Tap, exact: &mut Vec<f64>, weights: &mut [i32]) {
        let (center, stretch) = (self.center(index), self.scale.max(1.0));
        exact.clear();
        exact.extend((0..tap.count).map(|i| (self.kernel)(((i + tap.first) as f64 - center + 0.5) * (1.0 / stretch))));
        let sum: f64 = exact.iter().sum();
        for (weight, exact) in weights.iter_mut().zip(&*exact) {
            let scaled = if sum == 0.0 { *exact } else { exact / sum } * f64::from(1 << PRECISION);
            *weight = (scaled + 0.5f64.copysign(scaled)) as i32;
        }
    }

    /// Calls `use_weights` with the first input pixel and the weights of each output pixel, in order.
    fn for_each(&self, mut use_weights: impl FnMut(usize, &[i32])) {
        let (mut exact, mut weights) = (Vec::new(), vec![0; self.stride()]);
        for index in 0..self.axis.length as usize {
            let tap = self.tap(index);
            self.weigh(index, &tap, &mut exact, &mut weights);
            use_weights(tap.first, &weights[..tap.count]);
        }
    }
}

impl Taps {
    fn new(axis: Axis, filter: Filter) -> Taps {
        let scale = Scale::new(axis, filter);
        let stride = scale.stride();
        let taps: Vec<Tap> = (0..axis.length as usize).map(|index| scale.tap(index)).collect();
        let mut weights = vec![0; stride * axis.length as usize];
        let mut exact = Vec::with_capacity(stride);
        for (index, (tap, weights)) in taps.iter().zip(weights.chunks_exact_mut(stride)).enumerate() {
            scale.weigh(index, tap, &mut exact, weights);
        }
        Taps { taps, weights, stride }
    }

    /// The first input pixel that is read, and the one behind the last: taps start and end in order.
    fn range(&self) -> (usize, usize) {
        let first = self.taps.first().map_or(0, |tap| tap.first);
        let last = self.taps.last().map_or(0, |tap| tap.first + tap.count);
        (first, last)
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.taps.iter().zip(self.weights.chunks_exact(self.stride)).map(|(tap, w)| (tap.first, &w[..tap.count]))
    }
}

/// Appends a pixel for each tap. `input` starts at the row's pixel `offset`.
fn along_row(input: &[u8], offset: usize, taps: &Taps, output: &mut Vec<u8>) {
    for (first, weights) in taps.iter() {
        output.extend(weighed(&input[(first - offset) * 3..], weights));
    }
}

/// The pixel that so many pixels make together.
fn weighed(input: &[u8], weights: &[i32]) -> [u8; 3] {
    let mut sums = [HALF; 3];
    for (pixel, weight) in input.chunks_exact(3).zip(weights) {
        sums[0] += i32::from(pixel[0]) * weight;
        sums[1] += i32::from(pixel[1]) * weight;
        sums[2] += i32::from(pixel[2]) * weight;
    }
    sums.map(clip)
}

/// First pass of an image of few long rows: all of them, one output pixel after the other.
fn rows_at_once(image: &RgbImage, columns: &Scale) -> RgbImage {
    let mut narrow = RgbImage::new(columns.axis.length, image.height());
    let mut column = 0;
    columns.for_each(|first, weights| {
        for row in 0..image.height() {
            let input = &row_of(image, row as usize)[first * 3..];
            narrow.put_pixel(column, row, image::Rgb(weighed(input, weights)));
        }
        column += 1;
    });
    narrow
}

/// Both passes, the columns first: each result row is summed up over the columns that it needs, then resampled where the
/// rows change their length.
fn columns_then_rows(image: &RgbImage, columns: Option<&Taps>, x: Axis, rows: &Scale) -> Vec<u8> {
    let mut done = Vec::with_capacity(x.length as usize * rows.axis.length as usize * 3);
    let whole = (x.start as usize, x.start as usize + x.length as usize);
    let (from, to) = columns.map_or(whole, Taps::range);
    let mut sums = vec![0; (to - from) * 3];
    let mut narrow = Vec::with_capacity(sums.len());
    rows.for_each(|first, weights| {
        sums.fill(HALF);
        for (index, weight) in weights.iter().enumerate() {
            for (sum, value) in sums.iter_mut().zip(&row_of(image, first + index)[from * 3..]) {
                *sum += i32::from(*value) * weight;
            }
        }
        narrow.clear();
        narrow.extend(sums.iter().copied().map(clip));
        match columns {
            Some(columns) => along_row(&narrow, from, columns, &mut done),
            None => done.extend_from_slice(&narrow),
        }
    });
    done
}

/// Second pass: makes a row of `stride` bytes for each tap. Takes the input's rows one by one and adds each to all results
/// that it has a part in, so that an image of a million rows needs no more memory than its result.
fn along_columns(stride: usize, taps: &Taps, make_row: impl Fn(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut sums = vec![HALF; taps.taps.len() * stride];
    let mut wide = Vec::with_capacity(stride);
    let (first, last) = taps.range();
    // Those that a row is part of are neighbours.
    let mut done = 0;
    for row in first..last {
        wide.clear();
        make_row(row, &mut wide);
        while taps.taps[done].first + taps.taps[done].count <= row {
            done += 1;
        }
        for (index, (first, weights)) in taps.iter().enumerate().skip(done) {
            if first > row {
                break;
            }
            let weight = weights[row - first];
            for (sum, value) in sums[index * stride..][..stride].iter_mut().zip(&wide) {
                *sum += i32::from(*value) * weight;
            }
        }
    }
    sums.into_iter().map(clip).collect()
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// After `ImagingScaleAffine` of Pillow's Geometry.c, which adds up the step from pixel to pixel.
fn nearest(image: &RgbImage, x: Axis, y: Axis) -> RgbImage {
    let positions = |axis: Axis| {
        let step = f64::from(axis.input) / axis.output as f64;
        let mut position = step * 0.5;
        // Beyond this many steps the rounding errors of the sum are left out for the time that they take.
        if axis.start > 1 << 20 {
            position += step * axis.start as f64;
        } else {
            (0..axis.start).for_each(|_| position += step);
        }
        let pixel = |_| {
            let pixel = (position as u32).min(axis.input - 1);
            position += step;
            pixel
        };
        (0..axis.length).map(pixel).collect::<Vec<u32>>()
    };
    let (columns, rows) = (positions(x), positions(y));
    RgbImage::from_fn(x.length, y.length, |x, y| *image.get_pixel(columns[x as usize], rows[y as usize]))
}

/// A filter's kernel and the distance at which it ends.
fn kernel(filter: Filter) -> (fn(f64) -> f64, f64) {
    match filter {
        Filter::Nearest | Filter::Box => (box_kernel, 0.5),
        Filter::Bilinear => (bilinear, 1.0),
        Filter::Hamming => (hamming, 1.0),
        Filter::Bicubic => (bicubic, 2.0),
        Filter::Lanczos => (lanczos, 3.0),
    }
}

fn box_kernel(x: f64) -> f64 {
    if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 }
}

fn bilinear(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

fn hamming(x: f64) -> f64 {
    let x = x.abs();
    if x == 0.0 {
        1.0
    } else if x >= 1.0 {
        0.0
    } else {
        let x = x * PI;
        x.sin() / x * (0.54 + 0.46 * x.cos())
    }
}

/// Keys' cubic with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [Filter; 5] = [Filter::Lanczos, Filter::Bilinear, Filter::Bicubic, Filter::Box, Filter::Hamming];

    fn noise(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([0, 1, 2].map(|c| (blake3::hash(&[x, y, c].map(u32::to_le_bytes).concat()).as_bytes())[0]))
        })
    }

    fn whole(input: u32, output: u32) -> Axis {
        Axis { input, output: output.into(), start: 0, length: output }
    }

    /// Weights that are made one by one give what a table of them gives, along both axes.
    #[test]
    fn without_a_table() {
        let image = noise(131, 7);
        for filter in FILTERS {
            let x = whole(131, 10);
            let mut expected = Vec::new();
            (0..7).for_each(|row| first_pass(&image, x, &Some(Taps::new(x, filter)), row, &mut expected));
            assert_eq!(rows_at_once(&image, &Scale::new(x, filter)).as_raw(), &expected, "{filter:?}");

            let y = whole(7, 3);
            let part = Axis { input: 131, output: 131, start: 100, length: 20 };
            let rows = Taps::new(y, filter);
            let expected = along_columns(60, &rows, |row, wide| first_pass(&image, part, &None, row, wide));
            assert_eq!(columns_then_rows(&image, None, part, &Scale::new(y, filter)), expected, "{filter:?}");
        }
    }

    /// Images whose weights are not kept have the same result as with a table of them. (So many pixels make one that fixed point
    /// is far from exact, with PIL too.)
    #[test]
    fn an_image_of_millions_of_columns_or_rows() {
        const LONG: u32 = 3_000_000;
        let pixel = |x: u32, y: u32| image::Rgb([x % 251, y % 241, (x + y) % 239].map(|level| level as u8));
        let (wide, high) = (RgbImage::from_fn(LONG, 1, pixel), RgbImage::from_fn(1, LONG, pixel));
        for filter in [Filter::Lanczos, Filter::Bicubic] {
            let (long, one) = (whole(LONG, 2), whole(1, 1));
            assert!(weights_size(long, filter) > MAX_WEIGHTS);
            let taps = Taps::new(long, filter);
            let mut expected = Vec::new();
            along_row(wide.as_raw(), 0, &taps, &mut expected);
            assert_eq!(resize(&wide, long, one, filter).as_raw(), &expected, "{filter:?}");
            let expected = along_columns(3, &taps, |row, wide| first_pass(&high, one, &None, row, wide));
            assert_eq!(resize(&high, one, long, filter).as_raw(), &expected, "{filter:?}");
        }
    }
}

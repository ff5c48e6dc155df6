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
    let columns = (u64::from(x.input) != x.output).then(|| Taps::new(x, filter));
    let rows = (u64::from(y.input) != y.output).then(|| Taps::new(y, filter));
    let done = match (&columns, &rows) {
        (Some(columns), Some(rows)) if is_vertical_first(x, y) => columns_then_rows(image, columns, rows),
        (_, Some(rows)) => {
            along_columns(x.length as usize * 3, rows, |row, wide| first_pass(image, x, &columns, row, wide))
        }
        (_, None) => {
            let mut done = Vec::with_capacity(x.length as usize * y.length as usize * 3);
            for row in 0..y.length as usize {
                first_pass(image, x, &columns, y.start as usize + row, &mut done);
            }
            done
        }
    };
    RgbImage::from_raw(x.length, y.length, done).expect("the passes made length by length pixels")
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

impl Taps {
    /// After `precompute_coeffs` and `normalize_coeffs_8bpc` of Pillow's Resample.c.
    fn new(axis: Axis, filter: Filter) -> Taps {
        let (kernel, radius) = kernel(filter);
        let scale = f64::from(axis.input) / axis.output as f64;
        let stretch = scale.max(1.0);
        let support = radius * stretch;
        let input = axis.input as usize;
        let stride = (support.ceil() as usize * 2 + 1).min(input);
        let mut taps = Vec::with_capacity(axis.length as usize);
        let mut weights = vec![0; stride * axis.length as usize];
        let mut exact = Vec::with_capacity(stride);
        for (index, weights) in weights.chunks_exact_mut(stride).enumerate() {
            let center = ((axis.start + index as u64) as f64 + 0.5) * scale;
            // Conversions to integers cut towards zero, and negative ones become zero, as there.
            let first = (center - support + 0.5) as usize;
            let last = ((center + support + 0.5) as usize).min(input);
            let count = last - first;
            exact.clear();
            exact.extend((0..count).map(|i| kernel(((i + first) as f64 - center + 0.5) * (1.0 / stretch))));
            let sum: f64 = exact.iter().sum();
            for (weight, exact) in weights.iter_mut().zip(&exact) {
                let scaled = if sum == 0.0 { *exact } else { exact / sum } * f64::from(1 << PRECISION);
                *weight = (scaled + 0.5f64.copysign(scaled)) as i32;
            }
            taps.push(Tap { first, count });
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
        let mut sums = [HALF; 3];
        for (pixel, weight) in input[(first - offset) * 3..].chunks_exact(3).zip(weights) {
            sums[0] += i32::from(pixel[0]) * weight;
            sums[1] += i32::from(pixel[1]) * weight;
            sums[2] += i32::from(pixel[2]) * weight;
        }
        output.extend(sums.map(clip));
    }
}

/// Both passes, the columns first: each result row is summed up over the columns that it needs, then resampled.
fn columns_then_rows(image: &RgbImage, columns: &Taps, rows: &Taps) -> Vec<u8> {
    let mut done = Vec::with_capacity(columns.taps.len() * rows.taps.len() * 3);
    let (from, to) = columns.range();
    let mut sums = vec![0; (to - from) * 3];
    let mut narrow = Vec::with_capacity(sums.len());
    for (first, weights) in rows.iter() {
        sums.fill(HALF);
        for (index, weight) in weights.iter().enumerate() {
            for (sum, value) in sums.iter_mut().zip(&row_of(image, first + index)[from * 3..]) {
                *sum += i32::from(*value) * weight;
            }
        }
        narrow.clear();
        narrow.extend(sums.iter().copied().map(clip));
        along_row(&narrow, from, columns, &mut done);
    }
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

//! PIL's `Image.resize` for 8-bit RGB, bit by bit, and only for the pixels that are wanted.
//!
//! PIL resamples with a convolution whose support grows with the reduction (antialiasing), along the rows and along the
//! columns, with 8 bits in between and coefficients in fixed point. Each result depends on the input alone,
//! not on its neighbours, so a part of the resized image can be computed by itself: what a centre crop throws away is
//! never made, and memory is bounded by the crop, also for an image of 5000 x 1 pixels whose shorter side becomes 224.
//!
//! ```text
//! weights    an axis -> the weights of input pixels in output pixels
//! convolve   the inner loops
//! ```

mod convolve;
#[cfg(test)]
mod tests;
mod weights;

use fearless_simd::Level;
use image::RgbImage;

use crate::spec::Filter;
use convolve::{ROWS, RowResizer, add_rows, clip, clip_row};
pub(super) use weights::Axis;
use weights::{HALF, Scale, Taps};

/// Most bytes of an axis' weights. An image so long that it needs more has few rows or columns (or few pixels would be left
/// of any limit), and its weights are made for one output pixel at a time.
const MAX_WEIGHTS: usize = 16 << 20;

/// The wanted part of the resized image.
pub(super) fn resize(image: &RgbImage, x: Axis, y: Axis, filter: Filter) -> RgbImage {
    resize_with(Level::new(), image, x, y, filter)
}

/// The same with these instructions of the processor.
fn resize_with(level: Level, image: &RgbImage, x: Axis, y: Axis, filter: Filter) -> RgbImage {
    if filter == Filter::Nearest {
        return nearest(image, x, y);
    }
    // PIL leaves out the pass of an axis that keeps its size.
    let changes = |axis: Axis| u64::from(axis.input) != axis.output;
    if changes(x) && weights_size(x, filter) > MAX_WEIGHTS && !is_vertical_first(x, y) {
        let narrow = rows_at_once(image, &Scale::new(x, filter));
        let done = Axis { input: x.length, output: x.length.into(), start: 0, length: x.length };
        return resize_with(level, &narrow, done, y, filter);
    }
    let columns = changes(x).then(|| Taps::new(x, filter));
    let done = match &columns {
        Some(columns) if !changes(y) => rows_alone(level, image, columns, y),
        None if !changes(y) => cut(image, x, y),
        Some(columns) if !is_vertical_first(x, y) => rows_then_columns(level, image, columns, &Taps::new(y, filter)),
        columns => columns_then_rows(level, image, columns.as_ref(), x, &Scale::new(y, filter)),
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

/// A part of each of so many rows, from a column on.
fn rows_from(image: &RgbImage, rows: std::ops::Range<usize>, column: usize) -> Vec<&[u8]> {
    rows.map(|row| &row_of(image, row)[column * 3..]).collect()
}

fn row_of(image: &RgbImage, row: usize) -> &[u8] {
    let stride = image.width() as usize * 3;
    &image.as_raw()[row * stride..][..stride]
}

/// Where both sides keep their size.
fn cut(image: &RgbImage, x: Axis, y: Axis) -> Vec<u8> {
    let rows = rows_from(image, y.start as usize..y.start as usize + y.length as usize, x.start as usize);
    rows.into_iter().flat_map(|row| &row[..x.length as usize * 3]).copied().collect()
}

/// Where the columns keep their length.
fn rows_alone(level: Level, image: &RgbImage, columns: &Taps, y: Axis) -> Vec<u8> {
    let mut resizer = RowResizer::new(level, columns);
    let mut done = Vec::with_capacity(columns.len() * y.length as usize * 3);
    let last = y.start as usize + y.length as usize;
    for row in (y.start as usize..last).step_by(ROWS) {
        resizer.run(&rows_from(image, row..last.min(row + ROWS), columns.range().0), &mut done);
    }
    done
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
fn columns_then_rows(level: Level, image: &RgbImage, columns: Option<&Taps>, x: Axis, rows: &Scale) -> Vec<u8> {
    let mut done = Vec::with_capacity(x.length as usize * rows.axis.length as usize * 3);
    let whole = (x.start as usize, x.start as usize + x.length as usize);
    let (from, to) = columns.map_or(whole, Taps::range);
    let (stride, length) = (image.width() as usize * 3, (to - from) * 3);
    let mut resizer = columns.map(|columns| RowResizer::new(level, columns));
    let mut sums = vec![0; length];
    let mut summed = vec![0; length * ROWS.min(rows.axis.length as usize)];
    let mut count = 0;
    rows.for_each(|first, weights| {
        sums.fill(HALF);
        add_rows(level, &mut sums, &image.as_raw()[first * stride + from * 3..], stride, weights);
        clip_row(level, &sums, &mut summed[count * length..][..length]);
        count += 1;
        if count * length == summed.len() {
            finish(&mut resizer, &summed, length, &mut done);
            count = 0;
        }
    });
    finish(&mut resizer, &summed[..count * length], length, &mut done);
    done
}

/// Appends rows of so many bytes, resampled where they are to be.
fn finish(resizer: &mut Option<RowResizer>, rows: &[u8], length: usize, done: &mut Vec<u8>) {
    match resizer {
        Some(resizer) => resizer.run(&rows.chunks_exact(length).collect::<Vec<_>>(), done),
        None => done.extend_from_slice(rows),
    }
}

/// Both passes, the rows first. Takes the input's rows a few at a time and adds each to all results that it has a part in,
/// so that an image of a million rows needs no more memory than its result.
fn rows_then_columns(level: Level, image: &RgbImage, columns: &Taps, rows: &Taps) -> Vec<u8> {
    let stride = columns.len() * 3;
    let mut resizer = RowResizer::new(level, columns);
    let mut sums = vec![HALF; rows.len() * stride];
    let mut narrow = Vec::with_capacity(ROWS * stride);
    let (first, last) = rows.range();
    // Those that a row is part of are neighbours.
    let mut done = 0;
    for start in (first..last).step_by(ROWS) {
        let end = last.min(start + ROWS);
        narrow.clear();
        resizer.run(&rows_from(image, start..end, columns.range().0), &mut narrow);
        done += rows.iter().skip(done).take_while(|(first, weights)| first + weights.len() <= start).count();
        for (index, (first, weights)) in rows.iter().enumerate().skip(done).take_while(|(_, (first, _))| *first < end) {
            let (from, to) = (first.max(start), end.min(first + weights.len()));
            let sums = &mut sums[index * stride..][..stride];
            add_rows(level, sums, &narrow[(from - start) * stride..], stride, &weights[from - first..to - first]);
        }
    }
    let mut result = vec![0; sums.len()];
    clip_row(level, &sums, &mut result);
    result
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

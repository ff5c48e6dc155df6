//! The weights of input pixels in output pixels, after Pillow's Resample.c.

use std::f64::consts::PI;

use crate::spec::Filter;

/// Bits behind the point of the coefficients: 32, less 8 for the pixel and 2 for sums that overshoot.
pub(super) const PRECISION: u32 = 32 - 8 - 2;
/// One half in fixed point: sums are rounded to the nearest.
pub(super) const HALF: i32 = 1 << (PRECISION - 1);

/// One axis of a resizing: the input's pixels, the output's, and the range of the output's that is wanted.
#[derive(Debug, Clone, Copy)]
pub(in crate::image) struct Axis {
    pub input: u32,
    pub output: u64,
    pub start: u64,
    pub length: u32,
}

/// The input pixels that make one output pixel, and where their weights start.
pub(super) struct Tap {
    pub first: usize,
    pub count: usize,
}

/// The weights of all wanted output pixels of an axis.
pub(super) struct Taps {
    taps: Vec<Tap>,
    /// `stride` weights for each tap, in fixed point.
    weights: Vec<i32>,
    stride: usize,
}

/// How an axis is resampled: makes the weights of one output pixel at a time.
pub(super) struct Scale {
    pub axis: Axis,
    kernel: fn(f64) -> f64,
    /// Input pixels for an output pixel.
    scale: f64,
    /// The distance in input pixels at which the kernel ends.
    support: f64,
}

impl Scale {
    pub(super) fn new(axis: Axis, filter: Filter) -> Scale {
        let (kernel, radius) = kernel(filter);
        let scale = f64::from(axis.input) / axis.output as f64;
        Scale { axis, kernel, scale, support: radius * scale.max(1.0) }
    }

    /// Most weights of an output pixel.
    pub(super) fn stride(&self) -> usize {
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
    pub(super) fn for_each(&self, mut use_weights: impl FnMut(usize, &[i32])) {
        let (mut exact, mut weights) = (Vec::new(), vec![0; self.stride()]);
        for index in 0..self.axis.length as usize {
            let tap = self.tap(index);
            self.weigh(index, &tap, &mut exact, &mut weights);
            use_weights(tap.first, &weights[..tap.count]);
        }
    }
}

impl Taps {
    pub(super) fn new(axis: Axis, filter: Filter) -> Taps {
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

    /// How many output pixels there are.
    pub(super) fn len(&self) -> usize {
        self.taps.len()
    }

    /// The first input pixel that is read, and the one behind the last: taps start and end in order.
    pub(super) fn range(&self) -> (usize, usize) {
        let first = self.taps.first().map_or(0, |tap| tap.first);
        let last = self.taps.last().map_or(0, |tap| tap.first + tap.count);
        (first, last)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.taps.iter().zip(self.weights.chunks_exact(self.stride)).map(|(tap, w)| (tap.first, &w[..tap.count]))
    }
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

//! Which similarity is high enough to mean something?
//!
//! The similarities of one query to images that have nothing to do with it lie close to a normal distribution, whose
//! place and width differ from query to query and from model to model; that is why one fixed cut-off serves nobody. In
//! a random sample of a large table nearly all images are such images. The few that do match pull the mean and the
//! standard deviation up, but hardly the median and the median absolute deviation, so these are taken (Hampel, "The
//! Influence Curve and Its Role in Robust Estimation", 1974; the factor 1.4826 makes the latter a standard deviation).
//!
//! The threshold is the similarity that a random image exceeds with the wanted probability, on average over the
//! queries.

use libm::erfc;

/// From median absolute deviation to standard deviation, of a normal distribution.
const MAD_TO_DEVIATION: f64 = 1.482_602_218_505_602;

/// The similarities of one query to random images, as a normal distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Background {
    /// Where half of them lie below.
    pub center: f64,
    /// Standard deviation, estimated robustly.
    pub deviation: f64,
}

impl Background {
    /// Fits the distribution; `None` where there are no similarities. Reorders them.
    pub fn fit(similarities: &mut [f32]) -> Option<Self> {
        let center = median(similarities)?;
        let mut deviations: Vec<f32> =
            similarities.iter().map(|similarity| (f64::from(*similarity) - center).abs() as f32).collect();
        Some(Self { center, deviation: MAD_TO_DEVIATION * median(&mut deviations)? })
    }

    /// Probability that a random image has a similarity above `value`.
    fn above(&self, value: f64) -> f64 {
        if self.deviation == 0.0 {
            return if value < self.center { 1.0 } else { 0.0 };
        }
        0.5 * erfc((value - self.center) / (self.deviation * std::f64::consts::SQRT_2))
    }
}

/// The similarity that a random image exceeds with the probability `rate` (between 0 and 1, both excluded), on average
/// over the queries; at most 1. `None` where there are no queries.
pub fn threshold(backgrounds: &[Background], rate: f64) -> Option<f64> {
    if backgrounds.is_empty() {
        return None;
    }
    let above = |value: f64| backgrounds.iter().map(|b| b.above(value)).sum::<f64>() / backgrounds.len() as f64;
    // The share falls from 1 to 0: halving finds where it is `rate`.
    let (mut low, mut high) = (-1.0f64, 1.0f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if above(middle) > rate { low = middle } else { high = middle }
    }
    Some(high)
}

/// The middle one, or the mean of the middle two.
fn median(values: &mut [f32]) -> Option<f64> {
    let upper = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, &mut middle, _) = values.select_nth_unstable_by(upper, f32::total_cmp);
    let lower = below.iter().copied().max_by(f32::total_cmp).filter(|_| even).unwrap_or(middle);
    Some(f64::midpoint(lower.into(), middle.into()))
}

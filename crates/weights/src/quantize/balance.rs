//! Scales: those of activations, of weights, and what is moved from the former to the latter.

/// Activations have levels from −127 to 127.
const ACTIVATION_LEVELS: f32 = 127.0;
/// Weights have levels from −63 to 63: 2 × 255 × 63 fits 16 bits with a sign.
const WEIGHT_LEVELS: f32 = 63.0;
/// Room above the largest value of the calibration; what is larger yet saturates.
const MARGIN: f32 = 1.25;
/// Smallest magnitude of a channel that counts, relative to the largest.
const FLOOR: f32 = 1e-4;

/// A matrix of input channels × output channels.
pub(super) struct Weights {
    pub values: Vec<f32>,
    pub columns: usize,
}

/// How the input of products is quantised.
#[derive(Debug, PartialEq)]
pub(super) struct Scales {
    /// What each channel is divided by, and its weights are multiplied by.
    pub factors: Vec<f32>,
    /// The difference of two levels, after that.
    pub scale: f32,
}

/// The scales of an input with these largest magnitudes, of which products with these weights are taken.
pub(super) fn scales(ranges: &[f32], weights: &[Weights]) -> Scales {
    let mut rows = vec![0_f32; ranges.len()];
    for Weights { values, columns } in weights {
        for (row, values) in rows.iter_mut().zip(values.chunks_exact(*columns)) {
            *row = values.iter().fold(*row, |most, value| most.max(value.abs()));
        }
    }
    let (activations, rows) = (with_floor(ranges), with_floor(&rows));
    let factors: Vec<f32> = activations.iter().zip(&rows).map(|(range, row)| range.sqrt() / row.sqrt()).collect();
    let most = ranges.iter().zip(&factors).map(|(range, factor)| range / factor).fold(0.0, f32::max);
    // An input that was always zero.
    let scale = if most > 0.0 { MARGIN * most / ACTIVATION_LEVELS } else { 1.0 };
    Scales { factors, scale }
}

/// Magnitudes, of which none is so small that it would be blown up.
fn with_floor(magnitudes: &[f32]) -> Vec<f32> {
    let most = magnitudes.iter().copied().fold(0.0, f32::max);
    let least = if most > 0.0 { most * FLOOR } else { 1.0 };
    magnitudes.iter().map(|magnitude| magnitude.max(least)).collect()
}

impl Weights {
    /// Matrices with the same rows, as one.
    pub fn beside_each_other(all: &[Weights]) -> Weights {
        let rows = all.first().map_or(0, |first| first.values.len() / first.columns);
        let row = |number: usize| all.iter().flat_map(move |one| &one.values[number * one.columns..][..one.columns]);
        Weights { values: (0..rows).flat_map(row).copied().collect(), columns: all.iter().map(|one| one.columns).sum() }
    }

    /// The levels, row by row, and the difference of two levels of each column, once rows are multiplied by the factors.
    pub fn quantize(&self, factors: &[f32]) -> (Vec<i8>, Vec<f32>) {
        let rows = || self.values.chunks_exact(self.columns).zip(factors);
        let mut most = vec![0_f32; self.columns];
        for (values, factor) in rows() {
            for (most, value) in most.iter_mut().zip(values) {
                *most = most.max((value * factor).abs());
            }
        }
        let scales: Vec<f32> = most.iter().map(|most| if *most > 0.0 { most / WEIGHT_LEVELS } else { 1.0 }).collect();
        let level = |(value, scale): (&f32, &f32), factor: &f32| {
            (value * factor / scale).round_ties_even().clamp(-WEIGHT_LEVELS, WEIGHT_LEVELS) as i8
        };
        let levels =
            rows().flat_map(|(values, factor)| values.iter().zip(&scales).map(move |pair| level(pair, factor)));
        let levels = levels.collect();
        (levels, scales)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weights(values: &[f32], columns: usize) -> Weights {
        Weights { values: values.to_vec(), columns }
    }

    #[test]
    fn a_large_channel_takes_its_share_of_the_weights() {
        let one = weights(&[1.0, -1.0, 1.0, 0.5], 2);
        let Scales { factors, scale } = scales(&[100.0, 1.0], &[one]);
        assert_eq!(factors, [10.0, 1.0]);
        assert_eq!(scale, MARGIN * 10.0 / 127.0);
        // The largest row of all products of the input counts.
        let two = [weights(&[1.0, 1.0], 1), weights(&[4.0, 1.0], 1)];
        assert_eq!(scales(&[1.0, 1.0], &two).factors, [0.5, 1.0]);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let zero = scales(&[0.0, 0.0], &[weights(&[0.0, 0.0], 1)]);
        assert_eq!(zero, Scales { factors: vec![1.0, 1.0], scale: 1.0 });
        let Scales { factors, scale } = scales(&[0.0, 1e30], &[weights(&[0.0, 1e-30], 1)]);
        assert!(factors.iter().all(|factor| factor.is_normal()) && scale.is_normal(), "{factors:?} {scale}");
        let (levels, scales) = weights(&[0.0, 1.0], 2).quantize(&[1.0]);
        assert_eq!((levels, scales), (vec![0, 63], vec![1.0, 1.0 / 63.0]));
    }

    proptest! {
        #[test]
        fn products_are_near(values in prop::collection::vec(-2f32..2.0, 12), inputs in prop::collection::vec(-9f32..9.0, 4)) {
            let weights = weights(&values, 3);
            let ranges: Vec<f32> = inputs.iter().map(|value| value.abs()).collect();
            let Scales { factors, scale } = scales(&ranges, std::slice::from_ref(&weights));
            let (levels, columns) = weights.quantize(&factors);
            prop_assert!(levels.iter().all(|level| level.unsigned_abs() <= 63));
            for column in 0..3 {
                let (mut exact, mut found, mut bound) = (0.0, 0.0, 1e-4);
                for row in 0..4 {
                    let (input, value) = (inputs[row], values[row * 3 + column]);
                    let level = (input / factors[row] / scale).round_ties_even().clamp(-127.0, 127.0);
                    exact += input * value;
                    found += level * f32::from(levels[row * 3 + column]) * scale * columns[column];
                    // Half a level of either, times the other.
                    bound += 0.51 * (scale * factors[row] * value.abs() + columns[column] / factors[row] * input.abs())
                        + 0.26 * scale * columns[column];
                }
                prop_assert!((exact - found).abs() <= bound, "{exact} {found} {bound}");
            }
        }
    }
}

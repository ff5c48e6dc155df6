//! Order statistics of measured times.

use std::time::Duration;

/// Measured times.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a time.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    /// The median in milliseconds.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The time that 95 of 100 do not exceed, in milliseconds.
    pub fn p95(&self) -> f64 {
        self.quantile(0.95)
    }

    /// The time that 99 of 100 do not exceed, in milliseconds.
    pub fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    fn quantile(&self, share: f64) -> f64 {
        quantile(&self.0, share)
    }
}

/// The median; of nothing, it is no number, which breaks each limit.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Between two values, the one in proportion.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(milliseconds: impl IntoIterator<Item = u64>) -> Samples {
        let mut samples = Samples::default();
        milliseconds.into_iter().for_each(|ms| samples.push(Duration::from_millis(ms)));
        samples
    }

    #[test]
    fn median_is_in_the_middle_in_any_order() {
        assert!((samples([9, 1, 5]).median() - 5.0).abs() < 1e-9);
        assert!((samples([4, 1, 3, 2]).median() - 2.5).abs() < 1e-9);
        assert!((samples([7]).median() - 7.0).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn p95_leaves_five_of_a_hundred_above() {
        assert!((samples(0..=100).p95() - 95.0).abs() < 1e-9);
        assert!((samples([7]).p95() - 7.0).abs() < 1e-9);
    }
}

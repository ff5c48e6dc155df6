//! How long something takes: quantiles since the start, and of the last minute.

use hdrhistogram::Histogram;
use protocol::{Latency, Quantiles};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The last minute is so many parts, of which the oldest is forgotten as a whole.
const PARTS: usize = 12;
const PART: Duration = Duration::from_secs(5);
/// Significant digits of a quantile.
const DIGITS: u8 = 2;
/// Microseconds; longer ones count as an hour.
const LONGEST: u64 = 3_600_000_000;

/// Measurements in microseconds.
pub(crate) struct Meter(Mutex<State>);

struct State {
    began: Instant,
    total: Histogram<u64>,
    /// With the number of the part since `began`.
    parts: Vec<(u64, Histogram<u64>)>,
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("constants that make sense")
}

impl Default for Meter {
    fn default() -> Self {
        Self(Mutex::new(State { began: Instant::now(), total: empty(), parts: Vec::new() }))
    }
}

impl Meter {
    /// Counts one.
    pub(crate) fn record(&self, took: Duration) {
        self.record_at(Instant::now(), took);
    }

    fn record_at(&self, now: Instant, took: Duration) {
        let micros = took.as_micros() as u64;
        let mut state = self.0.lock().expect("no panic while held");
        state.total.saturating_record(micros);
        state.part(now).saturating_record(micros);
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        let mut state = self.0.lock().expect("no panic while held");
        state.total.reset();
        state.parts.clear();
    }

    /// What was measured.
    pub(crate) fn latency(&self) -> Latency {
        self.latency_at(Instant::now())
    }

    fn latency_at(&self, now: Instant) -> Latency {
        let state = self.0.lock().expect("no panic while held");
        let part = state.number(now);
        let mut minute = empty();
        for (number, histogram) in &state.parts {
            if *number + PARTS as u64 > part {
                minute.add(histogram).expect("the same bounds");
            }
        }
        Latency { total: quantiles(&state.total), minute: quantiles(&minute) }
    }
}

impl State {
    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / PART.as_secs()
    }

    fn part(&mut self, now: Instant) -> &mut Histogram<u64> {
        let number = self.number(now);
        if self.parts.last().is_none_or(|(latest, _)| *latest != number) {
            self.parts.retain(|(old, _)| *old + PARTS as u64 > number);
            self.parts.push((number, empty()));
        }
        &mut self.parts.last_mut().expect("one was pushed").1
    }
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let at = |quantile| match histogram.is_empty() {
        true => 0.0,
        false => histogram.value_at_quantile(quantile) as f64 / 1000.0,
    };
    Quantiles { count: histogram.len(), p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_hundred() {
        let meter = Meter::default();
        (1..=100).for_each(|ms| meter.record(Duration::from_millis(ms)));
        let Latency { total, minute } = meter.latency();
        assert_eq!(total, minute);
        assert_eq!(total.count, 100);
        for (found, expected) in [(total.p50, 50.0), (total.p95, 95.0), (total.p99, 99.0)] {
            assert!((found / expected - 1.0_f64).abs() < 0.01, "{found} for {expected}");
        }
    }

    #[test]
    fn the_last_minute_is_forgotten_after_a_minute() {
        let (meter, now) = (Meter::default(), Instant::now());
        meter.record_at(now, Duration::from_secs(1));
        meter.record_at(now + Duration::from_secs(30), Duration::from_millis(1));
        let counts = |seconds| {
            let latency = meter.latency_at(now + Duration::from_secs(seconds));
            (latency.total.count, latency.minute.count)
        };
        assert_eq!([counts(40), counts(70), counts(100)], [(2, 2), (2, 1), (2, 0)]);
    }

    #[test]
    fn nothing_measured_is_zero() {
        let meter = Meter::default();
        assert_eq!(meter.latency(), Latency::default());
        meter.record(Duration::from_secs(1_000_000));
        meter.reset();
        assert_eq!(meter.latency(), Latency::default());
    }
}

//! What was asked and answered in a span of time.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Significant digits of a quantile.
const DIGITS: u8 = 3;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing of the extension: the way to PostgreSQL and back, on a machine as busy as it is.
    RoundTrip,
    /// The embedding of a text.
    Text,
    /// That of an image.
    Image,
    /// Those of so many images.
    Array(u32),
}

impl Kind {
    /// Embeddings that it asks for.
    pub fn items(self) -> u32 {
        match self {
            Self::RoundTrip => 0,
            Self::Text | Self::Image => 1,
            Self::Array(images) => images,
        }
    }

    /// For a table.
    pub fn name(self) -> String {
        match self {
            Self::RoundTrip => "SELECT 1 (round trip)".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Image => "image".to_owned(),
            Self::Array(images) => format!("array of {images} images"),
        }
    }
}

/// The span that counts. Who asks does so for longer, so that those whose requests reach beyond the end have as many
/// beside them there as before.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its begin.
    pub start: Instant,
    /// Its end.
    pub end: Instant,
}

impl Window {
    /// The part of a request that lies in the window.
    fn share(&self, began: Instant, ended: Instant) -> f64 {
        let inside = ended.min(self.end).saturating_duration_since(began.max(self.start));
        match ended.saturating_duration_since(began) {
            Duration::ZERO => 0.0,
            all => inside.as_secs_f64() / all.as_secs_f64(),
        }
    }
}

/// What one kind of request got.
pub struct Count {
    /// Requests; of those that reach over an end of the window, the part that is inside.
    pub requests: f64,
    times: Histogram<u64>,
}

impl Count {
    fn new() -> Self {
        let times = Histogram::new(DIGITS).expect("a constant that makes sense");
        Self { requests: 0.0, times }
    }

    /// A quantile of the time that a request took, in milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        self.times.value_at_quantile(share) as f64 / 1000.0
    }
}

/// What was answered.
#[derive(Default)]
pub struct Tally {
    /// By what was asked for.
    pub counts: BTreeMap<Kind, Count>,
    /// How often each error came.
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts an answer, where a part of it lies in the window.
    pub fn answered(&mut self, kind: Kind, window: &Window, began: Instant, ended: Instant) {
        let share = window.share(began, ended);
        if share > 0.0 {
            let count = self.counts.entry(kind).or_insert_with(Count::new);
            count.requests += share;
            count.times.record((ended - began).as_micros() as u64).expect("a histogram that grows as it has to");
        }
    }

    /// Counts an error.
    pub fn failed(&mut self, error: String) {
        *self.errors.entry(error).or_default() += 1;
    }

    /// Takes in another one.
    pub fn add(&mut self, other: Self) {
        for (kind, count) in other.counts {
            let sum = self.counts.entry(kind).or_insert_with(Count::new);
            sum.requests += count.requests;
            sum.times.add(count.times).expect("a histogram that grows as it has to");
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }

    /// Embeddings that requests of a kind got.
    pub fn items(&self, kind: Kind) -> f64 {
        self.counts.get(&kind).map_or(0.0, |count| count.requests * f64::from(kind.items()))
    }

    /// A quantile of the time that requests of a kind took, in milliseconds; as bad as can be where there was none.
    pub fn quantile(&self, kind: Kind, share: f64) -> f64 {
        self.counts.get(&kind).map_or(f64::INFINITY, |count| count.quantile(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_inside_counts() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let window = Window { start: at(100), end: at(200) };
        let mut tally = Tally::default();
        for (began, ended) in [(0, 50), (50, 150), (110, 120), (150, 250), (200, 300)] {
            tally.answered(Kind::Array(10), &window, at(began), at(ended));
        }
        assert!((tally.items(Kind::Array(10)) - 20.0).abs() < 1e-9);
        assert_eq!(tally.items(Kind::Text), 0.0);
        assert!((tally.quantile(Kind::Array(10), 0.5) - 100.0).abs() < 0.2);
    }

    #[test]
    fn sums_have_all_of_both() {
        let (start, window) = (Instant::now(), |start| Window { start, end: start + Duration::from_secs(1) });
        let mut sum = Tally::default();
        for ms in [1, 3] {
            let mut tally = Tally::default();
            tally.answered(Kind::Text, &window(start), start, start + Duration::from_millis(ms));
            tally.failed("no".to_owned());
            sum.add(tally);
        }
        assert_eq!((sum.items(Kind::Text), sum.errors["no"]), (2.0, 2));
        assert!((sum.quantile(Kind::Text, 0.99) - 3.0).abs() < 0.01);
    }
}

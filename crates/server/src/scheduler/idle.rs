//! How long bulk requests were under way, and for how long of it nothing ran on a device.

use std::time::{Duration, Instant};

/// The clocks. Both stand while no bulk request is under way.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Bulk requests under way.
    bulk: usize,
    /// Batches that run.
    batches: usize,
    /// Since when there has been one, but for what was told already.
    bulk_since: Option<Instant>,
    /// Since when nothing has run meanwhile.
    idle_since: Option<Instant>,
}

impl Idle {
    /// A bulk request begins.
    pub fn bulk_begins(&mut self, now: Instant) {
        self.bulk += 1;
        if self.bulk == 1 {
            self.bulk_since = Some(now);
            self.idle_since = (self.batches == 0).then_some(now);
        }
    }

    /// A bulk request ends. Tells, if it was the only one, what [`Idle::device_begins`] does.
    pub fn bulk_ends(&mut self, now: Instant) -> (Duration, Duration) {
        self.bulk -= 1;
        if self.bulk > 0 {
            return Default::default();
        }
        (since(self.bulk_since.take(), now), since(self.idle_since.take(), now))
    }

    /// A batch begins. Tells for how long bulk was under way, and for how long of it nothing ran, as far as that was not
    /// told before.
    pub fn device_begins(&mut self, now: Instant) -> (Duration, Duration) {
        self.batches += 1;
        let whole = since(self.bulk_since, now);
        self.bulk_since = self.bulk_since.map(|_| now);
        (whole, since(self.idle_since.take(), now))
    }

    /// A batch ends.
    pub fn device_ends(&mut self, now: Instant) {
        self.batches -= 1;
        if self.batches == 0 && self.bulk > 0 {
            self.idle_since = Some(now);
        }
    }
}

fn since(start: Option<Instant>, now: Instant) -> Duration {
    start.map_or(Duration::ZERO, |start| now - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_between_batches() {
        let (mut idle, start) = (Idle::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let seconds = |whole: u64, idle: u64| (Duration::from_secs(whole), Duration::from_secs(idle));
        // A search alone counts for nothing.
        assert_eq!(idle.device_begins(at(0)), seconds(0, 0));
        idle.bulk_begins(at(1));
        idle.device_ends(at(2));
        idle.bulk_begins(at(3));
        assert_eq!(idle.device_begins(at(5)), seconds(4, 3));
        // Two at a time.
        assert_eq!(idle.device_begins(at(6)), seconds(1, 0));
        idle.device_ends(at(7));
        assert_eq!(idle.bulk_ends(at(8)), seconds(0, 0));
        idle.device_ends(at(9));
        assert_eq!(idle.bulk_ends(at(13)), seconds(7, 4));
        assert_eq!(idle.device_begins(at(20)), seconds(0, 0));
        idle.device_ends(at(21));
        idle.bulk_begins(at(30));
        assert_eq!(idle.bulk_ends(at(31)), seconds(1, 1));
    }
}

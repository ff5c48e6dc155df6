//! How long runs take, as measured, and whose turn it is.

use crate::class::Class;
use std::time::Duration;

/// What is run first of an encoder whose speed is not known yet, in units.
const FIRST_STEP: usize = 4;
/// The part of the device's time that bulk gets while interactive requests never end: one fifth.
const SHARE_OF_BULK: f64 = 0.2;

/// The speed of an encoder: nanoseconds for each unit of a run, an image or a token.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace(u64);

impl Pace {
    /// Learns from a run.
    pub fn learn(&mut self, units: usize, took: Duration) {
        let measured = took.as_nanos() as u64 / units.max(1) as u64;
        // Half of what was known: a run that was disturbed is forgotten soon, a model's speed hardly changes.
        self.0 = if self.0 == 0 { measured } else { self.0.midpoint(measured) }.max(1);
    }

    /// The units that a run of this length may have.
    pub fn units(self, step: Duration) -> usize {
        match self.0 {
            0 => FIRST_STEP,
            unit => (step.as_nanos() as u64 / unit).max(1) as usize,
        }
    }
}

/// Whose turn it is. Interactive requests go first; for each second of the device that they get while bulk waits, bulk
/// is owed a part of one, and gets its turn once a step's worth is owed.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Seconds.
    owed: f64,
}

impl Turn {
    /// The class of the next run, where there is something to run.
    pub fn next(&mut self, (interactive, bulk): (usize, usize), step: Duration) -> Option<Class> {
        // Bulk that waits for its next images to be decoded keeps what it is owed.
        if interactive == 0 {
            self.owed = 0.0;
        }
        match (interactive > 0, bulk > 0) {
            (false, false) => None,
            (true, true) if self.owed >= step.as_secs_f64() => Some(Class::Bulk),
            (true, _) => Some(Class::Interactive),
            (false, true) => Some(Class::Bulk),
        }
    }

    /// Keeps the account after a run, where both classes wait.
    pub fn ran(&mut self, class: Class, took: Duration) {
        match class {
            Class::Interactive => self.owed += took.as_secs_f64() * SHARE_OF_BULK / (1.0 - SHARE_OF_BULK),
            // Into debt, where a run was longer than a step.
            Class::Bulk => self.owed -= took.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    #[test]
    fn steps_grow_to_what_was_measured() {
        let mut pace = Pace::default();
        assert_eq!(pace.units(STEP), FIRST_STEP);
        // 20 ms for a run and 5 ms for each unit of it: 16 units take 100 ms.
        for _ in 0..40 {
            let units = pace.units(STEP);
            pace.learn(units, Duration::from_millis(20 + 5 * units as u64));
        }
        assert!((14..=16).contains(&pace.units(STEP)), "{}", pace.units(STEP));
        assert_eq!(pace.units(Duration::from_nanos(1)), 1, "a step has something in it");
    }

    /// Interactive requests that never end leave bulk its share, and no more.
    #[test]
    fn bulk_gets_its_share() {
        for interactive in [1, 7, 50, 400] {
            let (mut turn, mut bulk_ms, mut all_ms) = (Turn::default(), 0, 0);
            for _ in 0..20_000 {
                let class = turn.next((1, 1), STEP).unwrap();
                let took = if class == Class::Bulk { 100 } else { interactive };
                bulk_ms += if class == Class::Bulk { took } else { 0 };
                all_ms += took;
                turn.ran(class, Duration::from_millis(took));
            }
            let share = bulk_ms as f64 / all_ms as f64;
            assert!((0.15..=0.25).contains(&share), "{interactive} ms: {share}");
        }
    }

    #[test]
    fn nobody_waits_for_nothing() {
        let mut turn = Turn::default();
        assert_eq!(turn.next((0, 0), STEP), None);
        assert_eq!(turn.next((0, 3), STEP), Some(Class::Bulk));
        assert_eq!(turn.next((3, 0), STEP), Some(Class::Interactive));
        assert_eq!(turn.next((3, 3), STEP), Some(Class::Interactive));
    }
}

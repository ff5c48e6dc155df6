//! How long runs take, as measured: the fastest size of a batch, and whose turn it is.

use crate::class::Class;
use std::time::{Duration, Instant};

/// The first size that is tried of an encoder, as a power of two, in units.
const FIRST: usize = 2;
/// Sizes that are told apart, as powers of two.
const SIZES: usize = 13;
/// Of runs that are longer than a step, a shorter one is as good as one that is faster by this part: a search waits less for it.
const LONG_RUNS: u64 = 64;
/// Of shorter ones, a longer one is: between runs, time is lost that is not theirs.
const SHORT_RUNS: u64 = 16;
/// After so many runs of the best size, one of its neighbours is measured again.
const PATIENCE: u32 = 50;
/// A size that was wanted so often and did not come is left alone for a while: what waits now is larger, or not enough for it.
const MISSES: u32 = 10;
/// The time of such a size.
const NEVER: u64 = u64::MAX;
/// How long after an interactive request batches of its lane stay short: people seldom search once.
const ATTENTION: Duration = Duration::from_secs(10);
/// The part of the device's time that bulk gets while interactive requests never end: one fifth.
const SHARE_OF_BULK: f64 = 0.2;

/// The speed of an encoder, by the size of its runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Nanoseconds for each unit, an image or a token, of runs of up to 1, 2, 4, … units; 0 where none was measured, and
    /// [`NEVER`].
    unit: [u64; SIZES],
    /// The same of the last run alone; 0 where that does not count.
    last: [u64; SIZES],
    /// Runs since another size than the best was tried.
    runs: u32,
    /// Which neighbour was tried last.
    larger: bool,
    /// The size that was wanted last, and how often there was none since it was measured.
    wanted: usize,
    misses: u32,
}

impl Pace {
    /// Learns from a run.
    pub fn learn(&mut self, units: usize, took: Duration) {
        let measured = took.as_nanos() as u64 / units.max(1) as u64;
        let size = size_of(units);
        // What disturbs a run makes it longer, by more than sizes differ: the better of two runs counts.
        let measured = measured.max(1);
        let last = std::mem::replace(&mut self.last[size], measured);
        self.unit[size] = if last == 0 { measured } else { measured.min(last) };
    }

    /// The units that a run of this length may have: the largest size that takes no longer, or the next one, where it was
    /// not measured and should not. At least one.
    pub fn within(&self, step: Duration) -> usize {
        let limit = step.as_nanos() as u64;
        let fits = |size: &usize| self.is_known(*size) && self.unit[*size] << *size <= limit;
        let Some(size) = (0..SIZES).rfind(fits) else {
            return if self.fastest(SIZES - 1).is_none() { 1 << FIRST } else { 1 };
        };
        let next = size + 1;
        let is_worth_a_try = next < SIZES && !self.is_known(next) && self.unit[size] << next <= limit;
        1 << if is_worth_a_try { next } else { size }
    }

    /// The units of the next run of bulk, which has `most` at most: of the size that takes the least time for each unit, or hardly
    /// more, as far as sizes were measured; of one that was not, or not for long, where its turn has come.
    pub fn best(&mut self, most: usize, step: Duration) -> usize {
        let size = self.choose(size_of(most), step.as_nanos() as u64);
        if size != self.wanted {
            (self.wanted, self.misses) = (size, 0);
        }
        1 << size
    }

    /// A run of bulk has begun, of so many units.
    pub fn began(&mut self, units: usize) {
        self.misses = if size_of(units) == self.wanted { 0 } else { self.misses + 1 };
        if self.misses == MISSES {
            (self.unit[self.wanted], self.last[self.wanted]) = (NEVER, 0);
        }
    }

    fn choose(&mut self, most: usize, step: u64) -> usize {
        let Some(fastest) = self.fastest(most) else { return FIRST.min(most) };
        let is_long = |size: usize| self.unit[size] << size >= step;
        let is_within = |size: usize, part| {
            self.is_known(size) && self.unit[size] <= self.unit[fastest] + self.unit[fastest] / part
        };
        let best = (0..=most)
            .find(|size| is_long(*size) && is_within(*size, LONG_RUNS))
            .or_else(|| (0..=most).rfind(|size| !is_long(*size) && is_within(*size, SHORT_RUNS)))
            .unwrap_or(fastest);
        let larger = (best.max(fastest) + 1).min(most);
        self.runs += 1;
        if self.unit[larger] == 0 {
            return larger;
        }
        if self.runs < PATIENCE {
            return best;
        }
        self.runs = 0;
        self.larger = !self.larger;
        if self.larger { larger } else { best.saturating_sub(1) }
    }

    fn fastest(&self, most: usize) -> Option<usize> {
        (0..=most).filter(|size| self.is_known(*size)).min_by_key(|size| self.unit[*size])
    }

    fn is_known(&self, size: usize) -> bool {
        !matches!(self.unit[size], 0 | NEVER)
    }
}

/// The power of two that so many units fit into.
fn size_of(units: usize) -> usize {
    let enough = units.checked_next_power_of_two().unwrap_or(1 << (SIZES - 1));
    (enough.trailing_zeros() as usize).min(SIZES - 1)
}

/// Whose turn it is in a lane. Interactive requests go first; for each second of the device that they get while bulk
/// waits, bulk is owed a part of one, and gets its turn once a step's worth is owed.
#[derive(Debug, Default)]
pub(super) struct Attention {
    /// Seconds.
    owed: f64,
    /// When an interactive request came last.
    asked: Option<Instant>,
}

impl Attention {
    /// An interactive request has come.
    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Whether interactive requests keep coming.
    pub fn is_asked(&self, now: Instant) -> bool {
        self.asked.is_some_and(|asked| now - asked < ATTENTION)
    }

    /// The class of the next run, by which of them wait.
    pub fn turn(&mut self, (interactive, bulk): (bool, bool), step: Duration) -> Option<Class> {
        // Bulk that waits for its next images to be decoded keeps what it is owed.
        if !interactive {
            self.owed = 0.0;
        }
        match (interactive, bulk) {
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
    fn steps_are_as_long_as_was_measured() {
        let mut pace = Pace::default();
        assert_eq!(pace.within(STEP), 4);
        for _ in 0..40 {
            let units = pace.within(STEP);
            pace.learn(units, Duration::from_millis(5 * units as u64));
        }
        assert_eq!(pace.within(STEP), 16);
        assert_eq!(pace.within(STEP * 2), 32);
        assert_eq!(pace.within(Duration::from_nanos(1)), 1, "a step has something in it");
        // Now all is slower.
        for _ in 0..40 {
            let units = pace.within(STEP);
            pace.learn(units, Duration::from_millis(40 * units as u64));
        }
        assert_eq!(pace.within(STEP), 2);
    }

    /// Runs of 8 are the fastest at first, and runs of 32 later on.
    #[test]
    fn the_fastest_size_is_found_and_found_again() {
        let mut pace = Pace::default();
        let mut run = |milliseconds: fn(usize) -> u64, runs: usize| {
            let mut sizes = vec![0; 1 << SIZES];
            for _ in 0..runs {
                let units = pace.best(usize::MAX, STEP);
                sizes[units] += 1;
                pace.began(units);
                pace.learn(units, Duration::from_millis(milliseconds(units)));
            }
            sizes
        };
        let sizes = run(|units| 20 + 5 * units as u64 + (units as u64).pow(2) / 3, 1000);
        assert!(sizes[8] > 900 && sizes[16] < 50, "{sizes:?}");
        let sizes = run(|units| if units > 32 { 1000 * units as u64 } else { 100 + units as u64 }, 2000);
        assert!(sizes[32] > 1700 && sizes[64] < 50, "{sizes:?}");
    }

    /// How often each size is run that takes so many microseconds; every seventh run is disturbed.
    fn sizes_of(pace: &mut Pace, most: usize, micros: impl Fn(usize) -> u64) -> [u32; SIZES] {
        let mut sizes = [0; SIZES];
        for run in 0..1000_u64 {
            let units = pace.best(most, STEP).min(most);
            sizes[size_of(units)] += 1;
            pace.began(units);
            let disturbed = if run % 7 == 3 { 1500 } else { 1000 };
            pace.learn(units, Duration::from_micros(micros(units) * disturbed / 1000));
        }
        sizes
    }

    #[test]
    fn the_shortest_of_long_equals_is_run() {
        let sizes = sizes_of(&mut Pace::default(), 32, |units| 1500 + 33_000 * units as u64);
        assert!(sizes[2] > 900, "{sizes:?}");
        // Also where a run that is shorter than a step is the fastest by a hair.
        let sizes = sizes_of(&mut Pace::default(), 32, |units| {
            units as u64
                * match units {
                    2 => 33_000,
                    4 => 33_100,
                    _ => 33_200,
                }
        });
        assert!(sizes[2] > 900, "{sizes:?}");
    }

    #[test]
    fn the_longest_of_short_equals_is_run() {
        let sizes = sizes_of(&mut Pace::default(), 32, |units| 1000 * units as u64 + if units == 4 { 0 } else { 15 });
        assert!(sizes[5] > 850, "{sizes:?}");
    }

    /// Of sizes that are twelve per cent faster, the first is disturbed when it is run first.
    #[test]
    fn larger_sizes_are_tried_again() {
        let mut pace = Pace::default();
        let micros = |units| units as u64 * [33_000, 33_000, 33_000, 32_800, 30_000, 29_000][size_of(units)];
        let sizes = sizes_of(&mut pace, 32, micros);
        assert!(sizes[4] > 0 && sizes[5] > 700, "{sizes:?}");
    }

    /// No run is larger than it may be, and what was known of larger ones is known when they may be run again.
    #[test]
    fn what_may_be_run_changes() {
        let (mut pace, micros) = (Pace::default(), |units: usize| 20_000 + 100 * units as u64);
        assert!(sizes_of(&mut pace, 64, micros)[6] > 800);
        for _ in 0..100 {
            let units = pace.best(8, STEP);
            assert!(units <= 8, "{units}");
            pace.began(units);
            pace.learn(units, Duration::from_micros(micros(units)));
        }
        // All but one, which may be that of a neighbour.
        assert!((0..10).filter(|_| pace.best(64, STEP) == 64).count() >= 9);
    }

    /// Runs that begin before the first of them has ended, as on model servers, are of the size that they are to be of.
    #[test]
    fn many_runs_at_a_time() {
        let mut pace = Pace::default();
        sizes_of(&mut pace, 32, |units| 20_000 + 100 * units as u64);
        for _ in 0..64 {
            let units = pace.best(32, STEP);
            pace.began(units);
        }
        assert!((0..10).filter(|_| pace.best(32, STEP) == 32).count() >= 9);
    }

    /// A size that does not come any more, since texts are longer now, keeps others from being found no longer.
    #[test]
    fn what_is_not_measured_any_more_is_forgotten() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            let units = pace.best(usize::MAX, STEP);
            pace.began(units);
            pace.learn(units, Duration::from_millis(1 + (units as u64).pow(2)));
        }
        let mut sizes = Vec::new();
        for _ in 0..200 {
            // Each item has 77 units, and the first always fits.
            let items = (pace.best(usize::MAX, STEP) / 77).max(1);
            sizes.push(items);
            pace.began(77 * items);
            pace.learn(77 * items, Duration::from_millis(200 + items as u64));
        }
        assert!(sizes[150..].iter().filter(|items| **items > 20).count() > 40, "{sizes:?}");
    }

    #[test]
    fn attention_ends() {
        let (mut attention, now) = (Attention::default(), Instant::now());
        assert!(!attention.is_asked(now));
        attention.asked(now);
        let after = |part: Duration| attention.is_asked(now + part);
        assert!(after(Duration::ZERO) && after(ATTENTION / 2) && !after(ATTENTION));
    }

    /// Interactive requests that never end leave bulk its share, and no more.
    #[test]
    fn bulk_gets_its_share() {
        for interactive in [1, 7, 50, 400] {
            let (mut turn, mut bulk_ms, mut all_ms) = (Attention::default(), 0, 0);
            for _ in 0..20_000 {
                let class = turn.turn((true, true), STEP).unwrap();
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
        let mut turn = Attention::default();
        assert_eq!(turn.turn((false, false), STEP), None);
        assert_eq!(turn.turn((false, true), STEP), Some(Class::Bulk));
        assert_eq!(turn.turn((true, false), STEP), Some(Class::Interactive));
        assert_eq!(turn.turn((true, true), STEP), Some(Class::Interactive));
    }
}

//! Log lines: one line each on standard error, with the level that Postgres is to give it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Logs a fact that an administrator may look for later.
#[macro_export]
macro_rules! log_info {
    ($($argument:tt)*) => { $crate::log::write("LOG", format_args!($($argument)*)) };
}

/// Logs something that is wrong.
#[macro_export]
macro_rules! log_warning {
    ($($argument:tt)*) => { $crate::log::write("WARNING", format_args!($($argument)*)) };
}

#[doc(hidden)]
pub fn write(level: &str, message: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let line = format!("{level}: {}\n", message.to_string().replace('\n', " "));
    // One write for one line; where standard error is gone, there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Bounds the lines about something that others can make happen as often as they like.
pub(crate) struct Limit {
    most: u32,
    period: Duration,
    state: Mutex<State>,
}

struct State {
    /// Since when lines are counted.
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Limit {
    /// At most so many lines in so long.
    pub(crate) const fn new(most: u32, period: Duration) -> Self {
        Self { most, period, state: Mutex::new(State { since: None, lines: 0, left_out: 0 }) }
    }

    /// Whether a line may be written now: then what is to be written after it, which tells how many were left out.
    pub(crate) fn admit(&self) -> Option<String> {
        let mut state = self.state.lock().expect("no panic while held");
        if state.since.is_none_or(|since| since.elapsed() >= self.period) {
            (state.since, state.lines) = (Some(Instant::now()), 0);
        }
        if state.lines == self.most {
            state.left_out += 1;
            return None;
        }
        state.lines += 1;
        Some(match std::mem::take(&mut state.left_out) {
            0 => String::new(),
            left_out => format!(" ({left_out} more like this were not logged)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_those_left_out_are_counted() {
        let limit = Limit::new(2, Duration::from_secs(1));
        let admitted = (0..10).filter_map(|_| limit.admit()).collect::<Vec<_>>();
        assert_eq!(admitted, ["", ""]);
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(limit.admit().as_deref(), Some(" (8 more like this were not logged)"));
        assert_eq!(limit.admit().as_deref(), Some(""));
    }
}

//! When a fetch tries again.

use crate::error::Error;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::{Duration, SystemTime};

/// Before the second try. Each further pause is twice as long, and all are lengthened by chance so that fetches that
/// failed together do not come again together.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The pauses of one fetch.
pub(crate) struct Pauses(ExponentialBackoff);

impl Pauses {
    /// At most `retries` pauses.
    pub(crate) fn new(retries: u32) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(retries as usize)
            .with_jitter();
        Self(builder.build())
    }

    /// How long to wait after an error. None if it is final, or if the pause would not end within `left`.
    pub(crate) fn after(&mut self, error: &Error, left: Duration) -> Option<Duration> {
        if !may_pass(error) {
            return None;
        }
        let pause = self.0.next()?;
        let asked = match error {
            Error::Status { retry_after, .. } => retry_after.map_or(Duration::ZERO, Duration::from_secs),
            _ => Duration::ZERO,
        };
        Some(pause.max(asked)).filter(|pause| *pause < left)
    }
}

/// True for what another try may not meet again.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Connect { .. } | Error::Interrupted { .. } => true,
        Error::Timeout { phase, .. } => *phase == crate::error::Phase::Connect,
        Error::Status { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504),
        _ => false,
    }
}

/// Seconds of a Retry-After header, which has a number or a date. None if it has neither.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<u64> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a number are longer than anybody waits.
        return Some(value.parse().unwrap_or(u64::MAX));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // Whole seconds, not earlier than the date.
    Some(date.duration_since(now).map_or(0, |wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, retry_after: Option<u64>) -> Error {
        Error::Status { url: String::new(), code, name: String::new(), retry_after }
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut pauses = Pauses::new(2);
        let left = Duration::from_secs(60);
        let first = pauses.after(&status(500, None), left).unwrap();
        let second = pauses.after(&status(503, None), left).unwrap();
        assert!(first >= FIRST_PAUSE && second >= 2 * FIRST_PAUSE && second < 5 * FIRST_PAUSE, "{first:?} {second:?}");
        assert_eq!(pauses.after(&status(500, None), left), None);
        assert_eq!(Pauses::new(0).after(&status(500, None), left), None);
    }

    #[test]
    fn a_server_is_given_the_time_that_it_asks_for() {
        let left = Duration::from_secs(60);
        assert_eq!(Pauses::new(1).after(&status(429, Some(30)), left), Some(Duration::from_secs(30)));
        assert_eq!(Pauses::new(1).after(&status(429, Some(60)), left), None);
        assert_eq!(Pauses::new(1).after(&status(429, Some(u64::MAX)), left), None);
        assert!(Pauses::new(1).after(&status(429, Some(0)), left).unwrap() >= FIRST_PAUSE);
        assert_eq!(Pauses::new(1).after(&status(404, Some(1)), left), None);
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        let seconds = |value| retry_after(value, now);
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!((seconds(""), seconds("-1"), seconds("1.5"), seconds("soon")), (None, None, None, None));
    }
}

//! When a request is made again.

use crate::error::Error;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::time::{Duration, SystemTime};

/// Longest pause that is not asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause that a server may ask for. The hub counts requests in windows of five minutes.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Why a request failed, and whether another may not.
#[derive(Debug)]
pub(crate) enum Failure {
    Final(Error),
    /// With the pause that the server asks for.
    Passing(Error, Option<Duration>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// The pauses of one file or question. Each is twice as long, and lengthened by chance, so that what failed together does not
/// come again together.
pub(crate) struct Pauses {
    builder: ExponentialBuilder,
    pauses: ExponentialBackoff,
    /// Attempts since there was progress.
    pub(crate) attempts: u32,
}

impl Pauses {
    pub(crate) fn new(retries: u32, first: Duration) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(retries as usize)
            .with_jitter();
        Self { builder, pauses: builder.build(), attempts: 0 }
    }

    /// Something came: the next pause is the first again.
    pub(crate) fn progress(&mut self) {
        (self.pauses, self.attempts) = (self.builder.build(), 0);
    }

    /// How long to wait after a failure that may pass; `None` where it was the last, or where that would be too long.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.attempts += 1;
        let pause = self.pauses.next()?;
        Some(pause.max(asked.unwrap_or_default())).filter(|_| asked.is_none_or(|asked| asked <= LONGEST_ASKED))
    }
}

/// What a Retry-After header asks for, which has a number of seconds or a date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a number are longer than anybody waits.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_end_and_begin_again() {
        let first = Duration::from_millis(100);
        let mut pauses = Pauses::new(2, first);
        assert!(pauses.next(None).unwrap() >= first);
        assert!(pauses.next(None).unwrap() >= 2 * first);
        assert_eq!((pauses.next(None), pauses.attempts), (None, 3));
        pauses.progress();
        assert!(pauses.next(None).is_some());
        assert_eq!(pauses.next(Some(Duration::from_secs(60))), Some(Duration::from_secs(60)));
        assert_eq!(Pauses::new(2, first).next(Some(Duration::from_secs(3600))), None);
    }

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0));
        assert_eq!((seconds(""), seconds("-1"), seconds("soon")), (None, None, None));
    }
}

//! Whether the server answers: now and then, a connection is opened, and the server's greeting awaited. That is the work of
//! its I/O threads, whatever models are loaded or run meanwhile.

use crate::socket::connect_without_waiting;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Looks in the time of the limit. Counted, and not the time alone: where this process stood still as well, as in a machine
/// that was suspended, the server gets as many chances as otherwise.
const LOOKS: u32 = 8;
/// Between two looks, at least and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A server that has never answered may be starting for so long.
const START: Duration = Duration::from_secs(30);

/// What is known of one server.
pub struct Watchdog {
    /// The ping that is not answered yet.
    ping: Option<UnixStream>,
    next: Instant,
    unanswered: Duration,
    has_answered: bool,
}

impl Watchdog {
    /// Of a server that was started now.
    pub fn new() -> Self {
        Self { ping: None, next: Instant::now(), unanswered: Duration::ZERO, has_answered: false }
    }

    /// The time until the next look.
    pub fn pause(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Looks whether the latest ping was answered, where it is time for that, and sends another. False where the server has
    /// not answered for `limit`.
    pub fn is_well(&mut self, limit: Duration) -> bool {
        if !self.pause().is_zero() {
            return true;
        }
        let pause = (limit / LOOKS).clamp(PAUSES.0, PAUSES.1);
        self.next = Instant::now() + pause;
        match self.ping.as_mut().map(|ping| ping.read(&mut [0])) {
            Some(Ok(1..)) => {
                self.ping = None;
                (self.unanswered, self.has_answered) = (Duration::ZERO, true);
            }
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => self.unanswered += pause,
            // Closed, or there was nobody to connect to.
            Some(_) | None => {
                self.ping = None;
                self.unanswered += pause;
            }
        }
        if self.ping.is_none() {
            self.ping = connect_without_waiting().ok();
        }
        // The first look has no ping to look at.
        self.unanswered <= if self.has_answered { limit } else { limit.max(START) }
    }
}

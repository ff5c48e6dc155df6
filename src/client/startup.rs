//! Getting to a server that listens: connect, or have the supervisor started and wait.

use super::connection::{Connection, Deadline, wait};
use crate::errors::{Error, Result};
use crate::settings;
use crate::supervisor::{self, Launch};
use protocol::SupervisorState;
use std::time::{Duration, Instant};

/// Between two attempts to connect while the server starts.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a full table of background workers is no error: other backends may be registering the supervisor too, and
/// all but one of those workers end at once.
const SLOT_PATIENCE: Duration = Duration::from_secs(2);

/// Connects to the server, which is started where none listens.
///
/// # Errors
/// [`Error::CannotStart`], [`Error::NoWorkerSlot`] or [`Error::NotStarted`], each with the reason; or what
/// [`Connection::open`] and waiting may raise.
pub fn connect(request: &Deadline) -> Result<Connection> {
    let began = Instant::now();
    let limit = settings::start_timeout();
    let mut launched = false;
    loop {
        let refused = match Connection::open(request)? {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let waited = began.elapsed();
        match supervisor::holder() {
            None if launched && waited < SLOT_PATIENCE => {}
            None => match supervisor::launch() {
                Launch::Registered => launched = true,
                Launch::NoSlot if waited > SLOT_PATIENCE => return Err(Error::NoWorkerSlot),
                Launch::NoSlot => {}
            },
            Some(pid) => match supervisor::state() {
                Some(SupervisorState::CannotStart { program, reason }) => {
                    return Err(Error::CannotStart { program, reason });
                }
                Some(SupervisorState::Idle) => supervisor::wake(pid),
                _ => {}
            },
        }
        if waited > limit {
            let detail = match supervisor::state() {
                Some(SupervisorState::BackingOff { reason, .. }) => format!("The server {reason}."),
                _ => format!("Connecting failed: {refused}."),
            };
            return Err(Error::NotStarted { waited: limit, detail });
        }
        wait(None, request, PAUSE)?;
    }
}

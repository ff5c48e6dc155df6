//! Getting to a server that listens: connect, or have the supervisor started and wait.

use super::connection::{Connection, Deadline, wait};
use crate::errors::{Error, Result};
use crate::settings;
use crate::supervisor::{self, Launch};
use protocol::SupervisorState;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two attempts to connect while the server starts.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a full table of background workers is no error: other backends may be registering the supervisor too, and
/// all but one of those workers end as soon as they see that another holds the lock.
const SLOT_PATIENCE: Duration = Duration::from_secs(5);

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
            // Once for each call: a supervisor that cannot do its work would fill the table of workers.
            None if launched => {}
            None => {
                supervisor::check_files()?;
                match supervisor::launch() {
                    Launch::Registered => launched = true,
                    Launch::NoSlot if waited > SLOT_PATIENCE.min(limit) => return Err(Error::NoWorkerSlot),
                    Launch::NoSlot => {}
                }
            }
            Some(pid) => match supervisor::state() {
                Some(SupervisorState::CannotStart { program, reason }) => {
                    return Err(cannot_start(&program, reason));
                }
                Some(SupervisorState::Idle) => supervisor::wake(pid),
                _ => {}
            },
        }
        if waited > limit {
            return Err(not_started(limit, &refused.to_string()));
        }
        wait(None, request, PAUSE)?;
    }
}

/// Waits until a server other than `old` listens; see [`super::wait_for_another`].
pub fn wait_for_another(old: Option<u32>) -> Result<()> {
    let began = Instant::now();
    let limit = settings::start_timeout();
    let forever = Deadline::after(None);
    loop {
        match Connection::greet(&Deadline::after(Some(limit)))? {
            Ok((_, hello)) if Some(hello.pid) != old => return Ok(()),
            _ if began.elapsed() > limit => return Err(not_started(limit, "the old server still answers")),
            _ => wait(None, &forever, PAUSE)?,
        }
    }
}

fn not_started(waited: Duration, refused: &str) -> Error {
    let reason = match supervisor::state() {
        Some(SupervisorState::BackingOff { reason, .. }) => format!("The server {reason}."),
        Some(SupervisorState::CannotStart { program, reason }) => {
            return cannot_start(&program, reason);
        }
        _ => format!("Connecting failed: {refused}."),
    };
    Error::NotStarted { ms: waited.as_millis(), reason }
}

fn cannot_start(program: &Path, reason: String) -> Error {
    Error::CannotStart { program: program.display().to_string(), reason }
}

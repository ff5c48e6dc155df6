//! The supervisor: a background worker that starts, watches, reconfigures and ends `clip-search-server`.
//!
//! ```text
//! static worker   when the library is in shared_preload_libraries: runs from the start of the cluster
//! dynamic worker  otherwise: registered by the first backend that finds nobody listening
//! ```
//!
//! One for each cluster: it holds a lock on [`SocketPaths::LOCK`] as long as it lives, whichever way it ends, and the
//! file names its process id. A second one finds the lock taken and ends.

mod child;
mod files;
mod watchdog;
mod worker;

pub use child::describe as describe_end;
pub use files::{check_files, holder, state};

use crate::errors::{Error, Result};
use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use protocol::SupervisorState;
use std::time::Duration;

/// What `pg_stat_activity.backend_type` shows.
const WORKER_TYPE: &str = "clip_search supervisor";

fn builder() -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(WORKER_TYPE)
        .set_type(WORKER_TYPE)
        .set_library("clip_search")
        .set_function("clip_search_supervisor_main")
        .enable_spi_access()
        // A standby answers queries too: embedding only reads.
        .set_start_time(BgWorkerStartTime::ConsistentState)
        .set_restart_time(Some(Duration::from_secs(1)))
}

/// Registers the static worker, while the library is being preloaded.
pub fn register() {
    builder().load();
}

/// What came of asking for a dynamic worker.
pub enum Launch {
    /// The postmaster will start it.
    Registered,
    /// `max_worker_processes` are in use.
    NoSlot,
}

/// Asks the postmaster for a dynamic worker.
pub fn launch() -> Launch {
    // SAFETY: the id of this process.
    let notify = unsafe { pgrx::pg_sys::MyProcPid };
    match builder().set_notify_pid(notify).load_dynamic() {
        Ok(_) => Launch::Registered,
        Err(_) => Launch::NoSlot,
    }
}

/// Tells a supervisor whose server ended for want of work that there is work.
pub fn wake(pid: i32) {
    signal(pid, libc::SIGUSR2);
}

/// The process id of the server that was started last, as the supervisor tells it: the server need not answer.
pub fn server_pid() -> Option<u32> {
    match state()? {
        SupervisorState::Running { pid } => Some(pid),
        _ => None,
    }
}

/// Has the server ended and started again, now.
///
/// # Errors
/// [`Error::NoSupervisor`].
pub fn restart() -> Result<()> {
    match holder() {
        Some(pid) if signal(pid, libc::SIGINT) => Ok(()),
        _ => Err(Error::NoSupervisor),
    }
}

fn signal(pid: i32, signal: i32) -> bool {
    // SAFETY: no memory is involved. The process holds the supervisor's lock, so the id is not somebody else's.
    unsafe { libc::kill(pid, signal) == 0 }
}

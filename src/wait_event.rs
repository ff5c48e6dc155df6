//! What `pg_stat_activity` says that a process waits for. PostgreSQL 17 and later show a name of ours; before, it is
//! `Extension` for every extension.

use crate::compat::wait_event;

/// A session waits for the server.
pub fn server() -> u32 {
    wait_event(c"ClipSearchServer")
}

/// The supervisor waits for something to do.
pub fn supervisor() -> u32 {
    wait_event(c"ClipSearchSupervisorMain")
}

/// A session waits for a command on a model.
pub fn model_command() -> u32 {
    wait_event(c"ClipSearchModelCommand")
}

/// A worker waits for entries in the queue.
pub fn worker() -> u32 {
    wait_event(c"ClipSearchWorkerMain")
}

/// A session waits for a worker that it has asked for.
pub fn worker_start() -> u32 {
    wait_event(c"ClipSearchWorkerStart")
}

/// The launcher waits for nothing in particular.
pub fn launcher() -> u32 {
    wait_event(c"ClipSearchLauncherMain")
}

//! The files by which supervisor and backends know of each other, below the data directory.

use crate::errors::{Error, Result};
use pgrx::bgworkers::BackgroundWorker;
use protocol::{SocketPaths, SupervisorState};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::time::Duration;

fn unusable(error: &std::io::Error) -> Error {
    Error::File { action: format!("lock \"{}\"", SocketPaths::LOCK), reason: error.to_string() }
}

/// Opens the lock file, and makes it and its folder where they are missing.
fn open_lock_file() -> Result<File> {
    match DirBuilder::new().mode(0o700).create(SocketPaths::DIRECTORY) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unusable(&error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(SocketPaths::LOCK).map_err(|error| unusable(&error))
}

/// Whether a supervisor could take the lock file: found out here, the reason reaches the user and not only the log.
///
/// # Errors
/// [`Error::File`].
pub fn check_files() -> Result<()> {
    open_lock_file().map(|_| ())
}

const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// A supervisor that is about to end still holds the lock for a moment.
const LOCK_TRIES: u32 = 20;
/// Backends that ask who holds the lock share it for a moment each, longer where the processors are busy.
const SHARED_LOCK_TRIES: u32 = 600;

/// The supervisor's lock, held until this is dropped or the process ends.
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock and writes our process id into the file; `None` where another supervisor holds it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn take() -> Result<Option<Self>> {
        let mut file = open_lock_file()?;
        for tries in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(unusable(&error)),
            }
            let is_shared = file.try_lock_shared().is_ok();
            if is_shared {
                file.unlock().map_err(|error| unusable(&error))?;
            }
            if tries >= if is_shared { SHARED_LOCK_TRIES } else { LOCK_TRIES } {
                return Ok(None);
            }
            // False where this worker is to end.
            if !BackgroundWorker::wait_latch(Some(LOCK_PAUSE)) {
                return Ok(None);
            }
        }
        // What the last supervisor said is not true of this one.
        let _ = fs::remove_file(SocketPaths::STATE);
        file.set_len(0).and_then(|()| file.rewind()).map_err(|error| unusable(&error))?;
        write!(file, "{}", std::process::id()).map_err(|error| unusable(&error))?;
        Ok(Some(Self { file }))
    }
}

impl Lock {
    /// Whether the lock file is still the one that is locked. Where somebody has removed it, backends find no supervisor
    /// and start another.
    pub fn is_current(&self) -> bool {
        let ours = self.file.metadata().map(|file| (file.dev(), file.ino()));
        let there = fs::metadata(SocketPaths::LOCK).map(|file| (file.dev(), file.ino()));
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }
}

/// The process id of the supervisor that runs now.
pub fn holder() -> Option<i32> {
    let mut file = File::open(SocketPaths::LOCK).ok()?;
    // Whoever can share the lock sees that nobody holds it.
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        _ => return None,
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Lets backends know what the supervisor is doing. What cannot be written is not worth ending for: backends then
/// report that the server did not start, without the reason.
pub fn publish(state: &SupervisorState) {
    let text = serde_json::to_string(state).expect("a state is plain data");
    let draft = format!("{}.new", SocketPaths::STATE);
    if let Err(error) = fs::write(&draft, text).and_then(|()| fs::rename(&draft, SocketPaths::STATE)) {
        pgrx::warning!("clip_search: could not write \"{}\": {error}", SocketPaths::STATE);
    }
}

/// What the supervisor last said, if anything.
pub fn state() -> Option<SupervisorState> {
    serde_json::from_str(&fs::read_to_string(SocketPaths::STATE).ok()?).ok()
}

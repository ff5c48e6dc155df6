//! Where a model lies, where it is prepared, and how the two change places.
//!
//! ```text
//! <model_dir>/<owner>/<name>           the model
//! <model_dir>/<owner>/.<name>.lock     held by whoever installs or removes it
//! <model_dir>/<owner>/.<name>.new      being prepared; kept when interrupted
//! <model_dir>/<owner>/.<name>.old      replaced, about to be deleted
//! <model_dir>/<owner>/.<name>.work     files that are being made of the model's
//! ```
//!
//! A name cannot begin with a dot, so none of these is taken for a model.

use crate::error::{Error, Result};
use crate::name::Name;
use crate::sys::exchange;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two looks whether the lock is free.
const PAUSE: Duration = Duration::from_millis(100);

/// The paths of one model.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    owner: PathBuf,
    name: String,
}

impl Place {
    pub(crate) fn new(model_dir: &Path, name: &Name) -> Self {
        Self { owner: model_dir.join(name.owner()), name: name.name().to_owned() }
    }

    /// Makes the folder of models, with mode 0700, and the owner's in it.
    pub(crate) fn make(&self, model_dir: &Path) -> Result<()> {
        make_folder(model_dir)?;
        make_folder(&self.owner)
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.owner.join(&self.name)
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.hidden("new")
    }

    pub(crate) fn workshop(&self) -> PathBuf {
        self.hidden("work")
    }

    fn old(&self) -> PathBuf {
        self.hidden("old")
    }

    fn hidden(&self, what: &str) -> PathBuf {
        self.owner.join(format!(".{}.{what}", self.name))
    }

    /// Waits for the lock. `waiting` is called once, where somebody else has it.
    pub(crate) fn lock(&self, waiting: impl FnOnce()) -> Result<Lock> {
        let path = self.hidden("lock");
        let bad = |error: &io::Error| Error::io("lock", &path, error);
        let mut waiting = Some(waiting);
        loop {
            let mut options = OpenOptions::new();
            let file = match options.read(true).write(true).create(true).truncate(false).open(&path) {
                // Whoever was here before has removed the owner's empty folder.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    make_folder(&self.owner)?;
                    continue;
                }
                file => file.map_err(|error| bad(&error))?,
            };
            match file.try_lock() {
                // Whoever had the lock may have deleted the file meanwhile, and another may have made a new one.
                Ok(()) if is_current(&file, &path) => return Ok(Lock { _file: file, path }),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(bad(&error)),
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Puts right what was interrupted between two renames. Under the lock.
    pub(crate) fn recover(&self) -> Result<()> {
        let (target, old) = (self.target(), self.old());
        if !old.exists() {
            return Ok(());
        }
        if target.exists() {
            return delete(&old);
        }
        fs::rename(&old, &target).map_err(|error| Error::io("rename", &old, &error))
    }

    /// Puts what was prepared in the place of what is there, if anything is. At no time is there neither.
    pub(crate) fn swap(&self) -> Result<()> {
        let (staging, target, old) = (self.staging(), self.target(), self.old());
        let bad = |error: &io::Error| Error::io("rename", &staging, error);
        match exchange(&staging, &target) {
            Ok(()) => fs::rename(&staging, &old).map_err(|error| bad(&error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::rename(&staging, &target).map_err(|error| bad(&error))?
            }
            // A file system that cannot exchange: for a moment there is none.
            Err(_) => {
                fs::rename(&target, &old).map_err(|error| Error::io("rename", &target, &error))?;
                if let Err(error) = fs::rename(&staging, &target) {
                    let _ = fs::rename(&old, &target);
                    return Err(bad(&error));
                }
            }
        }
        sync(&self.owner)?;
        // What stays is deleted by the next installation.
        let _ = delete(&old);
        Ok(())
    }

    /// Deletes the model and what was being prepared of it. Under the lock.
    pub(crate) fn remove(&self) -> Result<()> {
        let (target, old) = (self.target(), self.old());
        delete(&self.staging())?;
        delete(&self.workshop())?;
        match fs::rename(&target, &old) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("remove", &target, &error)),
            _ => {}
        }
        sync(&self.owner)?;
        delete(&old)
    }

    /// Deletes the owner's folder where nothing is left in it.
    pub(crate) fn remove_owner_if_empty(&self) {
        let _ = fs::remove_dir(&self.owner);
    }
}

/// Held until it is dropped. The file is deleted then; who waits for it notices.
pub(crate) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_current(file: &File, path: &Path) -> bool {
    let ours = file.metadata().map(|file| (file.dev(), file.ino()));
    let there = fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
}

/// Makes a folder, and those that it is in, for this user alone. One that is there keeps its mode.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let make = || DirBuilder::new().recursive(true).mode(0o700).create(path);
    // Another installation may remove a folder between two looks at it.
    let is_passing = |error: &io::Error| matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound);
    make()
        .or_else(|error| if is_passing(&error) { make() } else { Err(error) })
        .map_err(|error| Error::io("create", path, &error))
}

/// Deletes a folder with all that is in it; links in it are deleted, not followed.
pub(crate) fn delete(path: &Path) -> Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|about| about.is_dir());
    let done = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match done {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, &error)),
        _ => Ok(()),
    }
}

/// Has the names in a folder survive a crash of the machine.
pub(crate) fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io("write", folder, &error))
}

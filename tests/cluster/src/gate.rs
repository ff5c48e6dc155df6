//! A file that whoever opens it has to wait for.

use crate::installation::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pipe in place of a file, such as a model's: who opens it waits until the test hands the file out, or is killed. A
/// model that is read while the pipe is there seems to have no such file; so read it before, by using its other encoder.
pub struct Gate {
    file: PathBuf,
    pipe: PathBuf,
    aside: PathBuf,
}

impl Gate {
    /// Puts a pipe in place of the file.
    pub fn before(file: &Path) -> Self {
        let (pipe, aside) = (file.with_extension("pipe"), file.with_extension("aside"));
        run(Command::new("mkfifo").arg("--mode=666").arg(&pipe));
        fs::rename(file, &aside).expect("rename");
        // Two names of one pipe: it can be written to when the file is back in its place.
        fs::hard_link(&pipe, file).expect("link");
        Self { file: file.to_owned(), pipe, aside }
    }

    /// Puts the file back for whoever opens it from now on. Who waits goes on waiting.
    pub fn lift(&self) {
        if self.aside.exists() {
            fs::rename(&self.aside, &self.file).expect("rename");
        }
    }

    /// Puts the file back, and gives it to the one who waits.
    ///
    /// # Panics
    /// Where nobody waits.
    pub fn open(self) {
        self.lift();
        // With a limit: opening a pipe that nobody reads waits for ever.
        run(Command::new("timeout")
            .args(["20", "sh", "-c", "cat -- \"$1\" >\"$2\"", "sh"])
            .arg(&self.file)
            .arg(&self.pipe));
    }
}

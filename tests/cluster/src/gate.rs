//! A file that whoever opens it has to wait for.

use crate::installation::run;
use crate::process::wait_until;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A pipe in place of a file, such as a model's: who opens it waits until the test hands the file out, or is killed. A
/// model that is read while the pipe is there seems to have no such file; so read it before, by using its other encoder.
pub struct Gate {
    file: PathBuf,
    pipe: PathBuf,
    aside: PathBuf,
    /// The pipe's other end, once somebody waits at it.
    writer: Option<File>,
}

impl Gate {
    /// Puts a pipe in place of the file.
    pub fn before(file: &Path) -> Self {
        let (pipe, aside) = (file.with_extension("pipe"), file.with_extension("aside"));
        run(Command::new("mkfifo").arg("--mode=666").arg(&pipe));
        fs::rename(file, &aside).expect("rename");
        // Two names of one pipe: it can be written to when the file is back in its place.
        fs::hard_link(&pipe, file).expect("link");
        Self { file: file.to_owned(), pipe, aside, writer: None }
    }

    /// Puts the file back for whoever opens it from now on. Who waits goes on waiting.
    pub fn lift(&self) {
        if self.aside.exists() {
            fs::rename(&self.aside, &self.file).expect("rename");
        }
    }

    /// Returns when somebody has opened the file, and waits for it.
    ///
    /// # Panics
    /// Where nobody does.
    pub fn wait(&mut self) {
        let pipe = &self.pipe;
        let writer = &mut self.writer;
        wait_until("somebody opens the file", Duration::from_secs(20), || {
            if writer.is_none() {
                // This does not wait, but fails where nobody reads. The second end is one that waits for the reader.
                let end = OpenOptions::new().write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(pipe);
                *writer = end.ok().map(|_end| OpenOptions::new().write(true).open(pipe).expect("open"));
            }
            writer.is_some()
        });
    }

    /// Puts the file back, and gives it to the one who waits.
    ///
    /// # Panics
    /// Where nobody waits.
    pub fn open(mut self) {
        self.wait();
        self.lift();
        let (file, writer) = (File::open(&self.file), self.writer.take());
        io::copy(&mut file.expect("open"), &mut writer.expect("an end of the pipe")).expect("copy");
    }
}

//! A command as a child of the backend, in the manner of `COPY … FROM PROGRAM`: its output is read while the backend stays
//! interruptible, and it never outlives what waits for it.
//!
//! Where the statement is cancelled, this is dropped, which kills and reaps the child. Where the backend ends without
//! unwinding (`pg_terminate_backend`, the death of the postmaster), its end of the child's standard input closes, on which
//! the child exits with status 1, which the postmaster does not take for a crash where it is the one that reaps it.

use crate::errors::{Error, Result};
use crate::supervisor::describe_end;
use crate::wait_event;
use pgrx::pg_sys;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// Most bytes of a line. They have some hundred.
const MAX_LINE: usize = 1 << 20;

/// A command that runs.
pub struct Child {
    child: std::process::Child,
    stdout: ChildStdout,
    /// Never written to: its end is the child's.
    _stdin: ChildStdin,
    /// What was read and not given out.
    buffer: Vec<u8>,
    reaped: bool,
}

impl Child {
    /// Starts the program.
    ///
    /// # Errors
    /// [`Error::CannotStart`].
    pub fn start(program: &Path, arguments: &[OsString]) -> Result<Self> {
        let failed = |error: &io::Error| Error::CannotStart {
            program: program.display().to_string(),
            reason: error.to_string(),
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // Ctrl-C in the postmaster's terminal is the postmaster's business.
        let mut child = command.process_group(0).spawn().map_err(|error| failed(&error))?;
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let this = Self { child, stdout, _stdin: stdin, buffer: Vec::new(), reaped: false };
        set_nonblocking(&this.stdout).map_err(|error| failed(&error))?;
        Ok(this)
    }

    /// The next line of its output; `None` at the end. Waits, and lets Postgres act on interrupts meanwhile: a cancelled
    /// statement leaves from here, by unwinding.
    ///
    /// # Errors
    /// [`Error::File`] where the pipe cannot be read.
    pub fn next_line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            let mut chunk = [0; 4096];
            match self.stdout.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(read) if self.buffer.len() + read <= MAX_LINE => self.buffer.extend_from_slice(&chunk[..read]),
                Ok(_) => return Err(unreadable("a line is too long")),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error.to_string())),
            }
        }
    }

    fn wait(&self) {
        let events = pg_sys::WL_LATCH_SET | pg_sys::WL_SOCKET_READABLE | pg_sys::WL_EXIT_ON_PM_DEATH;
        let fd = self.stdout.as_raw_fd();
        // SAFETY: MyLatch belongs to this process for its whole life; `self` holds the descriptor open.
        let fired =
            unsafe { pg_sys::WaitLatchOrSocket(pg_sys::MyLatch, events as i32, fd, -1, wait_event::model_command()) };
        if fired as u32 & pg_sys::WL_LATCH_SET != 0 {
            // SAFETY: as above.
            unsafe { pg_sys::ResetLatch(pg_sys::MyLatch) };
        }
        pgrx::check_for_interrupts!();
    }

    /// Reaps the child, whose output has ended, and says how it ended.
    pub fn end(mut self) -> String {
        let status = self.child.wait();
        self.reaped = true;
        status.map_or_else(|error| error.to_string(), describe_end)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // Whatever it was writing is resumed, or deleted, by the next command. Fails only where it has just ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn unreadable(reason: &str) -> Error {
    Error::File { action: "read the output of clip-search-server".to_owned(), reason: reason.to_owned() }
}

fn set_nonblocking(pipe: &ChildStdout) -> io::Result<()> {
    let fd = pipe.as_raw_fd();
    // SAFETY: sets a flag of a descriptor that `pipe` holds open.
    let done = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! The server as a child process: spawn, configure, read its log lines, end and reap.
//!
//! Where the postmaster is PID 1 (containers), an orphan that ends by a signal would count as a crash of Postgres. So
//! the child is always ended and reaped here; and should this process be killed, its end of the child's standard input
//! closes, on which the child exits with status 0.

use protocol::{Config, SocketPaths};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the server may take to leave when asked, before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running server.
pub struct Server {
    child: Child,
    stderr: ChildStderr,
    partial: Vec<u8>,
    reaped: bool,
}

impl Server {
    /// Starts the program and hands it its settings.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(program: &Path, config: &Config) -> io::Result<Self> {
        // What ps shows: which cluster's it is.
        let title = format!("clip_search server of {}", std::env::current_dir().unwrap_or_default().display());
        let mut child = Command::new(program)
            .arg0(title)
            .arg("--socket")
            .arg(SocketPaths::SOCKET)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in the postmaster's terminal is the postmaster's business.
            .process_group(0)
            .spawn()?;
        let stderr = child.stderr.take().expect("stderr is piped");
        let mut server = Self { child, stderr, partial: Vec::new(), reaped: false };
        set_nonblocking(server.stderr.as_raw_fd())?;
        // A server that does not read must not hold up the supervisor, which has a postmaster to obey.
        set_nonblocking(server.child.stdin.as_ref().expect("stdin is piped and open").as_raw_fd())?;
        // A program that has ended already says why on standard error and by its exit status; see `ended`.
        let _ = server.configure(config);
        Ok(server)
    }

    /// Sends the settings.
    ///
    /// # Errors
    /// What writing to the pipe says: usually that the server is gone.
    pub fn configure(&mut self, config: &Config) -> io::Result<()> {
        let mut line = serde_json::to_string(config).expect("settings are plain data");
        line.push('\n');
        self.child.stdin.as_mut().expect("stdin is piped and open").write_all(line.as_bytes())
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The descriptor to wait on for log lines.
    pub fn log_descriptor(&self) -> RawFd {
        self.stderr.as_raw_fd()
    }

    /// The log lines that have arrived; the second value says whether the pipe is still open.
    pub fn read_log(&mut self) -> (Vec<String>, bool) {
        let mut buffer = [0; 4096];
        let open = loop {
            match self.stderr.read(&mut buffer) {
                Ok(0) => break false,
                Ok(read) => self.partial.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.kind() == ErrorKind::WouldBlock,
            }
        };
        let mut lines = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        (lines, open)
    }

    /// How the server ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        self.reaped |= status.is_some();
        status
    }

    /// Ends the server and says how it ended.
    pub fn stop_and_reap(&mut self) -> Option<ExitStatus> {
        self.stop();
        self.ended()
    }

    /// Kills a server that would not leave if asked, and says how it ended.
    pub fn kill_and_reap(&mut self) -> Option<ExitStatus> {
        // Fails only where it has just ended by itself.
        let _ = self.child.kill();
        let status = self.child.wait().ok();
        self.reaped = true;
        status
    }

    /// Ends the server: closes its standard input, waits, and kills it where that was not enough.
    pub fn stop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while self.ended().is_none() {
            if Instant::now() > deadline {
                self.kill_and_reap();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.reaped {
            self.stop();
        }
    }
}

/// An exit status in words: "exited with status 1", "was terminated by signal 9".
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was terminated by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: sets a flag of an open descriptor.
    let done = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

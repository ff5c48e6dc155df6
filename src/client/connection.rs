//! A socket to the server, and waiting on it the way a backend has to: on the latch too, interruptible and bounded.

use crate::errors::{Error, Result};
use crate::socket::connect_without_waiting;
use crate::{settings, wait_event};
use pgrx::pg_sys;
use protocol::{FrameError, HEADER_LEN, Header, Hello, Kind, Response};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The end of somebody's patience.
pub struct Deadline {
    limit: Option<Duration>,
    end: Option<Instant>,
}

impl Deadline {
    /// That of a request which is made now.
    pub fn of_request() -> Self {
        Self::after(settings::request_timeout())
    }

    /// `None` waits for ever.
    pub fn after(limit: Option<Duration>) -> Self {
        Self { limit, end: limit.map(|limit| Instant::now() + limit) }
    }

    /// Milliseconds left, at most `most`; an error where none are.
    fn left_ms(&self, most: Duration) -> Result<i64> {
        let left = match (self.end, self.limit) {
            (Some(end), Some(limit)) => {
                end.checked_duration_since(Instant::now()).ok_or(Error::NoAnswer { ms: limit.as_millis() })?.min(most)
            }
            _ => most,
        };
        // Rounded up, so that the last wait does not become a loop of waits of 0 ms.
        Ok(left.as_millis() as i64 + 1)
    }
}

/// Waits for the latch, and for the socket where one is given, and lets Postgres act on interrupts: a cancelled
/// statement or a terminated session leaves from here, by unwinding. Returns at the latest after `most`.
///
/// # Errors
/// [`Error::NoAnswer`] after the deadline.
pub fn wait(socket: Option<(&UnixStream, u32)>, deadline: &Deadline, most: Duration) -> Result<()> {
    let timeout = deadline.left_ms(most)?;
    let base = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    let (events, fd) = match socket {
        Some((stream, events)) => (base | events, stream.as_raw_fd()),
        None => (base, pg_sys::PGINVALID_SOCKET),
    };
    // SAFETY: MyLatch belongs to this process for its whole life; the descriptor is open, since `socket` borrows it.
    let fired = unsafe { pg_sys::WaitLatchOrSocket(pg_sys::MyLatch, events as i32, fd, timeout, wait_event::server()) };
    if fired as u32 & pg_sys::WL_LATCH_SET != 0 {
        // SAFETY: as above.
        unsafe { pg_sys::ResetLatch(pg_sys::MyLatch) };
    }
    pgrx::check_for_interrupts!();
    Ok(())
}

/// Whether the server still holds its end of a connection, on which an answer may be waiting to be read.
pub fn is_open(descriptor: RawFd) -> bool {
    let mut asked = libc::pollfd { fd: descriptor, events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one descriptor, which is only looked at.
    unsafe { libc::poll(&raw mut asked, 1, 0) == 0 }
}

/// An open connection that has seen the server's greeting.
pub struct Connection {
    stream: UnixStream,
    /// Process id, as greeted.
    server: u32,
    _descriptor: ExternalDescriptor,
}

impl Connection {
    /// Connects and checks the greeting.
    ///
    /// # Errors
    /// `Ok(Err(_))` where nobody listens; otherwise [`Error::Mismatch`] or [`Error::Lost`].
    pub fn open(deadline: &Deadline) -> Result<io::Result<Self>> {
        match Self::greet(deadline)? {
            Ok((_, hello)) if hello.protocol != protocol::VERSION || hello.release != protocol::RELEASE => {
                Err(Error::Mismatch { theirs: hello.release })
            }
            Ok((connection, _)) => Ok(Ok(connection)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Connects and reads the greeting, of whatever release the server is.
    ///
    /// # Errors
    /// `Ok(Err(_))` where nobody listens; otherwise [`Error::Lost`].
    pub fn greet(deadline: &Deadline) -> Result<io::Result<(Self, Hello)>> {
        let descriptor = ExternalDescriptor::acquire();
        let stream = match connect_without_waiting() {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        let mut connection = Self { stream, server: 0, _descriptor: descriptor };
        let hello: Hello = match connection.receive(Kind::Hello, deadline) {
            Ok(hello) => hello,
            // A server that ends while it is being greeted is one that is not there yet.
            Err(Error::Lost { reason }) => return Ok(Err(io::Error::new(ErrorKind::ConnectionReset, reason))),
            Err(error) => return Err(error),
        };
        connection.server = hello.pid;
        Ok(Ok((connection, hello)))
    }

    /// Process id of the server.
    pub fn server(&self) -> u32 {
        self.server
    }

    /// Whether the server still holds its end. A server says nothing unasked, so anything to read is the end.
    pub fn is_alive(&self) -> bool {
        let mut byte = [0];
        matches!((&self.stream).read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Its descriptor, for [`is_open`].
    pub fn descriptor(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Waits for a response.
    ///
    /// # Errors
    /// [`Error::Lost`] where the connection broke, [`Error::NoAnswer`] after the deadline.
    pub fn receive_response(&mut self, deadline: &Deadline) -> Result<Response> {
        self.receive(Kind::Response, deadline)
    }

    /// Sends a request frame.
    ///
    /// # Errors
    /// As [`Connection::receive_response`].
    pub fn send(&mut self, mut bytes: &[u8], deadline: &Deadline) -> Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) => self.retry(error, pg_sys::WL_SOCKET_WRITEABLE, deadline)?,
            }
        }
        Ok(())
    }

    fn receive<T: serde::de::DeserializeOwned>(&mut self, kind: Kind, deadline: &Deadline) -> Result<T> {
        let malformed = |error: FrameError| Error::Lost { reason: error.to_string() };
        let mut head = [0; HEADER_LEN];
        self.fill(&mut head, deadline)?;
        let header = Header::parse(&head).and_then(|header| header.expect(kind)).map_err(malformed)?;
        let mut payload = vec![0; header.len];
        self.fill(&mut payload, deadline)?;
        protocol::decode(&payload).map_err(malformed)
    }

    fn fill(&mut self, mut buffer: &mut [u8], deadline: &Deadline) -> Result<()> {
        while !buffer.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return Err(Error::Lost { reason: "The server closed the connection.".to_owned() }),
                Ok(read) => buffer = &mut buffer[read..],
                Err(error) => self.retry(error, pg_sys::WL_SOCKET_READABLE, deadline)?,
            }
        }
        Ok(())
    }

    fn retry(&self, error: io::Error, event: u32, deadline: &Deadline) -> Result<()> {
        match error.kind() {
            ErrorKind::WouldBlock => wait(Some((&self.stream, event)), deadline, Duration::from_secs(3600)),
            ErrorKind::Interrupted => Ok(()),
            _ => Err(Error::Lost { reason: format!("The operating system says: {error}.") }),
        }
    }
}

/// Tells Postgres about a descriptor that it did not open, so that it keeps count.
struct ExternalDescriptor;

impl ExternalDescriptor {
    fn acquire() -> Self {
        // SAFETY: counts; undone in drop.
        unsafe { pg_sys::ReserveExternalFD() };
        Self
    }
}

impl Drop for ExternalDescriptor {
    fn drop(&mut self) {
        // SAFETY: undoes the call in `acquire`.
        unsafe { pg_sys::ReleaseExternalFD() };
    }
}

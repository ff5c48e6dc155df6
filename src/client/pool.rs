//! The session's open connections: usually one; more while requests are under way side by side.

use super::connection::{Connection, Deadline, is_open};
use super::startup;
use crate::errors::Result;
use crate::memo;
use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::os::fd::RawFd;

/// Connections that are kept while nothing is asked: one for requests, and one for a batch that is sent ahead.
const MOST_IDLE: usize = 2;

thread_local! {
    static IDLE: RefCell<Vec<Connection>> = const { RefCell::new(Vec::new()) };
    /// Descriptors of the connections of requests under way.
    static LENT: RefCell<Vec<RawFd>> = const { RefCell::new(Vec::new()) };
    /// Process id of the server that gave what the memo remembers.
    static SERVER: Cell<Option<u32>> = const { Cell::new(None) };
}

/// A connection for one request. Dropped without [`Borrowed::give_back`], as by an ERROR in the middle, it is closed, and
/// the server drops what it still does.
pub struct Borrowed {
    /// Until it is given back.
    connection: Option<Connection>,
    descriptor: RawFd,
}

impl Borrowed {
    fn of(connection: Connection) -> Self {
        let server = Some(connection.server());
        // Another server may have other files.
        if SERVER.replace(server) != server {
            memo::clear();
        }
        let descriptor = connection.descriptor();
        LENT.with_borrow_mut(|lent| lent.push(descriptor));
        Self { connection: Some(connection), descriptor }
    }

    /// Keeps the connection for the next request.
    pub fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            IDLE.with_borrow_mut(|idle| {
                if idle.len() < MOST_IDLE {
                    idle.push(connection);
                }
            });
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        LENT.with_borrow_mut(|lent| {
            if let Some(index) = lent.iter().position(|descriptor| *descriptor == self.descriptor) {
                lent.swap_remove(index);
            }
        });
    }
}

impl Deref for Borrowed {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("there until it is given back")
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("there until it is given back")
    }
}

/// A connection that rests, or a new one; the server is started where none listens.
///
/// # Errors
/// As [`startup::connect`].
pub fn take(deadline: &Deadline) -> Result<Borrowed> {
    match take_idle() {
        Some(connection) => Ok(connection),
        None => startup::connect(deadline).map(Borrowed::of),
    }
}

/// A connection that rests, or a new one, where a server listens.
///
/// # Errors
/// As [`Connection::open`].
pub fn take_without_start(deadline: &Deadline) -> Result<Option<Borrowed>> {
    match take_idle() {
        Some(connection) => Ok(Some(connection)),
        None => Ok(Connection::open(deadline)?.ok().map(Borrowed::of)),
    }
}

fn take_idle() -> Option<Borrowed> {
    keep_alive_ones();
    IDLE.with_borrow_mut(Vec::pop).map(Borrowed::of)
}

/// Whether a connection is open, and none was closed by the server, so that the one that answered last is there to stay.
pub fn is_connected() -> bool {
    let was_closed = keep_alive_ones() || LENT.with_borrow(|lent| lent.iter().any(|descriptor| !is_open(*descriptor)));
    let has_any = LENT.with_borrow(|lent| !lent.is_empty()) || IDLE.with_borrow(|idle| !idle.is_empty());
    has_any && !was_closed
}

/// Closes the connections that rest. Where one broke, the server is going: another may look alive a moment longer.
pub fn close_idle() {
    IDLE.with_borrow_mut(Vec::clear);
}

/// Whether there were others.
fn keep_alive_ones() -> bool {
    IDLE.with_borrow_mut(|idle| {
        let before = idle.len();
        idle.retain(Connection::is_alive);
        idle.len() < before
    })
}

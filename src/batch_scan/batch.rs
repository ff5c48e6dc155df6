//! The rows of one batch.

use super::request::{Answer, Request};
use crate::client::Deadline;
use crate::compat::copy_minimal_tuple;
use crate::memo::Key;
use pgrx::pg_sys::{self, MemoryContext, MinimalTuple, TupleTableSlot};
use std::collections::HashSet;

/// Rows in the order in which they were read, and the requests for their vectors.
pub struct Batch {
    /// The rows' memory.
    context: MemoryContext,
    rows: Vec<MinimalTuple>,
    /// One for each call.
    requests: Vec<Request>,
    /// The items of all requests.
    items: HashSet<Key>,
    /// Rows that were handed on.
    position: usize,
    /// Memory that it takes, its message included.
    pub bytes: usize,
}

impl Batch {
    /// One without requests and rows, whose memory belongs to the current context.
    pub fn new() -> Self {
        // SAFETY: makes a context.
        let context = unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"ClipEmbed batch".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        };
        Self { context, rows: Vec::new(), requests: Vec::new(), items: HashSet::new(), position: 0, bytes: 0 }
    }

    /// Adds a request, before the first row.
    pub fn ask(&mut self, request: Request) {
        self.requests.push(request);
    }

    /// Adds a row, of which each request embeds the value of its column.
    ///
    /// # Safety
    /// A row of the node below, in which the columns are of type bytea or text.
    pub unsafe fn push(&mut self, slot: *mut TupleTableSlot) {
        // SAFETY: by the caller's promise.
        unsafe {
            for request in &mut self.requests {
                self.bytes += request.push(slot, &mut self.items);
            }
            let outer = pg_sys::MemoryContextSwitchTo(self.context);
            let row = copy_minimal_tuple(slot);
            pg_sys::MemoryContextSwitchTo(outer);
            self.bytes += (*row).t_len as usize;
            self.rows.push(row);
        }
    }

    /// Rows that were added.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Sends what is to be embedded; whether there is anything.
    pub fn send(&mut self) -> bool {
        // Each of them, and not only until the first.
        let deadline = Deadline::of_request();
        self.requests.iter_mut().map(|request| request.send(&deadline)).filter(|sent| *sent).count() > 0
    }

    /// Waits for the answers, no longer than for one request; the worst of what came of them.
    pub fn wait(&mut self) -> Answer {
        let mut deadline = Deadline::of_request();
        self.requests.iter_mut().map(|request| request.wait(&mut deadline)).max().unwrap_or(Answer::Unasked)
    }

    /// The next row.
    pub fn next(&mut self) -> Option<MinimalTuple> {
        let row = *self.rows.get(self.position)?;
        self.position += 1;
        Some(row)
    }

    /// Frees its rows.
    ///
    /// # Safety
    /// No slot may point to a row any more. Where the query ends by an error, its memory goes with the query's.
    pub unsafe fn free(self) {
        // SAFETY: made by `new`.
        unsafe { pg_sys::MemoryContextDelete(self.context) };
    }
}

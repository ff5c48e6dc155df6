//! Rows that were read ahead.

use super::request::{Answer, Request};
use super::slots::{copy, value};
use crate::client::Deadline;
use pgrx::pg_sys::{self, MemoryContext, MinimalTuple, TupleTableSlot};
use std::time::Duration;

/// A row, as the node below gave it.
pub struct Row {
    /// In the batch's memory.
    pub tuple: MinimalTuple,
    /// Where it is in its table, for WHERE CURRENT OF.
    pub place: pg_sys::ItemPointerData,
}

/// Rows in the order in which they were read.
pub struct Batch {
    context: MemoryContext,
    rows: Vec<Row>,
    requests: Vec<Request>,
    /// Rows that were handed on.
    position: usize,
    bytes: usize,
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
        Self { context, rows: Vec::new(), requests: Vec::new(), position: 0, bytes: 0 }
    }

    /// Adds a request, before the first row.
    pub fn ask(&mut self, request: Request) {
        self.requests.push(request);
    }

    /// Adds a row, of which each request embeds the value of its column.
    ///
    /// # Safety
    /// A row of the node below, in which the columns are of type bytea or text.
    pub unsafe fn push(
        &mut self,
        slot: *mut TupleTableSlot,
        columns: impl Iterator<Item = usize>,
        place: pg_sys::ItemPointerData,
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            for (request, column) in self.requests.iter_mut().zip(columns) {
                let value = value(slot, column);
                self.bytes += request.push(value);
            }
            let outer = pg_sys::MemoryContextSwitchTo(self.context);
            let tuple = copy(slot);
            pg_sys::MemoryContextSwitchTo(outer);
            self.bytes += (*tuple).t_len as usize + size_of::<Row>();
            self.rows.push(Row { tuple, place });
        }
    }

    /// Rows that were added.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Rows that were not handed on.
    pub fn left(&self) -> usize {
        self.rows.len() - self.position
    }

    /// Memory that it takes, its message included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sends what is to be embedded; whether there is anything.
    pub fn send(&mut self) -> bool {
        // Each of them, and not only until the first.
        let deadline = Deadline::of_request();
        self.requests.iter_mut().map(|request| request.send(&deadline)).filter(|sent| *sent).count() > 0
    }

    /// Whether the server did not even take it in time.
    pub fn is_late(&self) -> bool {
        self.requests.iter().any(Request::is_late)
    }

    /// Waits for the answers, no longer than for one request; the worst of what came of them. Where the server `has_had`
    /// that time already, not at all.
    pub fn wait(&mut self, has_had: bool) -> Answer {
        let mut deadline = match has_had || self.is_late() {
            true => Deadline::after(Some(Duration::ZERO)),
            false => Deadline::of_request(),
        };
        self.requests.iter_mut().map(|request| request.wait(&mut deadline)).max().unwrap_or(Answer::Unasked)
    }

    /// The next row, with its number.
    pub fn next(&mut self) -> Option<(usize, &Row)> {
        let number = self.position;
        let row = self.rows.get(number)?;
        self.position += 1;
        Some((number, row))
    }

    /// The vectors of a row, as far as there are any that hold.
    pub fn vectors(&self, row: usize) -> impl Iterator<Item = Option<&[f32]>> {
        self.requests.iter().map(move |request| request.vector(row))
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

//! Reading ahead: batches of rows, sent to be embedded while the rows before them are handed on.

use super::MAX_BATCH_ROWS;
use super::batch::Batch;
use super::pace::Pace;
use super::request::EmbedCall;
use super::slots::{clear, fetch, fill};
use crate::{client, memo, settings};
use pgrx::pg_sys::{self, ExprContext, PlanState, TupleTableSlot};
use std::time::{Duration, Instant};

/// The rows of a node, in batches.
pub struct Prefetch {
    calls: Vec<EmbedCall>,
    child: *mut PlanState,
    /// One of the batch's rows.
    slot: *mut TupleTableSlot,
    /// The one that is being read. Here, and not in a frame of a function: an ERROR of the child frees no frames.
    filling: Option<Batch>,
    current: Option<Batch>,
    /// Sent while the current one is handed on.
    ahead: Option<Batch>,
    /// Whether the child has said that there are no more rows.
    is_at_end: bool,
    /// How many rows a batch has.
    pub pace: Pace,
    /// Rows that are asked for at most.
    limit: usize,
    /// Whether all of them will be.
    at_once: bool,
    rows_read: usize,
    /// Most memory of its batches in bytes, of which there are two at a time.
    pub max_bytes: usize,
    /// Batches that were sent.
    pub batches: usize,
    /// The time in which nothing was done but to wait for the server.
    pub waited: Duration,
}

impl Prefetch {
    /// Nothing read yet.
    ///
    /// # Safety
    /// A child that is initialised.
    pub unsafe fn new(calls: Vec<EmbedCall>, limit: Option<usize>, at_once: bool, child: *mut PlanState) -> Self {
        // SAFETY: by the caller's promise.
        let slot = unsafe {
            let row = pg_sys::ExecGetResultType(child);
            pg_sys::ExecInitExtraTupleSlot((*child).state, row, &raw const pg_sys::TTSOpsMinimalTuple)
        };
        let limit = limit.unwrap_or(usize::MAX);
        // The memo has to hold the vectors of a batch until its last row is handed on, and what the next one found there.
        let max_rows = (memo::ENTRIES.get() / 2 / calls.len()).clamp(1, MAX_BATCH_ROWS).min(limit);
        Self {
            calls,
            child,
            slot,
            filling: None,
            current: None,
            ahead: None,
            is_at_end: false,
            pace: Pace::new(max_rows, at_once),
            limit,
            at_once,
            rows_read: 0,
            max_bytes: settings::batch_memory(),
            batches: 0,
            waited: Duration::ZERO,
        }
    }

    /// Fills the node's scan tuple with the next row; whether there is one.
    ///
    /// # Safety
    /// The node's expression context, whose memory for one row is free to use, and its empty scan tuple.
    pub unsafe fn next(&mut self, context: *mut ExprContext, scan: *mut TupleTableSlot) -> bool {
        // SAFETY: by the caller's promise.
        unsafe {
            loop {
                if let Some(row) = self.current.as_mut().and_then(Batch::next) {
                    pg_sys::ExecStoreMinimalTuple(row, self.slot, false);
                    fill(scan, self.slot);
                    return true;
                }
                if !self.advance(context) {
                    return false;
                }
            }
        }
    }

    /// The next batch, whose vectors are in the memo then; whether there is one.
    unsafe fn advance(&mut self, context: *mut ExprContext) -> bool {
        // SAFETY: as in `next`.
        unsafe {
            self.free_current();
            self.current = match self.ahead.take() {
                Some(batch) => Some(batch),
                None => self.read(context),
            };
            if self.current.is_none() {
                return false;
            }
            // A server that has answered nothing yet may answer nothing at all: that is waited for once.
            let is_first = !self.pace.is_served;
            if is_first {
                self.wait();
            }
            if self.pace.is_served && self.pace.is_full() && self.rows_read < self.limit {
                self.ahead = self.read(context);
            }
            if !is_first {
                self.wait();
            }
        }
        true
    }

    /// Waits for the current batch.
    fn wait(&mut self) {
        let batch = self.current.as_mut().expect("there is one");
        let since = Instant::now();
        let answer = batch.wait();
        self.waited += since.elapsed();
        self.pace.learn(batch.len(), answer);
    }

    /// Reads a batch and sends it.
    unsafe fn read(&mut self, context: *mut ExprContext) -> Option<Batch> {
        if self.is_at_end {
            return None;
        }
        // Those that are remembered must be of the server that is there.
        client::forget_if_lost();
        let rows = self.pace.step().min(self.limit.saturating_sub(self.rows_read).max(1));
        // SAFETY: as in `next`.
        unsafe {
            self.fill(context, rows);
            let mut batch = self.filling.take()?;
            if batch.len() == 0 {
                batch.free();
                return None;
            }
            self.rows_read += batch.len();
            // A row that is alone is asked for by its call.
            if batch.len() > 1 {
                let since = Instant::now();
                self.batches += usize::from(batch.send());
                self.waited += since.elapsed();
            }
            Some(batch)
        }
    }

    /// Rows are read and copied one by one; memory for one row is freed after each. Owns nothing itself.
    unsafe fn fill(&mut self, context: *mut ExprContext, rows: usize) {
        // SAFETY: as in `next`.
        unsafe {
            let outer = pg_sys::MemoryContextSwitchTo((*(*self.child).state).es_query_cxt);
            let batch = self.filling.insert(Batch::new());
            pg_sys::MemoryContextSwitchTo(outer);
            for call in &self.calls {
                batch.ask(call.request(context));
            }
            while batch.len() < rows && batch.bytes < self.max_bytes / 2 {
                let slot = fetch(self.child);
                if slot.is_null() || (*slot).tts_flags & pg_sys::TTS_FLAG_EMPTY as u16 != 0 {
                    self.is_at_end = true;
                    break;
                }
                let outer = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
                batch.push(slot);
                pg_sys::MemoryContextSwitchTo(outer);
                pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            }
        }
    }

    unsafe fn free_current(&mut self) {
        // SAFETY: our slot, which then points to no row any more.
        unsafe {
            clear(self.slot);
            if let Some(batch) = self.current.take() {
                batch.free();
            }
        }
    }

    /// Gives up all that was read and asked for, to begin anew.
    ///
    /// # Safety
    /// The node's scan tuple must be empty.
    pub unsafe fn forget(&mut self) {
        // SAFETY: nothing points to the rows any more.
        unsafe {
            self.free_current();
            if let Some(batch) = self.ahead.take() {
                batch.free();
            }
        }
        self.is_at_end = false;
        self.rows_read = 0;
        self.pace.start(self.at_once);
    }
}

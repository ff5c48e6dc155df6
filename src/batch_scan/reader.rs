//! Reading ahead: batches of rows, sent to be embedded while the rows before them are handed on.

use super::MOST_ROWS;
use super::batch::Batch;
use super::figures::{Figures, timed};
use super::limit::Bound;
use super::pace::Pace;
use super::request::Embedded;
use super::slots::{clear, fetch, fill};
use super::source::{place, source};
use crate::{client, settings};
use pgrx::pg_sys::{self, ExprContext, ItemPointerData, PlanState, ScanState, TupleTableSlot};

/// The rows of a node, in batches.
pub struct Reader {
    embedded: Vec<Embedded>,
    child: *mut PlanState,
    /// The scan of which each row is one row, if there is such a one.
    source: Option<*mut ScanState>,
    /// One of the batch's rows.
    slot: *mut TupleTableSlot,
    /// The one that is being read. Here, and not in a frame of a function: an ERROR of the child frees no frames.
    filling: Option<Batch>,
    current: Option<Batch>,
    /// Sent while the current one is handed on.
    ahead: Option<Batch>,
    /// Whether the child has said that there are no more.
    is_at_end: bool,
    /// Whether this node has said so.
    is_done: bool,
    pace: Pace,
    limit: Bound,
    /// Rows that the node above can ask for, once that is known.
    bound: Option<usize>,
    /// Whether it will ask for all of them.
    at_once: bool,
    /// Most rows that it will ask for, by the plan.
    most: usize,
    /// Rows of all batches.
    rows_read: usize,
    memory: usize,
    figures: Figures,
}

impl Reader {
    /// Nothing read yet.
    ///
    /// # Safety
    /// A child that is initialised.
    pub unsafe fn new(
        embedded: Vec<Embedded>,
        limit: Bound,
        most: usize,
        at_once: bool,
        child: *mut PlanState,
    ) -> Self {
        // SAFETY: by the caller's promise.
        let (slot, source) = unsafe {
            let row = pg_sys::ExecGetResultType(child);
            (pg_sys::ExecInitExtraTupleSlot((*child).state, row, &raw const pg_sys::TTSOpsMinimalTuple), source(child))
        };
        Self {
            embedded,
            child,
            source,
            slot,
            filling: None,
            current: None,
            ahead: None,
            is_at_end: false,
            is_done: false,
            pace: Pace::new(),
            limit,
            bound: None,
            at_once,
            most,
            rows_read: 0,
            memory: settings::batch_memory(),
            figures: Figures::default(),
        }
    }

    /// Before the first row, and before the child is told to start again.
    ///
    /// # Safety
    /// As [`Reader::next`].
    pub unsafe fn start(&mut self, context: *mut ExprContext) {
        // SAFETY: by the caller's promise.
        let bound = unsafe { self.limit.find(context, self.child) };
        self.bound = Some(bound.map_or(self.most, |bound| bound.min(self.most)));
        self.pace.start(if self.at_once { self.most_rows() } else { 1 });
    }

    /// Rows that the node above can still ask for.
    fn wanted(&self) -> usize {
        self.bound.map_or(usize::MAX, |bound| bound.saturating_sub(self.rows_read))
    }

    /// Most rows in a batch.
    pub fn most_rows(&self) -> usize {
        self.most.min(MOST_ROWS)
    }

    /// Most memory of its batches in bytes, of which there are two at a time.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// What was done so far.
    pub fn figures(&mut self) -> &mut Figures {
        &mut self.figures
    }

    /// The scan whose rows these are, if they are of one table.
    pub fn source(&self) -> Option<*mut ScanState> {
        self.source
    }

    /// Fills the node's scan tuple with the next row, or the one before; whether there is one.
    ///
    /// # Safety
    /// The node's expression context, whose memory for one row is free to use, and its empty scan tuple.
    pub unsafe fn next(&mut self, context: *mut ExprContext, scan: *mut TupleTableSlot) -> bool {
        // SAFETY: by the caller's promise.
        unsafe {
            if self.bound.is_none() {
                self.start(context);
            }
            if (*(*self.child).state).es_direction == pg_sys::ScanDirection::BackwardScanDirection {
                self.go_back(context);
                self.current = self.read(context, 1);
                // Where there was none, the child is before its first row.
                self.is_at_end = false;
            }
            loop {
                if let Some(batch) = &mut self.current
                    && let Some((number, row)) = batch.next()
                {
                    pg_sys::ExecStoreMinimalTuple(row.tuple, self.slot, false);
                    let place = row.place;
                    fill(scan, self.slot, batch.vectors(number), (*context).ecxt_per_tuple_memory);
                    if let Some(source) = self.source {
                        (*scan).tts_tid = place;
                        (*scan).tts_tableOid = (*(*source).ss_currentRelation).rd_id;
                    }
                    return true;
                }
                let is_forward = (*(*self.child).state).es_direction == pg_sys::ScanDirection::ForwardScanDirection;
                if !is_forward || !self.advance(context) {
                    self.is_done = is_forward;
                    return false;
                }
            }
        }
    }

    /// Takes the child back to the row that was handed on last: a cursor turns round.
    unsafe fn go_back(&mut self, context: *mut ExprContext) {
        let of = |batch: &Option<Batch>| batch.as_ref().map_or(0, Batch::left);
        let rows = of(&self.current) + of(&self.ahead);
        let beyond = rows + usize::from(self.is_at_end && !self.is_done);
        // Behind the last row, the row before is the last.
        self.rows_read = (self.rows_read - rows).saturating_sub(usize::from(!self.is_done));
        // SAFETY: as in `next`.
        unsafe {
            self.free_current();
            if let Some(batch) = self.ahead.take() {
                batch.free();
            }
            for _ in 0..beyond {
                fetch(self.child);
                pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            }
        }
        self.is_at_end = false;
        self.is_done = false;
        self.pace.start(1);
    }

    /// The next batch, with its vectors; whether there is one.
    unsafe fn advance(&mut self, context: *mut ExprContext) -> bool {
        // SAFETY: as in `next`.
        unsafe {
            self.free_current();
            self.current = match self.ahead.take() {
                Some(batch) => Some(batch),
                None => self.read_next(context),
            };
            let rows = self.current.as_ref().map_or(0, Batch::len);
            if rows == 0 {
                return false;
            }
            let handed_on = self.rows_read - rows;
            let is_first = !self.pace.is_served();
            if is_first {
                self.wait();
            }
            // Never more than twice as many as were handed on, and one, unless all are asked for.
            let may_be = |next| self.at_once || rows + next <= handed_on + 1;
            if self.pace.is_served() && self.wanted() > 0 && self.pace.full().is_some_and(may_be) {
                self.ahead = self.read_next(context);
            }
            if !is_first {
                self.wait();
            }
        }
        true
    }

    /// Waits for the current batch.
    fn wait(&mut self) {
        let has_had = self.ahead.as_ref().is_some_and(Batch::is_late);
        let batch = self.current.as_mut().expect("there is one");
        let (answer, waited) = timed(|| batch.wait(has_had));
        self.figures.add(0, waited);
        self.pace.learn(batch.len(), answer);
    }

    unsafe fn read_next(&mut self, context: *mut ExprContext) -> Option<Batch> {
        let rows = self.pace.step();
        // SAFETY: as in `next`.
        unsafe { self.read(context, rows) }
    }

    /// Reads a batch of so many rows at most, and sends it.
    unsafe fn read(&mut self, context: *mut ExprContext, most: usize) -> Option<Batch> {
        if self.is_at_end {
            return None;
        }
        // Those that are remembered must be of the server that is there.
        client::forget_if_lost();
        // SAFETY: as in `next`.
        unsafe {
            self.fill(context, most.min(self.wanted().max(1)));
            let mut batch = self.filling.take()?;
            if batch.len() == 0 {
                batch.free();
                return None;
            }
            if (*(*self.child).state).es_direction == pg_sys::ScanDirection::ForwardScanDirection {
                self.rows_read += batch.len();
            }
            // A row that is alone is asked for by its call.
            if batch.len() > 1 {
                let (sent, waited) = timed(|| batch.send());
                self.figures.add(u64::from(sent), waited);
            }
            Some(batch)
        }
    }

    /// Rows are read and copied one by one; memory for one row is freed after each. Owns nothing itself.
    unsafe fn fill(&mut self, context: *mut ExprContext, most: usize) {
        // SAFETY: as in `next`.
        unsafe {
            let outer = pg_sys::MemoryContextSwitchTo((*(*self.child).state).es_query_cxt);
            let batch = self.filling.insert(Batch::new());
            pg_sys::MemoryContextSwitchTo(outer);
            for call in &self.embedded {
                batch.ask(call.request(context));
            }
            while batch.len() < most && batch.bytes() < self.memory / 2 {
                let slot = fetch(self.child);
                if slot.is_null() || (*slot).tts_flags & pg_sys::TTS_FLAG_EMPTY as u16 != 0 {
                    self.is_at_end = true;
                    break;
                }
                let place = self.source.map_or_else(ItemPointerData::default, |source| place(source));
                let outer = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
                batch.push(slot, self.embedded.iter().map(|call| call.column), place);
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
        self.is_done = false;
        self.rows_read = 0;
        self.bound = None;
    }
}

//! Reading ahead: batches of rows, sent to be embedded while the rows before them are handed on.

use super::MOST_ROWS;
use super::batch::{Batch, Request};
use super::figures::Figures;
use super::limit::Bound;
use super::nodes::tag;
use super::slots::{clear, fetch, fill, source};
use crate::memo::Modality;
use crate::{settings, text};
use pgrx::pg_sys::{self, ExprContext, ExprState, NodeTag, PlanState, ScanState, TupleTableSlot};
use std::time::{Duration, Instant};

/// A call whose vectors are got in batches.
pub struct Embedded {
    /// What is embedded.
    pub modality: Modality,
    /// The child's column that has it, counted from 1.
    pub column: usize,
    /// The model, if it is not the session's.
    pub model: Option<*mut ExprState>,
}

/// The rows of a node, in batches.
pub struct Reader {
    embedded: Vec<Embedded>,
    child: *mut PlanState,
    /// The scan of which each row is one row, if there is such a one.
    source: Option<*mut ScanState>,
    /// One of the batch's rows.
    slot: *mut TupleTableSlot,
    current: Option<Batch>,
    /// Sent while the current one is handed on.
    ahead: Option<Batch>,
    /// Whether the child has said that there are no more.
    is_at_end: bool,
    /// Whether this node has said so.
    is_done: bool,
    /// Rows of the next batch.
    size: usize,
    limit: Bound,
    /// Rows that the node above can ask for, once that is known.
    bound: Option<usize>,
    /// Whether it will ask for all of them.
    at_once: bool,
    /// Most rows of a batch: as EXPLAIN shows it, and at the moment.
    shown: usize,
    most: usize,
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
        shown: usize,
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
            current: None,
            ahead: None,
            is_at_end: false,
            is_done: false,
            size: 0,
            limit,
            bound: None,
            at_once,
            shown,
            most: MOST_ROWS,
            rows_read: 0,
            memory: settings::batch_memory(),
            figures: Figures::default(),
        }
    }

    /// Before the first row.
    unsafe fn start(&mut self, context: *mut ExprContext) {
        // SAFETY: as in `next`.
        let bound = unsafe { self.limit.find(context, self.child) };
        self.bound = Some(bound.unwrap_or(usize::MAX));
        // Who asks for few rows causes few to be read: never more than twice as many as were handed on, and one.
        self.size = if self.at_once || bound.is_some() { self.most } else { 1 };
    }

    fn restart(&mut self) {
        self.is_at_end = false;
        self.is_done = false;
        self.rows_read = 0;
        self.bound = None;
    }

    /// Rows that the node above can still ask for.
    fn wanted(&self) -> usize {
        self.bound.map_or(usize::MAX, |bound| bound.saturating_sub(self.rows_read))
    }

    /// Most rows in a batch.
    pub fn most_rows(&self) -> usize {
        self.shown
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
                if let Some(batch) = &mut self.current {
                    self.figures.add(0, timed(|| batch.wait()).1);
                }
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
        self.size = 1;
    }

    /// The next batch, with its vectors; whether there is one.
    unsafe fn advance(&mut self, context: *mut ExprContext) -> bool {
        // SAFETY: as in `next`.
        unsafe {
            self.free_current();
            self.current = match self.ahead.take() {
                Some(batch) => Some(batch),
                None => self.read(context, self.size),
            };
            if self.current.is_none() {
                return false;
            }
            if self.size == self.most && self.wanted() > 0 {
                self.ahead = self.read(context, self.size);
            }
        }
        let batch = self.current.as_mut().expect("there is one");
        let (answered, waited) = timed(|| batch.wait());
        self.figures.add(0, waited);
        if !answered {
            // Too much for the time that a request may take, perhaps; rows have a request each, now.
            self.most = (batch.len() / 2).max(1);
            self.size = 1;
        }
        true
    }

    /// Reads a batch of so many rows at most, and sends it.
    unsafe fn read(&mut self, context: *mut ExprContext, most: usize) -> Option<Batch> {
        // SAFETY: as in `next`. Rows are read and copied one by one; memory for one row is freed after each.
        unsafe {
            if self.is_at_end {
                return None;
            }
            let most = most.min(self.wanted().max(1));
            let requests: Vec<Request> = self.embedded.iter().map(|call| call.request(context)).collect();
            let outer = pg_sys::MemoryContextSwitchTo((*(*self.child).state).es_query_cxt);
            let mut batch = Batch::new(requests);
            pg_sys::MemoryContextSwitchTo(outer);
            while batch.len() < most && batch.bytes() < self.memory / 2 {
                let slot = fetch(self.child);
                if slot.is_null() || (*slot).tts_flags & pg_sys::TTS_FLAG_EMPTY as u16 != 0 {
                    self.is_at_end = true;
                    break;
                }
                let outer = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
                batch.push(slot, self.embedded.iter().map(|call| call.column), self.place());
                pg_sys::MemoryContextSwitchTo(outer);
                pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            }
            if batch.len() == 0 {
                batch.free();
                return None;
            }
            if (*(*self.child).state).es_direction == pg_sys::ScanDirection::ForwardScanDirection {
                self.rows_read += batch.len();
            }
            self.size = (self.size * 2).min(self.most);
            let (sent, waited) = timed(|| batch.send());
            self.figures.add(u64::from(sent), waited);
            Some(batch)
        }
    }

    /// Where the row that was just read is in its table.
    unsafe fn place(&self) -> pg_sys::ItemPointerData {
        let Some(source) = self.source else { return pg_sys::ItemPointerData::default() };
        // SAFETY: a scan that has just given a row.
        unsafe {
            if tag(source) == NodeTag::T_IndexOnlyScanState {
                return (*(*source.cast::<pg_sys::IndexOnlyScanState>()).ioss_ScanDesc).xs_heaptid;
            }
            (*(*source).ss_ScanTupleSlot).tts_tid
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
        self.restart();
    }
}

impl Embedded {
    unsafe fn request(&self, context: *mut ExprContext) -> Request {
        let model = self.model.map(|expression| {
            let mut is_null = false;
            // SAFETY: an expression without variables, of type text.
            unsafe {
                let name = (*expression).evalfunc.expect("prepared")(expression, context, &raw mut is_null);
                let name = if is_null { None } else { text::try_to_utf8(crate::functions::bytes_of(name)) };
                // The server has no model of no name, and the call says what is wrong with the one it was given.
                name.and_then(|name| String::from_utf8(name).ok()).unwrap_or_default()
            }
        });
        Request::new(self.modality, model)
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let since = Instant::now();
    let result = work();
    (result, since.elapsed())
}

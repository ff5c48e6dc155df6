//! The rows whose target lists are being evaluated, one within the other: a function in one may run a query with such a
//! row, too. Where it changes the session's model, the calls that name none are to be made with another from there on,
//! and the vectors of theirs hold no more.

use pgrx::pg_sys::TupleTableSlot;
use std::cell::RefCell;

thread_local! {
    /// Innermost last. An ERROR leaves those behind that it jumps over, until their query's memory goes.
    static ROWS: RefCell<Vec<*const Projected>> = const { RefCell::new(Vec::new()) };
}

/// The row of one node.
pub struct Projected {
    slot: *mut TupleTableSlot,
    /// Where the vectors of calls without a model are, counted from 0.
    columns: Vec<usize>,
}

impl Projected {
    /// A node's, of which the scan tuple has these columns. It must stay where it is, and be dropped before the slot is.
    pub fn new(slot: *mut TupleTableSlot, columns: Vec<usize>) -> Self {
        Self { slot, columns }
    }

    /// Before the target list is evaluated, for a row that the slot has.
    pub fn enter(&self) {
        if !self.columns.is_empty() {
            ROWS.with_borrow_mut(|rows| rows.push(self));
        }
    }

    /// After it. Those that were left behind within go, too.
    pub fn leave(&self) {
        if !self.columns.is_empty() {
            ROWS.with_borrow_mut(|rows| {
                if let Some(position) = rows.iter().rposition(|row| std::ptr::eq(*row, self)) {
                    rows.truncate(position);
                }
            });
        }
    }
}

impl Drop for Projected {
    fn drop(&mut self) {
        // At the end of a process there may be no list any more, and then nobody reads it.
        let _ = ROWS.try_with(|rows| rows.borrow_mut().retain(|row| !std::ptr::eq(*row, self)));
    }
}

/// The session's model changes: takes back the vectors of calls that name none.
pub fn model_changes() {
    let _ = ROWS.try_with(|rows| {
        for row in rows.borrow().iter() {
            // SAFETY: each is in the list only as long as it and its slot live, and the slot has these columns. The
            // interpreter of expressions reads them when it gets there.
            unsafe {
                for column in &(**row).columns {
                    *(*(**row).slot).tts_isnull.add(*column) = true;
                }
            }
        }
    });
}

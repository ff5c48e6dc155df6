//! Rows in the executor's slots. Some of it is inline functions of C, which a library in Rust has to have once more.
//!
//! They call Postgres's functions by their addresses, without pgrx's guard, which would take from an ERROR its context, the
//! position in the statement and the names of tables and constraints. It jumps over the frames of Rust above, then, so
//! none of them may own anything while it calls one of these.

use pgrx::pg_sys::{self, Datum, ExprContext, ExprState, PlanState, TupleTableSlot};

/// ExecClearTuple, which is an inline function of C.
///
/// # Safety
/// A slot.
pub unsafe fn clear(slot: *mut TupleTableSlot) {
    // SAFETY: a slot; each kind has this operation.
    unsafe { (*(*slot).tts_ops).clear.expect("of every kind of slot")(slot) };
}

/// ExecProject, which is an inline function of C.
///
/// # Safety
/// The projection of a node whose expression context is set.
pub unsafe fn project(projection: *mut pg_sys::ProjectionInfo) -> *mut TupleTableSlot {
    // SAFETY: as in executor.h.
    unsafe {
        let context = (*projection).pi_exprContext;
        let state = &raw mut (*projection).pi_state;
        let slot = (*state).resultslot;
        clear(slot);
        let outer = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
        let mut is_null = false;
        (*state).evalfunc.expect("prepared")(state, context, &raw mut is_null);
        pg_sys::MemoryContextSwitchTo(outer);
        (*slot).tts_flags &= !(pg_sys::TTS_FLAG_EMPTY as u16);
        (*slot).tts_nvalid = (*(*slot).tts_tupleDescriptor).natts as pg_sys::AttrNumber;
        slot
    }
}

/// ExecEvalExprSwitchContext, which is an inline function of C.
///
/// # Safety
/// An expression that is initialised for a node with this context.
pub unsafe fn evaluate(state: *mut ExprState, context: *mut ExprContext) -> Option<Datum> {
    // SAFETY: as in executor.h.
    unsafe {
        let outer = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
        let mut is_null = false;
        let value = (*state).evalfunc.expect("prepared")(state, context, &raw mut is_null);
        pg_sys::MemoryContextSwitchTo(outer);
        (!is_null).then_some(value)
    }
}

/// The value of a column, counted from 1.
///
/// # Safety
/// A row that has this column.
pub unsafe fn value(slot: *mut TupleTableSlot, column: usize) -> Option<Datum> {
    // SAFETY: slot_getattr, which is an inline function of C.
    unsafe {
        if ((*slot).tts_nvalid as usize) < column {
            pg_sys::slot_getsomeattrs_int(slot, column as i32);
        }
        (!*(*slot).tts_isnull.add(column - 1)).then(|| *(*slot).tts_values.add(column - 1))
    }
}

/// ExecProcNode, which is an inline function of C.
///
/// # Safety
/// An initialised node.
pub unsafe fn fetch(node: *mut PlanState) -> *mut TupleTableSlot {
    // SAFETY: as in executor.h.
    unsafe {
        if !(*node).chgParam.is_null() {
            pg_sys::ExecReScan(node);
        }
        (*node).ExecProcNode.expect("initialised")(node)
    }
}

/// Makes a row the scan tuple, which points into it.
///
/// # Safety
/// The scan tuple is empty and has the row's columns, and the row lives as long as it.
pub unsafe fn fill(scan: *mut TupleTableSlot, row: *mut TupleTableSlot) {
    // SAFETY: both have as many columns.
    unsafe {
        let columns = (*(*row).tts_tupleDescriptor).natts;
        pg_sys::slot_getsomeattrs_int(row, columns);
        std::ptr::copy_nonoverlapping((*row).tts_values, (*scan).tts_values, columns as usize);
        std::ptr::copy_nonoverlapping((*row).tts_isnull, (*scan).tts_isnull, columns as usize);
        pg_sys::ExecStoreVirtualTuple(scan);
    }
}

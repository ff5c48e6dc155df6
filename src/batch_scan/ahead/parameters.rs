//! Numbers that a node evaluates when it starts, and refuses if they are no count of rows.

use crate::batch_scan::nodes::tag;
use pgrx::pg_sys::{self, Const, Node, NodeTag};

/// Whether the count or offset of a LIMIT is none.
///
/// # Safety
/// An expression, or NULL.
pub unsafe fn is_no_bound(number: *mut Node) -> bool {
    // SAFETY: by the caller's promise.
    number.is_null() || unsafe { constant(number) }.is_some_and(|number| unsafe { (*number).constisnull })
}

/// Whether it is a number of rows, whatever is evaluated when.
///
/// # Safety
/// An expression of type bigint.
pub unsafe fn is_count(number: *mut Node) -> bool {
    // SAFETY: by the caller's promise.
    unsafe {
        constant(number).is_some_and(|number| {
            (*number).consttype == pg_sys::INT8OID && !(*number).constisnull && (*number).constvalue.value() as i64 >= 0
        })
    }
}

/// Whether a frame is of values, and so calls a function of their type, and not of rows or groups of them.
///
/// # Safety
/// A node with window functions.
pub unsafe fn is_range(plan: *mut pg_sys::WindowAgg) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { (*plan).frameOptions as u32 & pg_sys::FRAMEOPTION_RANGE != 0 }
}

unsafe fn constant(node: *mut Node) -> Option<*mut Const> {
    // SAFETY: the cast is to the struct that the tag says.
    (unsafe { tag(node) } == NodeTag::T_Const).then_some(node.cast())
}

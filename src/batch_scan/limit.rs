//! The LIMIT above a node. It tells the nodes below how many rows it takes – a sort then keeps no more than those – but a
//! custom scan is not told, and so finds out by itself.

use super::nodes::{contains, copy, elements, is_internal, tag};
use super::slots::evaluate;
use pgrx::pg_sys::{self, ExprContext, ExprState, List, Node, NodeTag, PlanState};

/// Whether its expressions may be evaluated a second time, later and in other processes: a setting may have changed.
///
/// # Safety
/// A LIMIT of a finished plan.
pub unsafe fn is_plain(plan: *mut pg_sys::Limit) -> bool {
    // SAFETY: its expressions, which may be NULL.
    unsafe {
        [(*plan).limitCount, (*plan).limitOffset].into_iter().all(|node| {
            !contains(node, |node: *mut Node| tag(node) == NodeTag::T_SubPlan)
                && !pg_sys::contain_mutable_functions(node)
        })
    }
}

/// Whether its bound is known in parallel workers: they have no values from elsewhere in the plan.
///
/// # Safety
/// A LIMIT of a finished plan.
pub unsafe fn is_known_to_workers(plan: *mut pg_sys::Limit) -> bool {
    // SAFETY: its expressions, which may be NULL.
    unsafe { !contains((*plan).limitCount, is_internal) && !contains((*plan).limitOffset, is_internal) }
}

/// How many rows it takes at most where so many are asked of it, `None` being any number, and whether that is exact.
///
/// # Safety
/// A LIMIT that is plain.
pub unsafe fn rows(plan: *mut pg_sys::Limit, asked: Option<u64>) -> (Option<u64>, bool) {
    // SAFETY: its expressions.
    let (count, offset) = unsafe { (number((*plan).limitCount), number((*plan).limitOffset)) };
    let least = match count {
        Number::Is(count) => Some(asked.map_or(count, |asked| asked.min(count))),
        Number::None | Number::Unknown => asked,
    };
    match offset {
        Number::Unknown => (None, false),
        Number::Is(offset) => (least.map(|rows| rows.saturating_add(offset)), !matches!(count, Number::Unknown)),
        Number::None => (least, !matches!(count, Number::Unknown)),
    }
}

/// What is known of an expression before the statement is executed.
enum Number {
    None,
    Is(u64),
    Unknown,
}

unsafe fn number(node: *mut Node) -> Number {
    // SAFETY: casts to the struct that the tag says; the values are of type bigint.
    unsafe {
        let constant = node.cast::<pg_sys::Const>();
        match () {
            () if node.is_null() => Number::None,
            () if tag(node) != NodeTag::T_Const => Number::Unknown,
            () if (*constant).constisnull => Number::None,
            () => u64::try_from((*constant).constvalue.value() as i64).map_or(Number::Unknown, Number::Is),
        }
    }
}

/// Its expressions, for the node that reads them.
///
/// # Safety
/// A LIMIT that is plain.
pub unsafe fn expressions(plan: *mut pg_sys::Limit) -> *mut List {
    // SAFETY: copies, or NULL.
    unsafe {
        [(*plan).limitCount, (*plan).limitOffset].into_iter().fold(std::ptr::null_mut(), |list, node| {
            let node = if node.is_null() { node } else { copy(node) };
            pg_sys::lappend(list, node.cast())
        })
    }
}

/// The bound while the node is executed.
pub struct Bound {
    /// `None` is no count, and no offset.
    expressions: [Option<*mut ExprState>; 2],
}

impl Bound {
    /// What [`expressions`] gave.
    ///
    /// # Safety
    /// The node that reads it.
    pub unsafe fn new(list: *mut List, node: *mut PlanState) -> Self {
        let mut expressions = [None, None];
        // SAFETY: expressions without variables.
        unsafe {
            for (expression, state) in elements::<Node>(list).zip(&mut expressions) {
                *state = (!expression.is_null()).then(|| pg_sys::ExecInitExpr(expression.cast(), node));
            }
        }
        Self { expressions }
    }

    /// The rows that can be asked for, where there is a bound. Tells the nodes below, also that there is none: a sort would
    /// keep an earlier one.
    ///
    /// # Safety
    /// The node's context, and its child before the first row, or before it is told to start again.
    pub unsafe fn find(&self, context: *mut ExprContext, child: *mut PlanState) -> Option<usize> {
        // SAFETY: expressions of type bigint, which the LIMIT has evaluated before.
        let value = |state| unsafe { evaluate(state, context) }.map(|value| value.value() as i64);
        let [count, offset] = self.expressions;
        let rows = count
            .and_then(value)
            .and_then(|count| count.checked_add(offset.and_then(value).unwrap_or(0)))
            .filter(|rows| *rows >= 0);
        // SAFETY: as promised.
        unsafe { pg_sys::ExecSetTupleBound(rows.unwrap_or(-1), child) };
        rows.and_then(|rows| usize::try_from(rows).ok())
    }
}

//! PostgreSQL's plans and expressions.

use crate::compat::{Varno, plans_to_modify};
use crate::list::{cells, elements};
use pgrx::pg_sys::{self, Expr, List, Node, NodeTag, Plan, TargetEntry};
use std::ffi::c_void;

/// A node's kind.
///
/// # Safety
/// A node, and not NULL.
pub unsafe fn tag<T>(node: *const T) -> NodeTag {
    // SAFETY: each node begins with its tag.
    unsafe { (*node.cast::<Node>()).type_ }
}

/// A copy in the current memory context.
///
/// # Safety
/// A node, or NULL.
pub unsafe fn copy<T>(node: *const T) -> *mut T {
    // SAFETY: by the caller's promise.
    unsafe { pg_sys::copyObjectImpl(node.cast()) }.cast()
}

/// A new node in the current memory context, all zero but for its tag.
///
/// # Safety
/// `T` must be the struct of this tag.
pub unsafe fn make<T>(tag: NodeTag) -> *mut T {
    // SAFETY: palloc0 gives memory for a `T`, which begins with the tag.
    unsafe {
        let node = pg_sys::palloc0(size_of::<T>());
        (*node.cast::<Node>()).type_ = tag;
        node.cast()
    }
}

/// A variable that has the value of an expression of another node's target list.
///
/// # Safety
/// An expression.
pub unsafe fn variable(varno: Varno, column: usize, expression: *const Expr) -> *mut Expr {
    // SAFETY: an expression, whose type PostgreSQL finds out.
    unsafe {
        let expression = expression.cast::<Node>();
        let (type_id, modifier) = (pg_sys::exprType(expression), pg_sys::exprTypmod(expression));
        let collation = pg_sys::exprCollation(expression);
        pg_sys::makeVar(varno, column as pg_sys::AttrNumber, type_id, modifier, collation, 0).cast()
    }
}

/// Appends an expression to a target list.
///
/// # Safety
/// A target list, and an expression that nobody else changes.
pub unsafe fn append_target(list: *mut List, expression: *mut Expr) -> *mut List {
    // SAFETY: by the caller's promise.
    unsafe {
        let number = elements::<TargetEntry>(list).count() + 1;
        let target = pg_sys::makeTargetEntry(expression, number as pg_sys::AttrNumber, std::ptr::null_mut(), false);
        pg_sys::lappend(list, target.cast())
    }
}

/// The addresses of a plan node's children that this library looks into.
///
/// # Safety
/// A plan.
pub unsafe fn children(plan: *mut Plan) -> Vec<*mut *mut Plan> {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        let mut children: Vec<*mut *mut Plan> = vec![&raw mut (*plan).lefttree, &raw mut (*plan).righttree];
        let list = match tag(plan) {
            NodeTag::T_Append => (*plan.cast::<pg_sys::Append>()).appendplans,
            NodeTag::T_MergeAppend => (*plan.cast::<pg_sys::MergeAppend>()).mergeplans,
            NodeTag::T_BitmapAnd => (*plan.cast::<pg_sys::BitmapAnd>()).bitmapplans,
            NodeTag::T_BitmapOr => (*plan.cast::<pg_sys::BitmapOr>()).bitmapplans,
            NodeTag::T_CustomScan => (*plan.cast::<pg_sys::CustomScan>()).custom_plans,
            NodeTag::T_ModifyTable => plans_to_modify(plan),
            _ => std::ptr::null_mut(),
        };
        children.extend(cells::<Plan>(list));
        if tag(plan) == NodeTag::T_SubqueryScan {
            children.push(&raw mut (*plan.cast::<pg_sys::SubqueryScan>()).subplan);
        }
        children.retain(|child| !(**child).is_null());
        children
    }
}

/// Whether `test` holds for a node of an expression, or of a list of some; NULL has none.
///
/// # Safety
/// An expression.
pub unsafe fn any(node: *mut Node, mut test: &mut dyn FnMut(*mut Node) -> bool) -> bool {
    #[pgrx::pg_guard]
    unsafe extern "C-unwind" fn walk(node: *mut Node, test: *mut c_void) -> bool {
        if node.is_null() {
            return false;
        }
        // SAFETY: `any` passes the test's address.
        unsafe {
            (*test.cast::<&mut dyn FnMut(*mut Node) -> bool>())(node)
                || pg_sys::expression_tree_walker(node, Some(walk), test)
        }
    }
    // SAFETY: `test` lives until the walk is over.
    unsafe { walk(node, (&raw mut test).cast()) }
}

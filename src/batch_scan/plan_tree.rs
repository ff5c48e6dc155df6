//! PostgreSQL's plans and expressions.

use crate::compat::plans_to_modify;
use crate::list::cells;
use pgrx::pg_sys::{self, Node, NodeTag, Plan};
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

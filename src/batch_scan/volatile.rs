//! Whether rows of a plan may be read before they are asked for: nothing in it is volatile, locks rows or changes them.

use super::plan_tree::{any, children, tag};
use crate::list::elements;
use pgrx::pg_sys::{self, Expr, Node, NodeTag, Plan, PlannedStmt};

/// Whether rows of all subplans may be read ahead: they are evaluated whenever an expression first needs them.
///
/// # Safety
/// A finished plan.
pub unsafe fn has_stable_subplans(statement: *mut PlannedStmt) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { elements::<Plan>((*statement).subplans).all(|plan| plan.is_null() || is_stable(plan, true)) }
}

unsafe fn is_stable(plan: *mut Plan, again: bool) -> bool {
    // SAFETY: a node of a finished plan.
    unsafe { !pg_sys::contain_volatile_functions((*plan).targetlist.cast()) && is_stable_node(plan, again) }
}

/// Whether rows of this node may be read ahead, leaving aside its own target list. `again`: it does not start once, before
/// anything else.
///
/// # Safety
/// A node of a finished plan.
pub unsafe fn is_stable_node(plan: *mut Plan, again: bool) -> bool {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        let null: *mut Node = std::ptr::null_mut();
        let own: [*mut Node; 2] = match tag(plan) {
            NodeTag::T_ModifyTable | NodeTag::T_LockRows | NodeTag::T_CustomScan => return false,
            // Complete before their first row is there.
            NodeTag::T_Sort | NodeTag::T_Hash if !again => return true,
            NodeTag::T_FunctionScan if !again => [null, null],
            NodeTag::T_FunctionScan => [(*plan.cast::<pg_sys::FunctionScan>()).functions.cast(), null],
            NodeTag::T_TableFuncScan => [(*plan.cast::<pg_sys::TableFuncScan>()).tablefunc.cast(), null],
            NodeTag::T_ValuesScan => [(*plan.cast::<pg_sys::ValuesScan>()).values_lists.cast(), null],
            NodeTag::T_NestLoop | NodeTag::T_MergeJoin | NodeTag::T_HashJoin => {
                [(*plan.cast::<pg_sys::Join>()).joinqual.cast(), null]
            }
            NodeTag::T_Limit => {
                let limit = plan.cast::<pg_sys::Limit>();
                [(*limit).limitCount, (*limit).limitOffset]
            }
            NodeTag::T_WindowAgg => {
                let window = plan.cast::<pg_sys::WindowAgg>();
                [(*window).startOffset, (*window).endOffset]
            }
            _ => [null, null],
        };
        // Children that start when others have ended, or for each row of another.
        let starts_later = |child: *mut Plan| match tag(plan) {
            NodeTag::T_Append | NodeTag::T_MergeAppend => true,
            NodeTag::T_NestLoop => child == (*plan).righttree,
            _ => false,
        };
        !own.into_iter().any(|expression| pg_sys::contain_volatile_functions(expression))
            && !pg_sys::contain_volatile_functions((*plan).qual.cast())
            && children(plan).into_iter().all(|child| is_stable(*child, again || starts_later(*child)))
    }
}

/// Whether an argument may be evaluated ahead: it depends on the row alone and is not volatile.
///
/// # Safety
/// An expression of a finished plan.
pub unsafe fn is_of_row(item: *mut Expr) -> bool {
    let item = item.cast::<Node>();
    // SAFETY: by the caller's promise; the cast is to the struct that the tag says.
    unsafe {
        let is_internal = |node: *mut Node| match tag(node) {
            NodeTag::T_SubPlan => true,
            NodeTag::T_Param => (*node.cast::<pg_sys::Param>()).paramkind != pg_sys::ParamKind::PARAM_EXTERN,
            _ => false,
        };
        pg_sys::contain_var_clause(item)
            && !any(item, &mut { is_internal })
            && !pg_sys::contain_volatile_functions(item)
    }
}

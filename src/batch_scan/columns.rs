//! The columns between the custom scan node and the node below it.

use super::plan_tree::{any, append_target, copy, tag, variable};
use crate::list::elements;
use pgrx::pg_sys::{self, Expr, List, NodeTag, TargetEntry, Var};

/// The target list of the node below, whose columns are those of the node above.
pub struct Columns {
    /// The target list.
    pub list: *mut List,
}

impl Columns {
    /// The column of an expression, counted from 0, which is added if it is not there; and the variable that has its value
    /// in the node above.
    ///
    /// # Safety
    /// An expression of our copy of the plan.
    pub unsafe fn of(&mut self, expression: *mut Expr) -> (usize, *mut Expr) {
        // SAFETY: expressions of our copy.
        unsafe {
            let mut known = elements::<TargetEntry>(self.list);
            let number = known.position(|entry| pg_sys::equal((*entry).expr.cast(), expression.cast()));
            let number = number.unwrap_or_else(|| {
                self.list = append_target(self.list, copy(expression));
                (*self.list).length as usize - 1
            });
            (number, variable(pg_sys::INDEX_VAR, number + 1, expression))
        }
    }

    /// Makes the variables of a target list those of the node above.
    ///
    /// # Safety
    /// A target list of our copy of the plan.
    pub unsafe fn rename(&mut self, list: *mut List) {
        // SAFETY: the struct is that of the tag.
        unsafe {
            any(list.cast(), &mut |node| {
                if tag(node) == NodeTag::T_Var {
                    *node.cast::<Var>() = *self.of(node.cast()).1.cast::<Var>();
                }
                false
            });
        }
    }

    /// The node above shows its columns as those of the node below.
    ///
    /// # Safety
    /// While the list is that of the node below.
    pub unsafe fn shown(&self) -> *mut List {
        // SAFETY: expressions of our copy.
        unsafe {
            elements::<TargetEntry>(self.list).enumerate().fold(std::ptr::null_mut(), |list, (number, entry)| {
                append_target(list, variable(pg_sys::OUTER_VAR, number + 1, (*entry).expr))
            })
        }
    }
}

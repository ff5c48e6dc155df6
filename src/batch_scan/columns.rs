//! The columns between the custom scan node and the node below it.

use super::nodes::{append_target, copy, elements, tag, variable};
use pgrx::pg_sys::{self, Expr, List, Node, NodeTag, TargetEntry};
use std::ffi::c_void;

/// The target list of the node below. The node above has the vectors first, and then these columns.
pub struct Columns {
    list: *mut List,
    /// Where they begin above.
    first: usize,
}

impl Columns {
    /// None yet, behind so many vectors.
    pub fn behind(vectors: usize) -> Self {
        Self { list: std::ptr::null_mut(), first: vectors }
    }

    /// The target list.
    pub fn list(&self) -> *mut List {
        self.list
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        // SAFETY: our list, NULL where it is empty.
        unsafe { self.list.as_ref() }.map_or(0, |list| list.length as usize)
    }

    /// The column of an expression, which is added if it is not there.
    ///
    /// # Safety
    /// Expressions of our copy of the plan, and columns that `number` gave.
    pub unsafe fn number(&mut self, expression: *mut Expr) -> usize {
        // SAFETY: expressions of our copy.
        unsafe {
            let mut known = elements::<TargetEntry>(self.list);
            known.position(|entry| pg_sys::equal((*entry).expr.cast(), expression.cast())).unwrap_or_else(|| {
                self.list = append_target(self.list, copy(expression));
                (*self.list).length as usize - 1
            })
        }
    }

    unsafe fn expression(&self, number: usize) -> *mut Expr {
        // SAFETY: a column that `number` gave.
        unsafe { (*elements::<TargetEntry>(self.list).nth(number).expect("a column")).expr }
    }

    /// The column, for an expression that is shown as one of the node below.
    ///
    /// # Safety
    /// Expressions of our copy of the plan, and columns that `number` gave.
    pub unsafe fn below(&self, number: usize) -> *mut Expr {
        // SAFETY: as above.
        unsafe { variable(pg_sys::OUTER_VAR, number + 1, self.expression(number)).cast() }
    }

    /// The column, for an expression of the node above.
    ///
    /// # Safety
    /// Expressions of our copy of the plan, and columns that `number` gave.
    pub unsafe fn above(&self, number: usize) -> *mut Expr {
        // SAFETY: as above.
        unsafe { variable(pg_sys::INDEX_VAR, self.first + number + 1, self.expression(number)).cast() }
    }

    /// Adds the variables of an expression, which stays as it is.
    ///
    /// # Safety
    /// Expressions of our copy of the plan.
    pub unsafe fn add(&mut self, node: *mut Node) {
        // SAFETY: `self` lives until the walk is over.
        unsafe { add(node, (&raw mut *self).cast()) };
    }

    /// Makes the variables of an expression those of the node above.
    ///
    /// # Safety
    /// Expressions of our copy of the plan, and columns that `number` gave.
    pub unsafe fn rename(&mut self, node: *mut Node) {
        // SAFETY: `self` lives until the walk is over.
        unsafe { rename(node, (&raw mut *self).cast()) };
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn add(node: *mut Node, columns: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: an expression of our copy, and what `Columns::add` passes.
    unsafe {
        if tag(node) == NodeTag::T_Var {
            (*columns.cast::<Columns>()).number(node.cast());
            return false;
        }
        pg_sys::expression_tree_walker(node, Some(add), columns)
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn rename(node: *mut Node, columns: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: an expression of our copy, and what `Columns::rename` passes.
    unsafe {
        if tag(node) == NodeTag::T_Var {
            let columns = &mut *columns.cast::<Columns>();
            let number = columns.number(node.cast());
            *node.cast::<pg_sys::Var>() = *columns.above(number).cast::<pg_sys::Var>();
            return false;
        }
        pg_sys::expression_tree_walker(node, Some(rename), columns)
    }
}

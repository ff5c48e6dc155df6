//! The columns between the custom scan node and the node below it.

use super::calls::Call;
use super::plan_tree::{any, tag};
use crate::list::elements;
use pgrx::pg_sys::{self, Expr, INDEX_VAR, List, NodeTag, OUTER_VAR, TargetEntry, Var, makeVarFromTargetEntry};

/// A target list for the node below, with what the calls embed and the variables of the target list that moves above;
/// and for each call the column, counted from 1, where it finds what it embeds from now on. `None`, and nothing is
/// changed, where a row may not have so many columns: what a plan evaluates may be of more, as the two rows of a join are
/// nowhere one.
///
/// # Safety
/// A target list of our copy of the plan, and the calls in it.
pub unsafe fn below(above: *mut List, calls: &[Call]) -> Option<(*mut List, Vec<i32>)> {
    // SAFETY: expressions of our copy; the list has copies of them. The cast is to the struct that the tag says.
    unsafe {
        let (mut list, null) = (std::ptr::null_mut(), std::ptr::null_mut::<Expr>());
        // Their variables need no columns.
        let arguments: Vec<_> = calls.iter().map(|call| std::mem::replace(&mut *call.argument, null)).collect();
        for argument in &arguments {
            list = pg_sys::add_to_flat_tlist(list, pg_sys::lappend(std::ptr::null_mut(), argument.cast()));
        }
        list = pg_sys::add_to_flat_tlist(list, pg_sys::pull_var_clause(above.cast(), 0));
        let fits = (*list).length <= pg_sys::MaxTupleAttributeNumber as i32;
        any(above.cast(), &mut |node| {
            if fits && tag(node) == NodeTag::T_Var {
                let column = pg_sys::tlist_member(node.cast(), list);
                *node.cast::<Var>() = *makeVarFromTargetEntry(INDEX_VAR, column);
            }
            false
        });
        let columns = calls.iter().zip(arguments).map(|(call, argument)| {
            let column = pg_sys::tlist_member(argument, list);
            *call.argument = if fits { makeVarFromTargetEntry(INDEX_VAR, column).cast() } else { argument };
            (*column).resno.into()
        });
        let columns = columns.collect();
        fits.then_some((list, columns))
    }
}

/// The target list of a node that shows the columns of the one below.
///
/// # Safety
/// The target list below.
pub unsafe fn shown(list: *mut List) -> *mut List {
    // SAFETY: by the caller's promise.
    unsafe {
        let columns = elements::<TargetEntry>(list).fold(std::ptr::null_mut(), |columns, column| {
            pg_sys::lappend(columns, makeVarFromTargetEntry(OUTER_VAR, column).cast())
        });
        pg_sys::add_to_flat_tlist(std::ptr::null_mut(), columns)
    }
}

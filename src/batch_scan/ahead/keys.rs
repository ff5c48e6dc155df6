//! The keys by which a node compares rows. It does so while it gives rows, and a type's comparison may raise an error for
//! some of its values, as that of records does where a column has none.

use super::harmless::is_always_harmless;
use crate::batch_scan::nodes::{elements, tag};
use pgrx::pg_sys::{self, NodeTag, Oid, Plan};

/// Operators, as many collations, and how many.
type Keys = (*mut Oid, *mut Oid, i32);

/// Whether the node's own comparisons raise nothing, whatever the rows are.
///
/// # Safety
/// A node of a finished plan.
pub unsafe fn are_harmless(plan: *mut Plan) -> bool {
    // SAFETY: arrays of so many keys.
    unsafe {
        keys(plan).into_iter().all(|(operators, collations, count)| {
            (0..count as usize).all(|key| is_harmless(*operators.add(key), *collations.add(key)))
        })
    }
}

unsafe fn is_harmless(operator: Oid, collation: Oid) -> bool {
    let (mut left, mut right) = (Oid::INVALID, Oid::INVALID);
    // SAFETY: an operator that there is.
    unsafe {
        pg_sys::op_input_types(operator, &raw mut left, &raw mut right);
        let is_collated = [left, right].into_iter().any(|input| pg_sys::get_typcollation(input) != Oid::INVALID);
        (collation != Oid::INVALID || !is_collated) && is_always_harmless(pg_sys::get_opcode(operator))
    }
}

unsafe fn keys(plan: *mut Plan) -> Vec<Keys> {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        match tag(plan) {
            // One that does not fit into memory merges its parts while it gives rows.
            NodeTag::T_Sort | NodeTag::T_IncrementalSort => {
                let plan = plan.cast::<pg_sys::Sort>();
                vec![((*plan).sortOperators, (*plan).collations, (*plan).numCols)]
            }
            NodeTag::T_MergeAppend => {
                let plan = plan.cast::<pg_sys::MergeAppend>();
                vec![((*plan).sortOperators, (*plan).collations, (*plan).numCols)]
            }
            NodeTag::T_GatherMerge => {
                let plan = plan.cast::<pg_sys::GatherMerge>();
                vec![((*plan).sortOperators, (*plan).collations, (*plan).numCols)]
            }
            NodeTag::T_Unique => {
                let plan = plan.cast::<pg_sys::Unique>();
                vec![((*plan).uniqOperators, (*plan).uniqCollations, (*plan).numCols)]
            }
            // WITH TIES
            NodeTag::T_Limit => {
                let plan = plan.cast::<pg_sys::Limit>();
                vec![((*plan).uniqOperators, (*plan).uniqCollations, (*plan).uniqNumCols)]
            }
            NodeTag::T_Group => {
                let plan = plan.cast::<pg_sys::Group>();
                vec![((*plan).grpOperators, (*plan).grpCollations, (*plan).numCols)]
            }
            NodeTag::T_SetOp => {
                let plan = plan.cast::<pg_sys::SetOp>();
                #[cfg(not(feature = "pg18"))]
                let keys = ((*plan).dupOperators, (*plan).dupCollations, (*plan).numCols);
                #[cfg(feature = "pg18")]
                let keys = ((*plan).cmpOperators, (*plan).cmpCollations, (*plan).numCols);
                vec![keys]
            }
            // Of GROUPING SETS, each of which may have a sort of its own.
            NodeTag::T_Agg => {
                let plan = plan.cast::<pg_sys::Agg>();
                let mut keys = vec![((*plan).grpOperators, (*plan).grpCollations, (*plan).numCols)];
                for other in elements::<Plan>((*plan).chain) {
                    keys.extend(self::keys(other));
                    if !(*other).lefttree.is_null() {
                        keys.extend(self::keys((*other).lefttree));
                    }
                }
                keys
            }
            NodeTag::T_WindowAgg => {
                let plan = plan.cast::<pg_sys::WindowAgg>();
                vec![
                    ((*plan).partOperators, (*plan).partCollations, (*plan).partNumCols),
                    ((*plan).ordOperators, (*plan).ordCollations, (*plan).ordNumCols),
                ]
            }
            #[cfg(not(feature = "pg13"))]
            NodeTag::T_Memoize => {
                let plan = plan.cast::<pg_sys::Memoize>();
                vec![((*plan).hashOperators, (*plan).collations, (*plan).numKeys)]
            }
            _ => Vec::new(),
        }
    }
}

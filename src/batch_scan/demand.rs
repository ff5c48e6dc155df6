//! How the rows of a plan's node are read, from the statement down.

use super::plan_tree::tag;
use crate::compat::is_memoize;
use pgrx::pg_sys::{self, CommandDest, Const, Node, NodeTag, Plan};

/// How the rows of a node are read.
#[derive(Clone, Copy)]
pub struct Demand {
    /// How many of them.
    pub reads: Reads,
    /// The rows of a constant LIMIT above: no more are asked for.
    pub limit: Option<u64>,
}

/// How many of a node's rows are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// All, and nobody waits for the first of them.
    AllAtOnce,
    /// All, one after the other.
    ToTheEnd,
    /// Perhaps not all.
    Some,
}

impl Demand {
    /// The rows of a subplan.
    pub fn unknown() -> Self {
        Self { reads: Reads::Some, limit: None }
    }

    /// The rows of a query that is about to start.
    ///
    /// # Safety
    /// As the executor is told to start it.
    pub unsafe fn of_query(query: *mut pg_sys::QueryDesc) -> Self {
        // SAFETY: the query has a destination, if any.
        let destination = unsafe { (*query).dest.as_ref() }.map(|destination| destination.mydest);
        let reads = match destination {
            Some(CommandDest::DestIntoRel | CommandDest::DestTransientRel) => Reads::AllAtOnce,
            // At this time, a portal has none.
            Some(
                CommandDest::DestNone
                | CommandDest::DestRemote
                | CommandDest::DestRemoteExecute
                | CommandDest::DestRemoteSimple
                | CommandDest::DestTuplestore
                | CommandDest::DestCopyOut,
            ) => Reads::ToTheEnd,
            _ => Reads::Some,
        };
        Self { reads, limit: None }
    }

    /// The rows of a node's child; `None` where the child must stay as it is.
    ///
    /// # Safety
    /// A plan and its child.
    pub unsafe fn of_child(self, plan: *mut Plan, child: *mut Plan) -> Option<Self> {
        let all = Self { reads: Reads::AllAtOnce, limit: None };
        // A node that needs not all of its child's rows for its own.
        let some = Self { reads: Reads::Some, limit: None };
        let same = if self.limit.is_some() { some } else { self };
        // SAFETY: casts to the struct that the tag says.
        unsafe {
            Some(match tag(plan) {
                // Others' nodes may want children of their kind, and a merge join one that can go back.
                NodeTag::T_CustomScan | NodeTag::T_ForeignScan => return None,
                NodeTag::T_MergeJoin if child == (*plan).righttree => return None,
                NodeTag::T_ModifyTable | NodeTag::T_Sort | NodeTag::T_Hash => all,
                NodeTag::T_Agg => match (*plan.cast::<pg_sys::Agg>()).aggstrategy {
                    pg_sys::AggStrategy::AGG_PLAIN | pg_sys::AggStrategy::AGG_HASHED => all,
                    _ => same,
                },
                NodeTag::T_Limit => self.of_limit(plan.cast()),
                NodeTag::T_Result | NodeTag::T_SubqueryScan if (*plan).qual.is_null() => self,
                // Their children share what a LIMIT takes.
                NodeTag::T_Append | NodeTag::T_MergeAppend if self.limit.is_some() => {
                    Self { reads: Reads::Some, ..self }
                }
                // They may find out that they need no more rows.
                NodeTag::T_MergeJoin | NodeTag::T_HashJoin | NodeTag::T_WindowAgg => some,
                NodeTag::T_NestLoop if child == (*plan).righttree => some,
                tag if is_memoize(tag) => some,
                _ => same,
            })
        }
    }

    /// Of a LIMIT whose numbers are known, all rows may be read at once.
    unsafe fn of_limit(self, plan: *mut pg_sys::Limit) -> Self {
        // SAFETY: a LIMIT of a finished plan.
        let (count, offset, option) = unsafe { ((*plan).limitCount, (*plan).limitOffset, (*plan).limitOption) };
        // SAFETY: its expressions.
        let (count, offset) = unsafe { (number(count), if offset.is_null() { Some(0) } else { number(offset) }) };
        let (Some(count), Some(offset), pg_sys::LimitOption::LIMIT_OPTION_COUNT) = (count, offset, option) else {
            return Self { reads: Reads::Some, limit: None };
        };
        let rows = count.min(self.limit.unwrap_or(u64::MAX)).saturating_add(offset);
        let reads = if self.reads == Reads::Some { Reads::Some } else { Reads::AllAtOnce };
        Self { reads, limit: Some(rows) }
    }
}

/// A constant number of rows.
unsafe fn number(node: *mut Node) -> Option<u64> {
    // SAFETY: NULL or an expression of type bigint; the cast is to the struct that the tag says.
    unsafe {
        let constant = node.cast::<Const>();
        let is_known = !node.is_null() && tag(node) == NodeTag::T_Const && !(*constant).constisnull;
        is_known.then(|| u64::try_from((*constant).constvalue.value() as i64).ok()).flatten()
    }
}

/// Whether the query that starts is that of a portal with a name: a cursor, which may go back, be updated at its row or
/// be left, or what a driver fetches in parts. Any other SELECT of a client is in a portal without a name, and one of
/// EXECUTE in a portal that nobody can see.
pub fn is_cursor() -> bool {
    // SAFETY: the portal that is being started, if any, has a name.
    unsafe {
        pg_sys::ActivePortal.as_ref().is_some_and(|portal| {
            portal.status == pg_sys::PortalStatus::PORTAL_DEFINED
                && portal.visible
                && portal.name.as_ref().is_some_and(|first| *first != 0)
        })
    }
}

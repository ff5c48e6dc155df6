//! How the rows of a plan's node are asked for, from the statement down.

use super::limit;
use super::nodes::{elements, tag};
use pgrx::pg_sys::{self, CommandDest, NodeTag, Plan};

/// How the rows of a node are asked for.
#[derive(Clone, Copy)]
pub struct Demand {
    /// To the last one of those that a LIMIT leaves, unless an error ends it all.
    whole: bool,
    /// Whole, and by someone who does not wait for the first of them.
    pub complete: bool,
    /// By a LIMIT, which tells all nodes in between.
    pub limit: Option<*mut pg_sys::Limit>,
    /// Not more than so many.
    pub most: Option<u64>,
    /// In several processes.
    pub parallel: bool,
    /// By someone who wants a node that can do more than ours.
    pub fixed: bool,
    /// By a cursor, whose row an UPDATE may name.
    pub is_updatable: bool,
}

impl Demand {
    /// Perhaps some, perhaps all.
    pub fn unknown() -> Self {
        Self {
            whole: false,
            complete: false,
            limit: None,
            most: None,
            parallel: false,
            fixed: false,
            is_updatable: false,
        }
    }

    /// Of a query that is about to start. A client may stop reading; what fills a table does not.
    ///
    /// # Safety
    /// As the executor is told to start it.
    pub unsafe fn of_query(query: *mut pg_sys::QueryDesc) -> Self {
        // SAFETY: the query has a destination, if any.
        unsafe {
            let destination = (*query).dest.as_ref().map(|destination| destination.mydest);
            let is_cursor = destination == Some(CommandDest::DestNone) && is_cursor();
            let complete = matches!(destination, Some(CommandDest::DestIntoRel | CommandDest::DestTransientRel));
            let whole = match destination {
                // That of a portal is not known yet. Others whose rows go nowhere are read to their end, too.
                Some(CommandDest::DestNone) => !is_cursor,
                Some(
                    CommandDest::DestRemote
                    | CommandDest::DestRemoteExecute
                    | CommandDest::DestRemoteSimple
                    | CommandDest::DestTuplestore
                    | CommandDest::DestCopyOut,
                ) => true,
                _ => complete,
            };
            Self { whole, complete, is_updatable: is_cursor, ..Self::unknown() }
        }
    }

    /// What a node of which this is asked asks of its child; `None` where the child is to stay as it is.
    ///
    /// # Safety
    /// A plan and its child.
    pub unsafe fn of_child(self, plan: *mut Plan, child: *mut Plan) -> Option<Self> {
        // Of a node that is not told of the LIMIT, it asks for no more than it needs.
        let is_open = self.limit.is_some();
        let same = Self {
            whole: self.whole && !is_open,
            complete: self.complete && !is_open,
            limit: None,
            most: None,
            fixed: false,
            is_updatable: false,
            ..self
        };
        let some = Self { whole: false, complete: false, ..same };
        let all = Self { whole: true, complete: true, ..same };
        // SAFETY: casts to the struct that the tag says.
        unsafe {
            Some(match tag(plan) {
                // Others' nodes may want children of their kind.
                NodeTag::T_CustomScan | NodeTag::T_ForeignScan => return None,
                NodeTag::T_ModifyTable | NodeTag::T_Sort | NodeTag::T_Hash => all,
                NodeTag::T_Agg => match (*plan.cast::<pg_sys::Agg>()).aggstrategy {
                    pg_sys::AggStrategy::AGG_PLAIN | pg_sys::AggStrategy::AGG_HASHED => all,
                    _ => same,
                },
                NodeTag::T_Limit => {
                    let some = Self { is_updatable: self.is_updatable, ..some };
                    let plan = plan.cast::<pg_sys::Limit>();
                    match (*plan).limitOption {
                        pg_sys::LimitOption::LIMIT_OPTION_COUNT if limit::is_plain(plan) => self.of_limit(plan),
                        // It would have to be evaluated twice.
                        pg_sys::LimitOption::LIMIT_OPTION_COUNT => Self { fixed: true, ..some },
                        _ => some,
                    }
                }
                // Those that pass on what a LIMIT says, and marks.
                NodeTag::T_Result | NodeTag::T_SubqueryScan if (*plan).qual.is_null() => self,
                NodeTag::T_Result | NodeTag::T_SubqueryScan => Self { is_updatable: self.is_updatable, ..same },
                NodeTag::T_Append => self.of_part(child == first((*plan.cast::<pg_sys::Append>()).appendplans)),
                NodeTag::T_MergeAppend => self.of_part(false),
                NodeTag::T_Gather | NodeTag::T_GatherMerge => {
                    let is_hidden = self.limit.is_some_and(|limit| !limit::is_known_to_workers(limit));
                    // What a LIMIT takes is shared by the processes; each alone could give all of it.
                    let part = self.of_part(false);
                    Self { fixed: self.fixed || is_hidden, parallel: true, is_updatable: false, ..part }
                }
                NodeTag::T_MergeJoin => Self { fixed: child == (*plan).righttree, ..some },
                // They may find out that they need no more rows: an empty hash table, a row_number that is too high.
                NodeTag::T_HashJoin | NodeTag::T_WindowAgg => some,
                NodeTag::T_NestLoop if child == (*plan).righttree => some,
                #[cfg(not(feature = "pg13"))]
                NodeTag::T_Memoize => some,
                _ => same,
            })
        }
    }

    /// Where it takes all rows that it can take, they may be read at once: no others are asked for.
    unsafe fn of_limit(self, plan: *mut pg_sys::Limit) -> Self {
        // SAFETY: a LIMIT that is plain.
        let (most, is_exact) = unsafe { limit::rows(plan, self.most) };
        // What a LIMIT further out takes has to be known here: the node evaluates the one that is next to it.
        let is_known = self.limit.is_none() || self.most.is_some() && is_exact;
        let complete = self.whole && is_known;
        Self { whole: complete, complete, limit: Some(plan), most, fixed: false, ..self }
    }

    /// What other parts have given, this one need not.
    fn of_part(self, is_first: bool) -> Self {
        let is_open = self.limit.is_some() && !is_first;
        Self { whole: self.whole && !is_open, complete: self.complete && !is_open, ..self }
    }
}

unsafe fn first(plans: *mut pg_sys::List) -> *mut Plan {
    // SAFETY: a list of plans.
    unsafe { elements(plans) }.next().unwrap_or(std::ptr::null_mut())
}

/// Whether the query that starts is that of a portal with a name: a cursor, or what a driver fetches in parts. Any other
/// SELECT that a client sends is in a portal without.
unsafe fn is_cursor() -> bool {
    // SAFETY: the portal that is being started, if any, has a name.
    unsafe {
        pg_sys::ActivePortal.as_ref().is_some_and(|portal| {
            portal.status == pg_sys::PortalStatus::PORTAL_DEFINED
                && portal.name.as_ref().is_some_and(|first| *first != 0)
        })
    }
}

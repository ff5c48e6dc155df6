//! Whether rows of a plan may be read before they are asked for.
//!
//! Who asks for ten rows must not be told that the eleventh divides by zero, nor find that its `nextval` was called. So
//! what is evaluated ahead must have no effects and raise no errors: leakproof functions, which by definition raise none,
//! and a few more. What is evaluated as a whole for the first row – the input of a sort, a hash table – is free.

mod expressions;
mod harmless;
mod keys;
mod parameters;

use super::nodes::{children, contains, elements, is_internal, tag};
use pgrx::pg_sys::{self, Expr, List, Node, NodeTag, Plan};

/// A statement whose plans are looked at.
pub struct Ahead {
    /// The plans that `SubPlan` and `CteScan` refer to.
    subplans: *mut List,
    /// Those that are executed when somebody first asks for their value.
    init: Vec<*mut pg_sys::SubPlan>,
}

impl Ahead {
    /// Of a statement, and all plans in it.
    ///
    /// # Safety
    /// A finished plan.
    pub unsafe fn new(statement: *mut pg_sys::PlannedStmt, plans: &[*mut Plan]) -> Self {
        // SAFETY: by the caller's promise.
        unsafe {
            let init = plans.iter().flat_map(|plan| elements((**plan).initPlan)).collect();
            Self { subplans: (*statement).subplans, init }
        }
    }

    /// Whether rows of this node may be read ahead, leaving aside its own target list.
    ///
    /// # Safety
    /// A node of the finished plan.
    pub unsafe fn rows(&self, plan: *mut Plan) -> bool {
        // SAFETY: by the caller's promise.
        unsafe { self.node(plan, true) }
    }

    /// Whether an argument may be evaluated ahead: it depends on the row, and on nothing that is not there yet.
    ///
    /// # Safety
    /// An expression of the finished plan.
    pub unsafe fn item(&self, item: *mut Expr) -> bool {
        // SAFETY: by the caller's promise.
        unsafe {
            let item = item.cast::<Node>();
            contains(item, |node: *mut Node| tag(node) == NodeTag::T_Var)
                && !contains(item, is_internal)
                && self.expression(item, true)
        }
    }

    unsafe fn plan(&self, plan: *mut Plan, once: bool) -> bool {
        // SAFETY: as in `rows`.
        plan.is_null() || unsafe { self.node(plan, once) && self.list((*plan).targetlist, once) }
    }

    /// `once`: nothing of this plan is evaluated a second time, so what it does for its first row is done before any row is
    /// handed on: also all of its conditions, which that row meets.
    unsafe fn node(&self, plan: *mut Plan, once: bool) -> bool {
        // SAFETY: casts to the struct that the tag says.
        unsafe {
            let (left, right) = ((*plan).lefttree, (*plan).righttree);
            let kind = match tag(plan) {
                NodeTag::T_SeqScan | NodeTag::T_NamedTuplestoreScan | NodeTag::T_BitmapIndexScan => true,
                NodeTag::T_SampleScan => {
                    let sample = (*plan.cast::<pg_sys::SampleScan>()).tablesample;
                    once && self.list((*sample).args, true) && self.expression((*sample).repeatable.cast(), true)
                }
                NodeTag::T_IndexScan => self.list((*plan.cast::<pg_sys::IndexScan>()).indexqualorig, once),
                NodeTag::T_IndexOnlyScan => self.list((*plan.cast::<pg_sys::IndexOnlyScan>()).indexqual, once),
                NodeTag::T_BitmapHeapScan => self.list((*plan.cast::<pg_sys::BitmapHeapScan>()).bitmapqualorig, once),
                NodeTag::T_TidScan => self.list((*plan.cast::<pg_sys::TidScan>()).tidquals, once),
                #[cfg(not(feature = "pg13"))]
                NodeTag::T_TidRangeScan => self.list((*plan.cast::<pg_sys::TidRangeScan>()).tidrangequals, once),
                NodeTag::T_SubqueryScan => self.plan((*plan.cast::<pg_sys::SubqueryScan>()).subplan, once),
                // Its functions' results are complete before the first row.
                NodeTag::T_FunctionScan => {
                    once || elements::<pg_sys::RangeTblFunction>((*plan.cast::<pg_sys::FunctionScan>()).functions)
                        .all(|function| self.expression((*function).funcexpr, false))
                }
                NodeTag::T_ValuesScan => {
                    elements::<List>((*plan.cast::<pg_sys::ValuesScan>()).values_lists).all(|row| self.list(row, false))
                }
                NodeTag::T_CteScan => self.subplan((*plan.cast::<pg_sys::CteScan>()).ctePlanId),
                NodeTag::T_Result => {
                    self.expression((*plan.cast::<pg_sys::Result>()).resconstantqual, once) && self.plan(left, once)
                }
                NodeTag::T_Append | NodeTag::T_MergeAppend => {
                    children(plan).into_iter().all(|child| self.plan(*child, false))
                }
                NodeTag::T_NestLoop => {
                    let join = plan.cast::<pg_sys::Join>();
                    self.list((*join).joinqual, once && is_inner(join))
                        && self.plan(left, once)
                        && self.plan(right, false)
                }
                NodeTag::T_MergeJoin => {
                    let join = plan.cast::<pg_sys::MergeJoin>();
                    let first = once && is_inner(&raw mut (*join).join);
                    self.list((*join).join.joinqual, first)
                        && self.list((*join).mergeclauses, first)
                        && self.plan(left, once)
                        && self.plan(right, first)
                }
                NodeTag::T_HashJoin => {
                    let join = plan.cast::<pg_sys::HashJoin>();
                    let first = once && is_inner(&raw mut (*join).join);
                    self.list((*join).join.joinqual, first)
                        && self.list((*join).hashclauses, first)
                        && self.plan(left, once)
                        && self.plan(right, once)
                }
                // Complete before the first row.
                NodeTag::T_Hash | NodeTag::T_Sort => once || self.plan(left, false),
                NodeTag::T_Agg => match (*plan.cast::<pg_sys::Agg>()).aggstrategy {
                    pg_sys::AggStrategy::AGG_PLAIN | pg_sys::AggStrategy::AGG_HASHED => once || self.plan(left, false),
                    _ => self.plan(left, once),
                },
                NodeTag::T_Limit => {
                    let limit = plan.cast::<pg_sys::Limit>();
                    let numbers = [(*limit).limitOffset, (*limit).limitCount];
                    self.plan(left, once)
                        && numbers.into_iter().all(|number| match once {
                            true => self.expression(number, true),
                            false => parameters::is_no_bound(number) || parameters::is_count(number),
                        })
                }
                // PostgreSQL 18 compares the rows of two nodes.
                NodeTag::T_SetOp => self.plan(left, once) && self.plan(right, once),
                NodeTag::T_Group
                | NodeTag::T_Unique
                | NodeTag::T_Material
                | NodeTag::T_IncrementalSort
                | NodeTag::T_ProjectSet => self.plan(left, once),
                NodeTag::T_WindowAgg => self.window(plan.cast()) && self.plan(left, false),
                NodeTag::T_Gather | NodeTag::T_GatherMerge => self.plan(left, false),
                #[cfg(not(feature = "pg13"))]
                NodeTag::T_Memoize => {
                    self.list((*plan.cast::<pg_sys::Memoize>()).param_exprs, false) && self.plan(left, false)
                }
                // Among others: ModifyTable and LockRows, which have effects, and foreign tables, which may fail.
                _ => false,
            };
            kind && self.list((*plan).qual, once) && keys::are_harmless(plan)
        }
    }

    /// What a node with window functions evaluates besides them.
    unsafe fn window(&self, plan: *mut pg_sys::WindowAgg) -> bool {
        // SAFETY: its frame and its condition.
        unsafe {
            let is_frame_harmless = [(*plan).startOffset, (*plan).endOffset]
                .into_iter()
                .all(|offset| offset.is_null() || !parameters::is_range(plan) && parameters::is_count(offset));
            #[cfg(not(any(feature = "pg13", feature = "pg14")))]
            if !self.list((*plan).runCondition, false) {
                return false;
            }
            is_frame_harmless
        }
    }

    unsafe fn subplan(&self, number: i32) -> bool {
        // SAFETY: numbers of subplans are counted from 1.
        unsafe { elements::<Plan>(self.subplans).nth(number as usize - 1).is_some_and(|plan| self.plan(plan, false)) }
    }
}

/// Whether each of its rows meets all its conditions.
unsafe fn is_inner(join: *mut pg_sys::Join) -> bool {
    // SAFETY: a join.
    unsafe { (*join).jointype == pg_sys::JoinType::JOIN_INNER }
}

//! Whether rows of a plan may be read before they are asked for.
//!
//! Who asks for ten rows must not be told that the eleventh divides by zero, nor find that its `nextval` was called. So
//! what is evaluated ahead must have no effects and raise no errors: leakproof functions, which by definition raise none,
//! and a few more. What is evaluated as a whole for the first row – the input of a sort, a hash table – is free.

use super::harmless::{PRINTABLE, is_harmless};
use super::nodes::{contains, elements, integers, is_internal, tag};
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
                    self.list((*sample).args, once) && self.expression((*sample).repeatable.cast(), once)
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
                    super::nodes::children(plan).into_iter().all(|child| self.plan(*child, false))
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
                    self.plan(left, once)
                        && [(*limit).limitOffset, (*limit).limitCount]
                            .into_iter()
                            .all(|number| self.expression(number, once))
                }
                NodeTag::T_Group
                | NodeTag::T_Unique
                | NodeTag::T_SetOp
                | NodeTag::T_Material
                | NodeTag::T_IncrementalSort
                | NodeTag::T_ProjectSet => self.plan(left, once),
                NodeTag::T_WindowAgg | NodeTag::T_Gather | NodeTag::T_GatherMerge => self.plan(left, false),
                #[cfg(not(feature = "pg13"))]
                NodeTag::T_Memoize => self.plan(left, false),
                // Among others: ModifyTable and LockRows, which have effects, and foreign tables, which may fail.
                _ => false,
            };
            kind && self.list((*plan).qual, once)
        }
    }

    unsafe fn subplan(&self, number: i32) -> bool {
        // SAFETY: numbers of subplans are counted from 1.
        unsafe { elements::<Plan>(self.subplans).nth(number as usize - 1).is_some_and(|plan| self.plan(plan, false)) }
    }

    unsafe fn list(&self, list: *mut List, first: bool) -> bool {
        // SAFETY: a list of expressions.
        unsafe { elements::<Node>(list).all(|node| self.expression(node, first)) }
    }

    /// The same of operands, of which all but the first may be left out.
    unsafe fn some(&self, list: *mut List, first: bool) -> bool {
        // SAFETY: a list of expressions.
        unsafe { elements::<Node>(list).enumerate().all(|(index, node)| self.expression(node, first && index == 0)) }
    }

    /// Whether evaluating it has no effect and raises nothing. `first`: it is evaluated for the first row, whatever that is.
    unsafe fn expression(&self, node: *mut Node, first: bool) -> bool {
        if node.is_null() {
            return true;
        }
        // SAFETY: casts to the struct that the tag says.
        unsafe {
            match tag(node) {
                NodeTag::T_Var | NodeTag::T_Const | NodeTag::T_CaseTestExpr | NodeTag::T_SQLValueFunction => true,
                NodeTag::T_Param => first || self.value(node.cast()),
                NodeTag::T_TargetEntry => self.expression((*node.cast::<pg_sys::TargetEntry>()).expr.cast(), first),
                NodeTag::T_List => self.list(node.cast(), first),
                NodeTag::T_FuncExpr | NodeTag::T_OpExpr if first && is_constant(node) => true,
                NodeTag::T_FuncExpr => {
                    let call = node.cast::<pg_sys::FuncExpr>();
                    is_harmless((*call).funcid, (*call).args, (*call).inputcollid) && self.list((*call).args, first)
                }
                // DISTINCT and NULLIF are the same struct.
                NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
                    let operator = node.cast::<pg_sys::OpExpr>();
                    is_harmless((*operator).opfuncid, (*operator).args, (*operator).inputcollid)
                        && self.list((*operator).args, first)
                }
                NodeTag::T_ScalarArrayOpExpr => {
                    let operator = node.cast::<pg_sys::ScalarArrayOpExpr>();
                    is_harmless((*operator).opfuncid, (*operator).args, (*operator).inputcollid)
                        && self.list((*operator).args, first)
                }
                NodeTag::T_WindowFunc => {
                    let function = node.cast::<pg_sys::WindowFunc>();
                    is_harmless((*function).winfnoid, (*function).args, (*function).inputcollid)
                        && self.list((*function).args, first)
                }
                NodeTag::T_BoolExpr => self.some((*node.cast::<pg_sys::BoolExpr>()).args, first),
                NodeTag::T_ArrayExpr => self.list((*node.cast::<pg_sys::ArrayExpr>()).elements, first),
                NodeTag::T_RowExpr => self.list((*node.cast::<pg_sys::RowExpr>()).args, first),
                NodeTag::T_CoalesceExpr => self.some((*node.cast::<pg_sys::CoalesceExpr>()).args, first),
                NodeTag::T_NullTest => self.expression((*node.cast::<pg_sys::NullTest>()).arg.cast(), first),
                NodeTag::T_BooleanTest => self.expression((*node.cast::<pg_sys::BooleanTest>()).arg.cast(), first),
                NodeTag::T_RelabelType => self.expression((*node.cast::<pg_sys::RelabelType>()).arg.cast(), first),
                NodeTag::T_CollateExpr => self.expression((*node.cast::<pg_sys::CollateExpr>()).arg.cast(), first),
                NodeTag::T_CoerceViaIO => {
                    let coercion = node.cast::<pg_sys::CoerceViaIO>();
                    let from = pg_sys::exprType((*coercion).arg.cast());
                    [pg_sys::TEXTOID, pg_sys::VARCHAROID].contains(&(*coercion).resulttype)
                        && PRINTABLE.contains(&from)
                        && self.expression((*coercion).arg.cast(), first)
                }
                NodeTag::T_CaseExpr => {
                    let case = node.cast::<pg_sys::CaseExpr>();
                    self.expression((*case).arg.cast(), first)
                        && self.some((*case).args, first)
                        && self.expression((*case).defresult.cast(), false)
                }
                NodeTag::T_CaseWhen => {
                    let when = node.cast::<pg_sys::CaseWhen>();
                    self.expression((*when).expr.cast(), first) && self.expression((*when).result.cast(), false)
                }
                NodeTag::T_SubPlan => {
                    let subplan = node.cast::<pg_sys::SubPlan>();
                    // Others may find more than one row, which is an error.
                    let kinds = [pg_sys::SubLinkType::EXISTS_SUBLINK, pg_sys::SubLinkType::ANY_SUBLINK];
                    kinds.contains(&(*subplan).subLinkType)
                        && self.expression((*subplan).testexpr, false)
                        && self.list((*subplan).args, first)
                        && self.subplan((*subplan).plan_id)
                }
                _ => false,
            }
        }
    }

    /// Whether a value from elsewhere in the plan is there without effects and errors, whenever it is asked for first.
    unsafe fn value(&self, param: *mut pg_sys::Param) -> bool {
        // SAFETY: casts to the struct that the tag says.
        unsafe {
            if (*param).paramkind != pg_sys::ParamKind::PARAM_EXEC {
                return true;
            }
            let sets = |subplan: &&*mut pg_sys::SubPlan| integers((***subplan).setParam).contains(&(*param).paramid);
            self.init.iter().find(sets).is_none_or(|subplan| {
                // Others may find more than one row.
                (**subplan).subLinkType == pg_sys::SubLinkType::EXISTS_SUBLINK && self.subplan((**subplan).plan_id)
            })
        }
    }
}

/// The same for all rows, and so known, with its errors, when it is evaluated for the first of them.
unsafe fn is_constant(node: *mut Node) -> bool {
    // SAFETY: an expression, of which `contains` passes each node.
    unsafe {
        let varies = |node: *mut Node| {
            matches!(tag(node), NodeTag::T_Var | NodeTag::T_CaseTestExpr) || is_internal(node) || gives_rows(node)
        };
        !contains(node, varies) && !pg_sys::contain_volatile_functions(node)
    }
}

/// Whether it gives one value after the other, of which a later one may be an error.
unsafe fn gives_rows(node: *mut Node) -> bool {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        match tag(node) {
            NodeTag::T_FuncExpr => (*node.cast::<pg_sys::FuncExpr>()).funcretset,
            NodeTag::T_OpExpr => (*node.cast::<pg_sys::OpExpr>()).opretset,
            _ => false,
        }
    }
}

/// Whether each of its rows meets all its conditions.
unsafe fn is_inner(join: *mut pg_sys::Join) -> bool {
    // SAFETY: a join.
    unsafe { (*join).jointype == pg_sys::JoinType::JOIN_INNER }
}

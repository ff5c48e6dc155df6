//! Whether evaluating an expression has no effect and raises nothing.

use super::Ahead;
use super::harmless::{PRINTABLE, is_harmless};
use crate::batch_scan::nodes::{contains, elements, integers, is_internal, tag};
use pgrx::pg_sys::{self, List, Node, NodeTag};

impl Ahead {
    pub(super) unsafe fn list(&self, list: *mut List, first: bool) -> bool {
        // SAFETY: a list of expressions.
        unsafe { elements::<Node>(list).all(|node| self.expression(node, first)) }
    }

    /// The same of operands, of which all but the first may be left out.
    unsafe fn some(&self, list: *mut List, first: bool) -> bool {
        // SAFETY: a list of expressions.
        unsafe { elements::<Node>(list).enumerate().all(|(index, node)| self.expression(node, first && index == 0)) }
    }

    /// Whether evaluating it has no effect and raises nothing. `first`: it is evaluated for the first row, whatever that is.
    pub(super) unsafe fn expression(&self, node: *mut Node, first: bool) -> bool {
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
                        && self.expression((*function).aggfilter.cast(), false)
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

//! Whether rows of a plan may be read before they are asked for.
//!
//! Who asks for ten rows must not be told that the eleventh divides by zero, nor find that its `nextval` was called. So
//! what is evaluated ahead must have no effects and raise no errors: leakproof functions, which by definition raise none,
//! and a few more. What is evaluated as a whole for the first row – the input of a sort, a hash table – is free.

use super::nodes::{contains, elements, is_internal, tag};
use pgrx::pg_sys::{self, Expr, List, Node, NodeTag, Oid, Plan};

/// Functions that PostgreSQL does not call leakproof, for they might be slower for some values or speak of them in errors
/// that no valid value raises. Their OIDs are the same in all versions.
const HARMLESS: &[&[u32]] = &[
    // Comparisons of numeric, and of enums
    &[1718, 1719, 1720, 1721, 1722, 1723],
    &[3508, 3509, 3510, 3511, 3512, 3513],
    // Arrays: =, <>, &&, @>, array_length, cardinality, unnest, generate_subscripts
    &[744, 390, 2747, 2748, 2176, 3179, 2331, 1191, 1192],
    // Texts: ||, their lengths, lower, upper, initcap
    &[1258, 1257, 1317, 1381, 1374, 870, 871, 872],
    // ltrim, rtrim, btrim, translate, left, right, reverse, strpos
    &[875, 876, 881, 882, 884, 885, 878, 3060, 3061, 3062, 868],
    // text(char), text(name), text(boolean)
    &[401, 406, 2971],
    // Lengths of bytea
    &[720, 2010],
    // JSON: ->, ->>, ?, @>
    &[3478, 3214, 4047, 4046],
    // generate_series of integers
    &[1066, 1067, 1068, 1069],
    // row_number, rank, dense_rank
    &[3100, 3101, 3102],
];
/// textlike, textnlike, texticlike, texticnlike: a pattern may be malformed.
const LIKE: &[u32] = &[850, 851, 1633, 1634];
/// Division and remainder of smallint, integer and bigint: the divisor may be 0.
const DIVISIONS: &[u32] = &[153, 154, 466, 155, 156, 945, 940, 941, 947];
/// Types whose output function raises nothing and obeys no setting.
const PRINTABLE: &[Oid] = &[
    pg_sys::BOOLOID,
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::OIDOID,
    pg_sys::NUMERICOID,
    pg_sys::UUIDOID,
    pg_sys::TEXTOID,
    pg_sys::VARCHAROID,
    pg_sys::BPCHAROID,
    pg_sys::NAMEOID,
];

/// A statement whose plans are looked at.
pub struct Ahead {
    /// The plans that `SubPlan` and `CteScan` refer to.
    pub subplans: *mut List,
}

impl Ahead {
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
                && self.expression(item)
        }
    }

    unsafe fn plan(&self, plan: *mut Plan, once: bool) -> bool {
        // SAFETY: as in `rows`.
        plan.is_null() || unsafe { self.node(plan, once) && self.list((*plan).targetlist) }
    }

    /// `once`: nothing of this plan is evaluated a second time, so what it does before its first row is done before any
    /// row is handed on.
    unsafe fn node(&self, plan: *mut Plan, once: bool) -> bool {
        // SAFETY: casts to the struct that the tag says.
        unsafe {
            let (left, right) = ((*plan).lefttree, (*plan).righttree);
            let kind = match tag(plan) {
                NodeTag::T_SeqScan | NodeTag::T_NamedTuplestoreScan | NodeTag::T_BitmapIndexScan => true,
                NodeTag::T_SampleScan => {
                    let sample = (*plan.cast::<pg_sys::SampleScan>()).tablesample;
                    self.list((*sample).args) && self.expression((*sample).repeatable.cast())
                }
                NodeTag::T_IndexScan => self.list((*plan.cast::<pg_sys::IndexScan>()).indexqualorig),
                NodeTag::T_IndexOnlyScan => self.list((*plan.cast::<pg_sys::IndexOnlyScan>()).indexqual),
                NodeTag::T_BitmapHeapScan => self.list((*plan.cast::<pg_sys::BitmapHeapScan>()).bitmapqualorig),
                NodeTag::T_TidScan => self.list((*plan.cast::<pg_sys::TidScan>()).tidquals),
                #[cfg(not(feature = "pg13"))]
                NodeTag::T_TidRangeScan => self.list((*plan.cast::<pg_sys::TidRangeScan>()).tidrangequals),
                NodeTag::T_SubqueryScan => self.plan((*plan.cast::<pg_sys::SubqueryScan>()).subplan, once),
                // Its functions' results are complete before the first row.
                NodeTag::T_FunctionScan => {
                    once || elements::<pg_sys::RangeTblFunction>((*plan.cast::<pg_sys::FunctionScan>()).functions)
                        .all(|function| self.expression((*function).funcexpr))
                }
                NodeTag::T_ValuesScan => {
                    elements::<List>((*plan.cast::<pg_sys::ValuesScan>()).values_lists).all(|row| self.list(row))
                }
                NodeTag::T_CteScan => self.subplan((*plan.cast::<pg_sys::CteScan>()).ctePlanId),
                NodeTag::T_Result => {
                    self.expression((*plan.cast::<pg_sys::Result>()).resconstantqual) && self.plan(left, once)
                }
                NodeTag::T_Append | NodeTag::T_MergeAppend => {
                    super::nodes::children(plan).into_iter().all(|child| self.plan(*child, false))
                }
                NodeTag::T_NestLoop => {
                    self.list((*plan.cast::<pg_sys::Join>()).joinqual)
                        && self.plan(left, once)
                        && self.plan(right, false)
                }
                NodeTag::T_MergeJoin => {
                    let join = plan.cast::<pg_sys::MergeJoin>();
                    self.list((*join).join.joinqual)
                        && self.list((*join).mergeclauses)
                        && self.plan(left, once)
                        && self.plan(right, once && (*join).join.jointype == pg_sys::JoinType::JOIN_INNER)
                }
                NodeTag::T_HashJoin => {
                    let join = plan.cast::<pg_sys::HashJoin>();
                    self.list((*join).join.joinqual)
                        && self.list((*join).hashclauses)
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
                        && (once || self.expression((*limit).limitOffset) && self.expression((*limit).limitCount))
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
            kind && self.list((*plan).qual)
        }
    }

    unsafe fn subplan(&self, number: i32) -> bool {
        // SAFETY: numbers of subplans are counted from 1.
        unsafe { elements::<Plan>(self.subplans).nth(number as usize - 1).is_some_and(|plan| self.plan(plan, false)) }
    }

    unsafe fn list(&self, list: *mut List) -> bool {
        // SAFETY: a list of expressions.
        unsafe { elements::<Node>(list).all(|node| self.expression(node)) }
    }

    /// Whether evaluating it has no effect and raises nothing.
    unsafe fn expression(&self, node: *mut Node) -> bool {
        if node.is_null() {
            return true;
        }
        // SAFETY: casts to the struct that the tag says.
        unsafe {
            match tag(node) {
                NodeTag::T_Var | NodeTag::T_Const | NodeTag::T_Param | NodeTag::T_CaseTestExpr => true,
                NodeTag::T_TargetEntry => self.expression((*node.cast::<pg_sys::TargetEntry>()).expr.cast()),
                NodeTag::T_List => self.list(node.cast()),
                NodeTag::T_FuncExpr | NodeTag::T_OpExpr | NodeTag::T_SQLValueFunction if is_constant(node) => true,
                NodeTag::T_FuncExpr => {
                    let call = node.cast::<pg_sys::FuncExpr>();
                    is_harmless((*call).funcid, (*call).args) && self.list((*call).args)
                }
                // DISTINCT and NULLIF are the same struct.
                NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
                    let operator = node.cast::<pg_sys::OpExpr>();
                    is_harmless((*operator).opfuncid, (*operator).args) && self.list((*operator).args)
                }
                NodeTag::T_ScalarArrayOpExpr => {
                    let operator = node.cast::<pg_sys::ScalarArrayOpExpr>();
                    is_harmless((*operator).opfuncid, (*operator).args) && self.list((*operator).args)
                }
                NodeTag::T_WindowFunc => {
                    let function = node.cast::<pg_sys::WindowFunc>();
                    is_harmless((*function).winfnoid, (*function).args) && self.list((*function).args)
                }
                NodeTag::T_BoolExpr => self.list((*node.cast::<pg_sys::BoolExpr>()).args),
                NodeTag::T_ArrayExpr => self.list((*node.cast::<pg_sys::ArrayExpr>()).elements),
                NodeTag::T_RowExpr => self.list((*node.cast::<pg_sys::RowExpr>()).args),
                NodeTag::T_CoalesceExpr => self.list((*node.cast::<pg_sys::CoalesceExpr>()).args),
                NodeTag::T_NullTest => self.expression((*node.cast::<pg_sys::NullTest>()).arg.cast()),
                NodeTag::T_BooleanTest => self.expression((*node.cast::<pg_sys::BooleanTest>()).arg.cast()),
                NodeTag::T_RelabelType => self.expression((*node.cast::<pg_sys::RelabelType>()).arg.cast()),
                NodeTag::T_CollateExpr => self.expression((*node.cast::<pg_sys::CollateExpr>()).arg.cast()),
                NodeTag::T_CoerceViaIO => {
                    let coercion = node.cast::<pg_sys::CoerceViaIO>();
                    let from = pg_sys::exprType((*coercion).arg.cast());
                    [pg_sys::TEXTOID, pg_sys::VARCHAROID].contains(&(*coercion).resulttype)
                        && PRINTABLE.contains(&from)
                        && self.expression((*coercion).arg.cast())
                }
                NodeTag::T_CaseExpr => {
                    let case = node.cast::<pg_sys::CaseExpr>();
                    self.expression((*case).arg.cast())
                        && self.list((*case).args)
                        && self.expression((*case).defresult.cast())
                }
                NodeTag::T_CaseWhen => {
                    let when = node.cast::<pg_sys::CaseWhen>();
                    self.expression((*when).expr.cast()) && self.expression((*when).result.cast())
                }
                NodeTag::T_SubPlan => {
                    let subplan = node.cast::<pg_sys::SubPlan>();
                    // Others may find more than one row, which is an error.
                    let kinds = [pg_sys::SubLinkType::EXISTS_SUBLINK, pg_sys::SubLinkType::ANY_SUBLINK];
                    kinds.contains(&(*subplan).subLinkType)
                        && self.expression((*subplan).testexpr)
                        && self.list((*subplan).args)
                        && self.subplan((*subplan).plan_id)
                }
                _ => false,
            }
        }
    }
}

/// The same for all rows, and so known, with its errors, when it is evaluated for the first of them.
unsafe fn is_constant(node: *mut Node) -> bool {
    // SAFETY: an expression, of which `contains` passes each node.
    unsafe {
        let varies =
            |node: *mut Node| matches!(tag(node), NodeTag::T_Var | NodeTag::T_CaseTestExpr) || is_internal(node);
        !contains(node, varies) && !pg_sys::contain_volatile_functions(node)
    }
}

unsafe fn is_harmless(function: Oid, arguments: *mut List) -> bool {
    let number = u32::from(function);
    // SAFETY: a function that the plan calls, and its arguments.
    unsafe {
        if LIKE.contains(&number) {
            return constant(arguments, 1).is_some_and(|pattern| !ends_with_backslash(pattern));
        }
        if DIVISIONS.contains(&number) {
            return constant(arguments, 1).is_some_and(|divisor| is_positive(divisor));
        }
        let is_volatile = || pg_sys::func_volatile(function) as u8 == pg_sys::PROVOLATILE_VOLATILE;
        HARMLESS.iter().any(|some| some.contains(&number)) || pg_sys::get_func_leakproof(function) && !is_volatile()
    }
}

/// The argument at this position, if it is a constant and not NULL.
unsafe fn constant(arguments: *mut List, index: usize) -> Option<*mut pg_sys::Const> {
    // SAFETY: casts to the struct that the tag says.
    unsafe {
        let argument = elements::<Node>(arguments).nth(index)?;
        let constant = argument.cast::<pg_sys::Const>();
        (tag(argument) == NodeTag::T_Const && !(*constant).constisnull).then_some(constant)
    }
}

unsafe fn ends_with_backslash(pattern: *mut pg_sys::Const) -> bool {
    // SAFETY: a text.
    unsafe { crate::functions::bytes_of((*pattern).constvalue).last() == Some(&b'\\') }
}

unsafe fn is_positive(number: *mut pg_sys::Const) -> bool {
    // SAFETY: a constant.
    unsafe {
        let value = (*number).constvalue.value();
        match (*number).consttype {
            pg_sys::INT2OID => value as i16 > 0,
            pg_sys::INT4OID => value as i32 > 0,
            pg_sys::INT8OID => value as i64 > 0,
            _ => false,
        }
    }
}

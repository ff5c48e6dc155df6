//! What a statement of ours may refer to, checked by OID when PostgreSQL has looked up its names.
//!
//! A statement is text, and names in it mean what they mean at that moment: the owner of a schema can rename it and lay a
//! table, a type or an operator of the same name in its place, which would run its code as whoever runs the statement. So
//! each statement about a table is accompanied by the OIDs of that table and its columns' types. Whatever else it turns
//! out to mean, now or when a kept plan is made again, is an error before anything is run.
//!
//! It is looked at after parse analysis: what rules and policies of the table add follows later, and is its owner's.

use crate::compat::{self, post_parse_analyze_hook};
use crate::errors::{Result, TableError, or_raise};
use crate::list::elements;
use pgrx::pg_catalog::pg_proc::PgProc;
use pgrx::pg_guard;
use pgrx::pg_sys::{self, Node, NodeTag, Oid};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_void};
use std::sync::OnceLock;

/// The languages "internal" and "c", of which pgrx has no names: only a superuser creates functions in them.
const INTERNAL: Oid = Oid::from_u32(12);
const C: Oid = Oid::from_u32(13);

/// The relations and types that a statement may refer to, beside PostgreSQL's own.
#[derive(Clone, Default)]
pub struct Allowed {
    relations: Vec<Oid>,
    types: Vec<Oid>,
    /// Those of the relations on which the statement needs no privilege.
    waived: Vec<Oid>,
    /// Of a table that is kept, the number under which plans are kept, too.
    pub(super) number: Option<u64>,
}

impl Allowed {
    /// A table, and the types of its columns.
    pub fn table(table: Oid, types: impl IntoIterator<Item = Oid>) -> Self {
        let mut all = Vec::new();
        for of_column in types.into_iter().filter(|id| !is_built_in(*id)) {
            // SAFETY: types that exist, or InvalidOid.
            unsafe {
                let base = pg_sys::getBaseType(of_column);
                let element = pg_sys::get_element_type(base);
                let element_base = if element == Oid::INVALID { element } else { pg_sys::getBaseType(element) };
                all.extend([of_column, base, element, element_base]);
            }
        }
        Self { relations: vec![table], types: all, waived: Vec::new(), number: None }
    }

    /// The same, for statements whose plans are kept as long as this reading of the table is.
    pub fn kept(self, number: Option<u64>) -> Self {
        Self { number, ..self }
    }

    /// The extension's own tables, which were looked at.
    pub fn internal(relations: Vec<Oid>) -> Self {
        Self { waived: relations.clone(), relations, types: Vec::new(), number: None }
    }

    /// The same, and parts of the table, which are read by the right to read it: the statement has to read the same columns of
    /// the table itself.
    pub fn with_parts(mut self, parts: impl IntoIterator<Item = Oid>) -> Self {
        self.waived.extend(parts);
        self.relations.extend(&self.waived);
        self
    }
}

/// One statement, while PostgreSQL analyses, plans or runs it.
struct Entry {
    text: CString,
    allowed: Allowed,
    /// Whether its names were looked up and checked.
    is_checked: bool,
}

thread_local! {
    /// The latest is at hand; a trigger of its table may run others.
    static STATEMENTS: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, the statement's references are checked.
pub(super) struct Check(());

impl Check {
    /// From now on.
    pub(super) fn begin(text: CString, allowed: &Allowed) -> Self {
        STATEMENTS.with_borrow_mut(|all| all.push(Entry { text, allowed: allowed.clone(), is_checked: false }));
        Self(())
    }

    /// The statement was analysed: its references have to have been checked.
    pub(super) fn assert_checked(&self) {
        let is_checked = STATEMENTS.with_borrow(|all| all.last().is_some_and(|entry| entry.is_checked));
        assert!(is_checked, "another library's post_parse_analyze_hook does not call the next one");
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        STATEMENTS.with_borrow_mut(|all| all.pop());
    }
}

/// What may be referred to, if this is the statement at hand.
fn of_statement(text: *const std::ffi::c_char, is_analysis: bool) -> Option<Allowed> {
    STATEMENTS.with_borrow_mut(|all| {
        // SAFETY: NULL or a NUL-terminated string.
        let entry =
            all.last_mut().filter(|entry| !text.is_null() && unsafe { CStr::from_ptr(text) } == &*entry.text)?;
        entry.is_checked |= is_analysis;
        Some(entry.allowed.clone())
    })
}

static NEXT_ANALYSIS: OnceLock<pg_sys::post_parse_analyze_hook_type> = OnceLock::new();
static NEXT_PLANNER: OnceLock<pg_sys::planner_hook_type> = OnceLock::new();

/// Has every statement of ours looked at.
pub fn register() {
    // SAFETY: in _PG_init, where hooks are set; nobody else runs in this process.
    unsafe {
        NEXT_ANALYSIS.get_or_init(|| pg_sys::post_parse_analyze_hook);
        pg_sys::post_parse_analyze_hook = Some(analysed);
        NEXT_PLANNER.get_or_init(|| pg_sys::planner_hook);
        pg_sys::planner_hook = Some(plan);
    }
}

post_parse_analyze_hook!(analysed, NEXT_ANALYSIS, check);

unsafe fn check(state: *mut pg_sys::ParseState, query: *mut pg_sys::Query) {
    // SAFETY: by the caller's promise.
    let Some(mut allowed) = of_statement(unsafe { (*state).p_sourcetext }, true) else { return };
    // SAFETY: a query; `allowed` lives until the walk is over.
    unsafe { walk(query.cast(), (&raw mut allowed).cast()) };
}

/// Raises where a node of a query refers to something else.
#[pg_guard]
unsafe extern "C-unwind" fn walk(node: *mut Node, allowed: *mut c_void) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: nodes, which are cast to the struct that the tag says, and what `check` passes.
    unsafe {
        or_raise(refers_to(node, &*allowed.cast::<Allowed>()));
        match (*node).type_ {
            NodeTag::T_Query => {
                let flags = pg_sys::QTW_EXAMINE_RTES_BEFORE as i32;
                pg_sys::query_tree_walker(node.cast(), Some(walk), allowed, flags)
            }
            // What they hold is walked by `query_tree_walker`.
            NodeTag::T_RangeTblEntry => false,
            _ => pg_sys::expression_tree_walker(node, Some(walk), allowed),
        }
    }
}

/// # Safety
/// A node of an analysed query.
unsafe fn refers_to(node: *mut Node, allowed: &Allowed) -> Result<()> {
    // SAFETY: cast to the struct that the tag says.
    unsafe {
        let is_fine = match (*node).type_ {
            NodeTag::T_RangeTblEntry => {
                let entry = &*node.cast::<pg_sys::RangeTblEntry>();
                entry.rtekind != pg_sys::RTEKind::RTE_RELATION
                    || is_built_in(entry.relid)
                    || allowed.relations.contains(&entry.relid)
            }
            // DistinctExpr and NullIfExpr are the same struct.
            NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
                let expression = &*node.cast::<pg_sys::OpExpr>();
                is_operator_fine(expression.opno, expression.args)
            }
            NodeTag::T_ScalarArrayOpExpr => {
                let expression = &*node.cast::<pg_sys::ScalarArrayOpExpr>();
                is_operator_fine(expression.opno, expression.args)
            }
            NodeTag::T_FuncExpr => {
                let call = &*node.cast::<pg_sys::FuncExpr>();
                let is_cast = call.funcformat != pg_sys::CoercionForm::COERCE_EXPLICIT_CALL;
                // A cast is found by the types that it is from and to.
                is_function_fine(call.funcid) || is_cast && allowed.has_type(call.funcresulttype)
            }
            NodeTag::T_Aggref => is_built_in((*node.cast::<pg_sys::Aggref>()).aggfnoid),
            NodeTag::T_Const
            | NodeTag::T_RelabelType
            | NodeTag::T_CoerceViaIO
            | NodeTag::T_ArrayCoerceExpr
            | NodeTag::T_ConvertRowtypeExpr
            | NodeTag::T_CoerceToDomain => allowed.has_type(pg_sys::exprType(node)),
            _ => true,
        };
        if is_fine { Ok(()) } else { Err(TableError::Replaced.into()) }
    }
}

impl Allowed {
    fn has_type(&self, id: Oid) -> bool {
        is_built_in(id) || self.types.contains(&id)
    }
}

/// Whether an object was there when the cluster was made.
fn is_built_in(id: Oid) -> bool {
    id.to_u32() < pg_sys::FirstNormalObjectId
}

/// Whether a function's code is of a superuser.
fn is_function_fine(function: Oid) -> bool {
    is_built_in(function) || PgProc::new(function).is_some_and(|row| [INTERNAL, C].contains(&row.prolang()))
}

/// Whether an operator is a superuser's, or one of those by which its argument's type is compared.
///
/// # Safety
/// The arguments of an operator.
unsafe fn is_operator_fine(operator: Oid, arguments: *mut pg_sys::List) -> bool {
    // SAFETY: an operator that exists; it has arguments, and the cache's entry lives as long as the process.
    unsafe {
        if is_built_in(operator) || is_function_fine(pg_sys::get_opcode(operator)) {
            return true;
        }
        let Some(first) = elements::<Node>(arguments).next() else { return false };
        let wanted = pg_sys::TYPECACHE_EQ_OPR | pg_sys::TYPECACHE_LT_OPR | pg_sys::TYPECACHE_GT_OPR;
        let of_type = &*pg_sys::lookup_type_cache(pg_sys::exprType(first), wanted as i32);
        [of_type.eq_opr, of_type.lt_opr, of_type.gt_opr].contains(&operator)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn plan(
    query: *mut pg_sys::Query,
    text: *const std::ffi::c_char,
    options: i32,
    parameters: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: the planner's arguments are passed on, and what comes back is a plan.
    unsafe {
        let planned = match NEXT_PLANNER.get() {
            Some(Some(next)) => next(query, text, options, parameters),
            _ => pg_sys::standard_planner(query, text, options, parameters),
        };
        if let Some(allowed) = of_statement(text, false).filter(|allowed| !allowed.waived.is_empty()) {
            compat::waive_privileges(planned, &allowed.waived);
        }
        planned
    }
}

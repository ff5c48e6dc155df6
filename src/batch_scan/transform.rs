//! From a finished plan to one with the custom scan node in it.

use super::calls::{self, Call};
use super::columns;
use super::demand::{Demand, Reads};
use super::node;
use super::plan_tree::{children, copy, make, tag};
use super::volatile::{has_stable_subplans, is_stable_node};
use crate::compat::{is_tid_range_scan, set_projecting};
use crate::list::{cells, elements, integer_list};
use pgrx::pg_sys::{self, CustomScan, List, MemoryContext, NodeTag, Plan};

/// Rows up to which it is not worth a node.
const MIN_ROWS: f64 = 4.0;

/// Replaces the plan of a query that is about to start, where that is worth while, and gives the memory context of the new
/// one, which must live as long as the query is executed.
///
/// # Safety
/// A query with a finished plan.
pub unsafe fn transform(query: *mut pg_sys::QueryDesc) -> Option<MemoryContext> {
    // SAFETY: by the caller's promise. The original plan is only read, and what is changed is the copy.
    unsafe {
        let original = (*query).plannedstmt;
        if (*original).planTree.is_null() || !has_calls(original) || !has_stable_subplans(original) {
            return None;
        }
        let context = pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            c"ClipEmbed plan".as_ptr(),
            pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
            pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        let outer = pg_sys::MemoryContextSwitchTo(context);
        let statement = copy(original);
        let mut transformer = Transformer {
            last_id: plans(statement).iter().map(|plan| (**plan).plan_node_id).max().unwrap_or(0),
            changed: false,
        };
        transformer.visit(&raw mut (*statement).planTree, Demand::of_query(query));
        for subplan in cells::<Plan>((*statement).subplans).filter(|cell| !(**cell).is_null()) {
            transformer.visit(subplan, Demand::unknown());
        }
        pg_sys::MemoryContextSwitchTo(outer);
        if !transformer.changed {
            pg_sys::MemoryContextDelete(context);
            return None;
        }
        (*query).plannedstmt = statement;
        Some(context)
    }
}

unsafe fn plans(statement: *mut pg_sys::PlannedStmt) -> Vec<*mut Plan> {
    let mut found = Vec::new();
    // SAFETY: a statement's plans.
    unsafe {
        let mut left: Vec<*mut Plan> = elements((*statement).subplans).chain([(*statement).planTree]).collect();
        while let Some(plan) = left.pop() {
            if !plan.is_null() {
                left.extend(children(plan).into_iter().map(|cell| *cell));
                found.push(plan);
            }
        }
    }
    found
}

unsafe fn has_calls(statement: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: a statement's plans.
    unsafe {
        plans(statement).into_iter().any(|plan| is_candidate(plan) && !calls::find((*plan).targetlist).is_empty())
    }
}

/// Nodes that evaluate a target list for each row, and do nothing else with it.
unsafe fn is_candidate(plan: *mut Plan) -> bool {
    // SAFETY: a plan.
    unsafe {
        let is_known = match tag(plan) {
            NodeTag::T_SeqScan
            | NodeTag::T_SampleScan
            | NodeTag::T_IndexScan
            | NodeTag::T_IndexOnlyScan
            | NodeTag::T_BitmapHeapScan
            | NodeTag::T_TidScan
            | NodeTag::T_SubqueryScan
            | NodeTag::T_FunctionScan
            | NodeTag::T_ValuesScan
            | NodeTag::T_CteScan
            | NodeTag::T_NamedTuplestoreScan
            | NodeTag::T_NestLoop
            | NodeTag::T_MergeJoin
            | NodeTag::T_HashJoin
            | NodeTag::T_Gather
            | NodeTag::T_GatherMerge => true,
            NodeTag::T_Result => !(*plan).lefttree.is_null(),
            tag => is_tid_range_scan(tag),
        };
        is_known && (*plan).plan_rows > MIN_ROWS
    }
}

struct Transformer {
    /// The highest `plan_node_id`.
    last_id: i32,
    changed: bool,
}

impl Transformer {
    unsafe fn visit(&mut self, cell: *mut *mut Plan, demand: Demand) {
        // SAFETY: a plan of our copy.
        unsafe {
            let plan = *cell;
            for child in children(plan) {
                if let Some(demand) = demand.of_child(plan, *child) {
                    self.visit(child, demand);
                }
            }
            let is_few = demand.limit.is_some_and(|rows| rows as f64 <= MIN_ROWS);
            if !is_candidate(plan) || is_few {
                return;
            }
            let calls = calls::find((*plan).targetlist);
            if calls.is_empty() || !is_stable_node(plan, false) {
                return;
            }
            if let Some(node) = above(plan, &calls, self.last_id + 1, demand) {
                self.last_id += 1;
                self.changed = true;
                *cell = node;
            }
        }
    }
}

/// The node, with `plan` below it; `None`, and nothing is changed, where its rows would have too many columns.
unsafe fn above(plan: *mut Plan, calls: &[Call], id: i32, demand: Demand) -> Option<*mut Plan> {
    // SAFETY: all of it is our copy, in a context that lives as long as the query.
    unsafe {
        let (list, arguments) = columns::below((*plan).targetlist, calls)?;
        let scan: *mut CustomScan = make(NodeTag::T_CustomScan);
        let limit = demand.limit.and_then(|rows| i32::try_from(rows).ok()).unwrap_or(-1);
        let reading = integer_list(&[limit, i32::from(demand.reads == Reads::AllAtOnce)]);
        let requests = calls.iter().zip(arguments).map(|(call, column)| request(call, column));
        let private = requests.chain([reading]).fold(std::ptr::null_mut(), |all, one| pg_sys::lappend(all, one.cast()));
        (*scan).custom_private = private;
        (*scan).custom_scan_tlist = columns::shown(list);
        (*scan).methods = node::methods();
        set_projecting(scan);
        let own = &raw mut (*scan).scan.plan;
        *own = Plan {
            type_: NodeTag::T_CustomScan,
            plan_node_id: id,
            parallel_aware: false,
            qual: std::ptr::null_mut(),
            lefttree: plan,
            righttree: std::ptr::null_mut(),
            ..*plan
        };
        (*plan).initPlan = std::ptr::null_mut();
        (*plan).targetlist = list;
        Some(own)
    }
}

/// What the executor has to know of a call: what is embedded, the column that has it, and the model.
unsafe fn request(call: &Call, column: i32) -> *mut List {
    // SAFETY: a call of ours.
    unsafe {
        let what = integer_list(&[call.modality as i32, column]);
        pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), what.cast()), copy(call.model).cast())
    }
}

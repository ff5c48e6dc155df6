//! From a finished plan to one with the custom scan node in it.

use super::ahead::Ahead;
use super::calls::{self, Call};
use super::columns::Columns;
use super::demand::Demand;
use super::nodes::{append_target, cells, children, copy, elements, integer_list, make, tag, variable};
use super::{limit, node};
use pgrx::pg_sys::{self, CustomScan, FuncExpr, List, MemoryContext, Node, NodeTag, Plan};

/// Rows up to which it is not worth a node.
const HANDFUL: f64 = 4.0;

/// Replaces the plan of a query that is about to start, where that is worth while, and gives the memory context of the new
/// one, which must live as long as the query is executed.
///
/// # Safety
/// A query with a finished plan.
pub unsafe fn transform(query: *mut pg_sys::QueryDesc) -> Option<MemoryContext> {
    // SAFETY: by the caller's promise. The original plan is only read, and what is changed is the copy.
    unsafe {
        let original = (*query).plannedstmt;
        if (*original).planTree.is_null() || !has_calls(original) {
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
        let plans = plans(statement);
        let mut transformer = Transformer {
            ahead: Ahead::new(statement, &plans),
            last_id: plans.iter().map(|plan| (**plan).plan_node_id).max().unwrap_or(0),
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
        let plans = plans(statement);
        let ahead = Ahead::new(statement, &plans);
        plans.into_iter().any(|plan| is_candidate(plan) && !calls::find((*plan).targetlist, &ahead).is_empty())
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
            #[cfg(not(feature = "pg13"))]
            NodeTag::T_TidRangeScan => true,
            NodeTag::T_Result => !(*plan).lefttree.is_null(),
            _ => false,
        };
        is_known && (*plan).plan_rows > HANDFUL
    }
}

/// Whether rows are of the tables below an Append, each from one of them.
unsafe fn has_parts(plan: *mut Plan) -> bool {
    // SAFETY: a plan; casts to the struct that the tag says.
    unsafe {
        match tag(plan) {
            NodeTag::T_Append | NodeTag::T_MergeAppend => true,
            NodeTag::T_Result | NodeTag::T_Limit => {
                let left = (*plan).lefttree;
                !left.is_null() && has_parts(left)
            }
            NodeTag::T_SubqueryScan => has_parts((*plan.cast::<pg_sys::SubqueryScan>()).subplan),
            _ => false,
        }
    }
}

struct Transformer {
    ahead: Ahead,
    /// The highest `plan_node_id`.
    last_id: i32,
    changed: bool,
}

impl Transformer {
    unsafe fn visit(&mut self, cell: *mut *mut Plan, demand: Demand) {
        // SAFETY: a plan of our copy; casts to the struct that the tag says.
        unsafe {
            let plan = *cell;
            for child in children(plan) {
                if let Some(demand) = demand.of_child(plan, *child) {
                    self.visit(child, demand);
                }
            }
            let is_few = demand.most.is_some_and(|rows| rows as f64 <= HANDFUL);
            // The node is of one table, if any, where a cursor's row may be of several.
            let is_in_the_way = demand.is_updatable && has_parts(plan);
            if is_candidate(plan) && !demand.fixed && !is_few && !is_in_the_way {
                let calls = calls::find((*plan).targetlist, &self.ahead);
                if !calls.is_empty() && self.ahead.rows(plan) && fits(plan, &calls) {
                    self.last_id += 1;
                    *cell = above(plan, &calls, self.last_id, demand);
                    self.changed = true;
                }
            }
        }
    }
}

/// Whether the node's rows have no more columns than a row may have. What `plan` evaluates may be of more: the two rows of
/// a join are nowhere one.
unsafe fn fits(plan: *mut Plan, calls: &[Call]) -> bool {
    // SAFETY: expressions of our copy, which are not changed here.
    unsafe {
        let (_, count) = vectors(calls);
        let mut columns = Columns::behind(count);
        for call in calls {
            columns.number(*call.argument());
        }
        columns.add((*plan).targetlist.cast());
        count + columns.len() <= pg_sys::MaxTupleAttributeNumber as usize
    }
}

/// The node, with `plan` below it.
unsafe fn above(plan: *mut Plan, calls: &[Call], id: i32, demand: Demand) -> *mut Plan {
    // SAFETY: all of it is our copy, in a context that lives as long as the query.
    unsafe {
        let (vectors, count) = vectors(calls);
        let mut columns = Columns::behind(count);
        // A call's argument is a column of its own: its variables need no columns.
        let mut items = Vec::with_capacity(calls.len());
        for call in calls {
            items.push(columns.number(*call.argument()));
            *call.argument() = make::<pg_sys::CaseTestExpr>(NodeTag::T_CaseTestExpr).cast();
        }
        let targets = (*plan).targetlist;
        columns.rename(targets.cast());

        let scan: *mut CustomScan = make(NodeTag::T_CustomScan);
        for (index, (call, item)) in calls.iter().zip(items).enumerate() {
            // The first of those that share a vector.
            if !vectors[..index].contains(&vectors[index]) {
                *call.argument() = columns.below(item);
                let shown = copy(call.expression()).cast();
                (*scan).custom_scan_tlist = append_target((*scan).custom_scan_tlist, shown);
                (*scan).custom_private = pg_sys::lappend((*scan).custom_private, request(call, item).cast());
            }
            *call.argument() = columns.above(item);
            *call.cell = coalesce(call.expression(), vectors[index]).cast();
        }
        for number in 0..columns.len() {
            (*scan).custom_scan_tlist = append_target((*scan).custom_scan_tlist, columns.below(number));
        }
        let limit = demand.limit.map_or(std::ptr::null_mut(), |limit| limit::expressions(limit));
        (*scan).custom_private = pg_sys::lappend((*scan).custom_private, limit.cast());
        // That of a LIMIT further out, which is not told to the node.
        let most = demand.most.and_then(|rows| i32::try_from(rows).ok()).unwrap_or(-1);
        let flags = integer_list(&[most, i32::from(demand.complete)]);
        (*scan).custom_private = pg_sys::lappend((*scan).custom_private, flags.cast());
        (*scan).methods = node::methods();
        (*scan).flags = pg_sys::CUSTOMPATH_SUPPORT_BACKWARD_SCAN;
        #[cfg(not(any(feature = "pg13", feature = "pg14")))]
        {
            (*scan).flags |= pg_sys::CUSTOMPATH_SUPPORT_PROJECTION;
        }
        let own = &raw mut (*scan).scan.plan;
        *own = Plan {
            type_: NodeTag::T_CustomScan,
            plan_node_id: id,
            // For the figures of workers, which have no other way to the leader.
            parallel_aware: demand.parallel,
            qual: std::ptr::null_mut(),
            lefttree: plan,
            righttree: std::ptr::null_mut(),
            ..*plan
        };
        (*plan).initPlan = std::ptr::null_mut();
        (*plan).targetlist = columns.list();
        own
    }
}

/// For each call the number of its vector, which equal calls share; and how many there are.
unsafe fn vectors(calls: &[Call]) -> (Vec<usize>, usize) {
    let mut distinct: Vec<*mut FuncExpr> = Vec::new();
    let numbers = calls.iter().map(|call| {
        // SAFETY: calls of ours.
        unsafe {
            let call = call.expression();
            let known = distinct.iter().position(|other| pg_sys::equal((*other).cast(), call.cast()));
            known.unwrap_or_else(|| {
                distinct.push(call);
                distinct.len() - 1
            })
        }
    });
    (numbers.collect(), distinct.len())
}

/// What the executor has to know of a call: what is embedded, the column that has it, and the model.
unsafe fn request(call: &Call, item: usize) -> *mut List {
    // SAFETY: a call of ours.
    unsafe {
        let what = integer_list(&[call.modality as i32, item as i32 + 1]);
        let model =
            elements::<Node>((*call.expression()).args).nth(1).map_or(std::ptr::null_mut(), |model| copy(model));
        pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), what.cast()), model.cast())
    }
}

/// The batch's vector, or else what the call itself gives.
unsafe fn coalesce(call: *mut FuncExpr, vector: usize) -> *mut pg_sys::CoalesceExpr {
    // SAFETY: a call of ours.
    unsafe {
        let ready = variable(pg_sys::INDEX_VAR, vector + 1, call.cast());
        let coalesce: *mut pg_sys::CoalesceExpr = make(NodeTag::T_CoalesceExpr);
        (*coalesce).coalescetype = (*call).funcresulttype;
        (*coalesce).coalescecollid = (*call).funccollid;
        (*coalesce).args = pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), ready.cast()), call.cast());
        (*coalesce).location = -1;
        coalesce
    }
}

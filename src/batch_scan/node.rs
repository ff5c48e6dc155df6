//! The callbacks of the custom scan node. Its child is its left tree, and its scan tuple has the child's columns.

use super::plan_tree::make;
use super::prefetch::Prefetch;
use super::request::EmbedCall;
use super::slots::{clear, project};
use crate::list::{elements, integers};
use crate::memo::Modality;
use pgrx::pg_sys::{self, CustomScan, CustomScanState, ExplainState, List, Node, NodeTag, PlanState, TupleTableSlot};
use pgrx::{PgMemoryContexts, pg_guard};
use std::ffi::CStr;

/// As EXPLAIN shows it, and as parallel workers look it up.
const NAME: &CStr = c"ClipEmbed";

/// A method table that does not change.
struct Methods<T>(T);

// SAFETY: nothing writes to it.
unsafe impl<T> Sync for Methods<T> {}

static SCAN: Methods<pg_sys::CustomScanMethods> =
    Methods(pg_sys::CustomScanMethods { CustomName: NAME.as_ptr(), CreateCustomScanState: Some(create) });

static EXECUTION: Methods<pg_sys::CustomExecMethods> = Methods(pg_sys::CustomExecMethods {
    CustomName: NAME.as_ptr(),
    BeginCustomScan: Some(begin),
    ExecCustomScan: Some(execute),
    EndCustomScan: Some(end),
    ReScanCustomScan: Some(rescan),
    MarkPosCustomScan: None,
    RestrPosCustomScan: None,
    EstimateDSMCustomScan: None,
    InitializeDSMCustomScan: None,
    ReInitializeDSMCustomScan: None,
    InitializeWorkerCustomScan: None,
    ShutdownCustomScan: None,
    ExplainCustomScan: Some(explain),
});

/// Registers the node by its name.
pub fn register() {
    // SAFETY: in _PG_init; the table is static.
    unsafe { pg_sys::RegisterCustomScanMethods(methods()) };
}

/// What a plan node of this kind points to.
pub fn methods() -> *const pg_sys::CustomScanMethods {
    &raw const SCAN.0
}

/// The node while it is executed.
#[repr(C)]
struct State {
    custom: CustomScanState,
    /// Dropped with the query's memory, also after an error.
    prefetch: *mut Prefetch,
}

unsafe fn prefetch<'a>(node: *mut CustomScanState) -> &'a mut Prefetch {
    // SAFETY: our node, after `begin`; the executor runs one callback at a time.
    unsafe { &mut *(*node.cast::<State>()).prefetch }
}

unsafe fn child(node: *mut CustomScanState) -> *mut PlanState {
    // SAFETY: set by `begin`.
    unsafe { (*node).ss.ps.lefttree }
}

#[pg_guard]
unsafe extern "C-unwind" fn create(_plan: *mut CustomScan) -> *mut Node {
    // SAFETY: a node of our size, of which the executor fills the rest.
    unsafe {
        let state: *mut State = make(NodeTag::T_CustomScanState);
        (*state).custom.methods = &raw const EXECUTION.0;
        state.cast()
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn begin(node: *mut CustomScanState, state: *mut pg_sys::EState, flags: i32) {
    // SAFETY: our node, with the plan that `transform` made.
    unsafe {
        let plan = (*node).ss.ps.plan.cast::<CustomScan>();
        let child = pg_sys::ExecInitNode((*plan).scan.plan.lefttree, state, flags);
        (*node).ss.ps.lefttree = child;
        let mut private: Vec<*mut List> = elements((*plan).custom_private).collect();
        let reading = integers(private.pop().expect("how it is read"));
        let calls = private.into_iter().map(|request| {
            let mut parts = elements::<Node>(request);
            let what = integers(parts.next().expect("what is embedded").cast());
            let model = parts.next().expect("the model, or NULL");
            EmbedCall {
                modality: if what[0] == Modality::Image as i32 { Modality::Image } else { Modality::Text },
                column: what[1] as usize,
                model: (!model.is_null()).then(|| pg_sys::ExecInitExpr(model.cast(), &raw mut (*node).ss.ps)),
            }
        });
        let limit = usize::try_from(reading[0]).ok();
        if let Some(rows) = limit {
            // A sort below keeps no more: the LIMIT would have told it, and does not tell a custom scan.
            pg_sys::ExecSetTupleBound(rows as i64, child);
        }
        let prefetch = Prefetch::new(calls.collect(), limit, reading[1] != 0, child);
        (*node.cast::<State>()).prefetch =
            PgMemoryContexts::For((*state).es_query_cxt).leak_and_drop_on_delete(prefetch);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn execute(node: *mut CustomScanState) -> *mut TupleTableSlot {
    // SAFETY: our node, whose scan tuple has the child's columns.
    unsafe {
        let context = (*node).ss.ps.ps_ExprContext;
        // What the last row needed, it needs no more.
        pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
        let slot = (*node).ss.ss_ScanTupleSlot;
        clear(slot);
        if !prefetch(node).next(context, slot) {
            return std::ptr::null_mut();
        }
        let projection = (*node).ss.ps.ps_ProjInfo;
        if projection.is_null() {
            return slot;
        }
        (*context).ecxt_scantuple = slot;
        project(projection)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end(node: *mut CustomScanState) {
    // SAFETY: our node.
    unsafe {
        prefetch(node).forget();
        pg_sys::ExecEndNode(child(node));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn rescan(node: *mut CustomScanState) {
    // SAFETY: our node.
    unsafe {
        clear((*node).ss.ss_ScanTupleSlot);
        prefetch(node).forget();
        // Otherwise its first row is what makes it start again.
        if (*child(node)).chgParam.is_null() {
            pg_sys::ExecReScan(child(node));
        }
    }
}

/// A batch's limits; and after execution, the number of batches and how long the server was waited for. Those of parallel
/// workers do not come here.
#[pg_guard]
unsafe extern "C-unwind" fn explain(node: *mut CustomScanState, _ancestors: *mut List, state: *mut ExplainState) {
    let integer = |name: &CStr, unit: *const std::ffi::c_char, value: usize| {
        // SAFETY: what EXPLAIN passes, and NUL-terminated strings.
        unsafe { pg_sys::ExplainPropertyInteger(name.as_ptr(), unit, value as i64, state) };
    };
    // SAFETY: our node, and what EXPLAIN passes.
    unsafe {
        let prefetch = prefetch(node);
        integer(c"Batch Size", std::ptr::null(), prefetch.pace.max_rows);
        integer(c"Batch Memory", c"kB".as_ptr(), prefetch.max_bytes / 1024);
        if (*state).analyze && !(*(*node).ss.ps.state).es_use_parallel_mode {
            integer(c"Batches", std::ptr::null(), prefetch.batches);
            if (*state).timing {
                let waited = prefetch.waited.as_secs_f64() * 1000.0;
                pg_sys::ExplainPropertyFloat(c"Server Wait".as_ptr(), c"ms".as_ptr(), waited, 3, state);
            }
        }
    }
}

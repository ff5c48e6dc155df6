//! The callbacks of the custom scan node. Its child is its left tree; its scan tuple has the vectors of the row's calls,
//! NULL where there is none, and then the child's columns.

use super::explain;
use super::figures::Shared;
use super::limit::Bound;
use super::nodes::{elements, integers};
use super::projected::Projected;
use super::reader::Reader;
use super::request::Embedded;
use super::slots::{clear, project};
use crate::memo::Modality;
use pgrx::pg_sys::{self, CustomScan, CustomScanState, List, Node, NodeTag, PlanState, TupleTableSlot};
use pgrx::{PgMemoryContexts, pg_guard};
use std::ffi::{CStr, c_void};

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
    EstimateDSMCustomScan: Some(estimate_shared),
    InitializeDSMCustomScan: Some(initialize_shared),
    ReInitializeDSMCustomScan: None,
    InitializeWorkerCustomScan: Some(initialize_worker),
    ShutdownCustomScan: Some(shutdown),
    ExplainCustomScan: Some(explain_node),
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
    /// Both are dropped with the query's memory, also after an error.
    reader: *mut Reader,
    row: *mut Projected,
}

impl State {
    unsafe fn reader<'a>(node: *mut CustomScanState) -> &'a mut Reader {
        // SAFETY: our node, after `begin`; the executor runs one callback at a time.
        unsafe { &mut *(*node.cast::<Self>()).reader }
    }
}

unsafe fn child(node: *mut CustomScanState) -> *mut PlanState {
    // SAFETY: set by `begin`.
    unsafe { (*node).ss.ps.lefttree }
}

#[pg_guard]
unsafe extern "C-unwind" fn create(_plan: *mut CustomScan) -> *mut Node {
    // SAFETY: a node of our size, of which the executor fills the rest.
    unsafe {
        let state: *mut State = super::nodes::make(NodeTag::T_CustomScanState);
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
        let flags = integers(private.pop().expect("flags"));
        let bound = Bound::new(private.pop().expect("the LIMIT, or NULL"), &raw mut (*node).ss.ps);
        let embedded = private.into_iter().map(|request| {
            let mut parts = elements::<Node>(request);
            let what = integers(parts.next().expect("what is embedded").cast());
            let model = parts.next().expect("the model, or NULL");
            Embedded {
                modality: if what[0] == Modality::Image as i32 { Modality::Image } else { Modality::Text },
                column: what[1] as usize,
                model: (!model.is_null()).then(|| pg_sys::ExecInitExpr(model.cast(), &raw mut (*node).ss.ps)),
            }
        });
        let embedded: Vec<Embedded> = embedded.collect();
        let unnamed = embedded.iter().enumerate().filter(|(_, call)| call.model.is_none());
        let row = Projected::new((*node).ss.ss_ScanTupleSlot, unnamed.map(|(column, _)| column).collect());
        let most = usize::try_from(flags[0]).unwrap_or(usize::MAX);
        let reader = Reader::new(embedded, bound, most, flags[1] != 0, child);
        if let Some(source) = reader.source() {
            // WHERE CURRENT OF looks for a scan of the table, and takes the place of its scan tuple.
            (*node).ss.ss_currentRelation = (*source).ss_currentRelation;
        }
        let mut memory = PgMemoryContexts::For((*state).es_query_cxt);
        (*node.cast::<State>()).reader = memory.leak_and_drop_on_delete(reader);
        (*node.cast::<State>()).row = memory.leak_and_drop_on_delete(row);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn execute(node: *mut CustomScanState) -> *mut TupleTableSlot {
    // SAFETY: our node; the scan tuple has a column for each vector and each of the child's columns.
    unsafe {
        let context = (*node).ss.ps.ps_ExprContext;
        // What the last row needed, it needs no more.
        pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
        let slot = (*node).ss.ss_ScanTupleSlot;
        clear(slot);
        let reader = State::reader(node);
        if !reader.next(context, slot) {
            return std::ptr::null_mut();
        }
        let projection = (*node).ss.ps.ps_ProjInfo;
        if projection.is_null() {
            return slot;
        }
        (*context).ecxt_scantuple = slot;
        let row = (*node.cast::<State>()).row;
        (*row).enter();
        let result = project(projection);
        (*row).leave();
        result
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end(node: *mut CustomScanState) {
    // SAFETY: our node.
    unsafe {
        State::reader(node).forget();
        pg_sys::ExecEndNode(child(node));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn rescan(node: *mut CustomScanState) {
    // SAFETY: our node.
    unsafe {
        clear((*node).ss.ss_ScanTupleSlot);
        let reader = State::reader(node);
        reader.forget();
        // A sort below keeps its rows if it is told so, before it starts again, that as many are asked for.
        reader.start((*node).ss.ps.ps_ExprContext);
        // Otherwise its first row is what makes it start again.
        if (*child(node)).chgParam.is_null() {
            pg_sys::ExecReScan(child(node));
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn explain_node(
    node: *mut CustomScanState,
    _ancestors: *mut List,
    state: *mut pg_sys::ExplainState,
) {
    // SAFETY: our node, and what EXPLAIN passes.
    unsafe { explain::explain(State::reader(node), state) };
}

#[pg_guard]
unsafe extern "C-unwind" fn estimate_shared(
    _node: *mut CustomScanState,
    _context: *mut pg_sys::ParallelContext,
) -> pg_sys::Size {
    size_of::<Shared>()
}

#[pg_guard]
unsafe extern "C-unwind" fn initialize_shared(
    node: *mut CustomScanState,
    _context: *mut pg_sys::ParallelContext,
    shared: *mut c_void,
) {
    // SAFETY: our node, and memory of the size that was asked for.
    unsafe { State::reader(node).figures().lead(shared.cast()) };
}

#[pg_guard]
unsafe extern "C-unwind" fn initialize_worker(
    node: *mut CustomScanState,
    _contents: *mut pg_sys::shm_toc,
    shared: *mut c_void,
) {
    // SAFETY: our node, and the memory that the leader has set up.
    unsafe { State::reader(node).figures().work(shared.cast()) };
}

#[pg_guard]
unsafe extern "C-unwind" fn shutdown(node: *mut CustomScanState) {
    // SAFETY: our node.
    unsafe { State::reader(node).figures().gather() };
}

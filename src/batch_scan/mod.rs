//! Plain SQL that batches by itself: a custom scan node that embeds many rows' images or texts in one request.
//!
//! ```text
//! transform  plan → plan with `Custom Scan (ClipEmbed)` above the nodes whose target list has calls of ours
//! calls      which calls of a target list a batch can answer
//! volatile   whether rows of a plan may be read before they are asked for
//! demand     how the rows of a plan's node are read: all at once, to the end, or some
//! columns    what the node below gives, and what the node above has
//! node       the custom scan's callbacks, and what EXPLAIN says
//! prefetch   batches of rows, read before they are asked for and handed on in order
//! batch      the rows of one batch
//! request    the items of one call in one batch
//! pace       how many rows a batch has
//! slots      rows in the executor's slots
//! plan_tree  PostgreSQL's lists and trees
//! ```
//!
//! The node only warms the backend's memo: a batch asks the inference server for the vectors of its rows, and each call
//! in the target list then finds its vector there (`crate::memo`). What a batch did not give – NULL, a damaged image, a
//! server that is gone, a model that the row itself changed – the call finds out by itself, with the same error, at its
//! row. The argument of a call is evaluated when its row is read, which may be before a volatile function beside the call
//! of an earlier row: a STABLE function promises the same result for all rows.
//!
//! Rows are read before they are asked for only where nothing below is volatile. An error of a row that is read so may
//! then end a statement whose LIMIT would not have reached that row: PostgreSQL promises nobody how many rows below a
//! LIMIT are evaluated. Cursors stay without the node.
//!
//! The plan is changed when its execution starts, and not by a planner hook: `clip_embed_support` loads the library
//! while the first statement of a session is planned, and a planner hook would miss that statement. The plan may be a
//! cached one, so a copy of it is changed.

mod batch;
mod calls;
mod columns;
mod demand;
mod node;
mod pace;
mod plan_tree;
mod prefetch;
mod request;
mod slots;
mod transform;
mod volatile;

use crate::settings;
use pgrx::{pg_guard, pg_sys};
use std::sync::OnceLock;

/// Rows of the largest batch.
const MAX_BATCH_ROWS: usize = 256;

static NEXT_HOOK: OnceLock<pg_sys::ExecutorStart_hook_type> = OnceLock::new();

/// Makes the node known, also to parallel workers, and looks at each plan before it is executed.
pub fn register() {
    node::register();
    // SAFETY: in _PG_init, where hooks are set; nobody else runs in this process.
    unsafe {
        NEXT_HOOK.get_or_init(|| pg_sys::ExecutorStart_hook);
        pg_sys::ExecutorStart_hook = Some(executor_start);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn executor_start(query: *mut pg_sys::QueryDesc, flags: i32) {
    // SAFETY: the executor passes a query that is about to start. Its plan is replaced by one that lives in a context of
    // its own, which is handed to the query's context as soon as there is one, and dies with it.
    unsafe {
        let context = if may_batch() { transform::transform(query) } else { None };
        match NEXT_HOOK.get().copied().flatten() {
            Some(next) => next(query, flags),
            None => {
                pg_sys::standard_ExecutorStart(query, flags);
            }
        }
        if let Some(context) = context {
            pg_sys::MemoryContextSetParent(context, (*(*query).estate).es_query_cxt);
        }
    }
}

/// Parallel workers execute the leader's plan, which is changed already.
fn may_batch() -> bool {
    // SAFETY: a number of this process's.
    let is_worker = unsafe { pg_sys::ParallelWorkerNumber } >= 0;
    settings::enable_batch_scan() && !is_worker && !demand::is_cursor()
}

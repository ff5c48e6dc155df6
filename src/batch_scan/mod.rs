//! Plain SQL that batches by itself: a custom scan node that embeds many rows' images or texts in one request.
//!
//! ```text
//! calls      is it one of our functions, and may it be answered ahead
//! ahead      may rows of a plan be read before they are asked for
//! demand     how the rows of a node are asked for
//! transform  plan → plan with `Custom Scan (ClipEmbed)` above the nodes whose target list has such calls
//! node       the custom scan's callbacks
//! reader     batches of rows, read ahead and handed on in order
//! pace       how many rows a batch has
//! batch      rows that were read
//! request    what is embedded of them
//! limit      how many rows the LIMIT above takes
//! projected  rows whose vectors may have to be taken back
//! explain    what EXPLAIN says
//! figures    what EXPLAIN ANALYZE counts, also in parallel workers
//! columns    what the node below gives, and what the node above has
//! slots      rows in the executor's slots
//! source     where a row is in its table
//! nodes      lists and trees of Postgres's
//! ```
//!
//! The plan is changed when its execution starts, and not by a planner hook: the library of a session's first statement
//! is loaded while that statement is planned (by `clip_embed_support`), which a planner hook would miss. It is a copy that
//! is changed: the plan may be a cached one. Each call stays in the target list as a last resort,
//! `COALESCE(vector of the batch, clip_embed_image(image))`, so that whatever a batch did not give – NULL, an image that is
//! none, a server that is gone, a row that itself changes the session's model – is found out where it always was, with the
//! same error at the same time.

mod ahead;
mod batch;
mod calls;
mod columns;
mod demand;
mod explain;
mod figures;
mod limit;
mod node;
mod nodes;
mod pace;
mod projected;
mod reader;
mod request;
mod slots;
mod source;
mod transform;

pub use projected::model_changes;

use crate::settings;
use pgrx::{pg_guard, pg_sys};
use std::sync::OnceLock;

/// Most rows in a batch.
const MOST_ROWS: usize = 256;

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

/// Workers execute the leader's plan, which is changed already.
fn may_batch() -> bool {
    // SAFETY: a number of this process's.
    let is_worker = unsafe { pg_sys::ParallelWorkerNumber } >= 0;
    settings::enable_batch_scan() && !is_worker
}

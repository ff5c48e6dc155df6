//! Ends a run of a model from another thread.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::session::RunOptions;

use crate::error::{Error, Result};

/// A handle that ends the runs it is given to. Clones are the same handle. It cannot be reset: one per request.
///
/// ONNX Runtime looks at it between two operators of the graph, so a run ends within milliseconds to tenths of a second.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    running: Vec<Arc<RunOptions>>,
}

impl Cancel {
    /// A handle that is not cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends what runs under this handle, and whatever is started under it later.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.cancelled = true;
        for run in &state.running {
            // Can only fail on a null pointer.
            let _ = run.terminate();
        }
    }

    /// True once [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Runs `work` with options that [`Cancel::cancel`] terminates.
    pub(crate) fn watch<T>(&self, options: &Arc<RunOptions>, work: impl FnOnce() -> T) -> Result<T> {
        {
            let mut state = self.state();
            if state.cancelled {
                return Err(Error::Cancelled);
            }
            state.running.push(Arc::clone(options));
        }
        let _guard = Watched { cancel: self, options };
        Ok(work())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

/// Takes the options out of the handle when the work ends, also by a panic.
struct Watched<'a> {
    cancel: &'a Cancel,
    options: &'a Arc<RunOptions>,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.cancel.state().running.retain(|run| !Arc::ptr_eq(run, self.options));
    }
}

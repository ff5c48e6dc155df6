//! What whoever waits for an installation is told.

use crate::select::Selection;
use std::time::Duration;

/// What happens meanwhile.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Somebody else installs this model; it is waited for.
    Waiting,
    /// What is to be taken is known.
    Selected {
        /// The files.
        selection: &'a Selection,
        /// The commit that they belong to.
        commit: Option<&'a str>,
        /// The licence that the repository states.
        license: Option<&'a str>,
    },
    /// So many more bytes are there.
    Received(u64),
    /// So many bytes have to come again.
    Lost(u64),
    /// A connection broke, or the hub asks to wait.
    Retry {
        /// The file.
        path: &'a str,
        /// What happened.
        reason: String,
        /// How long is waited.
        pause: Duration,
    },
    /// A file is whole and has the right hash.
    Whole(&'a str),
}

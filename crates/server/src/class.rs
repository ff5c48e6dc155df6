//! Classes of requests, and what tells their items apart.

/// Requests of at most so many items are interactive.
pub(crate) const INTERACTIVE_ITEMS: usize = 4;

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Somebody waits for few items.
    Interactive,
    /// Many items, of a job that runs on its own.
    Bulk,
}

impl Class {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Interactive => Self::Bulk,
            Self::Bulk => Self::Interactive,
        }
    }
}

/// Tells equal inputs of the same encoder.
pub(crate) type Key = (u64, [u8; 32]);

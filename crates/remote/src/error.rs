//! Why a call failed, in terms of what can be done about it.

use std::fmt;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What it means.
    pub kind: Kind,
    /// Which endpoint, or endpoints.
    pub endpoint: String,
    /// The server's words, or ours where it said nothing.
    pub reason: String,
    /// Whether the endpoint is at fault: another one may do better.
    pub(crate) is_of_endpoint: bool,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No endpoint can be reached.
    Unreachable,
    /// No answer within the time limit.
    Timeout,
    /// The server refuses the request, does not have the model, or answers with something else than its vectors.
    Refused,
    /// The server wants other credentials.
    Denied,
    /// The server takes no request of this size.
    TooLarge,
}

impl Error {
    pub(crate) fn new(kind: Kind, endpoint: &str, reason: impl Into<String>) -> Self {
        Self { kind, endpoint: endpoint.to_owned(), reason: reason.into(), is_of_endpoint: false }
    }

    pub(crate) fn of_endpoint(self) -> Self {
        Self { is_of_endpoint: true, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.reason)
    }
}

impl std::error::Error for Error {}

//! What an error means to a client: its row in the table of errors, and what the server knows besides.

use crate::model_dir;
use errors::{ErrorClass, Failure};

errors::error_table! {
    /// An error of the server itself.
    #[derive(Debug)]
    pub enum Error: ErrorClass {
        /// All connections that are allowed are in use.
        NoConnection {
            /// `clip_search.max_connections_server`.
            max: usize,
        } => TooManyConnections {
            message: "clip-search-server has no connection free",
            detail: "clip_search.max_connections_server is {max}, and all are in use.",
            hint: "Try again later, or raise clip_search.max_connections_server.",
        }
        /// The operating system allows no more.
        NoDescriptor => TooManyConnections {
            message: "clip-search-server has no connection free",
            detail: "It has as many files and connections open as the operating system allows.",
            hint: "Try again later, raise the limit of open files (ulimit -n), or lower clip_search.max_connections_server.",
        }
        /// A request that does not fit beside what the server has in memory.
        RequestMemory {
            /// Length of the request.
            bytes: u64,
            /// What it takes, in MiB.
            needed: u64,
            /// What the server has, in MiB.
            resident: u64,
            /// `clip_search.max_server_memory` in MiB.
            max: u64,
        } => OutOfMemory {
            message: "a request of {bytes} bytes does not fit into the server's memory",
            detail: "It needs {needed} MiB, the server has {resident} MiB, and clip_search.max_server_memory is {max} MiB.",
            hint: "Raise clip_search.max_server_memory, or ask for fewer or smaller items at a time.",
        }
        /// What a URL answered is not an image in a format that anybody here knows.
        UrlIsNoImage {
            /// The URL.
            url: String,
            /// Bytes of the answer.
            bytes: usize,
            /// What the web server says that it is.
            kind: String,
        } => UrlFailed {
            message: "\"{url}\" is not an image",
            detail: "The answer has {bytes} bytes, {kind}.",
            docs: "The URL leads to something else, such as a page that says why.",
        }
        /// An answer that cannot be sent.
        Unsendable {
            /// What is wrong with it.
            problem: String,
        } => Internal {
            message: "could not send the answer: {problem}",
            docs: "Ask for fewer items at a time.",
        }
        /// A defect: no result for one of the items.
        LostItem => Internal {
            message: "an item was lost",
            docs: "A defect of clip_search: please report it.",
        }
        /// A defect: a panic while fetching.
        FetchFailed {
            /// What it says.
            reason: String,
        } => Internal {
            message: "fetching failed: {reason}",
            docs: "A defect of clip_search: please report it.",
        }
        /// A defect: a fetch that was asked for as what has one response.
        FetchHasMore => Internal {
            message: "a fetch has more than one response",
            docs: "A defect of clip_search: please report it.",
        }
        /// A defect: a panic while models are listed.
        ListFailed {
            /// What it says.
            reason: String,
        } => Internal {
            message: "listing the models failed: {reason}",
            docs: "A defect of clip_search: please report it.",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.code(), &error)
    }
}

/// Describes an error for the client.
pub(crate) fn of(error: &clip::Error) -> Failure {
    let detail = match error {
        // The first is clip_search.model_dir, the others came with the extension.
        clip::Error::NoSuchModel { roots, .. } => {
            let problem = roots.first().and_then(|root| model_dir::problem(root));
            problem.map(|problem| sentence(&problem.to_string()))
        }
        _ => None,
    };
    Failure { detail, ..Failure::new(error.code(), error) }
}

fn sentence(fact: &str) -> String {
    let mut letters = fact.chars();
    // The name of a setting stays as it is written.
    let first =
        letters.next().map(|first| if fact.starts_with("clip_search.") { first } else { first.to_ascii_uppercase() });
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// Describes why a URL gave no image, to whoever has asked for it: what else is known is the administrator's business.
pub(crate) fn of_fetch(error: &fetch::Error, asked: &str) -> Failure {
    let error = error.to_user(asked);
    Failure::new(error.code(), &error)
}

/// What a URL answered is not an image.
pub(crate) fn not_an_image(url: &str, fetched: &fetch::Fetched) -> Failure {
    let kind = fetched.content_type.clone().unwrap_or_else(|| "of no stated type".to_owned());
    Error::UrlIsNoImage { url: fetch::show_text(url), bytes: fetched.bytes.len(), kind }.into()
}

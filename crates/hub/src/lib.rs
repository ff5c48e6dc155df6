//! Installs models: from a hub with the interface of the Hugging Face hub, from a local folder or cache, from an archive.
//!
//! ```text
//! Source::parse ─> listing (hub: one request; folder, archive: a walk) ─> select: the files that are needed
//!        └─> stage: <model_dir>/<owner>/.<name>.new, each file resumed, verified, then renamed ─> Staged
//!                Staged::finish ─> swapped with <model_dir>/<owner>/<name> by rename, with its manifest
//! ```
//!
//! Between [`stage`] and [`Staged::finish`] the caller may look at the files, convert or prove them; a staged model that is
//! dropped stays where it is, and the next installation goes on from there.
//!
//! # Why not the crate hf-hub
//!
//! Version 1.0.0 was read. It truncates a partial file instead of resuming it, compares no hash, keeps a cache of its own
//! besides a local folder, takes its token and endpoint from the environment by itself, and brings the client of a second
//! transport protocol along (hf-xet). What is left that this crate needs is one JSON document, so it is read here, and
//! files are fetched with reqwest as in `crates/fetch`.
//!
//! # What is trusted
//!
//! The hub is trusted to say which content belongs to a revision; nothing else is. Each file has to match the hash that
//! the listing has for it, wherever redirects led. The token goes to the endpoint's own scheme, host and port, and nowhere
//! else. Paths come from an allow-list of names.

mod amend;
mod archive;
mod client;
mod download;
mod error;
mod folder;
mod install;
mod installed_file;
mod listing;
mod manifest;
mod name;
mod part;
mod place;
mod progress;
mod retry;
mod select;
mod source;
mod sys;
mod tls;
mod token;

pub use amend::{Amendment, amend};
pub use error::{Error, Result};
pub use install::{Outcome, Request, Staged, remove, stage};
pub use installed_file::InstalledFile;
pub use listing::{FileId, RemoteFile};
pub use manifest::{Difference, MANIFEST, Manifest};
pub use name::Name;
pub use part::sha256;
pub use progress::Event;
pub use select::{Layout, Selection, select};
pub use source::Source;
pub use token::Token;

/// Where models come from unless a mirror is named.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

//! Every row of the tables of errors, and the page of the docs that is made of them.

mod page;

pub use page::page;

use clip_search_server::ServerError;
use clip_search_server::cli::CommandError;
use clip_search_server::proof::ProofError;
use clip_search_server::quantize::Refused;
use errors::Row;
use errors::backend::{ArgumentError, Error as BackendError, ModelError, TableError, UrlError};
use fetch::PublicError;
use protocol::FrameError;
use std::path::PathBuf;

/// The tables that belong together.
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// Each table with its name.
    pub tables: Vec<(&'static str, &'static [Row])>,
}

/// All tables, in the order of the page.
pub fn sections() -> [Section; 6] {
    let section = |title, tables: &[(&'static str, &'static [Row])]| Section { title, tables: tables.to_vec() };
    [
        section("Arguments", &[("ArgumentError", ArgumentError::ROWS)]),
        section("Tables, triggers and the queue", &[("TableError", TableError::ROWS)]),
        section("Images, texts and models", &[("clip::Error", clip::Error::ROWS)]),
        section(
            "The inference server",
            &[
                ("backend::Error", BackendError::ROWS),
                ("ServerError", ServerError::ROWS),
                ("FrameError", FrameError::ROWS),
            ],
        ),
        section("Images by URL", &[("PublicError", PublicError::ROWS), ("UrlError", UrlError::ROWS)]),
        section(
            "Installing models",
            &[
                ("ModelError", ModelError::ROWS),
                ("hub::Error", hub::Error::ROWS),
                ("weights::Error", weights::Error::ROWS),
                ("ProofError", ProofError::ROWS),
                ("Refused", Refused::ROWS),
                ("CommandError", CommandError::ROWS),
            ],
        ),
    ]
}

/// `docs/errors.md` of the repository.
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md")
}

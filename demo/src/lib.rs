//! The demo of clip_search: takes images from somewhere, searches them with plain SQL, and shows what was found.
//!
//! Nothing here computes an embedding: [`session`] sends SQL, and the database does the rest. A [`source::Source`] says
//! where images come from: [`emoji`] reads them out of a font, [`folder`] from files.

pub mod emoji;
pub mod folder;
pub mod gallery;
pub mod image;
pub mod loading;
pub mod progress;
pub mod queries;
pub mod report;
pub mod search;
pub mod session;
pub mod source;

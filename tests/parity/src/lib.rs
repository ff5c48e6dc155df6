//! How far crates/clip is from the reference: the corpus of tests/golden/formats, decoded and embedded, beside what PIL
//! and the golden model make of it. The tests of crates/clip hold the results to their bounds; `make parity` writes them
//! into docs/parity.md.
//!
//! ```text
//! corpus    formats.json: the images, and the reference's pixels and embeddings
//! expected  the bounds, and why they are not those of exact decoding
//! measure   one image -> how far it is off
//! layouts   layouts/: models of each family, and the table of docs/models.md
//! resizing  resize.json: PIL's resizing of noise
//! document  the tables of docs/parity.md
//! found     images of the machine, beside PIL's pixels of them
//! jpegs     JPEG files of every kind, and digests of PIL's pixels
//! ```

mod corpus;
mod document;
mod expected;
mod found;
mod golden;
mod jpegs;
mod layouts;
mod measure;
mod resizing;

pub use corpus::{Corpus, Image, Reference};
pub use document::{Document, PATH};
pub use expected::{Bound, Expected, expected};
pub use found::compare_found;
pub use golden::{cosine, golden_dir, spec, workspace};
pub use jpegs::{Jpeg, JpegDigests, jpegs};
pub use layouts::{
    Comparison, LAYOUTS_PATH, LayoutImage, LayoutModel, LayoutText, compare_images, compare_texts, layout_models,
    layout_promises, layout_spec, layout_table, layouts_dir, put_layouts,
};
pub use measure::{Distance, Measured, Meter};
pub use resizing::{FILTERS, noise, pixels, worst_of_each_filter};

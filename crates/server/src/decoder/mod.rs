//! Decoders: processes of this program that decode images for the server, and do nothing else.
//!
//! ```text
//! client   the server's side: starts decoders, asks them, ends those that overrun
//! process  a decoder's side: enters the sandbox, then job by job
//! wire     what the two say to each other
//! ```
//!
//! Each thread of the pool has a decoder of its own, started with its first image. Image files come from strangers, and their
//! decoders are most of the code that sees them: what takes too long, takes too much memory or crashes is the end of a
//! process that holds nothing, and an error of that one image. A decoder holds no model and no other session's data, and can
//! open no file and no connection; see [`crate::sandbox`].

mod client;
mod process;
mod wire;

pub use client::{Decoder, Failed, Patience};
pub use process::{Allocator, run};
pub use wire::{FrameHead, Job, Reply, Settings};

pub(crate) use client::ask;
pub(crate) use wire::group;

/// The first argument of a decoder's command line.
pub const ARGUMENT: &str = "decoder";

//! The wire between a PostgreSQL backend and `clip-search-server`: frames and the messages inside them.
//!
//! Both sides run on one machine and, but for the minutes of an upgrade, come from one release. The frame header and
//! the handshake ([`Hello`]) are therefore the only parts that have to stay readable for ever: they let either side say
//! which release the other one is. Everything after them may change with [`VERSION`].
//!
//! ```text
//! server → client   Hello                     once, on connecting
//! client → server   Request  ─┐
//! server → client   Response ─┘               any number of times, one at a time; a Fetch has many responses
//! ```
//!
//! A client that goes away (cancelled, killed, disconnected) closes the socket; that is how the server learns that
//! nobody waits for the answer any more.
//!
//! ```
//! use protocol::{HEADER_LEN, Header, Kind, Request, decode, encode};
//!
//! let frame = encode(Kind::Request, &Request::Statistics)?;
//! let (head, payload) = frame.split_first_chunk::<HEADER_LEN>().expect("a frame has a header");
//! let header = Header::parse(head)?.expect(Kind::Request)?;
//! assert_eq!(header.len, payload.len());
//! assert_eq!(decode::<Request>(payload)?, Request::Statistics);
//! # Ok::<(), protocol::FrameError>(())
//! ```
//!
//! What failed is a [`Failure`], which has all parts of a PostgreSQL error but the SQLSTATE: that is its [`ErrorClass`]'s.

mod config;
mod frame;
mod message;
mod model_line;
mod statistics;

pub use errors::{ErrorClass, Failure};

pub use config::{Config, FetchConfig, Gray16, OnLongText, OnTruncated, SocketPaths, SupervisorState, Transparency};
pub use frame::{FrameError, HEADER_LEN, Header, Kind, MAX_PAYLOAD, MIN_PAYLOAD_CAPACITY, decode, encode};
pub use message::{
    EmbedRequest, Embedding, FetchRequest, Fetched, FetchedImage, Frame, Frames, FramesRequest, Hello, ImageInfo,
    Items, Logits, ModelInfo, Request, Response, Scope, Thumbnail, ThumbnailRequest,
};
pub use model_line::{InstalledModel, ModelLine, Nearness, Quantized, VerifiedModel};
pub use statistics::{EndpointStatistics, Latency, ModelStatistics, Quantiles, Statistics, Value};

/// The version of everything behind the handshake. Raise it with every change of a message.
pub const VERSION: u16 = 10;

/// The release both sides were built from, as `X.Y.Z`.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

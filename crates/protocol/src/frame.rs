//! Frames: a fixed header and a postcard-encoded payload.
//!
//! ```text
//! byte  0        4          6      7          8            12
//!       ┌────────┬──────────┬──────┬──────────┬────────────┬─────────────────────────┐
//!       │ "CLIP" │ version  │ kind │ reserved │ length     │ payload (length bytes)  │
//!       │        │ u16 LE   │ u8   │ 0        │ u32 LE     │ postcard                │
//!       └────────┴──────────┴──────┴──────────┴────────────┴─────────────────────────┘
//! ```
//!
//! The header is checked before anything is allocated for the payload. Payload lengths are bounded by [`MAX_PAYLOAD`],
//! and postcard never allocates more than the bytes that are really there.

use errors::ErrorClass;
use serde::{Serialize, de::DeserializeOwned};

/// Length of a frame header in bytes.
pub const HEADER_LEN: usize = 12;

/// Longest payload in bytes: a PostgreSQL value is at most 1 GiB, and a request may carry one of that size.
pub const MAX_PAYLOAD: usize = (1 << 30) + (1 << 20);

/// How much a reader should reserve for a payload before any of it has arrived, in bytes.
pub const MIN_PAYLOAD_CAPACITY: usize = 64 * 1024;

const MAGIC: [u8; 4] = *b"CLIP";

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A [`crate::Hello`].
    Hello = 1,
    /// A [`crate::Request`].
    Request = 2,
    /// A [`crate::Response`].
    Response = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Hello),
            2 => Some(Self::Request),
            3 => Some(Self::Response),
            _ => None,
        }
    }
}

errors::error_table! {
    /// A frame that cannot be read or written.
    #[derive(Debug, PartialEq, Eq)]
    pub enum FrameError: ErrorClass {
        /// The first bytes are not those of a frame.
        Magic => Protocol {
            message: "not a clip_search frame",
            docs: "Something else than clip_search has written to the server's socket.",
        }
        /// The other side speaks another version of the protocol.
        Version {
            /// The version in the frame.
            theirs: u16,
        } => Protocol {
            let ours = crate::VERSION;
            message: "the other side speaks protocol version {theirs}, this side {ours}",
            docs: "Install library and server from one release, and run SELECT clip_restart_server().",
        }
        /// An unknown or unexpected kind of frame.
        Kind {
            /// Its number.
            kind: u8,
        } => Protocol {
            message: "unexpected frame of kind {kind}",
            docs: "A defect of clip_search: please report it.",
        }
        /// A payload over [`MAX_PAYLOAD`].
        TooLong {
            /// Its length.
            bytes: usize,
        } => Protocol {
            let max = MAX_PAYLOAD;
            message: "a frame of {bytes} bytes is over the limit of {max}",
            docs: "Pass fewer or smaller items at a time.",
        }
        /// A payload that does not decode.
        Payload {
            /// What is wrong with it.
            reason: String,
        } => Protocol {
            message: "malformed payload: {reason}",
            docs: "A defect of clip_search: please report it.",
        }
    }
}

/// A frame header that has passed all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// Length of the payload in bytes, at most [`MAX_PAYLOAD`].
    pub len: usize,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// Everything but [`FrameError::Payload`]. A version other than ours is refused unless the frame is a
    /// [`Kind::Hello`], whose payload names the release of the other side.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let [m0, m1, m2, m3, v0, v1, kind, _, l0, l1, l2, l3] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::Magic);
        }
        let kind = Kind::from_byte(kind).ok_or(FrameError::Kind { kind })?;
        let theirs = u16::from_le_bytes([v0, v1]);
        if theirs != crate::VERSION && kind != Kind::Hello {
            return Err(FrameError::Version { theirs });
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > MAX_PAYLOAD {
            return Err(FrameError::TooLong { bytes: len });
        }
        Ok(Self { kind, len })
    }

    /// Fails unless the frame is of the given kind.
    ///
    /// # Errors
    /// [`FrameError::Kind`].
    pub fn expect(self, kind: Kind) -> Result<Self, FrameError> {
        if self.kind == kind { Ok(self) } else { Err(FrameError::Kind { kind: self.kind as u8 }) }
    }
}

/// Encodes a message as one frame, header included.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn encode<T: Serialize>(kind: Kind, message: &T) -> Result<Vec<u8>, FrameError> {
    // Neither grows nor is copied while it is written: a message may be images for most of the memory that is allowed.
    let size = postcard::serialize_with_flavor(message, postcard::ser_flavors::Size::default());
    let size = size.map_err(|error| FrameError::Payload { reason: error.to_string() })?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + size);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&crate::VERSION.to_le_bytes());
    bytes.extend_from_slice(&[kind as u8, 0, 0, 0, 0, 0]);
    let mut bytes =
        postcard::to_extend(message, bytes).map_err(|error| FrameError::Payload { reason: error.to_string() })?;
    let len = bytes.len() - HEADER_LEN;
    if len > MAX_PAYLOAD {
        return Err(FrameError::TooLong { bytes: len });
    }
    bytes[8..HEADER_LEN].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(bytes)
}

/// Decodes a payload. Bytes left over are an error: they mean that the two sides disagree about the message.
///
/// # Errors
/// [`FrameError::Payload`].
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(FrameError::Payload { reason: format!("{} bytes left over", rest.len()) }),
        Err(error) => Err(FrameError::Payload { reason: error.to_string() }),
    }
}

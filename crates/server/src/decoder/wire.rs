//! What server and decoder say to each other over a socket pair: a head of JSON, and bytes.
//!
//! ```text
//! server ──> decoder   Settings, once; then Job and the image's bytes, again and again
//! decoder ──> server   Started, once; then a Reply to each job
//! ```
//!
//! A group of small images is sent at once, and answered one by one: see [`group`].
//!
//! Frames are lengths of head and body, both u32 in the machine's byte order, the head, and the body. The decoder may be in
//! the hands of whoever made the image: the server takes no frame that is longer than it expects.

use clip::{Error, FrameRange, ImageSpec, Limits, OnTruncated, PART_BYTES, Reading};
use protocol::ImageInfo;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, Read, Write};

/// What holds for all images of a decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Bounds on an image; also of the decoder's memory.
    pub limits: Limits,
    /// Whether the decoder shuts itself off from everything but its socket.
    pub sandbox: bool,
}

/// A decoder is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Started {
    /// What the kernel does not have of the sandbox.
    pub missing: Option<String>,
}

/// What to do with an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Job {
    /// Decode, resize and crop it for a model.
    Pixels {
        /// Of the model.
        spec: ImageSpec,
        /// How it is to be understood.
        reading: Reading,
    },
    /// Make it small.
    Thumbnail {
        /// Longest side in pixels.
        max_side: u32,
        /// What becomes of a file that ends too early.
        on_truncated: OnTruncated,
    },
    /// Describe it.
    Info,
    /// Make images of its frames.
    Frames {
        /// Which.
        range: FrameRange,
        /// How they are to be understood.
        reading: Reading,
    },
}

/// What came of a job. The body has the bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// 8-bit RGB, row by row, as from [`clip::Preprocessor::pixels`].
    Pixels {
        /// What is wrong with the file, of which what there is was decoded.
        damage: Option<Error>,
    },
    /// A thumbnail.
    Jpeg,
    /// A thumbnail with transparent parts.
    Png,
    /// What the image is like.
    Info(ImageInfo),
    /// Frames, whose images stand in the body one after the other.
    Frames {
        /// In order.
        frames: Vec<FrameHead>,
        /// With which the next part begins.
        next: Option<u32>,
        /// What is wrong with the file, of which what there is was decoded.
        damage: Option<Error>,
    },
    /// It cannot be done; the image is at fault.
    Failed(Error),
}

/// A frame in a reply: its number, how many milliseconds it is shown, and the length of its image. Without an image, the
/// file is the frame.
pub type FrameHead = (u32, Option<u32>, Option<u32>);

/// Most bytes of a reply's head. An error's text has some hundred, and each of [`clip::MAX_FRAMES_IN_PART`] frames up to 40.
pub(super) const MAX_HEAD: usize = 64 << 10;

impl Job {
    /// Most bytes of a reply's body, for images within these limits.
    pub(super) fn max_body(&self, limits: &Limits) -> usize {
        match self {
            Job::Pixels { spec, .. } => 3 * spec.height as usize * spec.width as usize,
            // Not compressed at all, with a byte more for each row and what a file has around its pixels.
            Job::Thumbnail { max_side, .. } => {
                let side = *max_side as usize + 1;
                side.saturating_mul(side).saturating_mul(4).saturating_add(64 << 10)
            }
            Job::Info => 0,
            // As much for the last, which may be one column wide.
            Job::Frames { .. } => {
                let pixels = usize::try_from(limits.max_pixels).unwrap_or(usize::MAX);
                (pixels.saturating_mul(5) / 16).saturating_mul(17).saturating_add(PART_BYTES).saturating_add(64 << 10)
            }
        }
    }
}

/// Most bytes of images that are sent before their answers are read, so that they surely fit into the socket's buffer: a
/// decoder that cannot send its answer reads no more.
const GROUP_BYTES: usize = 32 << 10;
/// Most images of a group.
const GROUP_IMAGES: usize = 16;

/// How many of the images, given by their lengths, can be sent before an answer is read; at least one.
pub(crate) fn group(lengths: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |length: &usize| {
        bytes += length;
        bytes <= GROUP_BYTES
    };
    lengths.take(GROUP_IMAGES).take_while(fits).count().max(1)
}

/// Writes a frame for each body, all with the same head.
pub(super) fn send(stream: &mut impl Write, head: &impl Serialize, bodies: &[&[u8]]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    let length = |length: usize| u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let mut frames = Vec::new();
    let mut bodies = bodies;
    while let [body, later @ ..] = bodies {
        frames.extend(length(head.len())?.to_ne_bytes());
        frames.extend(length(body.len())?.to_ne_bytes());
        frames.extend(&head);
        if later.is_empty() {
            // At once, so that the reader does not wake for a part of it; but without a copy of what may be long.
            let written = stream.write_vectored(&[IoSlice::new(&frames), IoSlice::new(body)])?;
            stream.write_all(frames.get(written..).unwrap_or_default())?;
            return stream.write_all(&body[written.saturating_sub(frames.len())..]);
        }
        frames.extend(*body);
        bodies = later;
    }
    Ok(())
}

/// Reads a frame whose parts have at most so many bytes; `None` at the end of the stream.
pub(super) fn receive<T: for<'de> Deserialize<'de>>(
    stream: &mut impl Read,
    max_head: usize,
    max_body: usize,
) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    match stream.read_exact(&mut lengths) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| lengths[at + byte])) as usize;
    let (head, body) = (length(0), length(4));
    if head > max_head || body > max_body {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too long"));
    }
    let read = |stream: &mut _, length| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        Read::take(stream, length as u64).read_to_end(&mut bytes)?;
        if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    };
    let head = serde_json::from_slice(&read(&mut *stream, head)?)?;
    Ok(Some((head, read(stream, body)?)))
}

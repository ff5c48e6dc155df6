//! Images of little that promise much: huge sizes, lengths that lie, compressed data that unpacks without end.

mod codestreams;
mod exif;
mod jpeg;
mod others;
mod png;
mod tiff;
mod webp;

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// A hostile image.
#[derive(Clone, Debug)]
pub struct Bomb {
    /// The format and what is wrong.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// What may become of it.
    pub outcome: Outcome,
}

/// What may become of a bomb; memory is bounded in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is not an image that can be read.
    Refused,
    /// It is an image with something hostile beside the pixels, which need not be looked at.
    Ignored,
}

/// How much of what can be multiplied there is.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// Bytes that compressed data unpacks to.
    unpacked: usize,
    /// Frames, chunks, tags.
    repeats: usize,
}

/// All bombs, at a size that is noticed.
pub fn all() -> Vec<Bomb> {
    make(Size { unpacked: 256 << 20, repeats: 20_000 })
}

/// The same with a few kilobytes each, to start fuzzing from.
pub fn small() -> Vec<Bomb> {
    make(Size { unpacked: 1 << 20, repeats: 20 })
}

fn make(size: Size) -> Vec<Bomb> {
    let bombs = [png::bombs(size), tiff::bombs(size), jpeg::bombs(size), webp::bombs(size), others::bombs(size)];
    [bombs.concat(), codestreams::bombs()].concat()
}

fn refused(name: &'static str, bytes: Vec<u8>) -> Bomb {
    Bomb { name, bytes, outcome: Outcome::Refused }
}

fn ignored(name: &'static str, bytes: Vec<u8>) -> Bomb {
    Bomb { name, bytes, outcome: Outcome::Ignored }
}

/// So many zeros as a zlib stream.
fn zlib(unpacked: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let block = vec![0; 1 << 16];
    for _ in 0..unpacked >> 16 {
        encoder.write_all(&block).expect("a vector can be written to");
    }
    encoder.finish().expect("a vector can be written to")
}

//! Changes bytes at random, and the same way each time: what libFuzzer does, without its feedback.

use fastrand::Rng;

/// Lengths and sizes at which programs break.
const INTERESTING: [u32; 14] =
    [0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Changes `bytes` in 1 to 6 places; `other` lends parts.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..rng.u8(1..=6) {
        mutate_once(bytes, other, rng);
    }
}

fn mutate_once(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    if bytes.is_empty() {
        bytes.push(rng.u8(..));
        return;
    }
    let at = place(bytes.len(), rng);
    match rng.u8(..10) {
        0 => bytes[at] ^= 1 << rng.u8(..8),
        1 => bytes[at] = rng.u8(..),
        2 => bytes[at] = bytes[at].wrapping_add(rng.u8(..)),
        3 | 4 => overwrite(bytes, at, rng),
        5 => bytes.truncate(at),
        6 => drop(bytes.drain(at..end(bytes.len(), at, rng))),
        7 => {
            let part = bytes[at..end(bytes.len(), at, rng)].to_vec();
            bytes.splice(at..at, part);
        }
        8 => bytes.insert(at, rng.u8(..)),
        _ if other.is_empty() => bytes.swap(at, 0),
        _ => {
            let from = rng.usize(..other.len());
            let part = &other[from..end(other.len(), from, rng)];
            let until = end(bytes.len(), at, rng);
            bytes.splice(at..until, part.iter().copied());
        }
    }
}

/// Half of the time among the first bytes, where the headers are.
fn place(length: usize, rng: &mut Rng) -> usize {
    if rng.bool() { rng.usize(..length.min(64)) } else { rng.usize(..length) }
}

fn end(length: usize, from: usize, rng: &mut Rng) -> usize {
    (from + rng.usize(1..=32)).min(length)
}

/// An interesting number of 1, 2 or 4 bytes in either order.
fn overwrite(bytes: &mut [u8], at: usize, rng: &mut Rng) {
    let number = INTERESTING[rng.usize(..INTERESTING.len())];
    let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
    let size = [1, 2, 4][rng.usize(..3)];
    let number = if rng.bool() { &little[..size] } else { &big[4 - size..] };
    for (byte, value) in bytes[at..].iter_mut().zip(number) {
        *byte = *value;
    }
}

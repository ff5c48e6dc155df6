//! A frame as it comes from a socket: header and payload.

use std::fmt::Debug;

use protocol::{HEADER_LEN, Header, Hello, Kind, MAX_PAYLOAD, Request, Response, decode, encode};

use crate::memory::peak_of;

/// Bytes of memory for each byte of a payload: an element of a list takes at least one byte, and its value up to so
/// many, twice and once more while the list grows.
const MEMORY_PER_BYTE: usize = 256;
/// The texts of errors.
const MEMORY: usize = 4096;

/// Reads a header, and the rest as the payload of every kind of frame.
///
/// # Panics
/// Where a header is accepted that promises too much, where decoding takes memory out of proportion to the payload, or
/// where what was decoded is not what decoding its encoding gives.
pub fn frame(bytes: &[u8]) {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_LEN>() else { return };
    let (parsed, peak) = peak_of(|| Header::parse(header));
    assert!(peak == 0, "a header took {peak} bytes");
    if let Ok(parsed) = parsed {
        assert!(parsed.len <= MAX_PAYLOAD);
        for kind in [Kind::Hello, Kind::Request, Kind::Response] {
            assert_eq!(parsed.expect(kind).is_ok(), parsed.kind == kind);
        }
    }
    round_trip::<Hello>(Kind::Hello, payload);
    round_trip::<Request>(Kind::Request, payload);
    round_trip::<Response>(Kind::Response, payload);
}

/// Compares encodings, not messages: a NaN is not equal to itself, but its bytes are.
fn round_trip<T: serde::Serialize + serde::de::DeserializeOwned + Debug>(kind: Kind, payload: &[u8]) {
    let (decoded, peak) = peak_of(|| decode::<T>(payload));
    assert!(peak <= payload.len() * MEMORY_PER_BYTE + MEMORY, "{} bytes took {peak}", payload.len());
    let Ok(message) = decoded else { return };
    let encoded = encode(kind, &message).expect("what was decoded is not too long");
    let (header, payload) = encoded.split_first_chunk::<HEADER_LEN>().expect("a frame has a header");
    let header = Header::parse(header).expect("its own header is read");
    assert_eq!((header.kind, header.len), (kind, payload.len()));
    let again = encode(kind, &decode::<T>(payload).expect("its own payload is read"));
    assert_eq!(again.expect("it is as long as before"), encoded);
}

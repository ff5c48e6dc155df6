//! Fields of a protocol buffer as they stand in a file, so that what is not changed is copied bit by bit.

use prost::encoding::{WireType, decode_key, decode_varint};

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub number: u32,
    /// With its tag.
    pub whole: &'a [u8],
    /// What it holds, where it is a message, a string or bytes.
    pub content: &'a [u8],
}

/// The fields of a message, in order.
pub(super) fn fields(message: &[u8]) -> Result<Vec<Field<'_>>, String> {
    let mut found = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let start = rest;
        let (number, kind) = decode_key(&mut rest).map_err(|error| error.to_string())?;
        let content: &[u8] = match kind {
            WireType::Varint => {
                decode_varint(&mut rest).map_err(|error| error.to_string())?;
                &[]
            }
            WireType::SixtyFourBit => skip(&mut rest, 8).map(|_| &[] as &[u8])?,
            WireType::ThirtyTwoBit => skip(&mut rest, 4).map(|_| &[] as &[u8])?,
            WireType::LengthDelimited => {
                let length = decode_varint(&mut rest).map_err(|error| error.to_string())?;
                skip(&mut rest, length)?
            }
            _ => return Err("it has a field of an unknown type".to_owned()),
        };
        found.push(Field { number, whole: &start[..start.len() - rest.len()], content });
    }
    Ok(found)
}

fn skip<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
    let length = length.ok_or("a field is longer than the file")?;
    let (taken, behind) = rest.split_at(length);
    *rest = behind;
    Ok(taken)
}

//! How many tiles and precincts a JPEG 2000 code stream says that it has. The decoder makes room for all of them before it reads any, and a
//! few bytes are enough to say a million.
//!
//! ```text
//! SOC SIZ … COD … (SOT … COD … SOD data)* EOC        COD and COC, also of one tile, have resolutions and precincts
//! ```

/// How a code stream begins: SOC and SIZ.
pub(super) const CODE_STREAM: &[u8] = b"\xff\x4f\xff\x51";

/// The format numbers tiles with 16 bits.
const MOST_TILES: u64 = 65_535;
/// Precincts of 32 x 32 in six resolutions are one for 170 pixels; nobody writes smaller ones.
const PIXELS_PER_PART: u64 = 128;
/// What any image may have besides.
const FREE: u64 = 16_384;

const SOT: u16 = 0xff90;
const SOD: u16 = 0xff93;
const COD: u16 = 0xff52;
const COC: u16 = 0xff53;

/// Whether there are more than the image's size has room for. Also where the headers make no sense.
pub(super) fn are_too_many(code_stream: &[u8]) -> bool {
    let Some(size) = Size::read(code_stream) else { return true };
    let most = size.width.saturating_mul(size.height) / PIXELS_PER_PART + FREE;
    size.tiles > MOST_TILES || count(code_stream, &size).is_none_or(|parts| parts > most)
}

struct Size {
    width: u64,
    height: u64,
    tile: (u64, u64),
    tiles: u64,
    /// Of a component's number in COC.
    number_bytes: usize,
}

impl Size {
    /// The marker SIZ, which comes first.
    fn read(code_stream: &[u8]) -> Option<Self> {
        let behind = code_stream.strip_prefix(CODE_STREAM)?;
        // Behind its length and capabilities: width, height and origin of the image's area, then the same of the first tile.
        let word = |number: usize| Some(u64::from(u32::from_be_bytes(*behind.get(4 + 4 * number..)?.first_chunk()?)));
        let (width, height) = (word(0)?.checked_sub(word(2)?)?, word(1)?.checked_sub(word(3)?)?);
        let (tile_width, tile_height) = (word(4)?, word(5)?);
        if tile_width == 0 || tile_height == 0 {
            return None;
        }
        let across = word(0)?.checked_sub(word(6)?)?.div_ceil(tile_width);
        let down = word(1)?.checked_sub(word(7)?)?.div_ceil(tile_height);
        let components = u16::from_be_bytes(*behind.get(36..)?.first_chunk()?);
        let tile = (tile_width.min(width), tile_height.min(height));
        let number_bytes = if components < 257 { 1 } else { 2 };
        Some(Self { width, height, tile, tiles: across.checked_mul(down)?, number_bytes })
    }
}

/// Tiles times resolutions, and precincts.
fn count(code_stream: &[u8], size: &Size) -> Option<u64> {
    let mut parts: u64 = 0;
    let mut at = CODE_STREAM.len() - 2;
    // What a header of a tile says is for that tile; where its data ends.
    let mut tile_end = None;
    while let Some(marker) = word(code_stream, at) {
        if marker == SOD {
            at = tile_end.filter(|end| *end > at)?;
            continue;
        }
        let Some(length) = word(code_stream, at + 2).filter(|length| *length >= 2) else { break };
        // The end of the file, or of what is there of it.
        let Some(segment) = code_stream.get(at + 4..at + 2 + usize::from(length)) else { break };
        let area = if tile_end.is_some() { size.tile } else { (size.width, size.height) };
        let tiles = if tile_end.is_some() { 1 } else { size.tiles };
        match marker {
            SOT => match u32::from_be_bytes(*segment.get(2..)?.first_chunk()?) as usize {
                0 => tile_end = Some(code_stream.len()),
                length if length >= 14 => tile_end = Some(at.checked_add(length)?),
                _ => return None,
            },
            COD => parts = parts.checked_add(of_style(segment.first()?, segment.get(5..)?, area, tiles)?)?,
            COC => {
                let (style, rest) = segment.get(size.number_bytes..)?.split_first()?;
                parts = parts.checked_add(of_style(style, rest, area, tiles)?)?;
            }
            _ => {}
        }
        at += 2 + usize::from(length);
    }
    Some(parts)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Of a coding style, whose parameters begin with the number of levels; behind four others is a byte for the precincts of each
/// resolution, the smallest first, where the style says so.
fn of_style(style: &u8, parameters: &[u8], (width, height): (u64, u64), tiles: u64) -> Option<u64> {
    let levels = u64::from(*parameters.first()?);
    if levels > 32 {
        return None;
    }
    let mut parts = tiles.checked_mul(levels + 1)?;
    if style & 1 == 1 {
        for (resolution, exponents) in (0..=levels).zip(parameters.get(5..)?) {
            let across = |side: u64, exponent: u8| side.div_ceil(1 << (levels - resolution)).div_ceil(1 << exponent);
            parts = parts.checked_add(across(width, exponents & 15).checked_mul(across(height, exponents >> 4))?)?;
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/formats/jpeg2000/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    #[test]
    fn parts_of_a_real_stream_are_few() {
        let stream = golden("rgb.j2k");
        let size = Size::read(&stream).unwrap();
        assert_eq!((size.width, size.height, size.tile, size.tiles), (33, 25, (33, 25), 1));
        // Five resolutions of one tile, without precincts.
        assert_eq!(count(&stream, &size), Some(5));
        assert!(!are_too_many(&stream));
    }

    #[test]
    fn precincts_are_counted_also_in_the_header_of_a_tile() {
        // Two resolutions with precincts of 8 x 4 and 16 x 8.
        let style = [1, 0, 0, 1, 0, 1, 4, 4, 0, 1, 0x23, 0x34];
        let cod = [&[0xff, 0x52, 0, 14], &style[..]].concat();
        let stream = golden("rgb.j2k");
        let size = Size::read(&stream).unwrap();
        let siz_end = 4 + usize::from(word(&stream, 4).unwrap());
        let main = [&stream[..siz_end], &cod].concat();
        // 17 x 13 in 8 x 4: 3 x 4; 33 x 25 in 16 x 8: 3 x 4.
        assert_eq!(count(&main, &size), Some(2 + 12 + 12));
        let sot = [0xff, 0x90, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(count(&[&main[..], &sot, &cod, &[0xff, 0x93]].concat(), &size), Some(52));
        // A tile that ends before its data, and one after the other for ever.
        let backwards = [0xff, 0x90, 0, 10, 0, 0, 0, 0, 0, 14, 0, 1];
        assert_eq!(count(&[&main[..], &backwards, &cod, &[0xff, 0x93]].concat(), &size), None);
    }
}

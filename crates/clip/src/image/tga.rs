//! What is a TGA file, which has no signature at its start.

/// Version 2 ends with a signature. A file of version 1 is taken where it is as long as its header says, to the byte.
pub(super) fn is_tga(bytes: &[u8]) -> bool {
    bytes.ends_with(b"TRUEVISION-XFILE.\0") || uncompressed_length(bytes) == Some(bytes.len())
}

/// How long an uncompressed image is by its header.
fn uncompressed_length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..18)?;
    let number = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let (id, has_palette, kind, depth) = (header[0], header[1], header[2], header[16]);
    let is_sound = match (kind, has_palette) {
        (1, 1) => depth == 8 && matches!(header[7], 15 | 16 | 24 | 32),
        (2, 0) => matches!(depth, 15 | 16 | 24 | 32),
        (3, 0) => depth == 8,
        _ => false,
    };
    // The two highest bits of the descriptor are of interleavings that nobody writes.
    if !is_sound || header[17] >> 6 != 0 {
        return None;
    }
    let palette = usize::from(has_palette) * number(5) * usize::from(header[7].div_ceil(8));
    let pixels = number(12) * number(14);
    (pixels > 0).then_some(18 + usize::from(id) + palette + pixels * usize::from(depth.div_ceil(8)))
}

//! Noto Color Emoji: its CBDT table holds a PNG per glyph.

use anyhow::{Context, Result, bail};
use harfrust::font::glyph::bitmap::Pixels;
use harfrust::{Buffer, Font, GlyphId, ShapeOptions, ShaperFont, shape};
use std::path::Path;

/// A font whose glyphs are PNG images.
pub struct EmojiFont(Font);

impl EmojiFont {
    /// Opens the font.
    ///
    /// # Errors
    /// The file is missing, is not a font, or has no images: some distributions ship a build of Noto Color Emoji that
    /// has outlines instead (COLRv1).
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| super::missing(path, "fonts-noto-color-emoji", &error))?;
        let font = Font::new(bytes, 0).with_context(|| format!("{} is not a font", path.display()))?;
        if font.bitmap_strikes().is_empty() {
            bail!(
                "{} has no images in it\n  The demo needs the build with a CBDT table, as in Debian's \
                 fonts-noto-color-emoji.",
                path.display()
            );
        }
        Ok(Self(font))
    }

    /// Whether the font has one image for these characters.
    pub fn draws(&self, characters: &str) -> bool {
        self.png(characters).is_some()
    }

    /// The PNG as it is in the font: 136 × 128 pixels on a transparent background.
    ///
    /// # Errors
    /// The font has no image for these characters.
    pub fn image(&self, characters: &str) -> Result<Vec<u8>> {
        self.png(characters).map(<[u8]>::to_vec).with_context(|| format!("the font has no image for {characters}"))
    }

    fn png(&self, characters: &str) -> Option<&[u8]> {
        match self.0.bitmap_strikes().select_bitmap(self.glyph(characters)?, None)?.pixels() {
            Pixels::Png(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The one glyph that shows all of the characters, by the font's ligatures.
    fn glyph(&self, characters: &str) -> Option<GlyphId> {
        let mut buffer = Buffer::new();
        buffer.push_str(characters);
        buffer.guess_segment_properties();
        shape(&ShaperFont::new(&self.0), &mut buffer, ShapeOptions::new()).ok()?;
        match buffer.glyph_infos() {
            [one] => Some(GlyphId::new(one.glyph_id)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emoji::FONT;

    #[test]
    fn draws_sequences_as_one_image() {
        let font = EmojiFont::open(Path::new(FONT)).expect("make setup installs the font");
        let apple = font.image("🍎").unwrap();
        assert!(apple.starts_with(b"\x89PNG"));
        let (person, astronaut) = (font.image("🧑").unwrap(), font.image("🧑\u{200D}🚀").unwrap());
        assert_ne!(person, astronaut);
        assert_eq!(font.image("❤").unwrap(), font.image("❤\u{FE0F}").unwrap());
        assert!(!font.draws("🍎🍎"));
        assert!(!font.draws("語"));
        assert!(font.image("語").is_err());
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not-a-font.ttf");
        std::fs::write(&path, "no font").unwrap();
        let error = EmojiFont::open(&path).err().unwrap().to_string();
        assert!(error.ends_with("not-a-font.ttf is not a font"), "{error}");
    }
}

//! Emoji as images to search: those that the bundled model `clip-search/emoji` was trained on, as Noto Color Emoji draws them.
//!
//! The training wrote the list, so that it is the same whatever version of Unicode's and CLDR's data is installed. The font
//! is a file of the Debian package fonts-noto-color-emoji.

mod font;

pub use font::EmojiFont;

use crate::source::{Item, Source};
use anyhow::Result;
use std::path::Path;

/// Noto Color Emoji, the build with a table of PNG images (CBDT), where Debian's package puts it.
pub const FONT: &str = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf";

/// A line for each emoji, in the order of Unicode's list: code points, CLDR's short name, Unicode's subgroup.
const LIST: &str = include_str!("../../../training/emoji/emoji.txt");

/// One emoji that has a name and an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emoji {
    /// Its code points as text.
    pub characters: String,
    /// CLDR's short name, such as `grinning face`.
    pub name: &'static str,
    /// Unicode's subgroup, such as `face-smiling`.
    pub subgroup: &'static str,
}

impl Emoji {
    /// `None` where the line is not one of the list.
    fn read(line: &'static str) -> Option<Self> {
        let [code_points, name, subgroup] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let character = |hex| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
        let characters = code_points.split(' ').map(character).collect::<Option<_>>()?;
        Some(Self { characters, name, subgroup })
    }

    /// Its code points in hexadecimal, such as `1F9D1 200D 1F680`.
    pub fn code_points(&self) -> String {
        let hex: Vec<String> = self.characters.chars().map(|c| format!("{:04X}", u32::from(c))).collect();
        hex.join(" ")
    }
}

/// The emoji of the demo, in the order of Unicode's list.
pub struct EmojiSource {
    emoji: Vec<Emoji>,
    font: EmojiFont,
    revision: String,
}

impl EmojiSource {
    /// Reads the font, and keeps the emoji of the list that it draws.
    ///
    /// # Errors
    /// The file is missing or is not what it should be; the error says which package has it.
    pub fn open(font: &Path) -> Result<Self> {
        let revision = crate::source::revision_of(font);
        let font = EmojiFont::open(font)?;
        let emoji = LIST.lines().map(|line| Emoji::read(line).expect("a line of the list"));
        let emoji = emoji.filter(|emoji| font.draws(&emoji.characters)).collect();
        Ok(Self { emoji, font, revision: revision? })
    }

    /// The emoji.
    pub fn emoji(&self) -> &[Emoji] {
        &self.emoji
    }

    /// An emoji as the model was trained to see it: a PNG, opaque on white, square, the drawing in the middle.
    ///
    /// # Errors
    /// The font's image is damaged.
    pub fn image(&self, emoji: &Emoji) -> Result<Vec<u8>> {
        crate::image::square_on_white(&self.font.image(&emoji.characters)?)
    }
}

impl Source for EmojiSource {
    fn title(&self) -> String {
        "emoji as Noto Color Emoji draws them".to_owned()
    }

    fn items(&self) -> Vec<Item> {
        let item = |emoji: &Emoji| Item {
            key: format!("{} {}", emoji.code_points(), self.revision),
            name: emoji.name.to_owned(),
        };
        self.emoji.iter().map(item).collect()
    }

    fn read(&self, index: usize) -> Result<Vec<u8>> {
        self.image(&self.emoji[index])
    }
}

/// An error about a file of a Debian package.
fn missing(path: &Path, package: &str, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "could not read {}: {error}\n  Run \"make setup\"; on Debian the package {package} has it.",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> EmojiSource {
        EmojiSource::open(Path::new(FONT)).expect("make setup installs the files")
    }

    #[test]
    fn the_font_draws_every_emoji_of_the_model() {
        let source = source();
        assert_eq!(source.emoji().len(), LIST.lines().count());
        let keys: std::collections::HashSet<_> = source.items().into_iter().map(|item| item.key).collect();
        assert_eq!(keys.len(), source.emoji().len());
        let astronaut = source.emoji().iter().find(|emoji| emoji.name == "astronaut").unwrap();
        assert_eq!((&*astronaut.code_points(), astronaut.subgroup), ("1F9D1 200D 1F680", "person-role"));
    }

    #[test]
    fn other_lines_are_no_emoji() {
        for line in ["", "1F600", "1F600\tgrinning face", "D800\ta surrogate\tnone", "x\ty\tz"] {
            assert_eq!(Emoji::read(line), None, "{line}");
        }
    }

    #[test]
    fn images_are_square_opaque_and_on_white() {
        let source = source();
        for name in ["red apple", "astronaut", "keycap: 1"] {
            let emoji = source.emoji().iter().find(|emoji| emoji.name == name).expect(name);
            let image = image::load_from_memory(&source.image(emoji).unwrap()).unwrap();
            assert_eq!((image.width(), image.height()), (136, 136), "{name}");
            assert_eq!(image.color(), image::ColorType::Rgb8);
            assert_eq!(image.to_rgb8().get_pixel(0, 0).0, [255; 3]);
            assert!(image.to_rgb8().pixels().any(|pixel| pixel.0 != [255; 3]), "{name} is blank");
        }
    }

    #[test]
    fn a_missing_file_names_its_package() {
        let error =
            EmojiSource::open(Path::new("/nowhere/NotoColorEmoji.ttf")).err().expect("no such font").to_string();
        assert!(error.contains("/nowhere/NotoColorEmoji.ttf") && error.contains("fonts-noto-color-emoji"), "{error}");
    }
}

//! Emoji as images to search: which ones, their words, and how Noto Color Emoji draws them.
//!
//! Everything is read from files of Debian packages (unicode-data, unicode-cldr-core, fonts-noto-color-emoji). The bundled
//! model `clip-search/emoji` was trained on the same selection: `training/emoji/data.py` says it in Python.

mod font;
mod list;
mod words;

pub use font::EmojiFont;
pub use list::{Entry, read_list};
pub use words::{Annotations, Words};

use crate::source::{Item, Source};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The files that the emoji are read from.
#[derive(Clone, Debug)]
pub struct EmojiFiles {
    /// `emoji-test.txt` of Unicode.
    pub list: PathBuf,
    /// The folder that holds CLDR's `annotations/en.xml` and `annotationsDerived/en.xml`.
    pub words: PathBuf,
    /// Noto Color Emoji, the build with a table of PNG images (CBDT).
    pub font: PathBuf,
}

impl Default for EmojiFiles {
    /// Where Debian's packages put them.
    fn default() -> Self {
        Self {
            list: "/usr/share/unicode/emoji/emoji-test.txt".into(),
            words: "/usr/share/unicode/cldr/common".into(),
            font: "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf".into(),
        }
    }
}

/// One emoji that has a name and an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emoji {
    /// Its code points as text.
    pub characters: String,
    /// CLDR's short name, such as `grinning face`.
    pub name: String,
    /// CLDR's keywords.
    pub keywords: Vec<String>,
}

impl Emoji {
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
    /// Reads list, words and font, and keeps the emoji that all three know.
    ///
    /// # Errors
    /// A file is missing or is not what it should be; the error says which package has it.
    pub fn open(files: &EmojiFiles) -> Result<Self> {
        let entries = read_list(&text_of(&files.list, "unicode-data")?);
        let mut words = Words::default();
        for folder in ["annotations", "annotationsDerived"] {
            let path = files.words.join(folder).join("en.xml");
            words
                .add(&text_of(&path, "unicode-cldr-core")?)
                .map_err(|error| error.context(path.display().to_string()))?;
        }
        let font = EmojiFont::open(&files.font)?;
        let emoji = entries
            .into_iter()
            .filter(|entry| font.draws(&entry.characters))
            .filter_map(|entry| {
                let found = words.of(&entry.characters)?;
                let (name, keywords) = (found.name.clone()?, found.keywords.clone());
                Some(Emoji { characters: entry.characters, name, keywords })
            })
            .collect();
        let revision = crate::source::revision_of(&files.font)?;
        Ok(Self { emoji, font, revision })
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
            name: emoji.name.clone(),
            keywords: emoji.keywords.clone(),
        };
        self.emoji.iter().map(item).collect()
    }

    fn read(&self, index: usize) -> Result<Vec<u8>> {
        self.image(&self.emoji[index])
    }
}

fn text_of(path: &Path, package: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| missing(path, package, &error))
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
        EmojiSource::open(&EmojiFiles::default()).expect("make setup installs the files")
    }

    #[test]
    fn about_1400_emoji_each_with_a_name_and_an_image() {
        let source = source();
        assert!((1300..1500).contains(&source.emoji().len()), "{}", source.emoji().len());
        for emoji in source.emoji() {
            assert!(!emoji.name.is_empty(), "{}", emoji.code_points());
        }
        let keys: std::collections::HashSet<_> = source.items().into_iter().map(|item| item.key).collect();
        assert_eq!(keys.len(), source.emoji().len());
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

    /// The model's own list: what is searched is what was trained on.
    #[test]
    fn the_selection_is_the_models() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../training/emoji/emoji.txt");
        let text = std::fs::read_to_string(path).expect("training/emoji/emoji.txt, which the training writes");
        let theirs: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let ours: Vec<String> =
            source().emoji().iter().map(|emoji| format!("{}\t{}", emoji.code_points(), emoji.name)).collect();
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_missing_file_names_its_package() {
        let files = EmojiFiles { font: "/nowhere/NotoColorEmoji.ttf".into(), ..EmojiFiles::default() };
        let error = EmojiSource::open(&files).err().expect("no such font").to_string();
        assert!(error.contains("/nowhere/NotoColorEmoji.ttf") && error.contains("fonts-noto-color-emoji"), "{error}");
    }
}

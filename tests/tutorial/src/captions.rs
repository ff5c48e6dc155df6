//! The data set of the tutorial: some hundred emoji, as URLs with captions, a few of which are dead.

use anyhow::{Context, Result};
use clip_search_demo::emoji::{Emoji, EmojiSource};
use std::path::Path;

/// Unicode's subgroups that the tutorial takes, and what it calls them.
const CATEGORIES: [(&str, &str); 14] = [
    ("cat-face", "cat"),
    ("animal-mammal", "mammal"),
    ("animal-bird", "bird"),
    ("animal-marine", "sea animal"),
    ("plant-flower", "flower"),
    ("food-fruit", "fruit"),
    ("food-vegetable", "vegetable"),
    ("food-sweet", "dessert"),
    ("drink", "drink"),
    ("transport-ground", "vehicle"),
    ("transport-water", "boat"),
    ("transport-air", "aircraft"),
    ("musical-instrument", "instrument"),
    ("sport", "sport"),
];

/// Images whose URL does not simply answer: [`crate::images`] says what each folder stands for.
const TROUBLE: [(&str, &str); 4] = [("dodo", "gone"), ("sloth", "slow"), ("penguin", "moved"), ("peacock", "page")];

/// The emoji of the tutorial.
pub struct Collection {
    source: EmojiSource,
    /// Captions and categories, by the name of the image's file.
    entries: Vec<(String, Emoji, &'static str)>,
}

impl Collection {
    /// Reads the font that `make setup` installs.
    ///
    /// # Errors
    /// A file is missing or is not what it should be.
    pub fn open(font: &Path) -> Result<Self> {
        let source = EmojiSource::open(font)?;
        let category = |emoji: &Emoji| {
            CATEGORIES.iter().find(|(subgroup, _)| *subgroup == emoji.subgroup).map(|(_, category)| *category)
        };
        let entries = source
            .emoji()
            .iter()
            .filter_map(|emoji| Some((file_name(emoji.name), emoji.clone(), category(emoji)?)))
            .collect();
        Ok(Self { source, entries })
    }

    /// The data set: a header, and a line for each image.
    pub fn csv(&self) -> String {
        let mut csv = "url,caption,category\n".to_owned();
        for (file, emoji, category) in &self.entries {
            let folder = TROUBLE.iter().find(|(name, _)| *name == emoji.name).map(|(_, folder)| format!("{folder}/"));
            let path = format!("{}{file}", folder.unwrap_or_default());
            csv += &format!("http://{}/{path},{},{category}\n", crate::images::SHOWN, emoji.name);
        }
        csv
    }

    /// Writes the images into a folder of files.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        for (file, emoji, _) in &self.entries {
            let path = folder.join(file);
            std::fs::write(&path, self.source.image(emoji)?).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// The PNG with this file name.
    pub fn image(&self, file: &str) -> Option<Vec<u8>> {
        let (_, emoji, _) = self.entries.iter().find(|(name, ..)| name == file)?;
        self.source.image(emoji).ok()
    }
}

/// `red-apple.png` for `red apple`.
fn file_name(caption: &str) -> String {
    let words: Vec<&str> = caption.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{}.png", words.join("-").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clip_search_demo::emoji::FONT;
    use std::collections::HashSet;

    #[test]
    fn some_hundred_images_each_with_an_url_of_its_own() {
        let collection = Collection::open(Path::new(FONT)).expect("make setup installs the font");
        let csv = collection.csv();
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("url,caption,category"));
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
        assert!((200..=300).contains(&rows.len()), "{}", rows.len());
        assert!(rows.iter().all(|row| row.len() == 3), "nothing is to be quoted");
        assert_eq!(rows.iter().map(|row| row[0]).collect::<HashSet<_>>().len(), rows.len());
        for (name, folder) in TROUBLE {
            assert!(csv.contains(&format!("/{folder}/{name}.png,{name},")), "{name}");
        }
        assert!(collection.image("red-apple.png").is_some_and(|png| png.starts_with(b"\x89PNG")));
        assert!(collection.image("grinning-face.png").is_none());
    }

    #[test]
    fn file_names_are_plain() {
        assert_eq!(file_name("two-hump camel"), "two-hump-camel.png");
        assert_eq!(file_name("woman’s Hat!"), "woman-s-hat.png");
    }
}

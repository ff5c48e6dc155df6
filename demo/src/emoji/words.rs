//! CLDR's annotations: the short name and the keywords of each emoji.

use anyhow::{Result, bail};
use std::collections::HashMap;

const VARIATION_SELECTOR: char = '\u{FE0F}';

/// What CLDR says of one emoji.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// The short name, which CLDR means to be read aloud.
    pub name: Option<String>,
    /// The keywords.
    pub keywords: Vec<String>,
}

/// Names and keywords by emoji.
#[derive(Debug, Default)]
pub struct Words(HashMap<String, Annotations>);

impl Words {
    /// Adds the annotations of one CLDR file. What an earlier file said stays.
    ///
    /// # Errors
    /// It is not an annotations file.
    pub fn add(&mut self, xml: &str) -> Result<()> {
        // CLDR's files open with a DOCTYPE.
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(xml, options)?;
        if !document.root_element().has_tag_name("ldml") {
            bail!("not a CLDR file: its root element is <{}>", document.root_element().tag_name().name());
        }
        for node in document.descendants().filter(|node| node.has_tag_name("annotation")) {
            let (Some(characters), Some(text)) = (node.attribute("cp"), node.text()) else { continue };
            let known = self.0.entry(without_variation(characters)).or_default();
            if node.attribute("type") == Some("tts") {
                known.name.get_or_insert_with(|| text.trim().to_owned());
            } else if known.keywords.is_empty() {
                known.keywords = text.split('|').map(|word| word.trim().to_owned()).collect();
            }
        }
        Ok(())
    }

    /// What is known of an emoji.
    pub fn of(&self, characters: &str) -> Option<&Annotations> {
        self.0.get(&without_variation(characters))
    }
}

/// CLDR leaves the variation selectors out of some of its keys.
fn without_variation(characters: &str) -> String {
    characters.replace(VARIATION_SELECTOR, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_keywords_whatever_the_variation_selector() {
        let mut words = Words::default();
        words
            .add(
                r#"<?xml version="1.0" encoding="UTF-8" ?>
                <!DOCTYPE ldml SYSTEM "../../common/dtd/ldml.dtd">
                <ldml><annotations>
                    <annotation cp="❤">heart | red heart</annotation>
                    <annotation cp="❤" type="tts">red heart</annotation>
                    <annotation cp="{">brace</annotation>
                </annotations></ldml>"#,
            )
            .unwrap();
        words.add(r#"<ldml><annotation cp="❤" type="tts">another name</annotation></ldml>"#).unwrap();
        let heart = words.of("❤\u{FE0F}").unwrap();
        assert_eq!(heart.name.as_deref(), Some("red heart"));
        assert_eq!(heart.keywords, ["heart", "red heart"]);
        assert_eq!(words.of("{").unwrap().name, None);
        assert_eq!(words.of("x"), None);
    }

    #[test]
    fn refuses_other_xml() {
        assert!(Words::default().add("<html/>").unwrap_err().to_string().contains("<html>"));
        assert!(Words::default().add("no xml").is_err());
    }
}

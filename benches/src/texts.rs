//! Texts as people search for, each different: neither the backend's memo nor any other cache knows it.

const KINDS: [&str; 12] =
    ["a photo of a", "a drawing of a", "my", "one", "the", "a", "another", "an old", "a new", "that", "a tiny", "no"];
const COLOURS: [&str; 13] =
    ["red", "green", "blue", "yellow", "black", "white", "happy", "sad", "round", "bright", "wet", "broken", "striped"];
const THINGS: [&str; 17] = [
    "cat", "dog", "apple", "boat", "car", "house", "tree", "flower", "clock", "book", "fish", "bird", "heart", "star",
    "guitar", "bicycle", "umbrella",
];

/// How many different texts there are.
pub const COUNT: u32 = (KINDS.len() * COLOURS.len() * THINGS.len()) as u32;

/// The text of a number below [`COUNT`]. Neighbours differ in all words: the lengths of the lists have no common factor.
pub fn text(number: u32) -> String {
    let pick = |words: &[&'static str]| words[number as usize % words.len()];
    format!("{} {} {}", pick(&KINDS), pick(&COLOURS), pick(&THINGS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn all_texts_differ() {
        assert_eq!((0..COUNT).map(text).collect::<HashSet<_>>().len(), COUNT as usize);
    }
}

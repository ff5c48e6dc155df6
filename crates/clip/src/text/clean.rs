//! What is done to a text before it is tokenized, where the family was trained so and tokenizer.json does not say it.
//!
//! Each of these changes nothing in a text that it has cleaned before, so that a tokenizer.json that does it, too, does no
//! harm.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

/// A cleaning of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cleaning {
    /// None: tokenizer.json has it all.
    AsIs,
    /// Lower case, character by character: `Lowercase` of tokenizers, which transformers' `Siglip2Tokenizer` puts first.
    Lowercase,
    /// `SiglipTokenizer.canonicalize_text` of transformers: lower case where `lower`, ASCII punctuation taken out, each run
    /// of white space one space, none at the ends.
    Siglip {
        /// `do_lower_case`
        lower: bool,
    },
    /// open_clip's `clean`: white space as above.
    Whitespace,
    /// open_clip's `lower`: white space as above, and lower case.
    Lower,
    /// open_clip's `canonicalize`: underscores to spaces, ASCII punctuation taken out, lower case, white space as above.
    Canonicalize,
}

impl Cleaning {
    /// The cleaned text.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Cleaning::AsIs => Cow::Borrowed(text),
            Cleaning::Lowercase => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
            Cleaning::Siglip { lower: true } => Cow::Owned(single_spaces(&without_punctuation(&text.to_lowercase()))),
            Cleaning::Siglip { lower: false } => Cow::Owned(single_spaces(&without_punctuation(text))),
            Cleaning::Whitespace => Cow::Owned(single_spaces(&basic(text))),
            Cleaning::Lower => Cow::Owned(single_spaces(&basic(text)).to_lowercase()),
            Cleaning::Canonicalize => {
                let text = without_punctuation(&basic(text).replace('_', " "));
                Cow::Owned(single_spaces(&text.to_lowercase()))
            }
        }
    }
}

/// open_clip's `basic_clean`: HTML entities are unescaped, and ftfy's `fix_text`, except that text which was decoded in the
/// wrong encoding ("donâ€™t") stays as it is.
fn basic(text: &str) -> String {
    let text = if text.contains('<') { Cow::Borrowed(text) } else { htmlize::unescape(text) };
    let mended: String = text.chars().flat_map(mended).nfc().collect();
    let once = htmlize::unescape(mended);
    htmlize::unescape(once).into_owned()
}

/// What ftfy makes of a character: plain letters of ligatures and of wide and narrow forms, straight quotes, and nothing of
/// control characters.
fn mended(character: char) -> impl Iterator<Item = char> {
    let (one, plain) = match character {
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' => (None, ""),
        '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => (None, ""),
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => (Some('\''), ""),
        '\u{201c}'..='\u{201f}' => (Some('"'), ""),
        '\u{3000}' => (Some(' '), ""),
        'Ĳ' => (None, "IJ"),
        'ĳ' => (None, "ij"),
        'ŉ' => (None, "'n"),
        'Ǳ' => (None, "DZ"),
        'ǲ' => (None, "Dz"),
        'ǳ' => (None, "dz"),
        'Ǆ' => (None, "DŽ"),
        'ǅ' => (None, "Dž"),
        'ǆ' => (None, "dž"),
        'Ǉ' => (None, "LJ"),
        'ǈ' => (None, "Lj"),
        'ǉ' => (None, "lj"),
        'Ǌ' => (None, "NJ"),
        'ǋ' => (None, "Nj"),
        'ǌ' => (None, "nj"),
        'ﬀ' => (None, "ff"),
        'ﬁ' => (None, "fi"),
        'ﬂ' => (None, "fl"),
        'ﬃ' => (None, "ffi"),
        'ﬄ' => (None, "ffl"),
        'ﬅ' => (None, "ſt"),
        'ﬆ' => (None, "st"),
        other => (Some(other), ""),
    };
    let is_wide = ('\u{ff01}'..='\u{ffef}').contains(&character);
    // One character of these has the compatibility form of at most a few.
    let narrow = is_wide.then(|| std::iter::once(character).nfkc()).into_iter().flatten();
    narrow.chain(one.filter(|_| !is_wide)).chain(plain.chars())
}

/// Python's `string.punctuation`.
fn without_punctuation(text: &str) -> String {
    text.chars().filter(|character| !character.is_ascii_punctuation()).collect()
}

fn single_spaces(text: &str) -> String {
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Python's white space.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

//! Texts that are read part by part have the tokens that they have as a whole.

mod common;

use clip::{Error, LongText, Tokenizer};
use common::spec;
use proptest::prelude::*;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// More than a text of these tests has tokens.
const ALL: usize = 1 << 20;

struct Both {
    /// Reads part by part.
    ours: Tokenizer,
    /// The library's, without truncation.
    whole: tokenizers::Tokenizer,
}

fn both() -> &'static Both {
    static BOTH: OnceLock<Both> = OnceLock::new();
    BOTH.get_or_init(|| {
        let mut spec = spec();
        spec.context_length = ALL;
        let mut whole = tokenizers::Tokenizer::from_file(spec.path.join("tokenizer.json")).unwrap();
        whole.with_padding(None);
        whole.with_truncation(None).unwrap();
        Both { ours: Tokenizer::load(&spec).unwrap(), whole }
    })
}

fn check(text: &str) {
    let Both { ours, whole } = both();
    let found = ours.encode(text, LongText::Error).unwrap();
    assert!(found == whole.encode_fast(text, true).unwrap().get_ids(), "{:?}", text.escape_unicode().to_string());
}

fn of_77() -> Tokenizer {
    let mut spec = spec();
    spec.context_length = 77;
    Tokenizer::load(&spec).unwrap()
}

/// What the steps of the tokenizer look at, and what may be at the end of a part.
const PIECES: &[&str] = &[
    "cat",
    " ",
    "  ",
    "\n",
    "\u{a0}",
    "\u{3000}",
    "\u{85}",
    "7",
    "42",
    "\u{ff17}",
    "\u{664}",
    "'s",
    "'",
    "'ll",
    "'l",
    "don't",
    ".",
    "!?",
    "\u{301}",
    "e\u{301}",
    "\u{1e9b}\u{323}",
    "\u{1100}\u{1161}\u{11a8}",
    "\u{130}",
    "\u{3a3}",
    "猫",
    "🐈\u{200d}⬛",
    "<|endoftext|>",
    "<|end",
    "oftext|>",
    "<|STARTOFTEXT|>",
    "\t",
    "1st",
    "a1",
    "1a",
    "é",
    "\u{fb01}",
    "½",
    "²",
    "\u{0}",
    "\u{feff}",
    "_",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn parts_have_the_tokens_of_the_whole(places in proptest::collection::vec(0..PIECES.len(), 600..3000)) {
        check(&places.into_iter().map(|place| PIECES[place]).collect::<String>());
    }

    #[test]
    fn so_have_those_of_any_characters(text in "\\PC{1200,4000}") {
        check(&text);
    }
}

#[test]
fn long_texts_of_one_kind() {
    for piece in PIECES {
        check(&piece.repeat(3000));
    }
    check(&format!("{}7{}", "a".repeat(5000), " ".repeat(100_000)));
    check("");
}

/// The time does not grow with what is not read.
#[test]
fn what_is_not_read_costs_nothing() {
    let tokenizer = of_77();
    let time = |length: usize| {
        let text = "7".repeat(length);
        let once = || {
            let began = Instant::now();
            assert_eq!(tokenizer.encode(&text, LongText::Truncate).unwrap().len(), 77);
            began.elapsed()
        };
        (0..9).map(|_| once()).min().unwrap()
    };
    let (short, long) = (time(2 << 10), time(1 << 20));
    assert!(long < short * 20 + Duration::from_millis(1), "{short:?} for 2 KiB, {long:?} for 1 MiB");
    let error = tokenizer.encode(&"7 ".repeat(5000), LongText::Error).unwrap_err();
    assert!(error.to_string().contains("has at least "), "{error}");
}

#[test]
fn what_would_have_to_be_read_whole_is_refused() {
    let tokenizer = of_77();
    assert_eq!(tokenizer.encode(&"a".repeat(256 << 10), LongText::Truncate).unwrap().len(), 77);
    let error = tokenizer.encode(&"a".repeat((256 << 10) + 1), LongText::Truncate).unwrap_err();
    assert_eq!(error, Error::TextTooLarge { bytes: (256 << 10) + 1, max: 256 << 10 });
    // What comes after enough tokens is not in the way.
    let text = format!("{}{}", "a photo of a cat ".repeat(100), "a".repeat(200 << 10));
    assert_eq!(tokenizer.encode(&text, LongText::Truncate).unwrap().len(), 77);
}

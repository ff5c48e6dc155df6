//! CLIP's own vocabulary: texts of many kinds, token by token as transformers' CLIPTokenizer has them.
//!
//! tests/golden/make_tokens.py made the texts and ids of tokens.json, and says which reference that is. The vocabulary is
//! not committed: `make setup-tests` takes it out of open_clip's wheel.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;
use std::sync::OnceLock;

use clip::{LongText, ModelSpec, Tokenizer};
use common::{Copy, golden_dir, workspace};
use serde::Deserialize;
use serde_json::{Value, json};

const CONTEXT: usize = 77;
/// Letters, letters at the end of a word, merges, start and end.
const SIZE: usize = 49408;

#[derive(Deserialize)]
struct Tokens {
    /// tokenizer.json without vocabulary and merges.
    tokenizer: Value,
    /// By kind.
    texts: BTreeMap<String, Vec<Text>>,
    /// What becomes other tokens where special tokens are `normalized`.
    normalized_special_tokens: Vec<Text>,
}

#[derive(Deserialize)]
struct Text(
    String,
    Vec<u32>,
    /// The ids after truncation, where there are too many.
    #[serde(default)]
    Option<Vec<u32>>,
);

fn tokens() -> &'static Tokens {
    static TOKENS: OnceLock<Tokens> = OnceLock::new();
    TOKENS.get_or_init(|| serde_json::from_slice(&std::fs::read(golden_dir().join("tokens.json")).unwrap()).unwrap())
}

/// The merges that CLIP uses, each two parts with a space between them.
fn merges() -> Vec<String> {
    let path = workspace().join("target/setup/clip-vocabulary/bpe_simple_vocab_16e6.txt.gz");
    assert!(path.exists(), "CLIP's vocabulary is missing ({}): run `make setup-tests`", path.display());
    let output = Command::new("gzip").args(["--decompress", "--stdout"]).arg(&path).output().expect("gzip");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // The first line is a header.
    text.lines().skip(1).take(SIZE - 2 * 256 - 2).map(str::to_owned).collect()
}

/// What a byte-level BPE writes for the 256 bytes, in CLIP's order: itself where that is printable.
fn letters() -> impl Iterator<Item = char> + Clone {
    let printable = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ');
    printable.chain('Ā'..='Ń')
}

/// tokenizer.json as transformers writes it.
fn tokenizer_file() -> Value {
    let merges = merges();
    let words = letters().map(String::from).chain(letters().map(|letter| format!("{letter}</w>")));
    let words = words.chain(merges.iter().map(|merge| merge.replace(' ', "")));
    let words = words.chain(["<|startoftext|>", "<|endoftext|>"].map(str::to_owned));
    let mut file = tokens().tokenizer.clone();
    file["model"]["vocab"] = words.enumerate().map(|(id, word)| (word, Value::from(id))).collect();
    file["model"]["merges"] = merges.iter().map(|merge| merge.split(' ').collect::<Vec<_>>()).collect::<Value>();
    assert_eq!(file["model"]["vocab"].as_object().unwrap().len(), SIZE);
    file
}

fn spec_with(file: &Value, context_length: usize) -> (Copy, ModelSpec) {
    let copy = Copy::new();
    std::fs::write(copy.file("tokenizer.json"), serde_json::to_vec(file).unwrap()).unwrap();
    let mut spec = copy.spec().unwrap();
    assert_eq!(spec.context_length, CONTEXT);
    spec.context_length = context_length;
    (copy, spec)
}

fn tokenizer_of(file: &Value, context_length: usize) -> Tokenizer {
    let (_copy, spec) = spec_with(file, context_length);
    Tokenizer::load(&spec).unwrap()
}

/// Fails with the texts whose ids are not the reference's.
fn compare<'a>(tokenizer: &Tokenizer, texts: impl Iterator<Item = (&'a str, &'a [u32])>) {
    let (mut count, mut different, mut report) = (0, 0, String::new());
    for (text, wanted) in texts {
        count += 1;
        let found = tokenizer.encode(text, LongText::Truncate).unwrap();
        if found != wanted {
            different += 1;
            let text = text.escape_unicode();
            writeln!(report, "\"{text}\"\n  reference {wanted:?}\n  found     {found:?}").unwrap();
        }
    }
    println!("{count} texts, {different} with other tokens");
    assert_eq!(different, 0, "of {count} texts:\n{report}");
    assert!(count > 0);
}

#[test]
fn every_token_is_the_references() {
    let whole = tokenizer_of(&tokenizer_file(), 1 << 20);
    let texts = tokens().texts.values().flatten();
    assert!(texts.clone().count() >= 3000);
    compare(&whole, texts.map(|Text(text, ids, _)| (text.as_str(), ids.as_slice())));
}

#[test]
fn long_texts_are_cut_as_by_the_reference() {
    let tokenizer = tokenizer_of(&tokenizer_file(), CONTEXT);
    let texts = || tokens().texts.values().flatten();
    compare(&tokenizer, texts().map(|Text(text, all, cut)| (text.as_str(), cut.as_ref().unwrap_or(all).as_slice())));
    for length in CONTEXT - 2..=CONTEXT + 2 {
        assert!(texts().any(|Text(_, ids, _)| ids.len() == length), "no text of {length} tokens");
    }
    for Text(text, ids, cut) in texts() {
        match tokenizer.encode(text, LongText::Error) {
            Ok(found) => assert!(cut.is_none() && found == *ids, "{text:?}"),
            Err(clip::Error::TextTooLong { tokens, context_length, is_read }) => {
                assert_eq!((context_length, cut.is_some()), (CONTEXT, true), "{text:?}");
                // Of a long text no more is read than it takes to tell.
                let is_right = if is_read { tokens == ids.len() } else { (CONTEXT + 1..=ids.len()).contains(&tokens) };
                assert!(is_right, "{tokens} of {} tokens: {text:?}", ids.len());
            }
            Err(error) => panic!("{text:?}: {error}"),
        }
    }
}

/// As older exports have it: special tokens are found in any case, merges are strings, and lengths are set.
#[test]
fn older_exports() {
    let mut file = tokenizer_file();
    for token in file["added_tokens"].as_array_mut().unwrap() {
        token["normalized"] = json!(true);
    }
    file["model"]["merges"] = json!(merges());
    file["truncation"] = json!({"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"});
    file["padding"] = json!({"strategy": {"Fixed": CONTEXT}, "direction": "Right", "pad_to_multiple_of": null,
                             "pad_id": SIZE - 1, "pad_type_id": 0, "pad_token": "<|endoftext|>"});
    let tokenizer = tokenizer_of(&file, 1 << 20);
    let others = &tokens().normalized_special_tokens;
    assert!(others.len() > 10);
    let is_other = |text: &str| others.iter().any(|other| other.0 == text);
    let texts = tokens().texts.values().flatten().filter(|Text(text, ..)| !is_other(text)).chain(others);
    compare(&tokenizer, texts.map(|Text(text, ids, _)| (text.as_str(), ids.as_slice())));
}

#[test]
fn special_tokens_are_clips() {
    let (_copy, spec) = spec_with(&tokenizer_file(), CONTEXT);
    assert_eq!((spec.tokens.bos, spec.tokens.eos, spec.tokens.pad), (Some(49406), Some(49407), 0));
    let ids = Tokenizer::load(&spec).unwrap().encode("a photo of a cat", LongText::Error).unwrap();
    assert_eq!(ids, [49406, 320, 1125, 539, 320, 2368, 49407]);
}

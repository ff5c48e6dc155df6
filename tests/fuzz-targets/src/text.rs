//! Text to token ids.

use std::sync::OnceLock;

use clip::{Error, LongText, ModelSpec, Tokenizer};

use crate::golden;

/// Tokenizes a text; what is not UTF-8 is replaced.
///
/// # Panics
/// Where ids are not in the vocabulary, too many, or without start and end tokens; where the two ways to treat a long
/// text disagree.
pub fn text(bytes: &[u8]) {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    let spec = golden::spec();
    let tokenizer = TOKENIZER.get_or_init(|| Tokenizer::load(spec).expect("the golden model is fine"));
    let text = String::from_utf8_lossy(bytes);
    let ids = check(tokenizer, spec, &text).expect("every text has tokens");
    assert!(ids.iter().all(|id| *id < vocabulary()), "an id is not in the vocabulary: {ids:?}");
    assert!(ids.len() >= 2 && ids.first().copied() == spec.tokens.bos && ids.last().copied() == spec.tokens.eos);
}

/// What holds for every tokenizer that can be loaded; it may fail on a text, by an error.
pub(crate) fn check(tokenizer: &Tokenizer, spec: &ModelSpec, text: &str) -> Result<Vec<u32>, Error> {
    let cut = tokenizer.encode(text, LongText::Truncate);
    let whole = tokenizer.encode(text, LongText::Error);
    match (&cut, &whole) {
        (Ok(cut), Err(Error::TextTooLong { tokens, context_length, .. })) => {
            assert!(tokens > context_length && *context_length == spec.context_length);
            assert_eq!(cut.len(), *context_length);
        }
        (Err(error), _) => {
            assert!(matches!(error, Error::Tokenize { .. } | Error::TextTooLarge { .. }), "{error}");
            assert_eq!(cut, whole);
        }
        (Ok(ids), _) => {
            assert!(ids.len() <= spec.context_length, "{} tokens", ids.len());
            assert_eq!(cut, whole);
        }
    }
    cut
}

/// One more than the largest id of the golden model's tokenizer.json.
fn vocabulary() -> u32 {
    static SIZE: OnceLock<u32> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let file = std::fs::read(golden::model_dir().join("tokenizer.json")).expect("the golden model has it");
        let file: serde_json::Value = serde_json::from_slice(&file).expect("it is JSON");
        let vocabulary = file["model"]["vocab"].as_object().expect("it has a vocabulary").values();
        let added = file["added_tokens"].as_array().expect("it has added tokens").iter().map(|token| &token["id"]);
        let ids = vocabulary.chain(added).map(|id| id.as_u64().expect("ids are numbers"));
        1 + ids.max().expect("there are ids") as u32
    })
}

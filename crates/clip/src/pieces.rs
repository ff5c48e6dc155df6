//! Where a text may be cut so that the tokens of its parts, one after the other, are the tokens of the whole.
//!
//! That is known of CLIP's own tokenizer and of no other. It looks for special tokens, brings the text into NFC, makes each
//! run of white space one space, makes letters small one by one, and takes each match of [`PATTERNS`] for a word of its own.
//! Before an ASCII digit, and before ASCII white space, none of these steps looks across: such a character is no part of a
//! special token, is composed with none before it in NFC, is in no match with one before it, and in no match that looks
//! ahead. White space is in no match at all.

use serde_json::Value;
use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;

/// The expression of CLIP's words, as the hub's files and as transformers' converter have it.
const PATTERNS: [&str; 2] = [
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
];

/// Bytes of a part, where there is a place to cut: most texts are shorter.
const PART: usize = 1024;
/// Most bytes of a part. More, without a place to cut, are not worth the time.
pub(crate) const LONGEST_PART: usize = 256 << 10;

/// Whether the tokenizer is CLIP's, but for its vocabulary.
pub(crate) fn may_be_cut(tokenizer: &Tokenizer) -> bool {
    let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
    let normalizer = json(serde_json::to_value(tokenizer.get_normalizer()));
    let pre_tokenizer = json(serde_json::to_value(tokenizer.get_pre_tokenizer()));
    is_clips_normalizer(&normalizer)
        && is_clips_pre_tokenizer(&pre_tokenizer)
        && matches!(tokenizer.get_model(), ModelWrapper::BPE(_))
        && tokenizer.get_added_tokens_decoder().values().all(|token| {
            let is_plain = !token.single_word && !token.lstrip && !token.rstrip;
            is_plain && !token.content.bytes().any(is_place)
        })
}

fn is_clips_normalizer(normalizer: &Value) -> bool {
    let Value::Array(parts) = &normalizer["normalizers"] else { return false };
    let [form, spaces, case] = &parts[..] else { return false };
    normalizer["type"] == "Sequence"
        && form["type"] == "NFC"
        && spaces["type"] == "Replace"
        && spaces["pattern"]["Regex"] == r"\s+"
        && spaces["content"] == " "
        && case["type"] == "Lowercase"
}

fn is_clips_pre_tokenizer(pre_tokenizer: &Value) -> bool {
    let Value::Array(parts) = &pre_tokenizer["pretokenizers"] else { return false };
    let [words, bytes] = &parts[..] else { return false };
    pre_tokenizer["type"] == "Sequence"
        && words["type"] == "Split"
        && words["pattern"]["Regex"].as_str().is_some_and(|pattern| PATTERNS.contains(&pattern))
        && words["behavior"] == "Removed"
        && words["invert"] == true
        && bytes["type"] == "ByteLevel"
        && bytes["add_prefix_space"] == false
}

/// Whether a text may be cut before this byte.
fn is_place(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_whitespace()
}

/// Cuts the next part off a text; the last part is all of it.
pub(crate) fn next_part<'a>(text: &mut &'a str) -> &'a str {
    let bytes = text.as_bytes();
    if bytes.len() <= PART {
        return std::mem::take(text);
    }
    let before = bytes[1..PART].iter().rposition(|byte| is_place(*byte)).map(|place| place + 1);
    let place = before.or_else(|| bytes[PART..].iter().position(|byte| is_place(*byte)).map(|place| place + PART));
    let (part, rest) = text.split_at(place.unwrap_or(bytes.len()));
    *text = rest;
    part
}

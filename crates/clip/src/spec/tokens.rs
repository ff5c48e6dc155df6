//! Ids of the special tokens, from the tokenizer's files, then from config.json.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::config::Config;
use super::files::{MAX_TOKENIZER, ModelDir};
use crate::error::Result;

const FILE: &str = "tokenizer.json";

/// Ids of the special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenIds {
    /// Start of text, where the tokenizer has one.
    pub bos: Option<u32>,
    /// End of text, where the tokenizer has one.
    pub eos: Option<u32>,
    /// What a shorter text is filled up with.
    pub pad: u32,
}

#[derive(Deserialize)]
struct TokenizerFile<'a> {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    padding: Option<Padding>,
    // Parsed only where it is needed: it is nearly the whole file.
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct Padding {
    pad_id: u32,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
}

/// tokenizer_config.json and special_tokens_map.json: a token is a string or an object with its `content`.
#[derive(Deserialize, Default)]
struct Names {
    bos_token: Option<Value>,
    eos_token: Option<Value>,
    pad_token: Option<Value>,
}

pub(super) fn read(dir: &ModelDir, config: &Config) -> Result<TokenIds> {
    let bytes = dir.read(FILE, MAX_TOKENIZER)?;
    let file: TokenizerFile = serde_json::from_slice(&bytes).map_err(|error| dir.bad(FILE, error.to_string()))?;
    let names: Names = dir.parse_optional("tokenizer_config.json")?.unwrap_or_default();
    let more: Names = dir.parse_optional("special_tokens_map.json")?.unwrap_or_default();

    let id = |first: &Option<Value>, second: &Option<Value>, in_config: &Option<Value>| {
        let named = [first, second].into_iter().flatten().filter_map(content).find_map(|name| file.id(name));
        named.or_else(|| u32::try_from(in_config.as_ref()?.as_u64()?).ok())
    };
    let bos = id(&names.bos_token, &more.bos_token, &config.text.bos_token_id);
    let eos = id(&names.eos_token, &more.eos_token, &config.text.eos_token_id);
    let named_pad = id(&names.pad_token, &more.pad_token, &None);
    let pad = named_pad
        .or(file.padding.as_ref().map(|padding| padding.pad_id))
        .or(eos)
        .or_else(|| id(&None, &None, &config.text.pad_token_id))
        .unwrap_or(0);
    Ok(TokenIds { bos, eos, pad })
}

fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

impl TokenizerFile<'_> {
    fn id(&self, name: &str) -> Option<u32> {
        let added = self.added_tokens.iter().find(|token| token.content == name).map(|token| token.id);
        added.or_else(|| {
            let model: Model = serde_json::from_str(self.model?.get()).ok()?;
            model.vocab.get(name).copied()
        })
    }
}

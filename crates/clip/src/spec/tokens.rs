//! What the tokenizer's files say: ids of the special tokens, and what is done to texts before they are tokenized.

use std::cell::OnceCell;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::config::{Config, MAX_CONTEXT};
use super::files::{MAX_TOKENIZER, ModelDir};
use crate::error::Result;
use crate::layouts::Layout;
use crate::text::{Cleaning, vocabulary};

/// How the text encoders of a family were trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFamily {
    /// A start and an end token, and padding that the encoder sees where it is not causal.
    Clip,
    /// An end token, and padding that the encoder sees.
    Siglip,
    /// BERT and its kin: a start and an end token, and padding that is masked.
    Masked,
}

/// How a text becomes token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextSpec {
    /// tokenizer.json, or vocab.json where there is none; relative to the model's directory.
    pub file: String,
    /// merges.txt, beside vocab.json.
    pub merges: Option<String>,
    pub family: TextFamily,
    pub cleaning: Cleaning,
    /// `do_lower_case` of tokenizer_config.json, for a normaliser that has such a switch itself.
    pub lower_case: Option<bool>,
    /// Most tokens of a text, start and end included.
    pub context_length: usize,
}

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
    #[serde(skip)]
    vocabulary: OnceCell<HashMap<String, u32>>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// The kind of a tokenizer's model, where the file says it.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type")]
    kind: Option<&'a str>,
}

#[derive(Deserialize)]
struct Padding {
    pad_id: u32,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
}

/// As `Unigram` has it: pieces and their scores, whose places are the ids.
#[derive(Deserialize)]
struct Pieces {
    vocab: Vec<(String, f64)>,
}

/// tokenizer_config.json and special_tokens_map.json: a token is a string or an object with its `content`.
#[derive(Deserialize, Default)]
struct Names {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    model_max_length: Option<Value>,
    bos_token: Option<Value>,
    eos_token: Option<Value>,
    pad_token: Option<Value>,
    cls_token: Option<Value>,
    sep_token: Option<Value>,
}

pub(super) fn read(dir: &ModelDir, config: &Config, layout: &Layout) -> Result<(TokenIds, TextSpec)> {
    let path = |file: &str| format!("{}{file}", layout.text_folder);
    let names: Names = dir.parse_optional(&path("tokenizer_config.json"))?.unwrap_or_default();
    let more: Names = dir.parse_optional(&path("special_tokens_map.json"))?.unwrap_or_default();
    let is_split =
        !dir.exists(&path("tokenizer.json")) && dir.is_file(&path("vocab.json")) && dir.is_file(&path("merges.txt"));
    let name = path(if is_split { "vocab.json" } else { "tokenizer.json" });
    let bytes = dir.read(&name, MAX_TOKENIZER)?;
    let malformed = |error: serde_json::Error| dir.bad(&name, error.to_string());
    let file = if is_split {
        let words: HashMap<String, u32> = serde_json::from_slice(&bytes).map_err(malformed)?;
        let special = [vocabulary::START, vocabulary::END].into_iter();
        let added_tokens =
            special.filter_map(|token| Some(AddedToken { id: *words.get(token)?, content: token.to_owned() }));
        let added_tokens = added_tokens.collect();
        TokenizerFile { added_tokens, padding: None, model: None, vocabulary: words.into() }
    } else {
        serde_json::from_slice(&bytes).map_err(malformed)?
    };

    let named = |tokens: &[&Option<Value>]| {
        tokens.iter().filter_map(|token| content((*token).as_ref()?)).find_map(|name| file.id(name))
    };
    let configured = |token: &Option<Value>| u32::try_from(token.as_ref()?.as_u64()?).ok();
    // BERT's are called otherwise, and where they have no name either, the vocabularies of a family have the same.
    let usual = |names: [&str; 3]| names.iter().find_map(|name| file.id(name));
    let bos = named(&[&names.bos_token, &more.bos_token, &names.cls_token, &more.cls_token])
        .or_else(|| configured(&config.text.bos_token_id))
        .or_else(|| usual([vocabulary::START, "[CLS]", "<s>"]));
    let eos = named(&[&names.eos_token, &more.eos_token, &names.sep_token, &more.sep_token])
        .or_else(|| configured(&config.text.eos_token_id))
        .or_else(|| usual([vocabulary::END, "[SEP]", "</s>"]));
    let is = |id: Option<u32>, name: &str| id.is_some_and(|id| file.is(id, name));
    let family = if config.model_type.starts_with("siglip") {
        TextFamily::Siglip
    } else if is(bos, "[CLS]") || is(bos, "<s>") {
        TextFamily::Masked
    } else if is(bos, vocabulary::START) || !is(eos, "</s>") && !is(eos, "<eos>") {
        TextFamily::Clip
    } else {
        TextFamily::Siglip
    };
    let pad = named(&[&names.pad_token, &more.pad_token])
        .or(file.padding.as_ref().map(|padding| padding.pad_id))
        // CLIP's configurations say a number that no tokenizer of theirs pads with.
        .or_else(|| if family == TextFamily::Clip { eos } else { configured(&config.text.pad_token_id) })
        .or(eos)
        .unwrap_or(0);
    // OpenAI's and open_clip's code, which trained all models with CLIP's vocabulary, fill up with 0. transformers takes the
    // end token, which no causal encoder sees.
    let pad = if is(eos, vocabulary::END) && Some(pad) == eos { 0 } else { pad };

    let positions = config.positions;
    let longest =
        names.model_max_length.as_ref().and_then(Value::as_u64).filter(|length| (3..=MAX_CONTEXT).contains(length));
    let longest = longest.map(|length| length as usize);
    let Some(context_length) = positions.into_iter().chain(longest).min() else {
        return Err(dir.bad("config.json", "text_config.max_position_embeddings is missing"));
    };
    let cleaning = config.cleaning.unwrap_or_else(|| cleaning(&names, &file, family));
    let merges = is_split.then(|| path("merges.txt"));
    let text = TextSpec { file: name, merges, family, cleaning, lower_case: names.do_lower_case, context_length };
    Ok((TokenIds { bos, eos, pad }, text))
}

/// What transformers' tokenizer class does to a text, or the family was trained with. A tokenizer.json may do it, too.
fn cleaning(names: &Names, file: &TokenizerFile, family: TextFamily) -> Cleaning {
    let kind = file.model.and_then(|model| serde_json::from_str::<Kind>(model.get()).ok()?.kind);
    let class = names.tokenizer_class.as_deref().unwrap_or_default();
    let lower = names.do_lower_case;
    match class.strip_suffix("Fast").unwrap_or(class) {
        "SiglipTokenizer" => Cleaning::Siglip { lower: lower.unwrap_or(true) },
        "Siglip2Tokenizer" => Cleaning::Lowercase,
        // SigLIP 1 has SentencePiece's unigrams. SigLIP 2 has Gemma's tokenizer, which keeps capitals, but was trained without.
        _ if family == TextFamily::Siglip && kind == Some("Unigram") => {
            Cleaning::Siglip { lower: lower.unwrap_or(true) }
        }
        _ if family == TextFamily::Siglip => Cleaning::Lowercase,
        _ if lower == Some(true) => Cleaning::Lowercase,
        _ => Cleaning::AsIs,
    }
}

fn content(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

impl TokenizerFile<'_> {
    fn id(&self, name: &str) -> Option<u32> {
        let added = self.added_tokens.iter().find(|token| token.content == name).map(|token| token.id);
        added.or_else(|| self.vocabulary.get_or_init(|| self.read_vocabulary().unwrap_or_default()).get(name).copied())
    }

    /// Without a look into the vocabulary, which takes long, where the id is that of an added token.
    fn is(&self, id: u32, name: &str) -> bool {
        match self.added_tokens.iter().find(|token| token.id == id) {
            Some(token) => token.content == name,
            None => self.id(name) == Some(id),
        }
    }

    fn read_vocabulary(&self) -> Option<HashMap<String, u32>> {
        let model = self.model?.get();
        if let Ok(model) = serde_json::from_str::<Model>(model) {
            return Some(model.vocab);
        }
        let pieces: Pieces = serde_json::from_str(model).ok()?;
        Some(pieces.vocab.into_iter().enumerate().map(|(id, (piece, _))| (piece, id as u32)).collect())
    }
}

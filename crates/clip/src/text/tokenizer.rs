//! Text to token ids, as transformers' tokenizers with `truncation=True, max_length=context_length`.
//!
//! A long text is tokenized part by part, until there are as many tokens as the model reads. Where no place is known at which
//! the tokens of the parts are those of the whole ([`crate::pieces`]), it is tokenized as a whole, which takes about 0.3 to 1.6
//! microseconds per character, or refused where it is too long for that.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{Encoding, NormalizerWrapper, TruncationDirection};

use super::clean::{Cleaning, is_space};
use super::vocabulary;
use crate::error::{Error, Result, shorten};
use crate::pieces::{LONGEST_PART, may_be_cut, next_part};
use crate::spec::{ModelSpec, TextFamily, TokenIds};

/// What happens to a text that has more tokens than the model reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LongText {
    /// The tokens that are too many are left out; the end-of-text token is kept.
    #[default]
    Truncate,
    /// [`Error::TextTooLong`].
    Error,
}

/// The tokenizer of a model. Shared between threads.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    model: String,
    context_length: usize,
    /// Tokens that are put around each text.
    added: usize,
    may_be_cut: bool,
    cleaning: Cleaning,
    /// The token of a word's start by itself, which SigLIP's tokenizer has before a text that begins with white space.
    space: Option<u32>,
}

impl Tokenizer {
    /// Loads tokenizer.json, or CLIP's vocab.json and merges.txt. Padding, truncation and dropout that it may set are
    /// switched off. Where it puts no start and end tokens around a text, and the family has some, they are added.
    ///
    /// # Errors
    /// [`Error::BadModel`] where a file is malformed, leaves no room for a text, or has not the family's start and end tokens.
    pub fn load(spec: &ModelSpec) -> Result<Tokenizer> {
        let file = spec.text.file.as_str();
        let read = |file: &str| {
            crate::spec::read_file(&spec.path.join(file), crate::spec::MAX_TOKENIZER)
                .map_err(|reason| spec.bad(file, reason))
        };
        let bytes = read(file)?;
        let merges = spec.text.merges.as_deref().map(read).transpose()?;
        let bad = |error: &dyn fmt::Display| spec.bad(file, shorten(&error.to_string(), 500));
        let load = || {
            let mut inner = match &merges {
                Some(merges) => vocabulary::clip_tokenizer(&bytes, std::str::from_utf8(merges)?)?,
                None => tokenizers::Tokenizer::from_bytes(&bytes)?,
            };
            inner.with_padding(None);
            inner.with_truncation(None)?;
            // It is for training, and would give a text another vector each time.
            if let ModelWrapper::BPE(model @ BPE { dropout: Some(_), .. }) = inner.get_model() {
                let mut model = model.clone();
                model.dropout = None;
                inner.with_model(model);
            }
            if let (Some(NormalizerWrapper::BertNormalizer(normalizer)), Some(lower)) =
                (inner.get_normalizer(), spec.text.lower_case)
            {
                let mut normalizer = *normalizer;
                normalizer.lowercase = lower;
                inner.with_normalizer(Some(normalizer));
            }
            let mut around = inner.encode_fast("", true)?.get_ids().to_vec();
            if around.is_empty() {
                surround(&mut inner, &spec.tokens)?;
                around = inner.encode_fast("", true)?.get_ids().to_vec();
            }
            check_ends(&around, spec)?;
            Ok((inner, around.len()))
        };
        let (inner, added) = guarded(load).map_err(|reason| bad(&reason))?;
        if added >= spec.context_length {
            return Err(bad(&format!("it adds {added} tokens, the model reads only {}", spec.context_length)));
        }
        let cleaning = spec.text.cleaning;
        let space = matches!(cleaning, Cleaning::Siglip { .. }).then(|| inner.token_to_id("▁")).flatten();
        let model = spec.name.to_string();
        let (context_length, may_be_cut) = (spec.context_length, may_be_cut(&inner));
        Ok(Tokenizer { inner, model, context_length, added, may_be_cut, cleaning, space })
    }

    /// Token ids of a text with its start and end tokens, not padded: 1 to `context_length` of them.
    ///
    /// # Errors
    /// [`Error::TextTooLong`] where `long` asks for it; [`Error::TextTooLarge`] where the first tokens cannot be told without
    /// reading too much; [`Error::Tokenize`] where the tokenizer fails.
    pub fn encode(&self, text: &str, long: LongText) -> Result<Vec<u32>> {
        let failed = |reason: String| Error::Tokenize { model: self.model.clone(), reason: shorten(&reason, 500) };
        if !self.may_be_cut && text.len() > LONGEST_PART {
            return Err(Error::TextTooLarge { bytes: text.len(), max: LONGEST_PART });
        }
        let cleaned = self.cleaning.apply(text);
        // The reference has no token of a start before no text.
        let space = self.space.filter(|_| !text.is_empty() && begins_with_space(text));
        let added = self.added + usize::from(space.is_some());
        let room = self.context_length.saturating_sub(added);
        let (mut rest, mut encoding) = (cleaned.as_ref(), Encoding::default());
        loop {
            let part = if self.may_be_cut { next_part(&mut rest) } else { std::mem::take(&mut rest) };
            if part.len() > LONGEST_PART {
                return Err(Error::TextTooLarge { bytes: part.len(), max: LONGEST_PART });
            }
            let tokens = guarded(|| self.inner.encode_fast(part, false)).map_err(failed)?;
            encoding.merge_with(tokens, false);
            if encoding.len() > room || rest.is_empty() {
                break;
            }
        }
        if encoding.len() > room {
            if long == LongText::Error {
                let (tokens, is_read) = (encoding.len() + added, rest.is_empty());
                return Err(Error::TextTooLong { tokens, is_read, context_length: self.context_length });
            }
            encoding.truncate(room, 0, TruncationDirection::Right);
        }
        let encoding = guarded(|| self.inner.post_process(encoding, None, true)).map_err(failed)?;
        Ok(space.into_iter().chain(encoding.get_ids().iter().copied()).collect())
    }
}

/// Puts start and end tokens around texts.
fn surround(tokenizer: &mut tokenizers::Tokenizer, tokens: &TokenIds) -> tokenizers::Result<()> {
    let named = |id: Option<u32>| id.and_then(|id| Some((tokenizer.id_to_token(id)?, id)));
    let (start, end) = (named(tokens.bos), named(tokens.eos));
    let name = |token: &Option<(String, u32)>| token.as_ref().map(|(name, _)| name.clone());
    let pieces = [name(&start), Some("$A".to_owned()), name(&end)].into_iter().flatten().collect::<Vec<String>>();
    let mut known: Vec<(String, u32)> = [start, end].into_iter().flatten().collect();
    known.dedup();
    let template = TemplateProcessing::builder().try_single(pieces)?.special_tokens(known).build()?;
    tokenizer.with_post_processor(Some(template));
    Ok(())
}

/// The encoder reads a text off at its first or last token: without it, it would answer something else and no error.
fn check_ends(around: &[u32], spec: &ModelSpec) -> tokenizers::Result<()> {
    let (start, end) = (spec.tokens.bos, spec.tokens.eos);
    let wanted = match spec.text.family {
        // SigLIP has no start token; its vocabulary may have one.
        TextFamily::Siglip => end.is_some() && around.last().copied() == end,
        TextFamily::Clip | TextFamily::Masked => {
            start.is_some() && end.is_some() && around.first().copied() == start && around.last().copied() == end
        }
    };
    if wanted { Ok(()) } else { Err("it does not put the model's start and end tokens around a text".into()) }
}

/// Where transformers' `SiglipTokenizer` makes a token of the start of a text.
fn begins_with_space(text: &str) -> bool {
    text.chars().find(|character| !character.is_ascii_punctuation()).is_none_or(is_space)
}

/// The library panics on some files that it does not like, and on texts that some files do not foresee: a bad file costs
/// the requests for its model, not the process.
fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(format!("the tokenizer gave up ({})", said.unwrap_or("panic")))
        }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("model", &self.model).finish_non_exhaustive()
    }
}

//! Text to token ids, as transformers' `CLIPTokenizer` with `truncation=True, max_length=context_length`.
//!
//! A long text is tokenized part by part, until there are as many tokens as the model reads. Where no place is known at which
//! the tokens of the parts are those of the whole ([`crate::pieces`]), it is tokenized as a whole, which takes about 0.3 to 1.6
//! microseconds per character, or refused where it is too long for that.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::{Encoding, TruncationDirection};

use crate::error::{Error, Result, shorten};
use crate::pieces::{LONGEST_PART, may_be_cut, next_part};
use crate::spec::ModelSpec;

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
}

impl Tokenizer {
    /// Loads tokenizer.json. Padding, truncation and dropout that it may set are switched off.
    ///
    /// # Errors
    /// [`Error::BadModel`] where the file is malformed or leaves no room for a text.
    pub fn load(spec: &ModelSpec) -> Result<Tokenizer> {
        const FILE: &str = "tokenizer.json";
        let bytes = crate::spec::read_file(&spec.path.join(FILE), crate::spec::MAX_TOKENIZER)
            .map_err(|reason| spec.bad(FILE, reason))?;
        let bad = |error: &dyn fmt::Display| spec.bad(FILE, shorten(&error.to_string(), 500));
        let load = || {
            let mut inner = tokenizers::Tokenizer::from_bytes(&bytes)?;
            inner.with_padding(None);
            inner.with_truncation(None)?;
            // It is for training, and would give a text another vector each time.
            if let ModelWrapper::BPE(model @ BPE { dropout: Some(_), .. }) = inner.get_model() {
                let mut model = model.clone();
                model.dropout = None;
                inner.with_model(model);
            }
            let added = inner.encode_fast("", true)?.len();
            Ok((inner, added))
        };
        let (inner, added) = guarded(load).map_err(|reason| bad(&reason))?;
        if added >= spec.context_length {
            return Err(bad(&format!("it adds {added} tokens, the model reads only {}", spec.context_length)));
        }
        let may_be_cut = may_be_cut(&inner);
        Ok(Tokenizer { inner, model: spec.name.to_string(), context_length: spec.context_length, added, may_be_cut })
    }

    /// Token ids of a text with its start and end tokens, not padded: 1 to `context_length` of them.
    ///
    /// # Errors
    /// [`Error::TextTooLong`] where `long` asks for it; [`Error::TextTooLarge`] where the first tokens cannot be told without
    /// reading too much; [`Error::Tokenize`] where the tokenizer fails.
    pub fn encode(&self, text: &str, long: LongText) -> Result<Vec<u32>> {
        let failed = |reason: String| Error::Tokenize { model: self.model.clone(), reason: shorten(&reason, 500) };
        let room = self.context_length - self.added;
        let (mut rest, mut encoding) = (text, Encoding::default());
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
                let (tokens, is_read) = (encoding.len() + self.added, rest.is_empty());
                return Err(Error::TextTooLong { tokens, is_read, context_length: self.context_length });
            }
            encoding.truncate(room, 0, TruncationDirection::Right);
        }
        let encoding = guarded(|| self.inner.post_process(encoding, None, true)).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }
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

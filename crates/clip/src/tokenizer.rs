//! Text to token ids, as transformers' `CLIPTokenizer` with `truncation=True, max_length=context_length`.
//!
//! The whole text is tokenized and then cut, since no way to cut it before is right for every tokenizer.json. This takes time
//! in proportion to the text, about 0.3 to 1.6 microseconds per character, also where 400,000 characters have no space
//! between them (the merges of a word are taken from a heap); a test watches it. Bound the bytes of a text before it
//! gets here.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::TruncationDirection;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;

use crate::error::{Error, Result, shorten};
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
        Ok(Tokenizer { inner, model: spec.name.to_string(), context_length: spec.context_length, added })
    }

    /// Token ids of a text with its start and end tokens, not padded: 1 to `context_length` of them.
    ///
    /// # Errors
    /// [`Error::TextTooLong`] where `long` asks for it; [`Error::Tokenize`] where the tokenizer fails.
    pub fn encode(&self, text: &str, long: LongText) -> Result<Vec<u32>> {
        let failed = |reason: String| Error::Tokenize { model: self.model.clone(), reason: shorten(&reason, 500) };
        let mut encoding = guarded(|| self.inner.encode_fast(text, false)).map_err(failed)?;
        let tokens = encoding.len() + self.added;
        if tokens > self.context_length {
            if long == LongText::Error {
                return Err(Error::TextTooLong { tokens, context_length: self.context_length });
            }
            encoding.truncate(self.context_length - self.added, 0, TruncationDirection::Right);
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

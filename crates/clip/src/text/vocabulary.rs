//! vocab.json and merges.txt, where there is no tokenizer.json: CLIP's own tokenizer.

use std::collections::HashMap;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

/// How CLIP cuts a text into words; what is between them is left out.
const WORDS: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The start and end tokens of CLIP's vocabulary.
pub(crate) const START: &str = "<|startoftext|>";
pub(crate) const END: &str = "<|endoftext|>";

/// What transformers' `CLIPTokenizer` is made of, from the contents of the two files; without the tokens around a text.
pub(crate) fn clip_tokenizer(vocabulary: &[u8], merges: &str) -> tokenizers::Result<Tokenizer> {
    let vocabulary: HashMap<String, u32> = serde_json::from_slice(vocabulary)?;
    for token in [START, END] {
        if !vocabulary.contains_key(token) {
            return Err(format!("vocab.json has no {token}").into());
        }
    }
    let merges = merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty()).map(pair);
    let merges = merges.collect::<tokenizers::Result<Vec<_>>>()?;
    let model = BPE::builder()
        .vocab_and_merges(vocabulary.into_iter().collect::<ahash::AHashMap<_, _>>(), merges)
        .unk_token(END.to_owned())
        .end_of_word_suffix("</w>".to_owned())
        .continuing_subword_prefix(String::new())
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ")?;
    tokenizer.with_normalizer(Some(Normalizers::new(vec![
        NormalizerWrapper::from(NFC),
        NormalizerWrapper::from(spaces),
        NormalizerWrapper::from(Lowercase),
    ])));
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true)?;
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![
        PreTokenizerWrapper::from(words),
        PreTokenizerWrapper::from(ByteLevel::new(false, true, true)),
    ])));
    tokenizer.add_special_tokens(&[START, END].map(|token| AddedToken::from(token, true).normalized(false)));
    Ok(tokenizer)
}

fn pair(line: &str) -> tokenizers::Result<(String, String)> {
    let (first, second) = line.split_once(' ').ok_or("merges.txt has a line that is not two parts")?;
    Ok((first.to_owned(), second.to_owned()))
}

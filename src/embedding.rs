//! Embedding from SQL's side: sizes are checked, the memo is asked, and what it does not know goes to the server.

use crate::errors::{Error, Result};
use crate::memo::{self, Key, Modality};
use crate::{client, settings};
use protocol::{Embedding, Items};
use std::rc::Rc;

/// Bytes of items after which an array is sent in a further request.
const REQUEST_BYTES: usize = 64 << 20;
/// Items after which an array is sent in a further request: each has the whole of `clip_search.request_timeout`.
const REQUEST_ITEMS: usize = 256;
/// Longest text in bytes. A model reads 77 tokens of it; the tokenizer has to look at all of it.
const TEXT_BYTES: usize = 1 << 20;

/// One item: an encoded image, or a text in UTF-8.
pub type Input = Vec<u8>;

/// The embedding of one item, remembered for the next call.
///
/// # Errors
/// What is wrong with the item, and all that can happen on the way to the server.
pub fn of_one(model: &str, modality: Modality, input: Input) -> Result<Rc<[f32]>> {
    check_size(&input, modality)?;
    let key = Key::new(model, modality, &input);
    client::forget_if_lost();
    if let Some(known) = memo::get(&key) {
        return Ok(known);
    }
    let mut answers = client::embed(model.to_owned(), items(vec![input], modality))?;
    let embedding: Rc<[f32]> = answers.pop().expect("one answer for one item").map_err(Error::Server)?.into();
    memo::put(key, Rc::clone(&embedding));
    Ok(embedding)
}

/// The embeddings of many texts.
///
/// # Errors
/// [`Error::Element`] for the first text that cannot be embedded; otherwise as [`of_one`].
pub fn of_texts(model: &str, texts: impl Iterator<Item = String>) -> Result<Vec<Embedding>> {
    of_all(model, Modality::Text, texts.map(String::into_bytes))
}

/// The embeddings of items, all of which have to have one.
///
/// # Errors
/// As [`of_texts`].
pub fn of_all(model: &str, modality: Modality, inputs: impl Iterator<Item = Input>) -> Result<Vec<Embedding>> {
    Ok(of_many(model, modality, inputs.map(Some), Err)?.into_iter().flatten().collect())
}

/// The embeddings of many items, in as few requests as memory and time-outs allow; `None` where there is no item. What
/// cannot be embedded is given to `failed` as [`Error::Element`], which returns the error that is to end it all, or
/// nothing to go on with `None` in that place.
///
/// # Errors
/// What `failed` returns; otherwise as [`of_one`].
pub fn of_many(
    model: &str,
    modality: Modality,
    inputs: impl Iterator<Item = Option<Input>>,
    failed: impl Fn(Error) -> Result<()>,
) -> Result<Vec<Option<Embedding>>> {
    let mut pending =
        Pending { model, modality, failed, results: Vec::new(), indexes: Vec::new(), inputs: Vec::new(), bytes: 0 };
    for input in inputs {
        pending.push(input)?;
    }
    pending.flush()?;
    Ok(pending.results)
}

/// The items that wait to be sent.
struct Pending<'a, F> {
    model: &'a str,
    modality: Modality,
    failed: F,
    results: Vec<Option<Embedding>>,
    indexes: Vec<usize>,
    inputs: Vec<Input>,
    bytes: usize,
}

impl<F: Fn(Error) -> Result<()>> Pending<'_, F> {
    fn push(&mut self, input: Option<Input>) -> Result<()> {
        self.results.push(None);
        let Some(input) = input else { return Ok(()) };
        if let Err(error) = check_size(&input, self.modality) {
            return (self.failed)(error.of_element(self.results.len()));
        }
        if self.bytes + input.len() > REQUEST_BYTES || self.inputs.len() == REQUEST_ITEMS {
            self.flush()?;
        }
        self.bytes += input.len();
        self.indexes.push(self.results.len() - 1);
        self.inputs.push(input);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.inputs.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let inputs = std::mem::take(&mut self.inputs);
        let answers = client::embed(self.model.to_owned(), items(inputs, self.modality))?;
        for (index, answer) in std::mem::take(&mut self.indexes).into_iter().zip(answers) {
            match answer {
                Ok(embedding) => self.results[index] = Some(embedding),
                Err(failure) => (self.failed)(Error::Server(failure).of_element(index + 1))?,
            }
        }
        Ok(())
    }
}

/// Items of a request; texts are in UTF-8.
pub fn items(inputs: Vec<Input>, modality: Modality) -> Items {
    match modality {
        Modality::Image => Items::Images(inputs.into_iter().map(Into::into).collect()),
        Modality::Text => Items::Texts(
            inputs.into_iter().map(|text| String::from_utf8(text).expect("converted to UTF-8 by Postgres")).collect(),
        ),
    }
}

/// Fails where an image is longer than `clip_search.max_image_bytes`.
///
/// # Errors
/// [`Error::ImageTooLarge`].
pub fn check_image_size(bytes: usize) -> Result<()> {
    let max = settings::max_image_bytes();
    if bytes > max { Err(Error::ImageTooLarge { bytes, max }) } else { Ok(()) }
}

/// Fails where a text is longer than any model reads.
///
/// # Errors
/// [`Error::TextTooLarge`].
pub fn check_text_size(bytes: usize) -> Result<()> {
    if bytes > TEXT_BYTES { Err(Error::TextTooLarge { bytes, max: TEXT_BYTES }) } else { Ok(()) }
}

/// Fails where an item is too long.
///
/// # Errors
/// As [`check_image_size`] and [`check_text_size`].
pub fn check_size(input: &Input, modality: Modality) -> Result<()> {
    match modality {
        Modality::Image => check_image_size(input.len()),
        Modality::Text => check_text_size(input.len()),
    }
}

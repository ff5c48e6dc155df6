//! The items of one call in one batch, and their way into the memo.

use super::slots::{evaluate, value};
use crate::client::{Deadline, Pending};
use crate::errors::{Error, Result};
use crate::memo::{self, Key, Modality};
use crate::{embedding, settings, text};
use pgrx::pg_sys::{self, Datum, ExprContext, ExprState, TupleTableSlot};
use protocol::{ErrorClass, Failure};
use std::collections::HashSet;

/// A call whose vectors are got in batches.
pub struct EmbedCall {
    /// What is embedded.
    pub modality: Modality,
    /// The child's column that has it, counted from 1.
    pub column: usize,
    /// The model, if it is not the session's.
    pub model: Option<*mut ExprState>,
}

impl EmbedCall {
    /// A request of this call, for one batch.
    ///
    /// # Safety
    /// The expression context of the node, whose memory for one row is free to use.
    pub unsafe fn request(&self, context: *mut ExprContext) -> Request {
        let model = match self.model {
            None => Some(settings::model()),
            // SAFETY: an expression without variables, of type text.
            Some(expression) => unsafe { evaluate(expression, context) }.and_then(|name| {
                // SAFETY: as above.
                let name = text::try_to_utf8(unsafe { text::bytes_of(name) })?;
                String::from_utf8(name).ok()
            }),
        };
        Request {
            modality: self.modality,
            column: self.column,
            model,
            keys: Vec::new(),
            inputs: Vec::new(),
            sent: None,
        }
    }
}

/// The items of one call, in one request.
pub struct Request {
    modality: Modality,
    column: usize,
    /// None where it is NULL: the call is STRICT then.
    model: Option<String>,
    /// Those of the inputs.
    keys: Vec<Key>,
    inputs: Vec<Vec<u8>>,
    /// What was sent, and the memo's generation then.
    sent: Option<(Result<Pending>, u64)>,
}

/// What came of a request, from good to bad.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Nothing was sent.
    Unasked,
    /// There is an answer to each item, be it that it cannot be embedded.
    Complete,
    /// There is none, and fewer items would have none, either.
    Missing,
    /// It was too much for the time that a request may take, or for the server's memory.
    TooMuch,
}

impl Request {
    /// Adds the item of a row, unless the memo or the batch has it; how many bytes that takes.
    ///
    /// # Safety
    /// A row in which the column is of type bytea or text.
    pub unsafe fn push(&mut self, row: *mut TupleTableSlot, items: &mut HashSet<Key>) -> usize {
        // SAFETY: by the caller's promise.
        let input = unsafe { value(row, self.column).and_then(|value| input(self.modality, value)) };
        let (Some(input), Some(model)) = (input, &self.model) else { return 0 };
        let key = Key::new(model, self.modality, &input);
        if !items.insert(key) || memo::get(&key).is_some() {
            return 0;
        }
        // The message is a copy; its answer takes some thousand bytes.
        let bytes = 4096 + 2 * input.len();
        self.keys.push(key);
        self.inputs.push(input);
        bytes
    }

    /// Sends the items; whether there are any.
    pub fn send(&mut self, deadline: &Deadline) -> bool {
        let Some(model) = self.model.take().filter(|_| !self.inputs.is_empty()) else { return false };
        let items = embedding::items(std::mem::take(&mut self.inputs), self.modality);
        // What goes wrong here goes wrong for each row, too, and is raised there.
        let pending = Pending::begin(model, items, deadline);
        self.sent = Some((pending, memo::generation()));
        true
    }

    /// Waits for the answers, and has the memo remember them.
    pub fn wait(&mut self, deadline: &mut Deadline) -> Answer {
        let Some((pending, generation)) = self.sent.take() else { return Answer::Unasked };
        let answers = match pending.and_then(|pending| pending.wait(deadline)) {
            Ok(answers) => answers,
            Err(Error::NoAnswer { .. } | Error::RequestTooLong { .. }) => return Answer::TooMuch,
            Err(Error::Server(failure)) if is_out_of_memory(&failure) => return Answer::TooMuch,
            Err(_) => return Answer::Missing,
        };
        // Another server might give other vectors.
        let is_memorable = generation == memo::generation();
        let mut answer = Answer::Complete;
        for (key, result) in self.keys.drain(..).zip(answers) {
            match result {
                // Of two runs of the model the last digits may differ: equal items keep the vector that the backend has.
                Ok(vector) if is_memorable && memo::get(&key).is_none() => memo::put(key, vector.into()),
                Err(failure) if is_out_of_memory(&failure) => answer = Answer::TooMuch,
                Ok(_) | Err(_) => {}
            }
        }
        answer
    }
}

fn is_out_of_memory(failure: &Failure) -> bool {
    failure.class == ErrorClass::OutOfMemory
}

/// What is sent of a value; nothing where the call would refuse it, which it shall do itself.
unsafe fn input(modality: Modality, value: Datum) -> Option<Vec<u8>> {
    // SAFETY: a bytea or text, of which the length is known before it is read.
    unsafe {
        let bytes = pg_sys::toast_raw_datum_size(value) - pg_sys::VARHDRSZ;
        match modality {
            Modality::Image => embedding::check_image_size(bytes).ok().map(|()| text::bytes_of(value)),
            Modality::Text => {
                embedding::check_text_size(bytes).ok()?;
                let text = text::try_to_utf8(text::bytes_of(value))?;
                embedding::check_text_size(text.len()).ok().map(|()| text)
            }
        }
    }
}

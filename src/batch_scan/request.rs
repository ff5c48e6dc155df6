//! The requests that embed a batch's items.

use super::slots::evaluate;
use crate::client::{Deadline, Pending};
use crate::errors::{Error, Result};
use crate::memo::{self, Key, Modality};
use crate::{embedding, settings, text};
use pgrx::pg_sys::{self, Datum, ExprContext, ExprState};
use protocol::{Embedding, ErrorClass, Failure};
use std::collections::HashMap;
use std::rc::Rc;

/// A call whose vectors are got in batches.
pub struct Embedded {
    /// What is embedded.
    pub modality: Modality,
    /// The child's column that has it, counted from 1.
    pub column: usize,
    /// The model, if it is not the session's.
    pub model: Option<*mut ExprState>,
}

impl Embedded {
    /// A request of this call, for one batch.
    ///
    /// # Safety
    /// The expression context of the node, whose memory for one row is free to use.
    pub unsafe fn request(&self, context: *mut ExprContext) -> Request {
        let model = match self.model {
            None => Model::Session(settings::model()),
            // SAFETY: an expression without variables, of type text.
            Some(expression) => match unsafe { evaluate(expression, context) } {
                None => Model::Null,
                Some(name) => {
                    // SAFETY: as above.
                    let name = text::try_to_utf8(unsafe { crate::functions::bytes_of(name) });
                    // The server has no model of no name, and the call says what is wrong with the one it was given.
                    Model::Named(name.and_then(|name| String::from_utf8(name).ok()).unwrap_or_default())
                }
            },
        };
        Request::new(self.modality, model)
    }
}

/// The items of one call, in one request.
pub struct Request {
    modality: Modality,
    model: Model,
    loaded_at: i64,
    /// As of when it is sent.
    generation: u64,
    /// Whether its vectors may be remembered, as far as was known when it was sent.
    is_memorable: bool,
    /// Items by their number: each once, for a column may have few different values.
    numbers: HashMap<Key, usize>,
    /// For each row, the number of its item, where it has one.
    rows: Vec<Option<usize>>,
    /// For each item.
    vectors: Vec<Option<Rc<[f32]>>>,
    /// Those that the session does not remember.
    inputs: Vec<Vec<u8>>,
    asked: Vec<(usize, Key)>,
    pending: Option<Result<Pending>>,
}

/// The model that a call names.
enum Model {
    /// None, and so the session's, whatever that is when the row's turn comes. This is its name now.
    Session(String),
    /// This one.
    Named(String),
    /// NULL, and so is what the call gives.
    Null,
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
    /// One without items.
    fn new(modality: Modality, model: Model) -> Self {
        Self {
            modality,
            model,
            loaded_at: settings::loaded_at(),
            generation: 0,
            is_memorable: false,
            numbers: HashMap::new(),
            rows: Vec::new(),
            vectors: Vec::new(),
            inputs: Vec::new(),
            asked: Vec::new(),
            pending: None,
        }
    }

    /// Adds a row, with the value that is to be embedded of it; how many bytes that takes.
    ///
    /// # Safety
    /// A bytea or text.
    pub unsafe fn push(&mut self, value: Option<Datum>) -> usize {
        // SAFETY: by the caller's promise.
        let input = value.and_then(|value| unsafe { input(self.modality, value) });
        let (Some(input), Some(model)) = (input, self.model.name()) else {
            self.rows.push(None);
            return 0;
        };
        let key = Key::new(model, self.modality, &input);
        let next = self.vectors.len();
        let number = *self.numbers.entry(key).or_insert(next);
        self.rows.push(Some(number));
        if number < next {
            return 0;
        }
        let known = memo::get(&key);
        // The message is a copy; its answer takes some thousand bytes.
        let mut bytes = 4096;
        if known.is_none() {
            bytes += 2 * input.len();
            self.asked.push((number, key));
            self.inputs.push(input);
        }
        self.vectors.push(known);
        bytes
    }

    /// Sends the items; whether there are any.
    pub fn send(&mut self, deadline: &Deadline) -> bool {
        self.numbers = HashMap::new();
        let Some(model) = self.model.name().filter(|_| !self.inputs.is_empty()) else { return false };
        let items = embedding::items(std::mem::take(&mut self.inputs), self.modality);
        self.is_memorable = !settings::may_be_on_its_way();
        // What goes wrong here goes wrong for each row, too, and is raised there.
        self.pending = Some(Pending::begin(model.to_owned(), items, deadline));
        self.generation = memo::generation();
        true
    }

    /// Whether the server did not even take it in time.
    pub fn is_late(&self) -> bool {
        matches!(self.pending, Some(Err(Error::NoAnswer { .. })))
    }

    /// Waits for the answers.
    pub fn wait(&mut self, deadline: &mut Deadline) -> Answer {
        let answers = match self.pending.take().map(|pending| pending.and_then(|pending| pending.wait(deadline))) {
            Some(Ok(answers)) => answers,
            None => return Answer::Unasked,
            Some(Err(Error::NoAnswer { .. } | Error::RequestTooLong { .. })) => return Answer::TooMuch,
            Some(Err(Error::Server(failure))) if is_out_of_memory(&failure) => return Answer::TooMuch,
            Some(Err(_)) => return Answer::Missing,
        };
        // Another server, or other settings, might give other vectors.
        let is_memorable = self.is_memorable && self.generation == memo::generation();
        let mut answer = Answer::Complete;
        for ((number, key), result) in std::mem::take(&mut self.asked).into_iter().zip(answers) {
            match result {
                Ok(vector) => {
                    self.vectors[number] = Some(if is_memorable { remember(key, vector) } else { vector.into() })
                }
                Err(failure) if is_out_of_memory(&failure) => answer = Answer::TooMuch,
                Err(_) => {}
            }
        }
        answer
    }

    /// The vector of a row, if there is one that holds.
    pub fn vector(&self, row: usize) -> Option<&[f32]> {
        self.vectors.get(self.rows[row]?)?.as_deref().filter(|_| self.is_current())
    }

    /// Whether the call would still be made with this model and these settings.
    fn is_current(&self) -> bool {
        let is_the_same = match &self.model {
            Model::Session(name) => *name == settings::model(),
            Model::Named(_) | Model::Null => true,
        };
        is_the_same && self.loaded_at == settings::loaded_at()
    }
}

impl Model {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Session(name) | Self::Named(name) => Some(name),
            Self::Null => None,
        }
    }
}

/// The vector, or the one that this session has seen of an equal item: of two runs of the model the last digits may differ.
fn remember(key: Key, vector: Embedding) -> Rc<[f32]> {
    memo::get(&key).unwrap_or_else(|| {
        let vector: Rc<[f32]> = vector.into();
        memo::put(key, Rc::clone(&vector));
        vector
    })
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
            Modality::Image => embedding::check_image_size(bytes).ok().map(|()| crate::functions::bytes_of(value)),
            Modality::Text => {
                embedding::check_text_size(bytes).ok()?;
                let text = text::try_to_utf8(crate::functions::bytes_of(value))?;
                embedding::check_text_size(text.len()).ok().map(|()| text)
            }
        }
    }
}

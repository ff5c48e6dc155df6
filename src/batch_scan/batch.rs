//! Rows that were read ahead, and the requests that embed their items.

use super::slots::{copy, value};
use crate::client::Pending;
use crate::memo::{Key, Modality};
use crate::{embedding, settings, text};
use pgrx::pg_sys::{self, Datum, MemoryContext, MinimalTuple, TupleTableSlot};
use protocol::Embedding;
use std::collections::HashMap;

/// A row, as the node below gave it.
pub struct Row {
    /// In the batch's memory.
    pub tuple: MinimalTuple,
    /// Where it is in its table, for WHERE CURRENT OF.
    pub place: pg_sys::ItemPointerData,
}

/// The items of one call, in one request.
pub struct Request {
    modality: Modality,
    model: String,
    /// Whether the call has the session's model, whatever that is when the row's turn comes.
    is_session_model: bool,
    loaded_at: i64,
    /// Each once: a column may have few different values.
    inputs: Vec<Vec<u8>>,
    numbers: HashMap<Key, usize>,
    /// For each row, the number of its input, where it has one.
    rows: Vec<Option<usize>>,
    pending: Option<Pending>,
    /// For each input.
    vectors: Vec<Option<Embedding>>,
}

impl Request {
    /// `None` is the session's model.
    pub fn new(modality: Modality, model: Option<String>) -> Self {
        Self {
            modality,
            is_session_model: model.is_none(),
            model: model.unwrap_or_else(settings::model),
            loaded_at: settings::loaded_at(),
            inputs: Vec::new(),
            numbers: HashMap::new(),
            rows: Vec::new(),
            pending: None,
            vectors: Vec::new(),
        }
    }

    /// Adds a row, with what is to be embedded of it; how many bytes that takes.
    fn push(&mut self, input: Option<Vec<u8>>) -> usize {
        let Some(input) = input else {
            self.rows.push(None);
            return 0;
        };
        let next = self.inputs.len();
        let number = *self.numbers.entry(Key::new(&self.model, self.modality, &input)).or_insert(next);
        self.rows.push(Some(number));
        if number < next {
            return 0;
        }
        // The message is a copy; its answer takes some thousand bytes.
        let bytes = 2 * input.len() + 4096;
        self.inputs.push(input);
        bytes
    }

    fn send(&mut self) -> bool {
        self.numbers = HashMap::new();
        if self.inputs.is_empty() {
            return false;
        }
        let items = embedding::items(std::mem::take(&mut self.inputs), self.modality);
        // What goes wrong here goes wrong for each row, too, and is raised there.
        self.pending = Pending::begin(self.model.clone(), items).ok();
        true
    }

    /// Whether there is an answer to each item, be it that it cannot be embedded.
    fn wait(&mut self) -> bool {
        if self.rows.iter().all(Option::is_none) {
            return true;
        }
        let Some(Ok(answers)) = self.pending.take().map(Pending::wait) else { return false };
        self.vectors = answers.into_iter().map(Result::ok).collect();
        true
    }

    /// The vector of a row, if there is one that holds.
    fn vector(&self, row: usize) -> Option<&Embedding> {
        self.vectors.get(self.rows[row]?)?.as_ref().filter(|_| self.is_current())
    }

    /// Whether the call would still be made with this model and these settings.
    fn is_current(&self) -> bool {
        self.loaded_at == settings::loaded_at() && (!self.is_session_model || self.model == settings::model())
    }
}

/// Rows in the order in which they were read.
pub struct Batch {
    context: MemoryContext,
    rows: Vec<Row>,
    requests: Vec<Request>,
    /// Rows that were handed on.
    position: usize,
    bytes: usize,
}

impl Batch {
    /// An empty one, whose memory belongs to the current context.
    pub fn new(requests: Vec<Request>) -> Self {
        // SAFETY: makes a context.
        let context = unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"ClipEmbed batch".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        };
        Self { context, rows: Vec::new(), requests, position: 0, bytes: 0 }
    }

    /// Adds a row, of which each request embeds the value of its column.
    ///
    /// # Safety
    /// A row of the node below, in which the columns are of type bytea or text.
    pub unsafe fn push(
        &mut self,
        slot: *mut TupleTableSlot,
        columns: impl Iterator<Item = usize>,
        place: pg_sys::ItemPointerData,
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            for (request, column) in self.requests.iter_mut().zip(columns) {
                let value = value(slot, column);
                self.bytes += request.push(value.and_then(|value| input(request.modality, value)));
            }
            let outer = pg_sys::MemoryContextSwitchTo(self.context);
            let tuple = copy(slot);
            pg_sys::MemoryContextSwitchTo(outer);
            self.bytes += (*tuple).t_len as usize + size_of::<Row>();
            self.rows.push(Row { tuple, place });
        }
    }

    /// Rows that were added.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Rows that were not handed on.
    pub fn left(&self) -> usize {
        self.rows.len() - self.position
    }

    /// Memory that it takes, its message included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sends what is to be embedded; whether there is anything.
    pub fn send(&mut self) -> bool {
        // Each of them, and not only until the first.
        self.requests.iter_mut().map(Request::send).filter(|sent| *sent).count() > 0
    }

    /// Waits for the answers; whether there are any.
    pub fn wait(&mut self) -> bool {
        self.requests.iter_mut().map(Request::wait).filter(|answered| !answered).count() == 0
    }

    /// The next row, with its number.
    pub fn next(&mut self) -> Option<(usize, &Row)> {
        let number = self.position;
        let row = self.rows.get(number)?;
        self.position += 1;
        Some((number, row))
    }

    /// The vectors of a row, as far as there are any that hold.
    pub fn vectors(&self, row: usize) -> impl Iterator<Item = Option<&Embedding>> {
        self.requests.iter().map(move |request| request.vector(row))
    }

    /// Frees its rows.
    ///
    /// # Safety
    /// No slot may point to a row any more. Where the query ends by an error, its memory goes with the query's.
    pub unsafe fn free(self) {
        // SAFETY: made by `new`.
        unsafe { pg_sys::MemoryContextDelete(self.context) };
    }
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

//! Items on their way to the server and back: while the rows of one batch are written, the next is being embedded.

use crate::client::{Deadline, Pending};
use crate::embedding::{self, Input};
use crate::errors::{Error, Result};
use crate::memo::Modality;
use protocol::Embedding;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Batches that are sent before the first of them is answered.
const AHEAD: usize = 2;
/// Rows of the first batch; how many follow depends on how long it takes.
const FIRST: usize = 16;
/// Most rows of a batch.
const MOST: usize = 256;
/// A batch that takes less is followed by a larger one, one that takes three times as long by a smaller one.
const AIM: Duration = Duration::from_millis(250);

/// Where rows come from, and where their embeddings go to.
pub trait Rows {
    /// What identifies a row.
    type Row;

    /// The next rows, at most so many, each with what is to be embedded or why it cannot be; none where there are none.
    ///
    /// # Errors
    /// What ends the whole.
    fn next(&mut self, most: usize) -> Result<Vec<(Self::Row, Result<Input>)>>;

    /// Takes what came of them.
    ///
    /// # Errors
    /// What ends the whole.
    fn done(&mut self, rows: Vec<(Self::Row, Result<Embedding>)>) -> Result<()>;
}

/// How large batches are; kept from one transaction to the next.
pub struct Pace(usize);

impl Pace {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self(FIRST)
    }

    fn learn(&mut self, rows: usize, took: Duration) {
        if took > AIM * 3 {
            self.0 = (self.0 / 2).max(1);
        } else if took < AIM && rows == self.0 {
            self.0 = (self.0 * 2).min(MOST);
        }
    }
}

/// Embeds rows until there are none.
///
/// # Errors
/// Those of `rows`, and what concerns a request as a whole: no such model, no server.
pub fn run<R: Rows>(model: &str, modality: Modality, pace: &mut Pace, rows: &mut R) -> Result<()> {
    let mut flights = VecDeque::new();
    let mut landed = None;
    let mut ended = false;
    loop {
        while !ended && flights.len() < AHEAD {
            let next = rows.next(pace.0)?;
            ended = next.is_empty();
            if !ended {
                flights.push_back(Flight::begin(model, modality, next)?);
            }
        }
        // Written when the next is on its way, so that the server has work meanwhile.
        if let Some(answered) = landed.take() {
            rows.done(answered)?;
        }
        let Some(flight) = flights.pop_front() else { return Ok(()) };
        let (count, began) = (flight.rows.len(), flight.began);
        landed = Some(flight.land()?);
        pace.learn(count, began.elapsed() / (flights.len() as u32 + 1));
    }
}

/// Rows that the server is asked about.
struct Flight<R> {
    /// With an error: was not sent.
    rows: Vec<(R, Option<Error>)>,
    pending: Option<Pending>,
    began: Instant,
}

impl<R> Flight<R> {
    fn begin(model: &str, modality: Modality, next: Vec<(R, Result<Input>)>) -> Result<Self> {
        let mut rows = Vec::with_capacity(next.len());
        let mut inputs = Vec::with_capacity(next.len());
        for (row, input) in next {
            match input.and_then(|input| embedding::check_size(&input, modality).map(|()| input)) {
                Ok(input) => {
                    inputs.push(input);
                    rows.push((row, None));
                }
                Err(error) => rows.push((row, Some(error))),
            }
        }
        let pending = if inputs.is_empty() {
            None
        } else {
            Some(Pending::begin(model.to_owned(), embedding::items(inputs, modality), &Deadline::of_request())?)
        };
        Ok(Self { rows, pending, began: Instant::now() })
    }

    fn land(self) -> Result<Vec<(R, Result<Embedding>)>> {
        let mut answers =
            self.pending.map_or(Ok(Vec::new()), |pending| pending.wait(&mut Deadline::of_request()))?.into_iter();
        let mut result = |unsent: Option<Error>| match unsent {
            Some(error) => Err(error),
            None => answers.next().expect("one answer for one item").map_err(Error::Server),
        };
        Ok(self.rows.into_iter().map(|(row, unsent)| (row, result(unsent))).collect())
    }
}

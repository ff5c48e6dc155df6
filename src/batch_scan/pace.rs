//! How many rows a batch has: few where few may be asked for, and fewer after one that was too much.

use super::request::Answer;

/// Full batches that have to be answered before larger ones are tried again. Each one that is too much costs the time of
/// a request, so it takes twice as many after each.
const PATIENCE: u32 = 4;

/// The sizes of one node's batches.
pub struct Pace {
    /// Rows of the next one.
    size: usize,
    /// Most rows at the moment.
    most: usize,
    /// Most rows at any time.
    pub max_rows: usize,
    answered: u32,
    needed: u32,
    /// Whether the server has answered a batch. As long as it has not, it may be one that answers nothing, which is not to
    /// be waited for more often than need be.
    pub is_served: bool,
}

impl Pace {
    /// Of a node that has read nothing yet.
    pub fn new(max_rows: usize, at_once: bool) -> Self {
        let mut pace = Self { size: 1, most: max_rows, max_rows, answered: 0, needed: PATIENCE, is_served: false };
        pace.start(at_once);
        pace
    }

    /// Begins with a full batch, or with a single row.
    pub fn start(&mut self, at_once: bool) {
        self.size = if at_once { self.most } else { 1 };
    }

    /// Rows of the next batch. Who asks for few rows causes few to be read: each batch has twice as many as the one before.
    pub fn step(&mut self) -> usize {
        let size = self.size;
        self.size = (size * 2).min(self.most);
        size
    }

    /// Whether the next batch is as large as they become.
    pub fn is_full(&self) -> bool {
        self.size == self.most
    }

    /// What came of a batch of so many rows.
    pub fn learn(&mut self, rows: usize, answer: Answer) {
        self.is_served |= answer == Answer::Complete;
        match answer {
            // Each row has a request of its own, now.
            Answer::TooMuch => {
                self.most = (rows / 2).max(1);
                self.size = 1;
                self.answered = 0;
                self.needed = self.needed.saturating_mul(2);
            }
            Answer::Unasked | Answer::Complete if rows >= self.most && self.most < self.max_rows => {
                self.answered += 1;
                if self.answered == self.needed {
                    self.answered = 0;
                    self.most = (self.most * 2).min(self.max_rows);
                }
            }
            _ => {}
        }
    }
}

//! How many rows a batch has: few where few may be asked for, and fewer after one that was too much.

use super::MOST_ROWS;
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
    answered: u32,
    needed: u32,
    /// Whether the server has answered at all.
    is_served: bool,
}

impl Pace {
    /// Of a node that has read nothing yet.
    pub fn new() -> Self {
        Self { size: 1, most: MOST_ROWS, answered: 0, needed: PATIENCE, is_served: false }
    }

    /// Begins with a batch of so many rows at most.
    pub fn start(&mut self, rows: usize) {
        self.size = rows.clamp(1, self.most);
    }

    /// Rows of the next batch. Who asks for few rows causes few to be read: each batch has twice as many as the one before.
    pub fn step(&mut self) -> usize {
        let size = self.size;
        self.size = (size * 2).min(self.most);
        size
    }

    /// Whether the server has answered a batch. As long as it has not, it may be one that answers nothing, which is not to
    /// be waited for more often than need be.
    pub fn is_served(&self) -> bool {
        self.is_served
    }

    /// Rows of the next batch, if there are no larger ones.
    pub fn full(&self) -> Option<usize> {
        (self.size == self.most).then_some(self.size)
    }

    /// What came of a batch of so many rows.
    pub fn learn(&mut self, rows: usize, answer: Answer) {
        self.is_served |= answer == Answer::Complete;
        match answer {
            Answer::Unasked | Answer::Complete => self.answered(rows),
            // Each row has a request of its own, now.
            Answer::TooMuch => self.too_much(rows),
            Answer::Missing => {}
        }
    }

    /// A batch of so many rows was answered.
    fn answered(&mut self, rows: usize) {
        if rows < self.most || self.most == MOST_ROWS {
            return;
        }
        self.answered += 1;
        if self.answered == self.needed {
            self.answered = 0;
            self.most = (self.most * 2).min(MOST_ROWS);
        }
    }

    /// A batch of so many rows was more than the server could do in time, or had memory for.
    fn too_much(&mut self, rows: usize) {
        self.most = (rows / 2).max(1);
        self.size = 1;
        self.answered = 0;
        self.needed = self.needed.saturating_mul(2);
    }
}

//! A row on its way: its source, and what becomes of it.

use super::failures::{Failures, is_the_rows_fault};
use super::pipeline::Rows;
use super::rows::{Hash, Locked, Statements, hash};
use super::target::{Kind, Target};
use crate::embedding::Input;
use crate::errors::Result;
use crate::spi::Connection;
use crate::text::{self, bytes_of};
use protocol::Embedding;
use std::collections::VecDeque;

/// Bytes of sources in one request, but for the last.
pub const REQUEST_BYTES: usize = 16 << 20;

/// A row that is being embedded.
pub struct Candidate {
    /// The row.
    pub row: Locked,
    /// Its key as JSON.
    pub key: String,
    /// Of the source.
    pub source: Hash,
    /// The picture at its URL, where it is kept.
    pub picture: Option<Vec<u8>>,
}

impl Candidate {
    /// The row and its source, which is not NULL; an error where that is a text that is not UTF-8.
    pub fn of(row: Locked, kind: Kind) -> (Self, Result<Input>) {
        // SAFETY: `Target` found the column to be bytea or text.
        let bytes = unsafe { bytes_of(row.source().expect("not NULL")) };
        let input = if kind == Kind::Image { Ok(bytes) } else { text::checked(bytes) };
        // As `convert_to(…, 'UTF8')` has it.
        let source = input.as_ref().map_or([0; 32], |input| hash(input));
        (Self { row, key: row.key(), source, picture: None }, input)
    }

    /// Writes what came of it; false where that is a failure. Then the embedding of something else is taken away, if
    /// `clears`.
    ///
    /// # Errors
    /// What is not the row's fault.
    pub fn settle(
        &self,
        connection: &Connection,
        target: &Target,
        statements: &Statements,
        failures: &mut Failures,
        result: Result<Embedding>,
        clears: bool,
    ) -> Result<bool> {
        match result {
            Ok(embedding) => {
                let provenance = format!("{} {}", target.origin, hexadecimal(&self.source));
                statements.write(connection, &self.row, &embedding, &provenance, self.picture.as_deref())?;
                failures.forget(connection, &self.row, &self.key);
                Ok(true)
            }
            Err(error) if is_the_rows_fault(&error) => {
                failures.record(connection, &self.row, &self.key, &self.source, error);
                if clears {
                    statements.clear(connection, &self.row);
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn hexadecimal(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Some rows that are known beforehand: the way of the queue.
pub struct Known<'a> {
    /// Where statements run.
    pub connection: &'a Connection,
    /// Table and columns.
    pub target: &'a Target,
    /// Its statements.
    pub statements: &'a Statements,
    /// Its failures.
    pub failures: Failures,
    /// Those that are not sent yet.
    pub rows: VecDeque<Locked>,
}

impl Rows for Known<'_> {
    type Row = Candidate;

    fn next(&mut self, most: usize) -> Result<Vec<(Candidate, Result<Input>)>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < REQUEST_BYTES && batch.len() < most {
            let Some(row) = self.rows.pop_front() else { break };
            let (candidate, input) = Candidate::of(row, self.target.kind);
            bytes += input.as_ref().map_or(0, Vec::len);
            batch.push((candidate, input));
        }
        Ok(batch)
    }

    fn done(&mut self, rows: Vec<(Candidate, Result<Embedding>)>) -> Result<()> {
        for (candidate, result) in rows {
            candidate.settle(self.connection, self.target, self.statements, &mut self.failures, result, true)?;
        }
        Ok(())
    }
}

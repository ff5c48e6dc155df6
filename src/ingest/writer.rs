//! What was answered → rows and failures.

use super::candidate::Candidate;
use super::failures::{Failures, Fault, is_the_rows_fault};
use super::rows::Statements;
use super::target::Target;
use crate::errors::{Raised, Result, TableError, or_raise};
use crate::spi::Connection;
use crate::subtransaction::attempt;
use protocol::Embedding;

/// What became of a row.
pub enum Outcome {
    /// It has its embedding.
    Embedded,
    /// There is none; `clip_embed_errors` says why.
    Failed,
    /// It could not be written, by whoever's fault.
    Refused(Raised),
}

/// Writes what the server has answered.
pub struct Writer<'a> {
    /// Where statements run.
    pub connection: &'a Connection,
    /// Table and columns.
    pub target: &'a Target,
    /// Its statements.
    pub statements: &'a Statements,
    /// Its failures.
    pub failures: &'a mut Failures,
    /// Whether the embedding of something else is taken away where there is no new one.
    pub clears: bool,
    /// What ends the whole, beside a cancel.
    pub is_fatal: fn(&Raised) -> bool,
}

impl Writer<'_> {
    /// Writes the rows together; where that cannot be, each for itself.
    ///
    /// # Errors
    /// What is not the fault of a row.
    pub fn write(&mut self, rows: Vec<(Candidate, Result<Embedding>)>) -> Result<Vec<(Candidate, Outcome)>> {
        let mut answers = Vec::with_capacity(rows.len());
        for (candidate, result) in rows {
            let answer = match result {
                Ok(embedding) => Ok(embedding),
                Err(error) if is_the_rows_fault(&error) => Err(Fault::of(error)),
                Err(error) => return Err(error),
            };
            answers.push((candidate, answer));
        }
        let is_fatal = self.is_fatal;
        let put_all = |writer: &mut Self| answers.iter().map(|(row, answer)| writer.put(row, answer)).collect();
        if let Ok(outcomes) = attempt(is_fatal, || put_all(self)) {
            let outcomes: Vec<Outcome> = outcomes;
            return Ok(answers.into_iter().map(|(row, _)| row).zip(outcomes).collect());
        }
        let put_one = |(row, answer): (Candidate, Result<Embedding, Fault>)| {
            let outcome = attempt(is_fatal, || self.put(&row, &answer)).unwrap_or_else(Outcome::Refused);
            (row, outcome)
        };
        Ok(answers.into_iter().map(put_one).collect())
    }

    /// Raises where it cannot.
    fn put(&mut self, row: &Candidate, answer: &Result<Embedding, Fault>) -> Outcome {
        let Self { connection, target, statements, failures, .. } = self;
        let fault = match answer {
            Ok(embedding) => {
                let (provenance, image) = (row.provenance(target), row.image.as_deref());
                let written = statements.write(connection, target, &row.row, embedding, &provenance, image);
                if or_raise(written) {
                    failures.forget(connection, row.row.table(), &row.key);
                    return Outcome::Embedded;
                }
                // Not for this source and for ever: somebody may mend the trigger.
                &Fault { is_permanent: false, ..Fault::of(TableError::NotStored.into()) }
            }
            Err(fault) => fault,
        };
        if self.clears {
            or_raise(statements.clear(connection, target, &row.row));
        }
        failures.record(connection, &row.row, &row.key, &row.source, fault);
        Outcome::Failed
    }
}

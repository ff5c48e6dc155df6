//! Rows of entries on their way to the server and back. They are not locked while they are embedded: whoever uploads the
//! next picture does not wait. What was changed meanwhile is left for another look.

use super::queue::Queued;
use crate::embedding::Input;
use crate::errors::{Raised, Result};
use crate::ingest::{Candidate, Failures, Found, REQUEST_BYTES, Rows, Settled, Statements, Target, Writer};
use crate::spi::Connection;
use protocol::Embedding;
use std::collections::{HashSet, VecDeque};

/// Entries of one row.
pub type Group = Vec<Queued>;

/// What became of entries; those of which nothing is said are done with.
#[derive(Default)]
pub struct Results {
    /// Their rows are locked, or have changed.
    pub again: Vec<i64>,
    /// Their rows could not be written.
    pub refused: Vec<(Group, Raised)>,
}

/// The rows of some entries.
pub struct QueuedRows<'a> {
    /// Where statements run.
    pub connection: &'a Connection,
    /// Table and columns.
    pub target: &'a Target,
    /// Its statements.
    pub statements: &'a Statements,
    /// Its failures.
    pub failures: Failures,
    /// Those that are not sent yet.
    pub waiting: VecDeque<(Group, Found)>,
    /// What is known so far.
    pub results: Results,
}

impl QueuedRows<'_> {
    /// Keeps those that nobody has changed or locked, and locks them.
    fn lock<T>(&mut self, rows: Vec<(Group, T)>, found: impl Fn(&T) -> &Found) -> Vec<(Group, T)> {
        let all: Vec<&Found> = rows.iter().map(|(_, row)| found(row)).collect();
        let locked: HashSet<String> = self.statements.lock(self.connection, self.target, &all).into_iter().collect();
        let (locked, others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(_, row)| locked.contains(&found(row).ctid()));
        self.results.again.extend(others.into_iter().flat_map(|(group, _)| group).map(|entry| entry.id));
        locked
    }

    /// Rows whose source is NULL: what they have is of something else.
    ///
    /// # Errors
    /// None of its own.
    pub fn clear(&mut self, rows: Vec<(Group, Found)>) -> Result<()> {
        for (_, row) in self.lock(rows, |row| row) {
            self.statements.clear(self.connection, self.target, &row)?;
            self.failures.forget(self.connection, row.table(), &row.key());
        }
        Ok(())
    }
}

impl Rows for QueuedRows<'_> {
    type Row = (Group, Candidate);

    fn next(&mut self, most: usize) -> Result<Vec<(Self::Row, Result<Input>)>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < REQUEST_BYTES && batch.len() < most {
            let Some((group, row)) = self.waiting.pop_front() else { break };
            let (candidate, input) = Candidate::of(row, self.target.kind);
            bytes += input.as_ref().map_or(0, Vec::len);
            batch.push(((group, candidate), input));
        }
        Ok(batch)
    }

    fn done(&mut self, rows: Vec<(Self::Row, Result<Embedding>)>) -> Result<()> {
        let rows = rows.into_iter().map(|((group, candidate), result)| (group, (candidate, result))).collect();
        let rows = self.lock(rows, |(candidate, _)| &candidate.row);
        let (groups, rows): (Vec<Group>, Vec<_>) = rows.into_iter().unzip();
        let mut writer = Writer {
            connection: self.connection,
            target: self.target,
            statements: self.statements,
            failures: &mut self.failures,
            clears: true,
            // A row's trigger may raise what it likes; others go on.
            is_fatal: |_| false,
        };
        for (group, (_, settled)) in groups.into_iter().zip(writer.settle(rows)?) {
            match settled {
                Settled::Embedded | Settled::Failed => (),
                Settled::Refused(raised) if raised.is_a_lock() => {
                    self.results.again.extend(group.iter().map(|entry| entry.id));
                }
                Settled::Refused(raised) => self.results.refused.push((group, raised)),
            }
        }
        Ok(())
    }
}

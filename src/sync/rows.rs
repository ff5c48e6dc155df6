//! Rows of entries on their way to the server and back. They are not locked while they are embedded: whoever uploads the
//! next image does not wait. Where the source was changed meanwhile, it is left for another look.

use super::queue::Queued;
use super::timeout;
use crate::embedding::Input;
use crate::errors::{Raised, Result};
use crate::ingest::{Candidate, Failures, Found, Kind, Outcome, REQUEST_BYTES, Rows, Statements, Target, Writer};
use crate::spi::Connection;
use crate::subtransaction::attempt;
use protocol::Embedding;
use std::collections::VecDeque;

/// Entries of one row.
pub type Group = Vec<Queued>;

/// What became of entries; those of which nothing is said are done with.
#[derive(Default)]
pub struct Results {
    /// Their rows are locked, or have changed.
    pub again: Vec<String>,
    /// Their rows could not be written.
    pub refused: Vec<(Group, Raised)>,
    /// Rows that were written.
    pub written: usize,
}

/// The rows of some entries.
pub struct QueuedRows<'a> {
    /// Where statements run.
    pub connection: &'a Connection,
    /// Table and columns.
    pub target: &'a Target,
    /// The table's name, for the log.
    pub name: &'a str,
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
    /// Locks rows as they are by now; `None` for those that are gone, or that others have locked.
    fn lock(&self, groups: &[&Group]) -> Result<Vec<Option<Found>>> {
        let keys: Vec<&str> = groups.iter().map(|group| group[0].key.as_str()).collect();
        let mut locked: Vec<Option<Found>> = groups.iter().map(|_| None).collect();
        let keys = format!("[{}]", keys.join(", "));
        for (place, row) in self.statements.find(self.connection, self.target, &keys, true)? {
            locked[place] = Some(row);
        }
        Ok(locked)
    }

    fn again(&mut self, group: &Group) {
        self.results.again.extend(group.iter().map(|entry| entry.id.clone()));
    }

    fn finish(&mut self, group: Group, outcome: Result<(), Raised>) {
        match outcome {
            Ok(()) => self.results.written += 1,
            Err(raised) => self.results.refused.push((group, raised)),
        }
    }

    /// Rows whose source is NULL: what they have is of something else.
    ///
    /// # Errors
    /// None of its own.
    pub fn clear(&mut self, groups: Vec<Group>) -> Result<()> {
        let _limit = timeout::OfTable::begin(self.name);
        let locked = self.lock(&groups.iter().collect::<Vec<_>>())?;
        for (group, row) in groups.into_iter().zip(locked) {
            let Some(row) = row.filter(|row| row.source().is_none()) else {
                self.again(&group);
                continue;
            };
            let Self { statements, connection, target, failures, .. } = self;
            let cleared = attempt(
                |_| false,
                || {
                    crate::errors::or_raise(statements.clear(connection, target, &row));
                    failures.forget(connection, row.table(), &row.key());
                },
            );
            self.finish(group, cleared);
        }
        Ok(())
    }
}

/// Whether a row still has the source that was embedded.
fn is_as_it_was(row: &Found, candidate: &Candidate, kind: Kind) -> bool {
    row.ctid() == candidate.row.ctid()
        || (row.source().is_some() && Candidate::of(*row, kind).0.source == candidate.source)
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
        let _limit = timeout::OfTable::begin(self.name);
        let locked = self.lock(&rows.iter().map(|((group, _), _)| group).collect::<Vec<_>>())?;
        let (mut groups, mut ready) = (Vec::new(), Vec::new());
        for (((group, candidate), result), now) in rows.into_iter().zip(locked) {
            match now.filter(|now| is_as_it_was(now, &candidate, self.target.kind)) {
                Some(row) => {
                    groups.push(group);
                    ready.push((Candidate { row, ..candidate }, result));
                }
                None => self.again(&group),
            }
        }
        let mut writer = Writer {
            connection: self.connection,
            target: self.target,
            statements: self.statements,
            failures: &mut self.failures,
            clears: true,
            // A row's trigger may raise what it likes; others go on.
            is_fatal: |_| false,
        };
        for (group, (_, outcome)) in groups.into_iter().zip(writer.write(ready)?) {
            let outcome = if let Outcome::Refused(raised) = outcome { Err(raised) } else { Ok(()) };
            self.finish(group, outcome);
        }
        Ok(())
    }
}

//! `clip_embed_table`: passes over a table in the order of its key, in short transactions.

use super::candidate::{Candidate, REQUEST_BYTES};
use super::failures::{Failures, Fault};
use super::forget::Forgetting;
use super::pipeline::{self, Pace, Rows};
use super::progress::Progress;
use super::rows::{Found, Hash, Place, Statements, row_hash};
use super::sql;
use super::target::{Kind, Names, Target};
use super::writer::{Outcome, Writer};
use crate::client;
use crate::embedding::Input;
use crate::errors::{Error, Raised, Result, TableError};
use crate::settings;
use crate::spi::{self, Argument, Connection, Procedure};
use pgrx::pg_sys;
use protocol::Embedding;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// A transaction takes no further rows after so long: they are locked until it ends, and vacuum waits for it.
const TRANSACTION: Duration = Duration::from_secs(2);

/// Most rows that one statement looks at: where most have their embedding, finding the next without could take for ever.
const WINDOW: usize = 20_000;

/// Images that are fetched at a time, at most, and the memory for them if each is as large as it may be.
const FETCHES: (usize, usize) = (16, 512 << 20);

/// What the caller asks for.
pub struct Options {
    /// The table.
    pub table: pg_sys::Oid,
    /// Columns and model.
    pub names: Names,
    /// Most rows of a transaction.
    pub batch_size: usize,
    /// Whether those are tried again that failed before with the same source.
    pub retries: bool,
}

/// Embeds all rows of a table that have no embedding.
///
/// # Errors
/// [`TableError`] before the first row is read; what is not one row's fault after.
pub fn run(options: &Options) -> Result<()> {
    spi::require_writable(c"clip_embed_table");
    let target = Target::check(options.table, &options.names)?;
    let procedure = Procedure::open();
    // The one that the CALL began in has the session's level of isolation.
    procedure.commit();
    let mut backfill = {
        let connection = Connection::open();
        Failures::sweep(&connection);
        Backfill {
            options,
            statements: Statements::default(),
            failures: Failures::begin(&connection, &target),
            progress: Progress::begin(&connection, &target),
            pace: Pace::new(),
            place: None,
            window: Window::Unknown,
            is_at_end: false,
            passes: 0,
            seen: HashSet::new(),
            is_circular: false,
            target,
        }
    };
    procedure.commit();
    if backfill.failures.are_known {
        backfill.forget(&procedure)?;
    }
    backfill.count()?;
    procedure.commit();
    loop {
        let before = backfill.progress.done;
        backfill.pass(&procedure)?;
        // What others had locked may be left. A pass that finds nothing to do is the last; and one that finds what was done
        // already, since somebody takes embeddings away.
        if backfill.progress.done == before || backfill.is_circular {
            break;
        }
    }
    backfill.progress.finish(&Connection::open());
    procedure.end();
    Ok(())
}

struct Backfill<'a> {
    options: &'a Options,
    target: Target,
    statements: Statements,
    failures: Failures,
    progress: Progress,
    pace: Pace,
    /// The last row that was looked at.
    place: Option<Place>,
    /// The row up to which others may be looked at.
    window: Window,
    is_at_end: bool,
    passes: usize,
    /// Hashes of rows that were done after the first pass; they are few.
    seen: HashSet<Hash>,
    is_circular: bool,
}

/// Rows in the order of the key, as many as one statement looks at.
enum Window {
    Unknown,
    To(Place),
    ToTheEnd,
}

impl Backfill<'_> {
    /// Locks the table: what is known of it stays true until the transaction ends. Its name is looked up again, since
    /// another table may have it by now.
    fn lock(&mut self) -> Result<()> {
        // SAFETY: any number may be locked.
        unsafe { pg_sys::LockRelationOid(self.target.table.id, pg_sys::RowExclusiveLock as i32) };
        if self.target.take_name()? {
            self.statements = Statements::default();
        }
        Ok(())
    }

    fn forget(&mut self, procedure: &Procedure) -> Result<()> {
        let mut forgetting = Forgetting::begin(&Connection::open(), &self.target);
        while forgetting.goes_on() {
            self.lock()?;
            forgetting.step(&Connection::open(), &self.target)?;
            procedure.commit();
        }
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        let connection = Connection::open();
        self.lock()?;
        let query = format!(
            "SELECT pg_catalog.count(*), pg_catalog.bool_and({}) IS NOT FALSE FROM {} AS t WHERE {}",
            sql::is_provenance(&self.target),
            self.target.table.name,
            sql::condition(&self.target)
        );
        let arguments = [Argument::long(0), Argument::text(&self.target.origin)];
        let (_, rows) = connection.execute_allowed(&self.target.allowed(), &query, &arguments);
        if !rows[0].is_true(2) {
            return Err(not_provenance(&self.target));
        }
        self.progress.counted(rows[0].number(1).unwrap_or_default());
        self.progress.show(&connection);
        Ok(())
    }

    fn pass(&mut self, procedure: &Procedure) -> Result<()> {
        (self.place, self.window, self.is_at_end) = (None, Window::Unknown, false);
        self.passes += 1;
        while !self.is_at_end {
            {
                let connection = Connection::open();
                self.lock()?;
                let model = self.target.model.clone();
                let modality = self.target.kind.modality();
                let mut pace = std::mem::replace(&mut self.pace, Pace::new());
                let mut transaction = Transaction {
                    backfill: self,
                    connection: &connection,
                    began: Instant::now(),
                    read: 0,
                    waiting: VecDeque::new(),
                };
                pipeline::run(&model, modality, &mut pace, &mut transaction)?;
                self.pace = pace;
                self.progress.show(&connection);
            }
            procedure.commit();
        }
        Ok(())
    }
}

struct Transaction<'a, 'b> {
    backfill: &'a mut Backfill<'b>,
    connection: &'a Connection,
    began: Instant,
    read: usize,
    /// Locked, and too many bytes for the request at hand.
    waiting: VecDeque<Found>,
}

impl Rows for Transaction<'_, '_> {
    type Row = Candidate;

    fn next(&mut self, most: usize) -> Result<Vec<(Candidate, Result<Input>)>> {
        loop {
            if self.waiting.is_empty() && !self.read_more(most)? {
                return Ok(Vec::new());
            }
            let most = if self.backfill.target.kind == Kind::Url { most.min(fetches()) } else { most };
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while bytes < REQUEST_BYTES && batch.len() < most {
                let Some(row) = self.waiting.pop_front() else { break };
                let (candidate, input) = Candidate::of(row, self.backfill.target.kind);
                let failures = &mut self.backfill.failures;
                let retry = self.backfill.options.retries;
                if failures.knows(self.connection, &row, &candidate.key, &candidate.source, retry) {
                    self.backfill.progress.skipped = failures.skipped;
                    continue;
                }
                bytes += input.as_ref().map_or(0, Vec::len);
                batch.push((candidate, input));
            }
            if !batch.is_empty() {
                if self.backfill.target.kind == Kind::Url {
                    self.fetch(&mut batch)?;
                }
                return Ok(batch);
            }
        }
    }

    fn done(&mut self, rows: Vec<(Candidate, Result<Embedding>)>) -> Result<()> {
        let Backfill { statements, failures, progress, target, passes, seen, is_circular, .. } = &mut *self.backfill;
        let (connection, clears) = (self.connection, target.provenance.is_some());
        let mut writer = Writer { connection, target, statements, failures, clears, is_fatal };
        for (candidate, outcome) in writer.write(rows)? {
            match outcome {
                Outcome::Embedded => {
                    progress.done += 1;
                    *is_circular |= *passes > 1 && !seen.insert(row_hash(candidate.row.table(), &candidate.key));
                }
                Outcome::Failed => progress.failed += 1,
                Outcome::Refused(raised) => {
                    let fault = Fault { raised, is_permanent: false };
                    writer.failures.record(connection, &candidate.row, &candidate.key, &candidate.source, &fault);
                    progress.failed += 1;
                }
            }
        }
        Ok(())
    }
}

impl Transaction<'_, '_> {
    /// Locks further rows; false where there are none, or the transaction has enough.
    fn read_more(&mut self, most: usize) -> Result<bool> {
        let most = most.min(self.backfill.options.batch_size.saturating_sub(self.read));
        let Backfill { statements, target, place, window, is_at_end, .. } = &mut *self.backfill;
        while !*is_at_end && most > 0 && self.began.elapsed() <= TRANSACTION {
            if let Window::Unknown = window {
                let end = statements.place(self.connection, target, place.as_ref(), WINDOW)?;
                *window = end.map_or(Window::ToTheEnd, Window::To);
            }
            let end = if let Window::To(end) = &*window { Some(end) } else { None };
            let rows = statements.read(self.connection, target, (place.as_ref(), end), most)?;
            // Since they were counted
            if !rows.iter().all(Found::has_provenance) {
                return Err(not_provenance(target));
            }
            if let Some(last) = rows.last() {
                *place = Some(statements.place_of(last, target));
                self.read += rows.len();
                self.waiting = rows.into();
                return Ok(true);
            }
            match std::mem::replace(window, Window::Unknown) {
                Window::To(end) => *place = Some(end),
                _ => *is_at_end = true,
            }
        }
        Ok(false)
    }

    /// Puts the images in the place of their URLs.
    fn fetch(&self, batch: &mut [(Candidate, Result<Input>)]) -> Result<()> {
        let (mut urls, mut places) = (Vec::new(), Vec::new());
        for (place, (_, input)) in batch.iter().enumerate() {
            if let Ok(url) = input {
                urls.push(String::from_utf8(url.clone()).expect("checked"));
                places.push(place);
            }
        }
        if urls.is_empty() {
            return Ok(());
        }
        let keeps = self.backfill.target.image.is_some();
        client::fetch(&urls, false, |index, result| {
            let (candidate, input) = &mut batch[places[index]];
            *input = result.map(|image| image.bytes.into_vec()).map_err(Error::Server);
            candidate.image = input.as_ref().ok().filter(|_| keeps).cloned();
        })
    }
}

fn not_provenance(target: &Target) -> Error {
    let column = target.provenance.as_ref().map_or_else(String::new, |column| column.name.clone());
    TableError::NotProvenance { table: target.table.name.clone(), column }.into()
}

/// What is the matter with more than a row.
fn is_fatal(raised: &Raised) -> bool {
    raised.is_general() || raised.is_of_another_table()
}

/// How many images are fetched at a time.
fn fetches() -> usize {
    (FETCHES.1 / settings::max_image_bytes().max(1)).clamp(1, FETCHES.0)
}

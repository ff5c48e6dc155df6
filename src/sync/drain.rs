//! Entries of the queue → embeddings in their rows.
//!
//! Two transactions. In the first, the worker chooses entries and notes that it tries them. All else is in the second:
//! entries are locked; as the table's owner, their rows are embedded and written; and the entries are removed, and the note.
//! Whatever ends this process, the entries are there as before, and the note says which of them were tried.

use super::probe;
use super::queue::{Queue, Queued, Task};
use super::rows::{Group, QueuedRows, Results};
use super::turns::Turns;
use super::{table, timeout};
use crate::errors::{Error, Raised, Result, TableError, or_raise};
use crate::ingest::{self, Failures, Found, OwnersRights, Pace, Statements, Target};
use crate::memo::Modality;
use crate::spi::Connection;
use crate::subtransaction::attempt;
use pgrx::pg_sys::Oid;
use protocol::{ErrorClass, Failure};
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

/// Most entries of one transaction.
pub const MOST: usize = 32;

/// What there is to do.
pub enum Choice {
    /// Entries.
    Batch(Batch),
    /// No entries whose time has come.
    NothingToDo,
    /// The extension is not installed in this database.
    NoExtension,
}

/// Entries that are about to be worked on.
pub struct Batch {
    task: Task,
    /// Those of the entries.
    ids: Vec<String>,
    /// That of the note.
    attempt: String,
}

impl Batch {
    /// The table.
    pub fn table(&self) -> Oid {
        self.task.table
    }
}

/// What an error is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// One of the entries, perhaps.
    Entry,
    /// The table, its columns or the model.
    Task,
    /// No server can be had for anything.
    Everything,
    /// The server is of another release than this process's library.
    Release,
}

/// What was at hand when an error ended a step.
#[derive(Default)]
pub struct Buffered {
    task: Option<Task>,
    entries: Vec<Queued>,
    /// What they were about to be embedded as.
    modality: Option<Modality>,
    /// By the kind of error, where it is one of ours.
    cause: Option<FailureCause>,
}

impl Buffered {
    /// Whose fault an error is.
    pub fn cause(&self, raised: &Raised) -> FailureCause {
        match self.cause {
            Some(cause) => cause,
            None if self.task.is_none() => FailureCause::Everything,
            None if raised.is_a_lock() || self.entries.is_empty() => FailureCause::Task,
            // It took too long, of whatever kind it was: tried for ever, it would take others' time again and again.
            None if raised.is_cancel() => FailureCause::Entry,
            // Before a row is on its way, a key that cannot be read is an entry's, and a policy, say, is not.
            None if self.modality.is_none() && !raised.is_about_data() => FailureCause::Task,
            None => FailureCause::Entry,
        }
    }

    /// How many entries were taken.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Chooses entries, at most so many of a table, and notes the attempt. No code of a table runs here.
pub fn choose(turns: &mut Turns, most: impl Fn(Oid) -> usize) -> Choice {
    let connection = Connection::open();
    let Some(queue) = Queue::open(&connection) else { return Choice::NoExtension };
    let Some((task, ids)) = turns.next(&queue, most) else { return Choice::NothingToDo };
    let attempt = queue.begin_attempt(&ids);
    Choice::Batch(Batch { task, ids, attempt })
}

/// Embeds the rows of the entries; false where there was nothing to do for it. Raises where it cannot; see [`after`].
pub fn step(batch: &Batch, buffered: &mut Buffered, turns: &mut Turns) -> bool {
    let connection = Connection::open();
    let Some(queue) = Queue::open(&connection) else { return false };
    let settings = Queue::by_index();
    if !queue.end_attempt(&batch.attempt) {
        return false;
    }
    let task = batch.task.clone();
    buffered.task = Some(task.clone());
    if !table::lock(task.table) {
        turns.hold(&task, queue.put_off(&batch.ids, "the table is locked by another session"));
        return true;
    }
    // Later, within the commit, it would be the error of all entries.
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE", &[]);
    let entries = queue.lock(&batch.ids);
    drop(settings);
    if entries.is_empty() {
        return false;
    }
    buffered.entries.clone_from(&entries);
    let results = work(&connection, &task, &entries, &mut buffered.modality);
    buffered.cause = results.as_ref().err().map(cause);
    let results = or_raise(results);
    // No row could be written, for want of disk or memory, as all of them say.
    let is_general = results.written == 0 && results.refused.iter().all(|(_, raised)| raised.is_general());
    for (group, raised) in &results.refused {
        pgrx::log!("clip_search: a queued row was not embedded: {} ({})", raised.message, raised.state());
        if is_general {
            turns.hold(&task, queue.put_off(&ids(group), &raised.message));
        } else {
            queue.failed(&task, group, raised);
        }
    }
    queue.look_again(&results.again);
    let refused: Vec<&String> = results.refused.iter().flat_map(|(group, _)| group).map(|entry| &entry.id).collect();
    let is_done = |id: &String| !results.again.contains(id) && !refused.contains(&id);
    let done: Vec<String> = entries.into_iter().map(|entry| entry.id).filter(is_done).collect();
    queue.remove(&done);
    true
}

/// After an error that ended a step, nobody's in particular: takes back the note.
pub fn forget(batch: &Batch) {
    let connection = Connection::open();
    if let Some(queue) = Queue::open(&connection) {
        queue.end_attempt(&batch.attempt);
    }
}

/// What the worker before this one has not finished was an attempt, perhaps one that has ended it.
pub fn recover(turns: &mut Turns) {
    let connection = Connection::open();
    let Some(queue) = Queue::open(&connection) else { return };
    for (task, entries) in queue.unfinished() {
        let error = TableError::Unfinished { table: task.name.clone() };
        pgrx::log!("clip_search: {} queued rows were not embedded: {error}", entries.len());
        let raised = Raised::from(Error::from(error));
        queue.failed(&task, &entries, &raised);
        turns.hold(&task, queue.put_off(&ids(&entries), &raised.message));
    }
}

fn ids(entries: &[Queued]) -> Vec<String> {
    entries.iter().map(|entry| entry.id.clone()).collect()
}

/// After an error that ended a step: what it is about is tried again later.
pub fn after(batch: &Batch, buffered: &Buffered, cause: FailureCause, raised: &Raised, turns: &mut Turns) {
    let connection = Connection::open();
    let (Some(queue), Some(task)) = (Queue::open(&connection), &buffered.task) else { return };
    queue.end_attempt(&batch.attempt);
    let put_off = |turns: &mut Turns| turns.hold(task, queue.put_off(&batch.ids, &raised.message));
    match (cause, buffered.cause, buffered.modality) {
        // The server could not, and cannot embed anything else with this model.
        (FailureCause::Entry, Some(_), modality)
            if !modality.is_some_and(|modality| probe::is_well(&task.model, modality)) =>
        {
            put_off(turns);
        }
        (FailureCause::Entry, ours, _) => {
            let given_up = queue.failed(task, &buffered.entries, raised);
            if ours.is_some() && !given_up.is_empty() {
                // What they have is of another image. Where that cannot be, they keep it.
                let _ = attempt(|_| false, || or_raise(clear(&connection, task, given_up)));
            }
            if raised.is_cancel() {
                // Others do not wait as long for the next of them.
                put_off(turns);
            }
        }
        (FailureCause::Task, ..) => put_off(turns),
        (FailureCause::Everything | FailureCause::Release, ..) => queue.note(&buffered.entries, &raised.message),
    }
}

/// Whether nobody is writing to the queue, and nothing is in it; see [`Queue::is_quiet`].
pub fn is_quiet() -> bool {
    let connection = Connection::open();
    Queue::open(&connection).is_none_or(|queue| queue.is_quiet())
}

fn cause(error: &Error) -> FailureCause {
    match error {
        // What ends a server, or keeps it busy for ever, may be an image.
        Error::Lost { .. } | Error::NoAnswer { .. } | Error::RequestTooLong { .. } => FailureCause::Entry,
        Error::Server(Failure { class: ErrorClass::OutOfMemory | ErrorClass::Internal, .. }) => FailureCause::Entry,
        Error::Server(Failure { class: ErrorClass::Busy | ErrorClass::TooManyConnections, .. })
        | Error::NotStarted { .. }
        | Error::CannotStart { .. }
        | Error::NoWorkerSlot
        | Error::NoSupervisor
        | Error::File { .. } => FailureCause::Everything,
        Error::Mismatch { .. } => FailureCause::Release,
        _ => FailureCause::Task,
    }
}

fn work(connection: &Connection, task: &Task, entries: &[Queued], modality: &mut Option<Modality>) -> Result<Results> {
    // The table is gone, and so is what was to be done.
    let Some(owner) = table::owner(task.table) else { return Ok(Results::default()) };
    let _rights = OwnersRights::begin(owner);
    let target = Target::check(task.table, &task.names())?;
    let statements = Statements::default();
    let (keys, groups) = by_key(entries);
    let limit = timeout::OfTable::begin(&task.name);
    let failures = Failures::begin(connection, &target);
    let strange = statements.strange_keys(connection, &target, &keys);
    let mut found: Vec<_> = groups.iter().map(|_| None).collect();
    for (place, row) in statements.find(connection, &target, &keys, false)? {
        found[place] = Some(row);
    }
    let (mut waiting, mut without) = (Vec::<(Group, Found)>::new(), Vec::new());
    let (mut places, mut results) = (HashMap::new(), Results::default());
    for (place, (group, row)) in groups.into_iter().zip(found).enumerate() {
        match row {
            Some(row) if row.source().is_some() => match places.entry(row.ctid()) {
                Place::Vacant(place) => {
                    place.insert(waiting.len());
                    waiting.push((group, row));
                }
                // The same key in another spelling.
                Place::Occupied(place) => waiting[*place.get()].0.extend(group),
            },
            Some(_) => without.push(group),
            None if strange.contains(&place) => {
                let why = Error::from(TableError::KeyChanged { table: target.table.name.clone() });
                results.refused.push((group, why.into()));
            }
            // Its row is gone.
            None => failures.forget(connection, task.table, &group[0].key),
        }
    }
    drop(limit);
    *modality = Some(target.kind.modality());
    let mut rows = QueuedRows {
        connection,
        target: &target,
        name: &task.name,
        statements: &statements,
        failures,
        waiting: waiting.into(),
        results,
    };
    rows.clear(without)?;
    ingest::embed(&target.model, target.kind.modality(), &mut Pace::new(), &mut rows)?;
    Ok(rows.results)
}

/// Takes away the embeddings of rows that are given up.
fn clear(connection: &Connection, task: &Task, given_up: Vec<Queued>) -> Result<()> {
    let Some(owner) = table::owner(task.table).filter(|_| table::lock(task.table)) else { return Ok(()) };
    let _rights = OwnersRights::begin(owner);
    let target = Target::check(task.table, &task.names())?;
    let statements = Statements::default();
    let (keys, _) = by_key(&given_up);
    let _limit = timeout::OfTable::begin(&task.name);
    for (_, row) in statements.find(connection, &target, &keys, true)? {
        statements.clear(connection, &target, &row)?;
    }
    Ok(())
}

/// The keys as a JSON array, each once, and the entries of each.
fn by_key(entries: &[Queued]) -> (String, Vec<Group>) {
    let (mut places, mut groups) = (HashMap::new(), Vec::<Group>::new());
    for entry in entries {
        let place = *places.entry(&entry.key).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(entry.clone());
    }
    let keys: Vec<&str> = groups.iter().map(|group| group[0].key.as_str()).collect();
    (format!("[{}]", keys.join(", ")), groups)
}

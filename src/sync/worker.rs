//! The background worker's loop.

use super::drain::{self, Batch, Buffered, Choice, FailureCause};
use super::launch::{self, Reason, WorkerLock};
use super::timeout;
use super::turns::Turns;
use crate::errors::{Raised, Watch};
use crate::spi::{KEYS_AS_TEXT, setting};
use crate::{compat, wait_event};
use pgrx::PgTryBuilder;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::pg_sys::{self, panic::CaughtError};
use std::collections::HashMap;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Between two looks at an empty queue, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A worker that was started for an upload ends when there was nothing to do for so long.
/// DROP DATABASE waits for five seconds.
const LINGER: Duration = Duration::from_secs(2);
/// How long to wait for the lock: somebody may be looking whether it is held.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same, of one that takes the place of a worker that was ended: that one may hold it a little longer.
const SUCCESSORS_PATIENCE: Duration = Duration::from_secs(10);
/// The longest wait after a failure that concerns all entries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The wait before a worker makes way for another because of the server's release. A preloaded library stays what it is.
const RELEASE_PAUSE: Duration = Duration::from_secs(5);

/// A setting of Citus, where that is preloaded.
const SHOWS_SHARDS: &CStr = c"citus.override_table_visibility";

/// Entry point of the background worker. The argument is the database's OID.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn clip_search_worker_main(argument: pg_sys::Datum) {
    timeout::install_die();
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(pg_sys::Oid::from(argument.value() as u32)), None);
    prepare_session();
    timeout::register();
    run(Reason::of_this_worker());
}

fn run(reason: Reason) {
    let began = Instant::now();
    while !transaction(None, WorkerLock::hold).unwrap_or(false) {
        // Somebody who looks holds it for a moment, too; another worker holds it for good.
        let is_successor = reason == Reason::Succession;
        let is_another = !is_successor && transaction(None, WorkerLock::is_held).unwrap_or(true);
        let patience = if is_successor { SUCCESSORS_PATIENCE } else { PATIENCE };
        if is_another || began.elapsed() > patience {
            return;
        }
        sleep(PAUSES.1 / 10);
    }
    let mut linger = if reason == Reason::Look { Duration::ZERO } else { LINGER };
    let (mut idle_since, mut pause) = (Instant::now(), PAUSES.0);
    // After a failure that may be one entry's, a table's are taken one by one until as many are done as were taken together.
    let mut alone = HashMap::<pg_sys::Oid, usize>::new();
    let (mut turns, mut failures) = (Turns::default(), 0_u32);
    if let Err(raised) = transaction(None, || drain::recover(&mut turns)) {
        pgrx::log!("clip_search: could not look for unfinished entries: {} ({})", raised.message, raised.state());
    }
    loop {
        let (mut batch, mut buffered) = (None, Buffered::default());
        match step(&mut turns, &mut alone, &mut batch, &mut buffered) {
            Ok(Outcome::Worked) => {
                (idle_since, pause) = (Instant::now(), PAUSES.0);
                (failures, linger) = (0, LINGER);
            }
            Ok(Outcome::Locked) => sleep(PAUSES.0),
            Ok(Outcome::NothingToDo) => {
                alone.clear();
                if idle_since.elapsed() >= linger && transaction(None, may_end).unwrap_or(false) {
                    return;
                }
                sleep(pause);
                pause = (pause * 2).min(PAUSES.1);
            }
            Ok(Outcome::NoExtension) => return,
            Err(raised) => {
                idle_since = Instant::now();
                pgrx::log!("clip_search: a queued row was not embedded: {} ({})", raised.message, raised.state());
                let cause = buffered.cause(&raised);
                let is_over = match &batch {
                    // What took too long is not tried again at once, not even alone: others wait.
                    Some(batch) if cause == FailureCause::Entry && buffered.len() > 1 && !raised.is_cancel() => {
                        alone.insert(batch.table(), drain::MOST);
                        sleep(PAUSES.0);
                        transaction(None, || drain::forget(batch))
                    }
                    Some(batch) => transaction(Some(timeout::of_a_request()), || {
                        drain::after(batch, &buffered, cause, &raised, &mut turns);
                    }),
                    None => Ok(()),
                };
                // After an upgrade: a successor loads the library that is installed now.
                if cause == FailureCause::Release {
                    sleep(RELEASE_PAUSE);
                    launch::succeed();
                    return;
                }
                if is_over.is_err() || cause == FailureCause::Everything {
                    failures += 1;
                    sleep((PAUSES.1 * 2_u32.pow(failures.min(6))).min(LONGEST_PAUSE));
                }
            }
        }
        take_settings();
        let (is_database_locked, is_held) =
            transaction(None, || (launch::is_database_locked(), WorkerLock::hold())).unwrap_or((false, true));
        // Who drops the database waits for five seconds. Where it is not dropped after all, the successor goes on.
        if is_database_locked {
            launch::succeed();
            return;
        }
        // Whatever a table's trigger has done to it.
        if !is_held {
            return;
        }
    }
}

/// What came of a step.
enum Outcome {
    /// Entries were worked on; there may be more.
    Worked,
    /// Somebody else has locked them.
    Locked,
    NothingToDo,
    NoExtension,
}

/// Chooses entries and works on them.
fn step(
    turns: &mut Turns,
    alone: &mut HashMap<pg_sys::Oid, usize>,
    batch: &mut Option<Batch>,
    buffered: &mut Buffered,
) -> Result<Outcome, Raised> {
    let most = |table| if alone.contains_key(&table) { 1 } else { drain::MOST };
    let batch = match transaction(Some(timeout::of_a_request()), || drain::choose(turns, most))? {
        Choice::Batch(chosen) => batch.insert(chosen),
        Choice::NothingToDo => return Ok(Outcome::NothingToDo),
        Choice::NoExtension => return Ok(Outcome::NoExtension),
    };
    if !transaction(Some(timeout::of_a_request()), || drain::step(batch, buffered, turns))? {
        return Ok(Outcome::Locked);
    }
    if let Some(left) = alone.get_mut(&batch.table()) {
        *left -= 1;
        if *left == 0 {
            alone.remove(&batch.table());
        }
    }
    Ok(Outcome::Worked)
}

/// Whether nobody is writing to the queue, and nothing is in it; then the lock is given back.
fn may_end() -> bool {
    drain::is_quiet() && {
        WorkerLock::let_go();
        true
    }
}

/// What the database or its roles may set otherwise, and a worker cannot work with.
fn prepare_session() {
    for (name, value) in [
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_isolation", c"read committed"),
        (c"default_transaction_deferrable", c"off"),
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"statement_timeout", c"0"),
        (c"lock_timeout", c"0"),
        (c"idle_in_transaction_session_timeout", c"0"),
        // Whoever may create triggers could have the owner run what they like, who has not asked for these updates. Now
        // only those are fired that the owner has enabled ALWAYS, as where logical replication applies changes.
        (c"session_replication_role", c"replica"),
    ]
    .into_iter()
    .chain(compat::NEW_TIMEOUTS.iter().map(|name| (*name, c"0")))
    .chain(KEYS_AS_TEXT)
    // Citus hides its shards from pg_class in background workers, unless told otherwise.
    .chain(setting(SHOWS_SHARDS).map(|_| (SHOWS_SHARDS, c"off")))
    {
        let (context, source) = (pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
        // SAFETY: NUL-terminated strings, which are copied.
        unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), context, source) };
    }
}

/// Runs something in a transaction, which is rolled back where it fails or takes longer than it may.
fn transaction<T>(limit: Option<Duration>, body: impl FnOnce() -> T) -> Result<T, Raised> {
    let body = AssertUnwindSafe(body);
    let attempt = || {
        let _watch = Watch::begin();
        // SAFETY: a transaction of this worker's own, with a snapshot for what is read in it.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        if let Some(limit) = limit {
            timeout::begin(limit);
        }
        let AssertUnwindSafe(body) = body;
        let value = body();
        timeout::end();
        // SAFETY: ends what was begun above; and autovacuum gets to know of it.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
            pg_sys::pgstat_report_stat(false);
        }
        Ok(value)
    };
    let failed = |error: CaughtError| {
        timeout::end();
        // SAFETY: as after any error in a backend's main loop.
        unsafe { pg_sys::AbortCurrentTransaction() };
        Err(Raised::from(&error))
    };
    PgTryBuilder::new(AssertUnwindSafe(attempt)).catch_others(failed).execute()
}

fn sleep(time: Duration) {
    timeout::sleep(time, wait_event::worker());
}

fn take_settings() {
    if BackgroundWorker::sighup_received() {
        // SAFETY: the worker's own reaction to SIGHUP, outside of any transaction.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
}

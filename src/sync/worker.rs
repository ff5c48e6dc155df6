//! The background worker's loop.

use super::drain::{self, Outcome};
use super::launch::{Hold, Presence};
use crate::wait_event;
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::pg_sys::{self, panic::CaughtError};
use pgrx::{PgSqlErrorCode, PgTryBuilder};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Between two looks at an empty queue, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A worker that was started for an upload ends when there was nothing to do for so long.
const LINGER: Duration = Duration::from_secs(5);
/// How long to wait for the lock: somebody may be looking whether it is held.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest wait after a failure that concerns all entries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

unsafe extern "C-unwind" {
    /// Postgres's own handler, which sets flags and the latch; not pgrx's wrapper, which is no handler.
    fn die(signal: i32);
}

/// Entry point of the background worker. The argument is the database's OID; the static worker's database is named.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn clip_search_worker_main(argument: pg_sys::Datum) {
    // SAFETY: installs the handler that makes CHECK_FOR_INTERRUPTS end the process, before signals are let in.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(libc::SIGTERM, Some(die));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(libc::SIGTERM, Some(die));
    }
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    let is_static = argument.value() == 0;
    if is_static {
        BackgroundWorker::connect_worker_to_spi(Some(BackgroundWorker::get_extra()), None);
    } else {
        BackgroundWorker::connect_worker_to_spi_by_oid(Some(pg_sys::Oid::from(argument.value() as u32)), None);
    }
    run(is_static);
}

fn run(is_static: bool) {
    let began = Instant::now();
    while !transaction(|| Presence::try_hold(Hold::Worker)).unwrap_or(false) {
        // Somebody who looks holds it for a moment, too; another worker holds it for good.
        let is_another = transaction(Presence::is_held).unwrap_or(true);
        if !is_static && (is_another || began.elapsed() > PATIENCE) {
            return;
        }
        sleep(PAUSES.1 / 10);
    }
    let (mut idle_since, mut pause) = (Instant::now(), PAUSES.0);
    // After a failure, entries are taken one by one until as many are done as were taken together.
    let mut alone = 0_usize;
    let mut failures = 0_u32;
    loop {
        let most = if alone > 0 { 1 } else { drain::MOST };
        match transaction(|| drain::step(most)) {
            Ok(Outcome::Worked) => {
                (idle_since, pause) = (Instant::now(), PAUSES.0);
                alone = alone.saturating_sub(1);
                failures = 0;
            }
            Ok(Outcome::NothingToDo) => {
                alone = 0;
                if !is_static && idle_since.elapsed() > LINGER && transaction(may_end).unwrap_or(false) {
                    return;
                }
                sleep(pause);
                pause = (pause * 2).min(PAUSES.1);
            }
            Ok(Outcome::NoExtension) if is_static => sleep(LONGEST_PAUSE),
            Ok(Outcome::NoExtension) => return,
            Err(failure) if most > 1 && !failure.is_for_all() => alone = drain::MOST,
            Err(failure) => {
                idle_since = Instant::now();
                pgrx::log!("clip_search: a queued row was not embedded: {} ({})", failure.message, failure.state());
                if failure.is_for_all() {
                    failures += 1;
                    sleep((PAUSES.1 * 2_u32.pow(failures.min(6))).min(LONGEST_PAUSE));
                } else if transaction(|| drain::put_off(&failure)).is_err() {
                    sleep(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Whether nobody is writing to the queue, and nothing is in it; then the lock is given back.
fn may_end() -> bool {
    drain::is_quiet() && {
        Presence::let_go(Hold::Worker);
        true
    }
}

/// What ended a transaction.
pub struct Failure {
    /// SQLSTATE.
    pub code: PgSqlErrorCode,
    /// As in the server log.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// The five characters.
    pub fn state(&self) -> String {
        crate::errors::sqlstate_text(self.code)
    }

    /// Whether it has nothing to do with the entry at hand: the server is away or busy, memory or disk is short, or this
    /// process is asked to stop what it does.
    fn is_for_all(&self) -> bool {
        ["08", "53", "57"].contains(&&self.state()[..2])
    }
}

/// Runs something in a transaction, which is rolled back where it fails.
fn transaction<T>(body: impl FnOnce() -> T) -> Result<T, Failure> {
    let body = AssertUnwindSafe(body);
    let attempt = || {
        // SAFETY: a transaction of this worker's own, with a snapshot for what is read in it.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let AssertUnwindSafe(body) = body;
        let value = body();
        // SAFETY: ends what was begun above.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        Ok(value)
    };
    let failed = |error: CaughtError| {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        // SAFETY: as after any error in a backend's main loop.
        unsafe { pg_sys::AbortCurrentTransaction() };
        Err(Failure {
            code: report.sql_error_code(),
            message: report.message().to_owned(),
            hint: report.hint().map(str::to_owned),
        })
    };
    PgTryBuilder::new(AssertUnwindSafe(attempt)).catch_others(failed).execute()
}

fn sleep(time: Duration) {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: this process's own latch.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, time.as_millis() as i64, wait_event::worker());
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    pgrx::check_for_interrupts!();
    if BackgroundWorker::sighup_received() {
        // SAFETY: the worker's own reaction to SIGHUP, outside of any transaction.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
}

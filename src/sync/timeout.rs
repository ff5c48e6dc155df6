//! How long the worker lets something take.
//!
//! ```text
//! a request         cancelled after twice clip_search.request_timeout and a minute
//! the table's own   what its types, constraints and triggers take of one batch, read and written: cancelled after
//! code              clip_search.queue_timeout; [`GRACE`] later, this process is ended, which no EXCEPTION clause catches
//! ```

use super::launch;
use crate::{compat, settings};
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// From the cancel to the end, for code that has caught the cancel.
const GRACE: Duration = Duration::from_secs(5);

unsafe extern "C-unwind" {
    /// utils/timeout.h, which pgrx has not; the first raises where there are too many timeouts.
    fn RegisterTimeout(id: u32, handler: extern "C-unwind" fn()) -> u32;
    fn enable_timeout_after(id: u32, milliseconds: i32);
    fn disable_timeout(id: u32, keeps_indicator: bool);
    /// Postgres's own handler of SIGTERM, which sets flags and the latch; not pgrx's wrapper, which is no handler.
    fn die(signal: i32);
}

/// `STATEMENT_TIMEOUT` of utils/timeout.h: every process with a database has it, and it cancels what runs.
const CANCEL: u32 = 3;
/// At least `USER_TIMEOUT` in every release: asks for a free number.
const ANY: u32 = 1 << 16;

/// The number that Postgres gave.
static END: AtomicU32 = AtomicU32::new(0);
/// Whether the table's code has made this process end.
static IS_OVERDUE: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// What is left to the table's code in this transaction.
    static LEFT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// The table, for the log.
    static TABLE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes CHECK_FOR_INTERRUPTS end the process after SIGTERM. To be called before signals are let in.
pub fn install_die() {
    // SAFETY: a handler that only sets flags and the latch.
    unsafe {
        compat::handle_signal(libc::SIGTERM, die);
    }
}

/// Waits for the time or a signal, and ends where it is asked to.
pub fn sleep(time: Duration, event: u32) {
    wait(time, event);
    // A cancel of what has ended, in time or not, is for nothing else.
    // SAFETY: a flag of this process.
    unsafe { pg_sys::QueryCancelPending = 0 };
    pgrx::check_for_interrupts!();
}

/// Waits for the time or a signal, which the caller looks at.
pub fn wait(time: Duration, event: u32) {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: this process's own latch.
    unsafe {
        pg_sys::WaitLatch(pg_sys::MyLatch, events as i32, time.as_millis() as i64, event);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
}

/// As PostgreSQL's own SIGTERM: what runs ends at its next look at interrupts, with FATAL.
extern "C-unwind" fn end_this_process() {
    IS_OVERDUE.store(true, Relaxed);
    // SAFETY: a signal handler, called from one.
    unsafe { die(libc::SIGTERM) };
}

/// Once in a process, when it has its database.
pub fn register() {
    // SAFETY: a handler that only sets flags and the latch; a callback that stays as long as the library. Those of
    // Postgres, which give back the locks of this process, run before it.
    unsafe {
        END.store(RegisterTimeout(ANY, end_this_process), Relaxed);
        pg_sys::on_shmem_exit(Some(on_exit), pg_sys::Datum::from(0));
    }
}

/// Says why this process ends, and has another take its place: others' entries wait.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_exit(_code: i32, _argument: pg_sys::Datum) {
    if IS_OVERDUE.load(Relaxed) {
        let limit = settings::queue_timeout().as_millis();
        TABLE.with_borrow(|table| {
            pgrx::log!(
                "clip_search: triggers, constraints or types of {table} ran for longer than clip_search.queue_timeout \
                 ({limit} ms) and ignored the cancel; ended the worker"
            );
        });
        launch::succeed();
    }
}

fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// Cancels what still runs after so long, in the place of what was said before. The table's code has all of its time.
pub fn begin(limit: Duration) {
    LEFT.set(settings::queue_timeout());
    // One for what has ended is for nothing else.
    // SAFETY: a flag of this process.
    unsafe { pg_sys::QueryCancelPending = 0 };
    cancel_after(limit);
}

fn cancel_after(limit: Duration) {
    // SAFETY: a timeout of this process.
    unsafe { enable_timeout_after(CANCEL, milliseconds(limit)) };
}

/// One request, which is sent once more where the server ends.
pub fn of_a_request() -> Duration {
    settings::request_timeout().map_or(Duration::MAX, |timeout| timeout * 2 + Duration::from_secs(60))
}

/// While code of the table runs. After it, a request may be under way.
pub struct OfTable {
    since: Instant,
}

impl OfTable {
    /// From now on, with what is left of the time.
    pub fn begin(table: &str) -> Self {
        TABLE.with_borrow_mut(|name| table.clone_into(name));
        cancel_after(LEFT.get());
        // SAFETY: a timeout of this process, which `register` has made.
        unsafe { enable_timeout_after(END.load(Relaxed), milliseconds(LEFT.get() + GRACE)) };
        Self { since: Instant::now() }
    }
}

impl Drop for OfTable {
    fn drop(&mut self) {
        LEFT.set(LEFT.get().saturating_sub(self.since.elapsed()));
        // Where an error ends the transaction, `end` follows.
        if !std::thread::panicking() {
            end_no_more();
            cancel_after(of_a_request());
        }
    }
}

fn end_no_more() {
    // SAFETY: as above.
    unsafe { disable_timeout(END.load(Relaxed), false) };
}

/// No more.
pub fn end() {
    end_no_more();
    // SAFETY: as above.
    unsafe { disable_timeout(CANCEL, false) };
}

//! A worker is there as long as somebody may need one: it holds a lock, and lets go of it only while nobody writes to
//! the queue (see [`super::worker`]). Who has written looks for that lock before committing.

use super::timeout;
use crate::wait_event;
use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BackgroundWorkerStatus, BgWorkerStartTime, DynamicBackgroundWorker,
};
use pgrx::{PgMemoryContexts, pg_sys};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// What `pg_stat_activity.backend_type` shows.
const WORKER_TYPE: &str = "clip_search worker";

/// A worker that was asked for takes a moment to come; uploads meanwhile ask for no other. Shorter than one lingers: it
/// cannot have found nothing to do.
const PATIENCE: Duration = Duration::from_secs(1);
/// Who asked for one looks whether it has come.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

thread_local! {
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
    static HAS_WRITTEN: Cell<bool> = const { Cell::new(false) };
    static LAUNCHED: RefCell<Option<(Instant, DynamicBackgroundWorker)>> = const { RefCell::new(None) };
}

/// The transaction at hand has written to the queue.
pub fn work_at_commit() {
    HAS_WRITTEN.set(true);
    if !IS_REGISTERED.replace(true) {
        // SAFETY: a function that stays as long as the library.
        unsafe { pg_sys::RegisterXactCallback(Some(on_transaction), std::ptr::null_mut()) };
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_transaction(event: pg_sys::XactEvent::Type, _argument: *mut std::ffi::c_void) {
    use pg_sys::XactEvent::{XACT_EVENT_PRE_COMMIT, XACT_EVENT_PRE_PREPARE};
    let has_written = HAS_WRITTEN.replace(false);
    if has_written && [XACT_EVENT_PRE_COMMIT, XACT_EVENT_PRE_PREPARE].contains(&event) {
        launch();
    }
}

/// Starts a worker where there is none; false where no slot is free. An upload does not fail for want of one: the entries wait
/// for the next.
fn launch() -> bool {
    if is_coming() || WorkerLock::is_held() {
        return true;
    }
    let is_launched = launch_another();
    if !is_launched {
        pgrx::warning!(
            "clip_search: no background worker slot is free to embed what is queued; raise max_worker_processes. It is \
             kept, and the next upload tries again."
        );
    }
    is_launched
}

/// Asks for a worker, whether one is there or not; false where no slot is free.
fn launch_another() -> bool {
    // SAFETY: the database of this process.
    let launched = load(unsafe { pg_sys::MyDatabaseId }, Reason::Upload);
    let is_launched = launched.is_some();
    if is_launched {
        LAUNCHED.set(launched.map(|worker| (Instant::now(), worker)));
    }
    is_launched
}

/// Whether one was asked for a moment ago, and has not been terminated since.
fn is_coming() -> bool {
    LAUNCHED.with_borrow(|launched| {
        launched.as_ref().is_some_and(|(since, worker)| since.elapsed() < PATIENCE && !has_ended(worker))
    })
}

/// Why a worker is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Something was queued, or somebody asks.
    Upload,
    /// Another is about to end.
    Succession,
    /// Something may have been queued long ago.
    Look,
}

impl Reason {
    const NAMES: [(Self, &str); 3] = [(Self::Upload, "upload"), (Self::Succession, "succession"), (Self::Look, "look")];

    /// That of this worker.
    pub fn of_this_worker() -> Self {
        let extra = BackgroundWorker::get_extra();
        Self::NAMES.into_iter().find(|(_, name)| *name == extra).map_or(Self::Upload, |(reason, _)| reason)
    }

    fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(reason, _)| *reason == self).expect("one of all").1
    }
}

/// Asks the postmaster for a worker in a database. `None` where no slot is free.
pub fn load(database: pg_sys::Oid, reason: Reason) -> Option<DynamicBackgroundWorker> {
    let worker = BackgroundWorkerBuilder::new(WORKER_TYPE)
        .set_type(WORKER_TYPE)
        .set_library("clip_search")
        .set_function("clip_search_worker_main")
        .enable_spi_access()
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(None)
        .set_argument(Some(database.into()))
        .set_extra(reason.name());
    // SAFETY: the handle, which outlives the transaction, is made in memory that does.
    unsafe { PgMemoryContexts::TopMemoryContext.switch_to(|_| worker.load_dynamic()) }.ok()
}

/// Starts a worker in the place of this one, which is about to be gone.
pub fn succeed() {
    // SAFETY: the database of this process.
    if load(unsafe { pg_sys::MyDatabaseId }, Reason::Succession).is_none() {
        pgrx::log!("clip_search: no background worker slot is free for another worker; the next upload starts one");
    }
}

/// Starts a worker where there is none, and waits a moment for it; whether one is there or coming.
///
/// A worker that was asked for and terminated counts as coming until the postmaster has noticed its end. Then, or where it has not
/// come in time, another is asked for, once: one that ends at once does not come to stay.
pub fn start() -> bool {
    let began = Instant::now();
    let mut is_again = false;
    if !launch() {
        return false;
    }
    loop {
        if WorkerLock::is_held() {
            return true;
        }
        // Where none was asked for, the lock was held then, and is not any more.
        let has_ended = LAUNCHED.with_borrow(|launched| launched.as_ref().is_none_or(|(_, worker)| has_ended(worker)));
        if has_ended {
            if is_again || !launch() {
                return false;
            }
            is_again = true;
        } else if began.elapsed() > PATIENCE {
            // Its end is noticed late, perhaps. One too many ends by itself; where no slot is free, the first is coming.
            launch_another();
            return true;
        }
        timeout::wait(LOOK_AGAIN, wait_event::worker_start());
        pgrx::check_for_interrupts!();
    }
}

fn has_ended(worker: &DynamicBackgroundWorker) -> bool {
    matches!(worker.pid(), Err(BackgroundWorkerStatus::Stopped))
}

/// Whether somebody has locked this database, to drop it perhaps, and waits for its sessions to end.
pub fn is_database_locked() -> bool {
    let tag = pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: pg_sys::DatabaseRelationId.to_u32(),
        // SAFETY: the database of this process.
        locktag_field3: unsafe { pg_sys::MyDatabaseId.to_u32() },
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    !is_free(&tag, pg_sys::AccessShareLock)
}

/// Whether a lock could be had now.
fn is_free(tag: &pg_sys::LOCKTAG, mode: u32) -> bool {
    // SAFETY: a tag of a kind that Postgres knows; without waiting, and given back at once.
    unsafe {
        let result = pg_sys::LockAcquire(tag, mode as i32, false, true);
        let is_free = result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL;
        if is_free {
            pg_sys::LockRelease(tag, mode as i32, false);
        }
        is_free
    }
}

/// The lock that says that a worker of this database lives. Of the kind of advisory locks, which an error does not end;
/// their functions cannot name it.
pub struct WorkerLock;

/// What is locked, in the place of an object's number: "clip".
const NUMBER: u32 = u32::from_be_bytes(*b"clip");

impl WorkerLock {
    fn tag() -> pg_sys::LOCKTAG {
        // SAFETY: the database of this process.
        let database = unsafe { pg_sys::MyDatabaseId };
        pg_sys::LOCKTAG {
            locktag_field1: database.to_u32(),
            locktag_field2: pg_sys::ExtensionRelationId.to_u32(),
            locktag_field3: NUMBER,
            locktag_field4: 0,
            locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        }
    }

    /// Takes it for as long as this process lives, if it can be had at once. Held already, it stays held.
    pub fn hold() -> bool {
        // SAFETY: a tag of a kind that Postgres knows; for the session, without waiting.
        let result = unsafe { pg_sys::LockAcquire(&Self::tag(), pg_sys::ExclusiveLock as i32, true, true) };
        if [pg_sys::LockAcquireResult::LOCKACQUIRE_ALREADY_HELD, pg_sys::LockAcquireResult::LOCKACQUIRE_ALREADY_CLEAR]
            .contains(&result)
        {
            // They are counted.
            Self::let_go();
        }
        result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
    }

    /// Gives it back.
    pub fn let_go() {
        // SAFETY: held, as the caller knows.
        unsafe { pg_sys::LockRelease(&Self::tag(), pg_sys::ExclusiveLock as i32, true) };
    }

    /// Whether a worker holds it. A standby has none.
    pub fn is_held() -> bool {
        // SAFETY: a question about the cluster.
        if unsafe { pg_sys::RecoveryInProgress() } {
            return false;
        }
        !is_free(&Self::tag(), pg_sys::ShareLock)
    }
}

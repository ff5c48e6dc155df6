//! Starts workers for what was queued before PostgreSQL started or a standby was promoted: nobody has uploaded since, and an
//! upload is what starts a worker otherwise. Only where the library is preloaded.
//!
//! It stays when it has looked at all databases: the postmaster starts it again after a crash, and not after it has ended.

use super::launch::{self, Reason};
use super::timeout;
use crate::wait_event;
use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BackgroundWorkerStatus, BgWorkerStartTime, SignalWakeFlags,
};
use pgrx::pg_sys::{self, Datum, Oid};
use std::time::{Duration, Instant};

/// What `pg_stat_activity.backend_type` shows.
const TYPE: &str = "clip_search launcher";
/// After a failure, or where no slot is free.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a worker has for a look at an empty queue; then the next database has its turn beside it.
const LOOK: Duration = Duration::from_secs(1);

/// Registers it, while the library is being preloaded.
pub fn register() {
    BackgroundWorkerBuilder::new(TYPE)
        .set_type(TYPE)
        .set_library("clip_search")
        .set_function("clip_search_launcher_main")
        .enable_spi_access()
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(PAUSE))
        .load();
}

/// Entry point of the background worker, which is connected to no database.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn clip_search_launcher_main(_argument: Datum) {
    timeout::install_die();
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    BackgroundWorker::connect_worker_to_spi(None, None);
    for database in databases() {
        look_at(database);
    }
    loop {
        sleep(Duration::from_secs(3600));
    }
}

/// Starts a worker, which ends at once where nothing is queued.
fn look_at(database: Oid) {
    let worker = loop {
        match launch::load(database, Reason::Look) {
            Some(worker) => break worker,
            None => sleep(PAUSE),
        }
    };
    let began = Instant::now();
    while began.elapsed() < LOOK && !matches!(worker.pid(), Err(BackgroundWorkerStatus::Stopped)) {
        sleep(Duration::from_millis(20));
    }
}

/// Those that can be connected to. Templates have no uploads.
fn databases() -> Vec<Oid> {
    let mut databases = Vec::new();
    // SAFETY: a transaction of this process's own, which reads a shared catalog; each tuple is read before the next is asked for.
    unsafe {
        pg_sys::StartTransactionCommand();
        let catalog = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan =
            pg_sys::systable_beginscan(catalog, Oid::INVALID, false, std::ptr::null_mut(), 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let database = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if database.datallowconn && !database.datistemplate {
                databases.push(database.oid);
            }
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(catalog, pg_sys::AccessShareLock as i32);
        pg_sys::CommitTransactionCommand();
    }
    databases
}

fn sleep(time: Duration) {
    timeout::sleep(time, wait_event::launcher());
}

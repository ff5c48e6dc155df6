//! How many requests run at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of a fetcher: so many in all, and so many for one host.
pub(crate) struct Slots {
    all: Arc<Semaphore>,
    per_host: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// The right to make requests to one host, until it is dropped.
pub(crate) struct Slot {
    _all: OwnedSemaphorePermit,
    // Dropped last: it takes the host out of the map.
    _host: Place,
}

/// Somebody who has, or waits for, a turn of a host.
struct Place {
    slots: Arc<Slots>,
    host: String,
    turns: Arc<Semaphore>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(crate) fn new(all: u32, per_host: u32) -> Arc<Self> {
        let count = |turns: u32| (turns.max(1) as usize).min(Semaphore::MAX_PERMITS);
        Arc::new(Self { all: Arc::new(Semaphore::new(count(all))), per_host: count(per_host), hosts: Mutex::default() })
    }

    /// Waits for a turn, first come first served.
    pub(crate) async fn acquire(self: &Arc<Self>, host: &str) -> Slot {
        let mut place = Place::new(self, host);
        // The host first: who waits for a busy host must not keep others from theirs.
        place.turn = Some(wait(&place.turns).await);
        let all = wait(&self.all).await;
        Slot { _all: all, _host: place }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Arc<Semaphore>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn new(slots: &Arc<Slots>, host: &str) -> Self {
        let mut hosts = slots.hosts();
        let turns = hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(slots.per_host)));
        Self { slots: Arc::clone(slots), host: host.to_owned(), turns: Arc::clone(turns), turn: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut hosts = self.slots.hosts();
        // Back before counting: a permit has a reference of its own.
        self.turn = None;
        // The map's reference and this one: nobody else is there, and under the lock nobody can come.
        if Arc::strong_count(&self.turns) == 2 {
            hosts.remove(&self.host);
        }
    }
}

async fn wait(turns: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(turns).acquire_owned().await.expect("never closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn hosts_leave_the_map() {
        let slots = Slots::new(2, 1);
        let first = slots.acquire("a").await;
        assert!(slots.acquire("a").now_or_never().is_none(), "the host is busy");
        let other = slots.acquire("b").await;
        assert!(slots.acquire("c").now_or_never().is_none(), "all are busy");
        assert_eq!(slots.hosts().len(), 2);
        drop(first);
        drop(other);
        assert_eq!(slots.hosts().len(), 0);
        assert_eq!(slots.all.available_permits(), 2);
    }
}

//! Which requests are taken in: so many bytes at a time, and only as much as memory allows. What is not taken in yet
//! stays with its client, who may give up at any time.

use crate::{failure, process};
use protocol::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits count in units of so many bytes. A request of less needs none: a short text, a look at the statistics; there
/// are no more of them than connections.
const UNIT: u64 = 1024;
/// Requests of at most this part of the queue have a lane of their own, so that they need not wait behind large ones.
const SMALL: u64 = 16;
/// The part of the queue that is this lane.
const LANE: u64 = 4;
/// Requests of fewer bytes are not worth a look at the memory.
const NEGLIGIBLE: u64 = 64 << 10;
/// Between two looks at the memory.
const PAUSE: Duration = Duration::from_millis(50);

/// The bounds under one configuration.
pub(crate) struct Admission {
    max_bytes: u64,
    max_memory: u64,
    large: Lane,
    small: Lane,
    waiting: Arc<AtomicU64>,
    /// Memory for the requests that are in, past all checks.
    promised: Arc<AtomicU64>,
}

struct Lane {
    capacity: u32,
    semaphore: Arc<Semaphore>,
}

impl Lane {
    fn new(bytes: u64) -> Self {
        let capacity = (bytes / UNIT).clamp(1, 1 << 30) as u32;
        Self { capacity, semaphore: Arc::new(Semaphore::new(capacity as usize)) }
    }

    fn used(&self) -> u64 {
        (u64::from(self.capacity) - self.semaphore.available_permits() as u64) * UNIT
    }

    /// A request of more than all the lane is taken in alone.
    async fn enter(&self, bytes: u64) -> OwnedSemaphorePermit {
        let units = bytes.div_ceil(UNIT).min(self.capacity.into()) as u32;
        Arc::clone(&self.semaphore).acquire_many_owned(units).await.expect("the semaphore is never closed")
    }
}

/// A request that was taken in. Dropping it makes room.
pub(crate) struct Admitted {
    _room: Option<OwnedSemaphorePermit>,
    _promised: Option<Counted>,
}

impl Admission {
    /// `max_memory` of 0 means no limit.
    pub(crate) fn new(max_bytes: u64, max_memory: u64) -> Self {
        let small = max_bytes / LANE;
        let (large, small) = (Lane::new(max_bytes - small), Lane::new(small));
        Self { max_bytes, max_memory, large, small, waiting: Arc::default(), promised: Arc::default() }
    }

    /// Bytes of requests that are in.
    pub(crate) fn used(&self) -> u64 {
        self.large.used() + self.small.used()
    }

    /// Requests that wait for room.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed) as u32
    }

    /// Waits for room for a request of so many bytes. `make_way` gives memory back, if it can.
    ///
    /// # Errors
    /// [`ErrorClass::OutOfMemory`] where nothing gives memory back, and no other request is in that could end.
    pub(crate) async fn admit(&self, bytes: u64, make_way: impl Fn() -> bool) -> Result<Admitted, Failure> {
        if bytes < UNIT {
            return Ok(Admitted { _room: None, _promised: None });
        }
        let _waiting = Counted::new(&self.waiting, 1);
        let lane = if bytes <= self.max_bytes / SMALL { &self.small } else { &self.large };
        let room = lane.enter(bytes).await;
        // Its bytes as they arrive, and the items in them.
        let needed = 2 * bytes;
        loop {
            let promised = self.promised.load(Relaxed);
            let resident = if self.max_memory == 0 { 0 } else { process::resident_bytes() };
            // What was promised is resident in part: with nobody else in, the figure is exact.
            if self.max_memory == 0 || bytes < NEGLIGIBLE || resident + promised + needed <= self.max_memory {
                let _promised = Some(Counted::new(&self.promised, needed));
                return Ok(Admitted { _room: Some(room), _promised });
            }
            if make_way() {
                continue;
            }
            // Those that wait here, too, will give nothing back.
            if promised == 0 {
                return Err(out_of_memory(bytes, needed, resident, self.max_memory));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn out_of_memory(bytes: u64, needed: u64, resident: u64, max: u64) -> Failure {
    let (needed, resident, max) = (mebibytes(needed), mebibytes(resident), mebibytes(max));
    failure::Error::RequestMemory { bytes, needed, resident, max }.into()
}

/// Rounded up: what is needed is not 0.
pub(crate) fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Counts so many for as long as it lives.
struct Counted(Arc<AtomicU64>, u64);

impl Counted {
    fn new(counter: &Arc<AtomicU64>, number: u64) -> Self {
        counter.fetch_add(number, Relaxed);
        Self(Arc::clone(counter), number)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ErrorClass;
    use std::time::Duration;

    async fn is_admitted(admission: &Admission, bytes: u64) -> Option<Admitted> {
        tokio::time::timeout(Duration::from_millis(20), admission.admit(bytes, || false)).await.ok().map(Result::unwrap)
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_small_requests_pass() {
        let admission = Admission::new(16 << 20, 0);
        let large = is_admitted(&admission, 8 << 20).await.expect("room");
        assert!(is_admitted(&admission, 8 << 20).await.is_none(), "12 MiB are for large ones");
        let small = is_admitted(&admission, 1 << 20).await.expect("a lane of their own");
        assert_eq!(admission.used(), 9 << 20);
        drop(large);
        assert!(is_admitted(&admission, 8 << 20).await.is_some());
        drop(small);
        assert_eq!((admission.used(), admission.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_request_over_the_bound_is_taken_in_alone() {
        let admission = Admission::new(1 << 20, 0);
        let over = is_admitted(&admission, 1 << 30).await.expect("alone");
        assert!(is_admitted(&admission, 512 << 10).await.is_none());
        drop(over);
        assert!(is_admitted(&admission, 512 << 10).await.is_some());
    }

    #[tokio::test]
    async fn memory_is_asked_back_before_a_request_is_refused() {
        let (admission, asked) = (Admission::new(1 << 30, 1 << 20), AtomicU64::new(0));
        let make_way = || asked.fetch_add(1, Relaxed) < 3;
        assert!(admission.admit(1 << 20, make_way).await.is_err());
        assert_eq!(asked.into_inner(), 4);
    }

    /// Several that do not fit do not wait for each other.
    #[tokio::test]
    async fn nobody_waits_for_those_who_wait() {
        let admission = Admission::new(1 << 30, 1 << 20);
        let (one, two) = tokio::join!(admission.admit(1 << 20, || false), admission.admit(1 << 20, || false));
        assert!(one.is_err() && two.is_err());
    }

    #[tokio::test]
    async fn memory_that_nobody_will_give_back_is_an_error() {
        let admission = Admission::new(1 << 30, 1 << 20);
        let Err(failure) = admission.admit(1 << 20, || false).await else { panic!("admitted") };
        assert_eq!(failure.class, ErrorClass::OutOfMemory);
        assert!(failure.detail.unwrap().contains("It needs 2 MiB"));
        assert!(admission.admit(2000, || false).await.is_ok(), "a text needs next to nothing");
    }
}

//! What waits for the device: data only, no thread and no clock, so that every order of events can be tested.
//!
//! A job is one input of one encoder, and everybody who waits for its embedding. Equal inputs are one job.

use crate::class::{Class, Key};
use std::collections::{BTreeMap, HashMap};

/// So many jobs of the queue's head are looked at to fill a batch with what goes well together.
const HORIZON: usize = 512;
/// Most tokens of a batch of texts, padding included: 32 of the longest that CLIP reads, or some hundred short ones.
const MAX_PADDED: usize = 32 * 77;

/// Somebody who waits for a job.
#[derive(Debug)]
pub(super) struct Waiter<R> {
    /// The ticket.
    pub ticket: u64,
    /// The item's place in the ticket.
    pub place: usize,
    pub reply: R,
}

/// One input, and who waits for its embedding.
#[derive(Debug)]
pub(super) struct Job<T, R> {
    pub key: Key,
    /// Which encoder runs it.
    pub encoder: u64,
    /// Tokens of a text; `None` for an image.
    pub tokens: Option<usize>,
    pub work: T,
    pub waiters: Vec<Waiter<R>>,
}

/// How large a batch may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub max_items: usize,
    /// Most units: images, or tokens with padding.
    pub max_units: usize,
}

/// The queue. `T` is what a job carries, `R` is how an answer is given.
#[derive(Debug)]
pub(super) struct Queue<T, R> {
    // By number, so by age.
    interactive: BTreeMap<u64, Job<T, R>>,
    bulk: BTreeMap<u64, Job<T, R>>,
    by_key: HashMap<Key, u64>,
    /// The batches that have begun, by number.
    running: BTreeMap<u64, Running<T, R>>,
    next: u64,
}

#[derive(Debug)]
struct Running<T, R> {
    jobs: BTreeMap<u64, Job<T, R>>,
    /// Nobody waits for it any more; nobody may join it.
    given_up: bool,
}

impl<T, R> Default for Queue<T, R> {
    fn default() -> Self {
        let (interactive, bulk, by_key) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        Self { interactive, bulk, by_key, running: BTreeMap::new(), next: 0 }
    }
}

impl<T, R> Queue<T, R> {
    /// Waits with those who wait for an equal input; gives the waiter back where nobody does. A job that somebody waits
    /// for interactively is interactive.
    pub fn join(&mut self, key: &Key, class: Class, waiter: Waiter<R>) -> Result<u64, Waiter<R>> {
        let Some(&number) = self.by_key.get(key) else { return Err(waiter) };
        if class == Class::Interactive
            && let Some(job) = self.bulk.remove(&number)
        {
            self.interactive.insert(number, job);
        }
        let mut running = self.running.values_mut().filter(|running| !running.given_up);
        let running = running.find_map(|running| running.jobs.get_mut(&number));
        let queued = self.interactive.get_mut(&number).or_else(|| self.bulk.get_mut(&number));
        match queued.or(running) {
            Some(job) => {
                job.waiters.push(waiter);
                Ok(number)
            }
            None => Err(waiter),
        }
    }

    /// Takes a job in.
    pub fn push(&mut self, job: Job<T, R>, class: Class) -> u64 {
        let number = self.next;
        self.next += 1;
        self.by_key.insert(job.key, number);
        match class {
            Class::Interactive => self.interactive.insert(number, job),
            Class::Bulk => self.bulk.insert(number, job),
        };
        number
    }

    /// Takes a ticket's waiters out of these jobs, and jobs that nobody waits for out of the queue. Returns the batches
    /// that have begun and lost the last of those who waited for them.
    pub fn leave(&mut self, ticket: u64, jobs: impl IntoIterator<Item = u64>) -> Vec<u64> {
        for number in jobs {
            for queue in [&mut self.interactive, &mut self.bulk] {
                let Some(job) = queue.get_mut(&number) else { continue };
                job.waiters.retain(|waiter| waiter.ticket != ticket);
                if job.waiters.is_empty() {
                    let key = job.key;
                    queue.remove(&number);
                    forget(&mut self.by_key, &key, number);
                }
            }
            if let Some(job) = self.running.values_mut().find_map(|running| running.jobs.get_mut(&number)) {
                job.waiters.retain(|waiter| waiter.ticket != ticket);
            }
        }
        let mut given_up = Vec::new();
        for (batch, running) in &mut self.running {
            if !running.given_up && running.jobs.values().all(|job| job.waiters.is_empty()) {
                running.given_up = true;
                given_up.push(*batch);
            }
        }
        given_up
    }

    /// Jobs that wait, of each class.
    pub fn waiting(&self) -> (usize, usize) {
        (self.interactive.len(), self.bulk.len())
    }

    /// The oldest job of a class of which that is true.
    pub fn first(&self, class: Class, mut is: impl FnMut(&Job<T, R>) -> bool) -> Option<&Job<T, R>> {
        self.queue(class).values().find(|job| is(job))
    }

    /// Begins the next batch: the oldest job of this class and encoder, and those that fit beside it, as long as the oldest
    /// and, of texts, such as are of similar length. Where it is the turn of bulk, interactive jobs of the encoder ride
    /// along. Hands each job of the batch to `each`, and returns the batch's number, where there is such a job.
    pub fn start(
        &mut self,
        class: Class,
        encoder: u64,
        limits: Limits,
        mut each: impl FnMut(&Job<T, R>),
    ) -> Option<u64> {
        let head = self.first(class, |job| job.encoder == encoder)?;
        let mut chosen = Batch::new(limits);
        let length = head.tokens;
        // Bulk may not ride along with interactive jobs: it would make their run long.
        let classes: &[Class] =
            if class == Class::Bulk { &[Class::Bulk, Class::Interactive] } else { &[Class::Interactive] };
        for &class in classes {
            let same = self.queue(class).iter().filter(|(_, job)| job.encoder == encoder).take(HORIZON);
            let mut candidates: Vec<(u64, Option<usize>)> = same.map(|(number, job)| (*number, job.tokens)).collect();
            // Stable, so the oldest stays first among equals; the head itself is at distance 0.
            candidates.sort_by_key(|(_, tokens)| tokens.unwrap_or(0).abs_diff(length.unwrap_or(0)));
            candidates.into_iter().for_each(|(number, tokens)| chosen.offer(number, tokens));
        }
        let mut jobs = BTreeMap::new();
        for number in chosen.numbers {
            let job = self.interactive.remove(&number).or_else(|| self.bulk.remove(&number));
            let Some(job) = job else { continue };
            each(&job);
            jobs.insert(number, job);
        }
        let batch = self.next;
        self.next += 1;
        self.running.insert(batch, Running { jobs, given_up: false });
        Some(batch)
    }

    /// The jobs of a batch that has run, each with its number; they need not be in the order in which [`Queue::start`]
    /// handed them out.
    pub fn finish(&mut self, batch: u64) -> BTreeMap<u64, Job<T, R>> {
        let jobs = self.running.remove(&batch).map(|running| running.jobs).unwrap_or_default();
        for (number, job) in &jobs {
            forget(&mut self.by_key, &job.key, *number);
        }
        jobs
    }

    fn queue(&self, class: Class) -> &BTreeMap<u64, Job<T, R>> {
        match class {
            Class::Interactive => &self.interactive,
            Class::Bulk => &self.bulk,
        }
    }
}

/// Unless a later job has taken the key over.
fn forget(by_key: &mut HashMap<Key, u64>, key: &Key, number: u64) {
    if by_key.get(key) == Some(&number) {
        by_key.remove(key);
    }
}

/// A batch being filled.
struct Batch {
    limits: Limits,
    numbers: Vec<u64>,
    longest: usize,
    tokens: usize,
}

impl Batch {
    fn new(limits: Limits) -> Self {
        Self { limits, numbers: Vec::new(), longest: 0, tokens: 0 }
    }

    /// Takes a job in if it fits; the first always does.
    fn offer(&mut self, number: u64, tokens: Option<usize>) {
        let (items, length) = (self.numbers.len() + 1, tokens.unwrap_or(1));
        let longest = self.longest.max(length);
        let padded = items * longest;
        // Padding is time: a batch may consist of it by a quarter, or by a little.
        let fits = padded <= self.limits.max_units
            && (tokens.is_none() || padded <= MAX_PADDED)
            && padded <= (self.tokens + length) * 4 / 3 + 16;
        if self.numbers.is_empty() || items <= self.limits.max_items && fits {
            self.numbers.push(number);
            self.longest = longest;
            self.tokens += length;
        }
    }
}

#[cfg(test)]
mod tests;

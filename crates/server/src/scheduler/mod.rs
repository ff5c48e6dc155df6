//! What waits for the device, and the one thread that runs it.
//!
//! ```text
//! queue   what waits: jobs by class and age, equal inputs once; fills batches
//! pace    how long runs take, and whose turn it is
//! ```
//!
//! A batch is what queued while the device was busy: there is no timer, so an idle server answers at once and a busy one
//! batches across connections. Requests of few items go before large ones, so that a person searching does not wait for
//! a job that embeds a million images; and no run takes longer than a step, as far as what was measured tells, so that
//! a new request waits for one step at most.

mod pace;
mod queue;

pub(crate) use queue::{Class, Key};

use crate::log_warning;
use crate::models::{Encoder, Session};
use crate::prepare::Input;
use crate::stats::Stats;
use clip::{Cancel, Error, Result};
use pace::{Pace, Turn};
use queue::{Job, Limits, Queue, Waiter};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Requests of at most so many items are interactive.
pub(crate) const INTERACTIVE_ITEMS: usize = 4;

/// The embedding of one item, or why there is none.
pub(crate) type Outcome = Result<Arc<[f32]>>;
type Reply = UnboundedSender<(usize, Outcome)>;

/// What a job carries.
struct Work {
    encoder: Arc<Encoder>,
    input: Arc<Input>,
    queued: Instant,
    /// Of what may be prepared and not run yet: given back when it has run, or left the queue.
    _room: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct State {
    queue: Queue<Work, Reply>,
    cancel: Cancel,
    tickets: u64,
}

/// The queue and its thread.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    stats: Arc<Stats>,
    max_batch: AtomicUsize,
    step_ms: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    fn step(&self) -> Duration {
        Duration::from_millis(self.step_ms.load(Relaxed))
    }
}

impl Scheduler {
    pub(crate) fn start(stats: Arc<Stats>) -> Self {
        let (max_batch, step_ms) = (AtomicUsize::new(1), AtomicU64::new(1));
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), stats, max_batch, step_ms });
        let device = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("device".to_owned())
            .spawn(move || run_for_ever(&device))
            .expect("a thread at the start of the process");
        Self { shared }
    }

    /// Most items of a run, and how long one may take, in milliseconds.
    pub(crate) fn configure(&self, max_batch: usize, step_ms: u64) {
        self.shared.max_batch.store(max_batch, Relaxed);
        self.shared.step_ms.store(step_ms, Relaxed);
    }

    /// Somebody who will wait for items. Dropping the ticket takes them out of the queue, and ends the run of those on
    /// the device where nobody else waits for it.
    pub(crate) fn ticket(&self, class: Class) -> Ticket {
        let (reply, answers) = unbounded_channel();
        let mut state = self.shared.lock();
        let number = state.tickets;
        state.tickets += 1;
        drop(state);
        Ticket { number, class, jobs: Vec::new(), reply, answers, waiting: 0, shared: Arc::clone(&self.shared) }
    }

    /// Items that wait now.
    pub(crate) fn waiting(&self) -> usize {
        let (interactive, bulk) = self.shared.lock().queue.waiting();
        interactive + bulk
    }
}

/// A place in the queue, for some items of a request.
pub(crate) struct Ticket {
    number: u64,
    class: Class,
    jobs: Vec<u64>,
    reply: Reply,
    answers: UnboundedReceiver<(usize, Outcome)>,
    waiting: usize,
    shared: Arc<Shared>,
}

impl Ticket {
    /// Waits with those who wait for an equal item already; false where nobody does.
    pub(crate) fn join(&mut self, key: &Key, place: usize) -> bool {
        let waiter = Waiter { ticket: self.number, place, reply: self.reply.clone() };
        match self.shared.lock().queue.join(key, self.class, waiter) {
            Ok(job) => {
                self.jobs.push(job);
                self.waiting += 1;
                self.shared.stats.shared.fetch_add(1, Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    /// Queues items of one encoder, each with its place; those that wait already are joined. Each takes a part of the room
    /// along, until it has run.
    pub(crate) fn submit(
        &mut self,
        encoder: &Arc<Encoder>,
        items: Vec<(Key, usize, Input)>,
        mut room: Option<OwnedSemaphorePermit>,
    ) {
        let queued = Instant::now();
        let mut state = self.shared.lock();
        for (key, place, input) in items {
            let waiter = Waiter { ticket: self.number, place, reply: self.reply.clone() };
            let job = match state.queue.join(&key, self.class, waiter) {
                Ok(job) => {
                    self.shared.stats.shared.fetch_add(1, Relaxed);
                    job
                }
                Err(waiter) => {
                    let tokens = input.ids().map(<[u32]>::len);
                    let _room = room.as_mut().and_then(|room| room.split(1));
                    let work = Work { encoder: Arc::clone(encoder), input: Arc::new(input), queued, _room };
                    let job = Job { key, encoder: encoder.id, tokens, work, waiters: vec![waiter] };
                    state.queue.push(job, self.class)
                }
            };
            self.jobs.push(job);
            self.waiting += 1;
        }
        drop(state);
        self.shared.work.notify_one();
    }

    /// The next item that is done; `None` when all are.
    pub(crate) async fn next(&mut self) -> Option<(usize, Outcome)> {
        if self.waiting == 0 {
            return None;
        }
        self.waiting -= 1;
        self.answers.recv().await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let jobs = std::mem::take(&mut self.jobs);
        if state.queue.leave(self.number, jobs) {
            state.cancel.cancel();
        }
    }
}

fn run_for_ever(shared: &Shared) {
    let (mut paces, mut turn) = (HashMap::<u64, Pace>::new(), Turn::default());
    loop {
        let mut state = shared.lock();
        let class = loop {
            match turn.next(state.queue.waiting(), shared.step()) {
                Some(class) => break class,
                None => state = shared.work.wait(state).expect("no panic while held"),
            }
        };
        let Some(head) = state.queue.head(class) else { continue };
        let encoder = Arc::clone(&head.work.encoder);
        let pace = paces.entry(encoder.id).or_default();
        let limits = Limits { max_items: shared.max_batch.load(Relaxed), max_units: pace.units(shared.step()) };
        let (mut inputs, mut tokens, began) = (Vec::new(), 0, Instant::now());
        state.queue.start(class, limits, |job| {
            shared.stats.queue.record(began - job.work.queued);
            tokens = tokens.max(job.tokens.unwrap_or(1));
            inputs.push((job.key, Arc::clone(&job.work.input)));
        });
        let cancel = Cancel::new();
        state.cancel = cancel.clone();
        drop(state);

        let outcomes = run_batch(&encoder, &inputs, &cancel, &shared.stats);
        let took = began.elapsed();
        if !cancel.is_cancelled() {
            pace.learn(inputs.len() * tokens, took);
        }
        let mut state = shared.lock();
        answer(state.queue.finish(), &inputs, outcomes);
        let (interactive, bulk) = state.queue.waiting();
        let others_wait = match class {
            Class::Interactive => bulk > 0,
            Class::Bulk => interactive > 0,
        };
        if others_wait {
            turn.ran(class, took);
        }
    }
}

/// Gives each job's embedding to those who wait for it.
fn answer(
    jobs: std::collections::BTreeMap<u64, Job<Work, Reply>>,
    inputs: &[(Key, Arc<Input>)],
    outcomes: Vec<Outcome>,
) {
    let outcomes: HashMap<Key, Outcome> = inputs.iter().map(|(key, _)| *key).zip(outcomes).collect();
    for job in jobs.into_values() {
        let lost = || Err(Error::Cancelled);
        let outcome = outcomes.get(&job.key).cloned().unwrap_or_else(lost);
        for Waiter { place, reply, .. } in job.waiters {
            // Nobody listens where the request was given up.
            let _ = reply.send((place, outcome.clone()));
        }
    }
}

fn run_batch(encoder: &Encoder, inputs: &[(Key, Arc<Input>)], cancel: &Cancel, stats: &Stats) -> Vec<Outcome> {
    let all: Vec<&Input> = inputs.iter().map(|(_, input)| &**input).collect();
    match run(encoder, &all, cancel, stats) {
        Ok(vectors) => vectors.into_iter().map(|vector| Ok(vector.into())).collect(),
        Err(error) if all.len() == 1 || cancel.is_cancelled() => vec![Err(error); all.len()],
        // One input may be what the model failed on: the others shall not suffer for it.
        Err(_) => {
            let alone = |input| Ok(run(encoder, &[input], cancel, stats)?.swap_remove(0).into());
            all.into_iter().map(alone).collect()
        }
    }
}

fn run(encoder: &Encoder, inputs: &[&Input], cancel: &Cancel, stats: &Stats) -> Result<Vec<Vec<f32>>> {
    let embed = || {
        // A panic while the lock was held left a session that has to be trusted or lost; ONNX Runtime keeps no state
        // between runs.
        let mut session = encoder.session.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut *session {
            Session::Text(text) => {
                let ids: Vec<&[u32]> = inputs.iter().filter_map(|input| input.ids()).collect();
                text.embed(&ids, cancel)
            }
            Session::Image(image) => {
                let pixels: Vec<_> = inputs.iter().filter_map(|input| input.pixels()).collect();
                image.embed(&pixels, cancel)
            }
        }
    };
    let failed = |reason: String| Error::Inference { model: encoder.model.clone(), reason };
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(embed)).unwrap_or_else(|_| {
        log_warning!("a run of model \"{}\" panicked", encoder.model);
        Err(failed("the run panicked".to_owned()))
    });
    let outcome = match outcome {
        Ok(vectors) if vectors.len() != inputs.len() => {
            Err(failed(format!("{} vectors came back for {} inputs", vectors.len(), inputs.len())))
        }
        other => other,
    };
    let embedded = if outcome.is_ok() { inputs.len() } else { 0 };
    stats.ran(encoder, inputs.len(), embedded, began.elapsed(), outcome.is_err() && !cancel.is_cancelled());
    outcome
}

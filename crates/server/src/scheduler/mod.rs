//! What waits for the devices, and the threads that run them.
//!
//! ```text
//! queue   what waits: jobs by class and age, equal inputs once; fills batches
//! pace    how long runs take, the fastest size, and whose turn it is
//! idle    how long bulk was under way and nothing ran
//! remote  batches that model servers run
//! ```
//!
//! A batch is what queued while the device was busy: there is no timer, so an idle server answers at once and a busy one
//! batches across connections. Requests of few items go before large ones, so that a person searching does not wait for
//! a job that embeds a million images. Bulk runs in batches of the fastest size, as measured; while interactive requests
//! keep coming, no batch takes longer than a step, so that a request waits for one step at most.
//!
//! On devices, all that is in three lanes, which know nothing of each other. On the CPU, texts are one and images are one, each with a
//! thread: a search does not wait for the images of a bulk job, but runs beside them. GPUs are the third, with three
//! threads for each device: while the batch of one runs, the others make theirs, so that images are copied to the device
//! beside computation. Batches of one session never run at the same time.
//!
//! Each encoder that model servers run is a lane of its own, without a thread: its batches are tasks that wait for the network,
//! as many at a time as the endpoints take. No device waits for them.

mod idle;
mod pace;
mod queue;
mod remote;

use crate::class::{Class, Key};
use crate::log_warning;
use crate::models::{DeviceSession, Encoder, Session};
use crate::prepare::Input;
use crate::process;
use crate::stats::Stats;
use clip::{Cancel, Error, Modality, Result};
use idle::Idle;
use pace::{Attention, Pace};
use queue::{Job, Limits, Queue, Waiter};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

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
    /// Of the batches that have begun.
    stops: HashMap<u64, Stop>,
    /// Of the encoders.
    paces: HashMap<u64, Pace>,
    attention: HashMap<Lane, Attention>,
    /// Batches of each remote encoder that are under way.
    remote: HashMap<u64, usize>,
    idle: Idle,
    tickets: u64,
    /// Threads for GPUs that were started.
    gpu_workers: usize,
}

/// Ends a batch that has begun.
#[derive(Clone, Default)]
struct Stop {
    device: Cancel,
    remote: CancellationToken,
}

impl Stop {
    fn stop(&self) {
        self.device.cancel();
        self.remote.cancel();
    }
}

/// Encoders whose requests wait for each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    /// Text encoders on the CPU.
    Texts,
    /// Image encoders on the CPU.
    Images,
    /// All encoders on GPUs.
    Gpus,
    /// One that model servers run.
    Remote(u64),
}

impl Lane {
    fn of(encoder: &Encoder) -> Self {
        match encoder.modality {
            _ if encoder.remote().is_some() => Self::Remote(encoder.id),
            _ if encoder.gpu_workers() > 0 => Self::Gpus,
            Modality::Text => Self::Texts,
            Modality::Image => Self::Images,
        }
    }
}

/// A thread that runs the batches of a lane: of GPUs, one of several.
#[derive(Clone, Copy)]
struct Worker {
    lane: Lane,
    number: usize,
}

impl Worker {
    fn is_for(self, encoder: &Encoder) -> bool {
        Lane::of(encoder) == self.lane && (self.lane != Lane::Gpus || self.number < encoder.gpu_workers())
    }
}

/// A batch that a worker has taken.
struct Batch {
    number: u64,
    class: Class,
    encoder: Arc<Encoder>,
    inputs: Vec<(Key, Arc<Input>)>,
    /// Of the longest text; 1 where they are images.
    tokens: usize,
    stop: Stop,
}

/// The queue and its threads.
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

    /// Starts threads for GPUs until there are so many. They never end.
    fn start_gpu_workers(shared: &Arc<Self>, wanted: usize) -> std::io::Result<()> {
        let mut state = shared.lock();
        while state.gpu_workers < wanted {
            let number = state.gpu_workers;
            start(shared, &format!("gpu-{number}"), Worker { lane: Lane::Gpus, number })?;
            state.gpu_workers += 1;
        }
        Ok(())
    }

    /// Takes the next batch that this worker may run, if there is one.
    fn take(&self, state: &mut State, worker: Worker) -> Option<Batch> {
        let oldest = |class| state.queue.first(class, |job| worker.is_for(&job.work.encoder));
        let (interactive, bulk) = (oldest(Class::Interactive), oldest(Class::Bulk));
        let attention = state.attention.entry(worker.lane).or_default();
        let class = attention.turn((interactive.is_some(), bulk.is_some()), self.step())?;
        let job = if class == Class::Interactive { interactive } else { bulk }?;
        let encoder = Arc::clone(&job.work.encoder);
        let now = Instant::now();
        let is_asked = attention.is_asked(now);
        let pace = state.paces.entry(encoder.id).or_default();
        let max_items = self.max_batch.load(Relaxed).min(encoder.max_items.load(Relaxed));
        let is_free = class == Class::Bulk && !is_asked;
        let max_units = if is_free {
            pace.best(max_items.saturating_mul(job.tokens.unwrap_or(1)), self.step())
        } else {
            pace.within(self.step())
        };
        let limits = Limits { max_items, max_units };
        let (mut inputs, mut tokens) = (Vec::new(), 0);
        let number = state.queue.start(class, encoder.id, limits, |job| {
            self.stats.queue.record(now - job.work.queued);
            tokens = tokens.max(job.tokens.unwrap_or(1));
            inputs.push((job.key, Arc::clone(&job.work.input)));
        })?;
        if is_free {
            pace.began(inputs.len() * tokens);
        }
        let stop = Stop::default();
        state.stops.insert(number, stop.clone());
        self.stats.bulk_ran(state.idle.device_begins(now));
        Some(Batch { number, class, encoder, inputs, tokens, stop })
    }

    /// Answers those who wait for a batch that took so long on the device.
    fn finish(&self, worker: Worker, batch: &Batch, outcomes: Vec<Outcome>, took: Duration) {
        let mut state = self.lock();
        state.stops.remove(&batch.number);
        state.idle.device_ends(Instant::now());
        // A batch that failed took no time.
        if !batch.stop.device.is_cancelled() && !took.is_zero() {
            state.paces.entry(batch.encoder.id).or_default().learn(batch.inputs.len() * batch.tokens, took);
        }
        answer(state.queue.finish(batch.number), &batch.inputs, outcomes);
        if state.queue.first(batch.class.other(), |job| worker.is_for(&job.work.encoder)).is_some() {
            state.attention.entry(worker.lane).or_default().ran(batch.class, took);
        }
    }
}

impl Scheduler {
    pub(crate) fn start(stats: Arc<Stats>) -> Self {
        let (max_batch, step_ms) = (AtomicUsize::new(1), AtomicU64::new(1));
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), stats, max_batch, step_ms });
        for (name, lane) in [("texts", Lane::Texts), ("images", Lane::Images)] {
            start(&shared, name, Worker { lane, number: 0 }).expect("a thread at the start of the process");
        }
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

    /// A bulk request is under way, until what this gives is dropped.
    pub(crate) fn bulk(&self) -> UnderWay<'_> {
        self.shared.lock().idle.bulk_begins(Instant::now());
        UnderWay(&self.shared)
    }

    /// Items that wait now.
    pub(crate) fn waiting(&self) -> usize {
        let (interactive, bulk) = self.shared.lock().queue.waiting();
        interactive + bulk
    }
}

/// A bulk request under way.
pub(crate) struct UnderWay<'a>(&'a Shared);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let times = self.0.lock().idle.bulk_ends(Instant::now());
        self.0.stats.bulk_ran(times);
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
        if let Err(error) = Shared::start_gpu_workers(&self.shared, encoder.gpu_workers()) {
            log_warning!("could not start a thread, going on with fewer: {error}");
        }
        let queued = Instant::now();
        let mut state = self.shared.lock();
        if self.class == Class::Interactive {
            state.attention.entry(Lane::of(encoder)).or_default().asked(queued);
        }
        for (key, place, input) in items {
            let waiter = Waiter { ticket: self.number, place, reply: self.reply.clone() };
            let job = match state.queue.join(&key, self.class, waiter) {
                Ok(job) => {
                    self.shared.stats.shared.fetch_add(1, Relaxed);
                    job
                }
                Err(waiter) => {
                    let tokens = input.ids().map(|ids| encoder.padded_length(ids.len()));
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
        match encoder.remote() {
            Some(_) => remote::dispatch(&self.shared, encoder),
            None => self.shared.work.notify_all(),
        }
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
        for batch in state.queue.leave(self.number, jobs) {
            if let Some(stop) = state.stops.get(&batch) {
                stop.stop();
            }
        }
    }
}

fn start(shared: &Arc<Shared>, name: &str, worker: Worker) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || run_for_ever(&shared, worker)).map(drop)
}

fn run_for_ever(shared: &Shared, worker: Worker) {
    if worker.lane == Lane::Images {
        process::yield_a_little();
    }
    loop {
        let mut state = shared.lock();
        let batch = loop {
            match shared.take(&mut state, worker) {
                Some(batch) => break batch,
                None => state = shared.work.wait(state).expect("no panic while held"),
            }
        };
        drop(state);
        let inputs: Vec<&Input> = batch.inputs.iter().map(|(_, input)| &**input).collect();
        let mut took = Duration::ZERO;
        let cancel = &batch.stop.device;
        let outcomes = run_batch(&batch.encoder, worker.number, &inputs, cancel, &shared.stats, &mut took);
        shared.finish(worker, &batch, outcomes, took);
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

/// Runs a batch, in parts where it has to be; adds to `took` how long the device was held.
fn run_batch(
    encoder: &Encoder,
    worker: usize,
    inputs: &[&Input],
    cancel: &Cancel,
    stats: &Stats,
    took: &mut Duration,
) -> Vec<Outcome> {
    let mut run_part = |part: &[&Input]| run_batch(encoder, worker, part, cancel, stats, took);
    // Of a remote encoder there is none, and its batches do not come here.
    let Some(session) = encoder.session(worker) else { return vec![Err(Error::Cancelled); inputs.len()] };
    match run(encoder, session, inputs, cancel, stats) {
        (Ok(vectors), spent) => {
            *took += spent;
            vectors.into_iter().map(|vector| Ok(vector.into())).collect()
        }
        (Err(error), _) if inputs.len() == 1 || cancel.is_cancelled() => vec![Err(error); inputs.len()],
        (Err(Error::OutOfMemory { .. }), _) => {
            let half = inputs.len().div_ceil(2);
            if encoder.max_items.fetch_min(half, Relaxed) > half {
                log_warning!(
                    "memory is short for {} items at a time: the {} encoder of model \"{}\" goes on with {half} until it \
                     is loaded again",
                    inputs.len(),
                    encoder.modality.name(),
                    encoder.model,
                );
            }
            let (first, second) = inputs.split_at(half);
            [run_part(first), run_part(second)].concat()
        }
        // One input may be what the model failed on: the others shall not suffer for it.
        (Err(_), _) => inputs.iter().flat_map(|input| run_part(&[*input])).collect(),
    }
}

/// Runs a batch once. The time is that in which the device was held.
fn run(
    encoder: &Encoder,
    device: &DeviceSession,
    inputs: &[&Input],
    cancel: &Cancel,
    stats: &Stats,
) -> (Result<Vec<Vec<f32>>>, Duration) {
    let mut began = Instant::now();
    let embed = || {
        // A panic while the lock was held left a session that has to be trusted or lost; ONNX Runtime keeps no state
        // between runs.
        let lock = || device.session.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let staged = match &device.stager {
            Some(stager) => {
                let pixels: Vec<_> = inputs.iter().filter_map(|input| input.pixels()).collect();
                Some(stager.stage(&pixels)?)
            }
            None => None,
        };
        let mut session = lock();
        began = Instant::now();
        match (&mut *session, staged) {
            (Session::Image(image), Some(staged)) => image.run(&staged, cancel),
            (Session::Image(_), None) => Ok(Vec::new()),
            (Session::Text(text), _) => {
                let ids: Vec<&[u32]> = inputs.iter().filter_map(|input| input.ids()).collect();
                text.embed(&ids, cancel)
            }
        }
    };
    let failed = |reason: String| Error::Inference { model: encoder.model.clone(), reason };
    let outcome = catch_unwind(AssertUnwindSafe(embed)).unwrap_or_else(|_| {
        log_warning!("a run of model \"{}\" panicked", encoder.model);
        Err(failed("the run panicked".to_owned()))
    });
    let took = began.elapsed();
    let outcome = match outcome {
        Ok(vectors) if vectors.len() != inputs.len() => {
            Err(failed(format!("{} vectors came back for {} inputs", vectors.len(), inputs.len())))
        }
        other => other,
    };
    let embedded = if outcome.is_ok() { inputs.len() } else { 0 };
    stats.ran(
        &encoder.model,
        encoder.modality,
        inputs.len(),
        embedded,
        took,
        outcome.is_err() && !cancel.is_cancelled(),
    );
    (outcome, took)
}

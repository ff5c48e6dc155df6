//! What waits for the devices, and the threads that run them.
//!
//! ```text
//! queue   what waits: jobs by class and age, equal inputs once; fills batches
//! pace    how long runs take, the fastest size, and whose turn it is
//! idle    how long bulk was under way and nothing ran
//! ```
//!
//! A batch is what queued while the device was busy: there is no timer, so an idle server answers at once and a busy one
//! batches across connections. Requests of few items go before large ones, so that a person searching does not wait for
//! a job that embeds a million images. Bulk runs in batches of the fastest size, as measured; while interactive requests of
//! the same encoder keep coming, no batch takes longer than a step, so that a request waits for one step at most.
//!
//! On the CPU there are two threads: one for the texts that people wait for, and one for all else. A search does not wait
//! for the images of a bulk job, beside which it runs. Each CUDA device has three threads: while the batch of one runs, the
//! others make theirs, so that images are copied to the device beside computation. Batches of one session never run at
//! the same time.

mod idle;
mod pace;
mod queue;

use crate::class::{Class, Key};
use crate::log_warning;
use crate::models::{Encoder, Lane, Session};
use crate::prepare::Input;
use crate::process;
use crate::stats::Stats;
use clip::{Cancel, Error, Modality, Result};
use idle::Idle;
use pace::{Pace, Turn};
use queue::{Job, Limits, Queue, Waiter};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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
    cancels: HashMap<u64, Cancel>,
    /// Of the encoders.
    paces: HashMap<u64, Pace>,
    turn: Turn,
    idle: Idle,
    /// The encoders on the CPU that run now.
    running: HashSet<u64>,
    tickets: u64,
    /// Threads for GPUs that were started.
    gpu_workers: usize,
}

/// A thread that runs batches.
#[derive(Clone, Copy, PartialEq)]
enum Worker {
    /// Of encoders on the CPU: all but what is for the next.
    Cpu,
    /// Of text encoders on the CPU: what people wait for.
    CpuTexts,
    /// Of encoders on GPUs.
    Gpu(usize),
}

impl Worker {
    /// Whether it may run batches of this class of an encoder.
    fn is_for(self, encoder: &Encoder, class: Class) -> bool {
        let is_search = encoder.modality == Modality::Text && class == Class::Interactive;
        match self {
            Self::Cpu => encoder.gpu_workers() == 0 && !is_search,
            Self::CpuTexts => encoder.gpu_workers() == 0 && is_search,
            Self::Gpu(number) => number < encoder.gpu_workers(),
        }
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
    cancel: Cancel,
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
            start(shared, &format!("gpu-{}", state.gpu_workers), Worker::Gpu(state.gpu_workers))?;
            state.gpu_workers += 1;
        }
        Ok(())
    }

    /// Takes the next batch that this worker may run, if there is one.
    fn take(&self, state: &mut State, worker: Worker) -> Option<Batch> {
        let turn = state.turn.next(state.queue.waiting(), self.step())?;
        let (queue, running) = (&state.queue, &state.running);
        let may_run = |class: Class, encoder: &Encoder| {
            // Whose turn it is shall not wait for one batch after the other of the same session.
            let is_turn = || class == turn || queue.first(turn, |job| job.encoder == encoder.id).is_none();
            worker.is_for(encoder, class) && !running.contains(&encoder.id) && is_turn()
        };
        let (class, encoder) = [turn, turn.other()].into_iter().find_map(|class| {
            let job = queue.first(class, |job| may_run(class, &job.work.encoder))?;
            Some((class, Arc::clone(&job.work.encoder)))
        })?;
        let now = Instant::now();
        let pace = state.paces.entry(encoder.id).or_default();
        let max_items = self.max_batch.load(Relaxed).min(encoder.max_items.load(Relaxed));
        let max_units = match class {
            Class::Bulk if !pace.is_asked(now) => pace.best(),
            _ => pace.within(self.step()),
        };
        let limits = Limits { max_items, max_units };
        let (mut inputs, mut tokens) = (Vec::new(), 0);
        let number = state.queue.start(class, encoder.id, limits, |job| {
            self.stats.queue.record(now - job.work.queued);
            tokens = tokens.max(job.tokens.unwrap_or(1));
            inputs.push((job.key, Arc::clone(&job.work.input)));
        })?;
        let cancel = Cancel::new();
        state.cancels.insert(number, cancel.clone());
        if encoder.gpu_workers() == 0 {
            state.running.insert(encoder.id);
        }
        self.stats.bulk_ran(state.idle.device_begins(now));
        Some(Batch { number, class, encoder, inputs, tokens, cancel })
    }

    /// Answers those who wait for a batch that took so long on the device.
    fn finish(&self, worker: Worker, batch: &Batch, outcomes: Vec<Outcome>, took: Duration) {
        let mut state = self.lock();
        state.cancels.remove(&batch.number);
        state.running.remove(&batch.encoder.id);
        state.idle.device_ends(Instant::now());
        if !batch.cancel.is_cancelled() {
            state.paces.entry(batch.encoder.id).or_default().learn(batch.inputs.len() * batch.tokens, took);
        }
        answer(state.queue.finish(batch.number), &batch.inputs, outcomes);
        // Searches that run beside images of bulk take no turn of theirs.
        let is_apart = |job: &Job<Work, Reply>| worker == Worker::CpuTexts && job.encoder != batch.encoder.id;
        if state.queue.first(batch.class.other(), |job| !is_apart(job)).is_some() {
            state.turn.ran(batch.class, took);
        }
        drop(state);
        // What waited for this session may be another thread's.
        self.work.notify_all();
    }
}

impl Scheduler {
    pub(crate) fn start(stats: Arc<Stats>) -> Self {
        let (max_batch, step_ms) = (AtomicUsize::new(1), AtomicU64::new(1));
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), stats, max_batch, step_ms });
        for (name, worker) in [("cpu", Worker::Cpu), ("cpu-texts", Worker::CpuTexts)] {
            start(&shared, name, worker).expect("a thread at the start of the process");
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
            state.paces.entry(encoder.id).or_default().asked(queued);
        }
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
        self.shared.work.notify_all();
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
            if let Some(cancel) = state.cancels.get(&batch) {
                cancel.cancel();
            }
        }
    }
}

fn start(shared: &Arc<Shared>, name: &str, worker: Worker) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || run_for_ever(&shared, worker)).map(drop)
}

fn run_for_ever(shared: &Shared, worker: Worker) {
    let lane = if let Worker::Gpu(number) = worker { number } else { 0 };
    if worker == Worker::Cpu {
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
        let more = state.queue.waiting() != (0, 0);
        drop(state);
        if more {
            // The next may be for a worker that could not run this one.
            shared.work.notify_all();
        }
        let inputs: Vec<&Input> = batch.inputs.iter().map(|(_, input)| &**input).collect();
        let mut took = Duration::ZERO;
        let outcomes = run_batch(&batch.encoder, lane, &inputs, &batch.cancel, &shared.stats, &mut took);
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
    lane: usize,
    inputs: &[&Input],
    cancel: &Cancel,
    stats: &Stats,
    took: &mut Duration,
) -> Vec<Outcome> {
    let mut run_part = |part: &[&Input]| run_batch(encoder, lane, part, cancel, stats, took);
    match run(encoder, encoder.lane(lane), inputs, cancel, stats) {
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
    lane: &Lane,
    inputs: &[&Input],
    cancel: &Cancel,
    stats: &Stats,
) -> (Result<Vec<Vec<f32>>>, Duration) {
    let mut began = Instant::now();
    let embed = || {
        // A panic while the lock was held left a session that has to be trusted or lost; ONNX Runtime keeps no state
        // between runs.
        let lock = || lane.session.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let staged = match &lane.stager {
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

//! What waits for the device, and the one thread that runs it.
//!
//! A batch is what queued while the device was busy: there is no timer, so an idle server answers at once and a busy one
//! batches across connections. Requests of few items go before large ones, so that a person searching does not wait for
//! a job that embeds a million pictures; every few runs a large one goes first all the same.

use crate::log_warning;
use crate::models::{Session, Tower};
use crate::prepare::Input;
use crate::stats::Stats;
use clip::{Cancel, Error, Result};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// Requests of at most so many items are interactive.
pub(crate) const INTERACTIVE_ITEMS: usize = 4;
/// So many runs of interactive requests may pass a waiting bulk request.
const PATIENCE_OF_BULK: u32 = 8;

/// An embedding for each input, or why there is none.
pub(crate) type Outcome = Result<Vec<Vec<f32>>>;

/// Who is served first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Interactive,
    Bulk,
}

struct Entry {
    id: u64,
    tower: Arc<Tower>,
    inputs: Vec<Input>,
    reply: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct State {
    interactive: VecDeque<Entry>,
    bulk: VecDeque<Entry>,
    passed_over: u32,
    next_id: u64,
    running: Option<Running>,
}

/// The batch on the device: the entries that somebody still waits for, and how to end it.
struct Running {
    wanted: Vec<u64>,
    cancel: Cancel,
}

/// The queue and its thread.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    stats: Arc<Stats>,
    max_batch: std::sync::atomic::AtomicUsize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}

impl Scheduler {
    pub(crate) fn start(stats: Arc<Stats>, max_batch: usize) -> Self {
        let shared =
            Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), stats, max_batch: max_batch.into() });
        let device = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("device".to_owned())
            .spawn(move || run_for_ever(&device))
            .expect("a thread at the start of the process");
        Self { shared }
    }

    pub(crate) fn set_max_batch(&self, max_batch: usize) {
        self.shared.max_batch.store(max_batch, Relaxed);
    }

    /// Queues inputs for a tower. Dropping the ticket takes them out again, and ends their run where nobody else is
    /// part of it.
    pub(crate) fn submit(&self, tower: &Arc<Tower>, inputs: Vec<Input>, class: Class) -> Ticket {
        let (reply, answer) = oneshot::channel();
        let mut state = self.shared.lock();
        let id = state.next_id;
        state.next_id += 1;
        let entry = Entry { id, tower: Arc::clone(tower), inputs, reply };
        match class {
            Class::Interactive => state.interactive.push_back(entry),
            Class::Bulk => state.bulk.push_back(entry),
        }
        drop(state);
        self.shared.work.notify_one();
        Ticket { id, answer, shared: Arc::clone(&self.shared) }
    }
}

/// A place in the queue.
pub(crate) struct Ticket {
    id: u64,
    answer: oneshot::Receiver<Outcome>,
    shared: Arc<Shared>,
}

impl Ticket {
    /// Waits for the run.
    pub(crate) async fn outcome(mut self) -> Outcome {
        (&mut self.answer).await.unwrap_or(Err(Error::Cancelled))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.interactive.retain(|entry| entry.id != self.id);
        state.bulk.retain(|entry| entry.id != self.id);
        if let Some(running) = &mut state.running {
            let before = running.wanted.len();
            running.wanted.retain(|id| *id != self.id);
            if running.wanted.is_empty() && before > 0 {
                running.cancel.cancel();
            }
        }
    }
}

fn run_for_ever(shared: &Shared) {
    loop {
        let mut state = shared.lock();
        while state.interactive.is_empty() && state.bulk.is_empty() {
            state = shared.work.wait(state).expect("no panic while held");
        }
        let batch = take_batch(&mut state, shared.max_batch.load(Relaxed));
        let cancel = Cancel::new();
        let wanted = batch.iter().map(|entry| entry.id).collect();
        state.running = Some(Running { wanted, cancel: cancel.clone() });
        drop(state);
        run_batch(batch, &cancel, &shared.stats);
        shared.lock().running = None;
    }
}

/// The next batch: the entry whose turn it is, and those of the same tower that fit beside it, in order.
fn take_batch(state: &mut State, max_batch: usize) -> Vec<Entry> {
    let bulk_first = !state.bulk.is_empty() && (state.interactive.is_empty() || state.passed_over >= PATIENCE_OF_BULK);
    state.passed_over = if bulk_first || state.bulk.is_empty() { 0 } else { state.passed_over + 1 };
    let (first, second) = match bulk_first {
        true => (&mut state.bulk, &mut state.interactive),
        false => (&mut state.interactive, &mut state.bulk),
    };
    let head = first.pop_front().expect("a queue that is not empty");
    let mut room = max_batch.saturating_sub(head.inputs.len());
    let mut batch = vec![head];
    // Bulk may not ride along with interactive entries: it would make their run long.
    let queues: &mut [&mut VecDeque<Entry>] = if bulk_first { &mut [first, second] } else { &mut [first] };
    for queue in queues {
        let mut index = 0;
        while index < queue.len() && room > 0 {
            let entry = &queue[index];
            if Arc::ptr_eq(&entry.tower, &batch[0].tower) && entry.inputs.len() <= room {
                room -= entry.inputs.len();
                batch.extend(queue.remove(index));
            } else {
                index += 1;
            }
        }
    }
    batch
}

fn run_batch(mut batch: Vec<Entry>, cancel: &Cancel, stats: &Stats) {
    let tower = Arc::clone(&batch[0].tower);
    let inputs: Vec<&Input> = batch.iter().flat_map(|entry| &entry.inputs).collect();
    stats.batches.fetch_add(1, Relaxed);
    match run(&tower, &inputs, cancel) {
        Ok(mut vectors) => {
            for entry in batch {
                let rest = vectors.split_off(entry.inputs.len());
                // Nobody listens where the request was given up.
                let _ = entry.reply.send(Ok(std::mem::replace(&mut vectors, rest)));
            }
        }
        Err(error) if batch.len() == 1 || cancel.is_cancelled() => {
            for entry in batch {
                let _ = entry.reply.send(Err(error.clone()));
            }
        }
        // One request's inputs may be what the model failed on: the others shall not suffer for it.
        Err(_) => {
            for entry in batch.drain(..) {
                let inputs: Vec<&Input> = entry.inputs.iter().collect();
                let outcome = run(&tower, &inputs, cancel);
                let _ = entry.reply.send(outcome);
            }
        }
    }
}

fn run(tower: &Tower, inputs: &[&Input], cancel: &Cancel) -> Outcome {
    let embed = || {
        // A panic while the lock was held left a session that has to be trusted or lost; ONNX Runtime keeps no state
        // between runs.
        let mut session = tower.session.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut *session {
            Session::Text(text) => {
                let ids: Vec<&[u32]> = inputs.iter().filter_map(|input| input.ids()).collect();
                text.embed(&ids, cancel)
            }
            Session::Vision(vision) => {
                let pixels: Vec<_> = inputs.iter().filter_map(|input| input.pixels()).collect();
                vision.embed(&pixels, cancel)
            }
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(embed)).unwrap_or_else(|_| {
        log_warning!("a run of a model panicked");
        Err(Error::Inference { model: "this".to_owned(), reason: "the run panicked".to_owned() })
    });
    match outcome {
        Ok(vectors) if vectors.len() != inputs.len() => Err(Error::Inference {
            model: "this".to_owned(),
            reason: format!("{} vectors came back for {} inputs", vectors.len(), inputs.len()),
        }),
        other => other,
    }
}

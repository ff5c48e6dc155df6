//! Batches that model servers run.

use super::{Batch, Lane, Outcome, Shared, Worker};
use crate::log_warning;
use crate::models::Encoder;
use crate::prepare::Input;
use crate::stats::Stats;
use clip::{Error, RemoteInput};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Sends what waits for a remote encoder, as far as its endpoints have room.
pub(super) fn dispatch(shared: &Arc<Shared>, encoder: &Arc<Encoder>) {
    let Some(remote) = encoder.remote() else { return };
    let worker = Worker { lane: Lane::Remote(encoder.id), number: 0 };
    let room = remote.capacity();
    let mut state = shared.lock();
    while state.remote.get(&encoder.id).is_none_or(|running| *running < room) {
        let Some(batch) = shared.take(&mut state, worker) else { return };
        *state.remote.entry(encoder.id).or_default() += 1;
        tokio::spawn(run(Arc::clone(shared), worker, batch));
    }
}

async fn run(shared: Arc<Shared>, worker: Worker, batch: Batch) {
    let (encoder, stop, stats) = (Arc::clone(&batch.encoder), batch.stop.clone(), Arc::clone(&shared.stats));
    let inputs: Vec<Arc<Input>> = batch.inputs.iter().map(|(_, input)| Arc::clone(input)).collect();
    let (count, began) = (inputs.len(), Instant::now());
    let embedding = async move {
        tokio::select! {
            outcomes = embed(&encoder, &inputs, &stats) => outcomes,
            () = stop.remote.cancelled() => vec![Err(Error::Cancelled); inputs.len()],
        }
    };
    let outcomes = tokio::spawn(embedding).await.unwrap_or_else(|panic| {
        let (model, reason) = (batch.encoder.model.clone(), panic.to_string());
        vec![Err(Error::Inference { model, reason }); count]
    });
    // Of a batch that failed, it tells nothing about the speed.
    let took = if outcomes.iter().any(Result::is_ok) { began.elapsed() } else { Duration::ZERO };
    shared.finish(worker, &batch, outcomes, took);
    {
        let mut state = shared.lock();
        if let Some(running) = state.remote.get_mut(&batch.encoder.id) {
            *running -= 1;
            if *running == 0 {
                state.remote.remove(&batch.encoder.id);
            }
        }
    }
    dispatch(&shared, &batch.encoder);
}

/// Embeds a batch, in halves where a server takes no message of its size. No item is at fault where a server fails: none is
/// tried alone.
async fn embed(encoder: &Encoder, inputs: &[Arc<Input>], stats: &Stats) -> Vec<Outcome> {
    let Some(remote) = encoder.remote() else { return vec![Err(Error::Cancelled); inputs.len()] };
    let mut outcomes = Vec::with_capacity(inputs.len());
    let mut parts = vec![inputs];
    while let Some(part) = parts.pop() {
        let items: Vec<RemoteInput<'_>> = part.iter().map(|input| input.remote()).collect();
        let began = Instant::now();
        let outcome = remote.embed(&items).await;
        let embedded = outcome.as_ref().map_or(0, |vectors| vectors.iter().filter(|vector| vector.is_ok()).count());
        stats.ran(&encoder.model, encoder.modality, part.len(), embedded, began.elapsed(), outcome.is_err());
        match outcome {
            Ok(vectors) => outcomes.extend(vectors.into_iter().map(|vector| vector.map(Into::into))),
            Err(Error::RemoteTooLarge { reason, .. }) if part.len() > 1 => {
                let half = part.len().div_ceil(2);
                if encoder.max_items.fetch_min(half, Relaxed) > half {
                    log_warning!(
                        "{} items are too many for the model server of the {} encoder of model \"{}\", which goes on with \
                         {half}: {reason}",
                        part.len(),
                        encoder.modality.name(),
                        encoder.model,
                    );
                }
                let (first, second) = part.split_at(half);
                parts.extend([second, first]);
            }
            Err(error) => outcomes.extend(vec![Err(error); part.len()]),
        }
    }
    outcomes
}

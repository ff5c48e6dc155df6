//! An embed request becomes its vectors: prepare, look whether somebody has asked the same, have the rest run.

use crate::cache::TextCache;
use crate::class::{Class, INTERACTIVE_ITEMS, Key};
use crate::models::{Model, Models};
use crate::prepare::Pool;
use crate::scheduler::{Scheduler, Ticket};
use crate::stats::Stats;
use crate::{failure, process};
use clip::Modality;
use protocol::{Config, EmbedRequest, Embedding, Failure, Items, OnTruncated, Scope};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Steps of one request that may wait for the device at a time: one runs, one is ready, one is being prepared.
const STEPS_AHEAD: usize = 2;
/// Batches of all bulk requests that may be prepared and not run yet.
pub(crate) const BATCHES_PREPARED: usize = 4;

/// What is known of a request.
#[derive(Default)]
struct Results {
    /// One for each item, in order; `None` where it is not known yet.
    items: Vec<Option<Result<Embedding, Failure>>>,
    /// As [`Embedded`].
    damaged: Vec<(u32, String)>,
}

/// One result for each item, in order; and the damaged images of which what there is was embedded, by their place, with
/// what is wrong.
type Embedded = (Vec<Result<Embedding, Failure>>, Vec<(u32, String)>);

/// What one request works with.
pub(crate) struct Embedder<'a> {
    pub(crate) config: Arc<Config>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) models: Arc<Models>,
    pub(crate) cache: Arc<TextCache>,
    pub(crate) prepared: Arc<Semaphore>,
    pub(crate) scheduler: &'a Scheduler,
    pub(crate) stats: &'a Stats,
}

impl Embedder<'_> {
    /// One result for each item, in order.
    ///
    /// # Errors
    /// What is wrong with all of it: the model, or the device.
    pub(crate) async fn embed(&self, request: EmbedRequest) -> Result<Embedded, Failure> {
        let fail = |error: clip::Error| failure::of(&error);
        let model = self.models.get(&request.model, &self.config).await.map_err(fail)?;
        let class = if request.items.len() <= INTERACTIVE_ITEMS { Class::Interactive } else { Class::Bulk };
        let (modality, embedded) = match &request.items {
            Items::Texts(_) => (Modality::Text, &self.stats.texts),
            Items::Images(_) => (Modality::Image, &self.stats.images),
        };
        match class {
            Class::Interactive => self.stats.interactive.fetch_add(1, Relaxed),
            Class::Bulk => self.stats.bulk.fetch_add(1, Relaxed),
        };
        let _under_way = (class == Class::Bulk).then(|| self.scheduler.bulk());
        let mut results = Results::default();
        results.items.resize_with(request.items.len(), || None);
        let steps_ahead = model.remote(modality).map_or(STEPS_AHEAD, |remote| remote.batches);
        let (mut steps, mut first) = (VecDeque::with_capacity(steps_ahead), 0);
        let scope = request.scope;
        for items in split(request.items, self.config.max_batch as usize) {
            if steps.len() == steps_ahead {
                self.finish(steps.pop_front().expect("not empty"), &mut results).await;
            }
            let count = items.len();
            let (ticket, to_remember) = (self.scheduler.ticket(class), HashMap::new());
            let room = self.room(&model, class, modality, count).await;
            let step = Step { class, first, scope, ticket, to_remember };
            let begun = self.begin(step, &model, modality, items, room, &mut results).await;
            steps.push_back(begun.map_err(fail)?);
            first += count;
        }
        for step in steps {
            self.finish(step, &mut results).await;
        }
        let missing = || Err(failure::Error::LostItem.into());
        let Results { items, damaged } = results;
        let results: Vec<_> = items.into_iter().map(|item| item.unwrap_or_else(missing)).collect();
        let good = results.iter().filter(|result| result.is_ok()).count();
        embedded.fetch_add(good as u64, Relaxed);
        self.stats.errors.fetch_add((results.len() - good) as u64, Relaxed);
        Ok((results, damaged))
    }

    /// Waits until so many images of bulk may be decoded. A few images, or tokens, are small.
    async fn room(
        &self,
        model: &Model,
        class: Class,
        modality: Modality,
        count: usize,
    ) -> Option<OwnedSemaphorePermit> {
        let here = (&self.prepared, count);
        let (prepared, count) =
            model.remote(modality).map_or(here, |remote| (&remote.prepared, count.min(remote.items)));
        match (class, modality) {
            (Class::Bulk, Modality::Image) => Arc::clone(prepared).acquire_many_owned(count as u32).await.ok(),
            _ => None,
        }
    }

    /// Prepares the items of a step and queues what has to be run. What failed, or is known, has its result already.
    async fn begin(
        &self,
        mut step: Step,
        model: &Arc<Model>,
        modality: Modality,
        items: Items,
        room: Option<OwnedSemaphorePermit>,
        results: &mut Results,
    ) -> clip::Result<Step> {
        let mut kept = Vec::with_capacity(items.len());
        let items = match items {
            // Decoding is most of the work, so images that are on their way already are told by their bytes.
            Items::Images(images) => {
                let hash = || images.iter().map(|image| hash(step.scope, image)).collect::<Vec<_>>();
                let hashes = process::apart(images.iter().map(|image| image.len()).sum(), hash);
                let mut new = Vec::with_capacity(images.len());
                for (place, (image, hash)) in images.into_iter().zip(hashes).enumerate() {
                    let key = model.key(modality, hash);
                    // Whoever waits for somebody else's does not learn that it is damaged.
                    let is_alone = self.config.on_truncated == OnTruncated::Decode;
                    if is_alone || !step.ticket.join(&key, place) {
                        kept.push((place, Some(key)));
                        new.push(image);
                    }
                }
                Items::Images(new)
            }
            Items::Texts(texts) => {
                kept.extend((0..texts.len()).map(|place| (place, None)));
                Items::Texts(texts)
            }
        };
        let prepared = self.pool.prepare(model, items, &self.config, step.class).await;
        let mut work = Vec::with_capacity(prepared.len());
        for ((place, key), input) in kept.into_iter().zip(prepared) {
            let result = &mut results.items[step.first + place];
            match input {
                Err(error) => *result = Some(Err(failure::of(&error))),
                Ok(input) => {
                    if let Some(damage) = input.damage() {
                        results.damaged.push(((step.first + place) as u32, damage.to_string()));
                    }
                    let key = key
                        .unwrap_or_else(|| model.key(modality, hash_ids(step.scope, input.ids().unwrap_or_default())));
                    if let Some(vector) = self.remembered(modality, &key) {
                        *result = Some(Ok(vector));
                        continue;
                    }
                    if modality == Modality::Text {
                        step.to_remember.insert(place, key);
                    }
                    work.push((key, place, input));
                }
            }
        }
        // An encoder is only loaded where there is something for it to do.
        if !work.is_empty() {
            let encoder = self.models.encoder(model, modality, &self.config).await?;
            step.ticket.submit(&encoder, work, room);
        }
        Ok(step)
    }

    fn remembered(&self, modality: Modality, key: &Key) -> Option<Embedding> {
        let vector = (modality == Modality::Text).then(|| self.cache.get(key))??;
        self.stats.cache_hits.fetch_add(1, Relaxed);
        Some(vector.to_vec())
    }

    async fn finish(&self, mut step: Step, results: &mut Results) {
        while let Some((place, outcome)) = step.ticket.next().await {
            let result = &mut results.items[step.first + place];
            match outcome {
                Ok(vector) => {
                    *result = Some(Ok(vector.to_vec()));
                    if let Some(key) = step.to_remember.remove(&place) {
                        self.cache.put(key, vector);
                    }
                }
                Err(error) => *result = Some(Err(failure::of(&error))),
            }
        }
    }
}

/// A part of a request that waits for the device.
struct Step {
    class: Class,
    /// The place of its first item in the request.
    first: usize,
    /// For whom.
    scope: Scope,
    ticket: Ticket,
    /// Texts by their place in the step.
    to_remember: HashMap<usize, Key>,
}

/// Equal bytes of the same scope have equal hashes: nobody can tell by the time that somebody else has asked for them.
fn hash(scope: Scope, bytes: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(&scope.to_bytes()).update(bytes).finalize()
}

fn hash_ids(scope: Scope, ids: &[u32]) -> blake3::Hash {
    let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    hash(scope, &ids)
}

/// Cuts items into steps of at most `size`, in order. The first is small: nothing runs while it is being prepared.
fn split(items: Items, size: usize) -> Vec<Items> {
    fn chunks<T>(items: Vec<T>, size: usize) -> Vec<Vec<T>> {
        let (mut items, mut size_now) = (items.into_iter(), (size / 4).max(INTERACTIVE_ITEMS));
        std::iter::from_fn(|| {
            let chunk: Vec<T> = items.by_ref().take(size_now.min(size).max(1)).collect();
            size_now = size;
            (!chunk.is_empty()).then_some(chunk)
        })
        .collect()
    }
    match items {
        Items::Texts(texts) => chunks(texts, size).into_iter().map(Items::Texts).collect(),
        Items::Images(images) => chunks(images, size).into_iter().map(Items::Images).collect(),
    }
}

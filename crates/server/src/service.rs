//! A request becomes its response.

use crate::fetching::Fetching;
use crate::models::{Modality, Model, Models};
use crate::prepare::{Input, Pool};
use crate::scheduler::{Class, INTERACTIVE_ITEMS, Scheduler, Ticket};
use crate::stats::Stats;
use crate::{failure, log_info, log_warning, process};
use futures_util::stream::{self, BoxStream, StreamExt};
use protocol::{
    Config, EmbedRequest, Embedding, Failure, ImageInfo, Items, Request, Response, ServerStatus, Thumbnail,
    ThumbnailRequest,
};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Steps of one request that may wait for the device at a time: one runs, one is ready, one is being prepared.
const STEPS_AHEAD: usize = 2;

/// What a request works with from its beginning to its end, whatever is reloaded meanwhile.
#[derive(Clone)]
struct Settings {
    config: Arc<Config>,
    pool: Arc<Pool>,
    /// Belongs to the configuration: a model that was read under an old one is not found under the new.
    models: Arc<Models>,
    fetching: Arc<Fetching>,
}

/// Everything but the socket.
pub struct Service {
    settings: RwLock<Settings>,
    scheduler: Scheduler,
    pub(crate) stats: Arc<Stats>,
}

impl Service {
    /// Starts the threads. Models are loaded when they are asked for.
    ///
    /// # Panics
    /// Where the process may not have so many threads.
    pub fn new(config: Config) -> Self {
        let pool = Pool::new(config.threads).expect("threads at the start of the process");
        let stats = Arc::new(Stats::new());
        let scheduler = Scheduler::start(Arc::clone(&stats), config.max_batch as usize);
        let fetching = Arc::new(Fetching::new(&config));
        let settings = Settings { config: Arc::new(config), pool: Arc::new(pool), models: Arc::default(), fetching };
        Self { settings: RwLock::new(settings), scheduler, stats }
    }

    /// Takes new settings; they hold for requests that come after.
    pub fn reconfigure(&self, config: Config) {
        let mut settings = self.settings();
        let old = Arc::clone(&settings.config);
        if config.threads != old.threads {
            match Pool::new(config.threads) {
                Ok(pool) => settings.pool = Arc::new(pool),
                Err(error) => {
                    log_warning!("could not start {} threads, keeping the old ones: {error}", config.threads);
                }
            }
        }
        let what_models_hold = |config: &Config| {
            let Config { model_roots, device, precision, .. } = config.clone();
            (model_roots, device, precision, config.threads, config.transparency, config.apply_orientation)
        };
        let reload = what_models_hold(&config) != what_models_hold(&old);
        if reload {
            settings.models = Arc::default();
        }
        if (&config.fetch, config.max_image_bytes) != (&old.fetch, old.max_image_bytes) {
            settings.fetching = Arc::new(Fetching::new(&config));
        }
        self.scheduler.set_max_batch(config.max_batch as usize);
        settings.config = Arc::new(config);
        *self.settings.write().expect("no panic while held") = settings;
        log_info!("took new settings{}", if reload { "; models are loaded anew" } else { "" });
    }

    fn settings(&self) -> Settings {
        self.settings.read().expect("no panic while held").clone()
    }

    /// Answers one request: with one response, or with one for each URL. Dropping the stream gives the request up.
    pub(crate) fn answer(&self, request: Request) -> BoxStream<'_, Response> {
        match request {
            Request::Fetch(request) => {
                let in_flight = self.stats.begin();
                let fetching = Arc::clone(&self.settings().fetching);
                let fetched = fetching.run(request).map(move |fetched| {
                    let _ = &in_flight;
                    self.stats.errors.fetch_add(fetched.result.is_err().into(), Relaxed);
                    Response::Fetched(fetched)
                });
                fetched.boxed()
            }
            request => stream::once(self.answer_once(request)).boxed(),
        }
    }

    async fn answer_once(&self, request: Request) -> Response {
        let response = match request {
            Request::Embed(request) => {
                let _in_flight = self.stats.begin();
                self.embed(request).await.map(Response::Embeddings)
            }
            Request::Thumbnails(request) => {
                let _in_flight = self.stats.begin();
                Ok(Response::Thumbnails(self.thumbnails(request).await))
            }
            Request::ImageInfo(image) => {
                let _in_flight = self.stats.begin();
                self.describe(image).await
            }
            Request::LogitScale(model) => self.logit_scale(&model).await,
            Request::Models => self.list_models().await,
            Request::Status => Ok(Response::Status(Box::new(self.status()))),
            Request::Fetch(_) => Err(failure::internal("a fetch has more than one response")),
        };
        response.unwrap_or_else(|failure| {
            self.stats.errors.fetch_add(1, Relaxed);
            Response::Failed(failure)
        })
    }

    async fn thumbnails(&self, request: ThumbnailRequest) -> Vec<Result<Thumbnail, Failure>> {
        let Settings { config, pool, .. } = self.settings();
        let made = pool.thumbnails(request.images, request.max_side, &config).await;
        let results: Vec<Result<Thumbnail, Failure>> = made
            .into_iter()
            .map(|result| match result {
                Ok(clip::Thumbnail::Jpeg(bytes)) => Ok(Thumbnail { is_png: false, bytes: bytes.into() }),
                Ok(clip::Thumbnail::Png(bytes)) => Ok(Thumbnail { is_png: true, bytes: bytes.into() }),
                Err(error) => Err(failure::of(&error)),
            })
            .collect();
        let failed = results.iter().filter(|result| result.is_err()).count();
        self.stats.errors.fetch_add(failed as u64, Relaxed);
        results
    }

    async fn describe(&self, image: serde_bytes::ByteBuf) -> Result<Response, Failure> {
        let Settings { config, pool, .. } = self.settings();
        let info = pool.describe(image, &config).await.map_err(|error| failure::of(&error))?;
        let clip::PictureInfo { format, width, height, orientation, frames, has_alpha, error } = info;
        let format = format.map(str::to_owned);
        Ok(Response::ImageInfo(ImageInfo { format, width, height, orientation, frames, has_alpha, error }))
    }

    async fn logit_scale(&self, model: &str) -> Result<Response, Failure> {
        let Settings { config, models, .. } = self.settings();
        let model = models.get(model, &config).await.map_err(|error| failure::of(&error))?;
        Ok(Response::LogitScale(model.spec.logit_scale))
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Vec<Result<Embedding, Failure>>, Failure> {
        let Settings { config, pool, models, .. } = self.settings();
        let fail = |error: clip::Error| failure::of(&error);
        let model = models.get(&request.model, &config).await.map_err(fail)?;
        let (modality, counter) = match &request.items {
            Items::Texts(_) => (Modality::Text, &self.stats.texts),
            Items::Images(_) => (Modality::Vision, &self.stats.images),
        };
        let mut results = Results::new(request.items.len());
        let class = if request.items.len() <= INTERACTIVE_ITEMS { Class::Interactive } else { Class::Bulk };
        let mut steps = VecDeque::with_capacity(STEPS_AHEAD);
        for items in split(request.items, config.max_batch as usize) {
            if steps.len() == STEPS_AHEAD {
                results.settle(steps.pop_front().expect("not empty")).await;
            }
            let inputs = pool.prepare(&model, items, &config).await;
            if let Some(step) = self.submit(&model, modality, inputs, class, &mut results).await.map_err(fail)? {
                steps.push_back(step);
            }
        }
        for step in steps {
            results.settle(step).await;
        }
        let results = results.finish();
        let embedded = results.iter().filter(|result| result.is_ok()).count();
        counter.fetch_add(embedded as u64, Relaxed);
        self.stats.errors.fetch_add((results.len() - embedded) as u64, Relaxed);
        Ok(results)
    }

    /// Queues what could be prepared; what could not has its result already. A tower is only loaded where there is
    /// something for it to do.
    async fn submit(
        &self,
        model: &Arc<Model>,
        modality: Modality,
        prepared: Vec<clip::Result<Input>>,
        class: Class,
        results: &mut Results,
    ) -> clip::Result<Option<Step>> {
        let (mut indexes, mut inputs) = (Vec::new(), Vec::new());
        for input in prepared {
            match input {
                Ok(input) => {
                    indexes.push(results.next(None));
                    inputs.push(input);
                }
                Err(error) => {
                    results.next(Some(failure::of(&error)));
                }
            }
        }
        if inputs.is_empty() {
            return Ok(None);
        }
        let tower = model.tower(modality).await?;
        Ok(Some(Step { indexes, ticket: self.scheduler.submit(&tower, inputs, class) }))
    }

    async fn list_models(&self) -> Result<Response, Failure> {
        let Settings { config, models, .. } = self.settings();
        match tokio::task::spawn_blocking(move || models.list(&config)).await {
            Ok(list) => Ok(Response::Models(list)),
            Err(panic) => Err(failure::internal(format!("listing the models failed: {panic}"))),
        }
    }

    fn status(&self) -> ServerStatus {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        ServerStatus {
            pid: std::process::id(),
            uptime_s: self.stats.uptime().as_secs_f64(),
            release: protocol::RELEASE.to_owned(),
            onnxruntime_version: clip::Runtime::current().map(|runtime| runtime.version().to_owned()),
            resident_bytes: process::resident_bytes(),
            requests: count(&self.stats.requests),
            texts: count(&self.stats.texts),
            images: count(&self.stats.images),
            batches: count(&self.stats.batches),
            errors: count(&self.stats.errors),
            connections: self.stats.connections.load(Relaxed),
        }
    }

    /// Whether nobody has asked for anything for as long as the settings allow.
    pub(crate) fn is_idle_for_too_long(&self) -> bool {
        let limit = self.settings().config.idle_timeout_s;
        limit > 0 && self.stats.idle() >= Duration::from_secs(limit.into())
    }
}

/// A part of a request that waits for the device.
struct Step {
    indexes: Vec<usize>,
    ticket: Ticket,
}

/// The results of a request, in the order of its items.
struct Results {
    items: Vec<Option<Result<Embedding, Failure>>>,
}

impl Results {
    fn new(capacity: usize) -> Self {
        Self { items: Vec::with_capacity(capacity) }
    }

    /// Makes room for the next item, whose failure may be known; returns its index.
    fn next(&mut self, failure: Option<Failure>) -> usize {
        self.items.push(failure.map(Err));
        self.items.len() - 1
    }

    async fn settle(&mut self, step: Step) {
        match step.ticket.outcome().await {
            Ok(vectors) => {
                for (index, vector) in step.indexes.into_iter().zip(vectors) {
                    self.items[index] = Some(Ok(vector));
                }
            }
            Err(error) => {
                for index in step.indexes {
                    self.items[index] = Some(Err(failure::of(&error)));
                }
            }
        }
    }

    fn finish(self) -> Vec<Result<Embedding, Failure>> {
        let missing = || Err(failure::internal("an item was lost"));
        self.items.into_iter().map(|item| item.unwrap_or_else(missing)).collect()
    }
}

/// Cuts items into runs of at most `size`, in order.
fn split(items: Items, size: usize) -> Vec<Items> {
    fn chunks<T>(items: Vec<T>, size: usize) -> Vec<Vec<T>> {
        let mut items = items.into_iter();
        std::iter::from_fn(|| {
            let chunk: Vec<T> = items.by_ref().take(size.max(1)).collect();
            (!chunk.is_empty()).then_some(chunk)
        })
        .collect()
    }
    match items {
        Items::Texts(texts) => chunks(texts, size).into_iter().map(Items::Texts).collect(),
        Items::Images(images) => chunks(images, size).into_iter().map(Items::Images).collect(),
    }
}

//! A request becomes its response.

use crate::admission::{Admission, Admitted};
use crate::cache::TextCache;
use crate::embed::{BATCHES_PREPARED, Embedder};
use crate::fetching::Fetching;
use crate::model_dir::{self, Problem};
use crate::models::Models;
use crate::prepare::Pool;
use crate::scheduler::Scheduler;
use crate::stats::Stats;
use crate::{failure, log_info, log_warning};
use futures_util::stream::{self, BoxStream, StreamExt};
use protocol::{Config, Failure, FramesRequest, Logits, Request, Response, Statistics, Thumbnail, ThumbnailRequest};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What a request works with from its beginning to its end, whatever is reloaded meanwhile.
#[derive(Clone)]
struct Settings {
    config: Arc<Config>,
    pool: Arc<Pool>,
    /// Belongs to the configuration: a model that was read under an old one is not found under the new.
    models: Arc<Models>,
    fetching: Arc<Fetching>,
    admission: Arc<Admission>,
    cache: Arc<TextCache>,
    /// Items of bulk that may be prepared and not run yet: decoded images are large.
    prepared: Arc<Semaphore>,
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
        warn_of_model_dir(&config);
        let stats = Arc::new(Stats::new());
        let pool = Pool::new(config.threads, Arc::clone(&stats)).expect("threads at the start of the process");
        let scheduler = Scheduler::start(Arc::clone(&stats));
        scheduler.configure(config.max_batch as usize, config.bulk_step_ms.into());
        let settings = Settings {
            pool: Arc::new(pool),
            models: Arc::new(Models::new(Arc::clone(&stats))),
            fetching: Arc::new(Fetching::new(&config)),
            admission: Arc::new(Admission::new(config.max_queue_bytes, config.max_server_memory)),
            cache: Arc::new(TextCache::new(config.text_cache_bytes)),
            prepared: prepared(&config),
            config: Arc::new(config),
        };
        Self { settings: RwLock::new(settings), scheduler, stats }
    }

    /// Takes new settings; they hold for requests that come after.
    pub fn reconfigure(&self, config: Config) {
        warn_of_model_dir(&config);
        let mut settings = self.settings();
        let before = Arc::clone(&settings.config);
        if config.threads != before.threads {
            match Pool::new(config.threads, Arc::clone(&self.stats)) {
                Ok(pool) => settings.pool = Arc::new(pool),
                Err(error) => {
                    log_warning!("could not start {} threads, keeping the old ones: {error}", config.threads);
                }
            }
        }
        let what_models_hold = |config: &Config| {
            let Config { model_roots, device, precision, max_gpu_memory, .. } = config.clone();
            (model_roots, device, precision, max_gpu_memory, config.threads, config.reading())
        };
        let reload = what_models_hold(&config) != what_models_hold(&before);
        if reload {
            settings.models = Arc::new(Models::new(Arc::clone(&self.stats)));
            self.stats.encoders.all_unloaded();
        }
        if (config.max_queue_bytes, config.max_server_memory) != (before.max_queue_bytes, before.max_server_memory) {
            settings.admission = Arc::new(Admission::new(config.max_queue_bytes, config.max_server_memory));
        }
        if reload || config.text_cache_bytes != before.text_cache_bytes {
            settings.cache = Arc::new(TextCache::new(config.text_cache_bytes));
        }
        if config.max_batch != before.max_batch {
            settings.prepared = prepared(&config);
        }
        if (&config.fetch, config.max_image_bytes) != (&before.fetch, before.max_image_bytes) {
            settings.fetching = Arc::new(Fetching::new(&config));
        }
        self.scheduler.configure(config.max_batch as usize, config.bulk_step_ms.into());
        settings.config = Arc::new(config);
        let old = std::mem::replace(&mut *self.settings.write().expect("no panic while held"), settings);
        // Sessions of models take a while to end; nobody has to wait for it.
        drop(old);
        log_info!("took new settings{}", if reload { "; models are loaded anew" } else { "" });
    }

    fn settings(&self) -> Settings {
        self.settings.read().expect("no panic while held").clone()
    }

    /// Waits until a request of so many bytes may be taken in.
    ///
    /// # Errors
    /// Where it never may.
    pub(crate) async fn admit(&self, bytes: u64) -> Result<Admitted, Failure> {
        let Settings { admission, models, .. } = self.settings();
        // Ending a session of a model is slow, and must not hold up the other connections of this thread.
        admission.admit(bytes, || tokio::task::block_in_place(|| models.unload_one())).await
    }

    /// Most connections open at a time.
    pub(crate) fn max_connections(&self) -> usize {
        self.settings().config.max_connections as usize
    }

    /// From which duration on requests are logged.
    pub(crate) fn log_min_duration(&self) -> Option<Duration> {
        self.settings().config.log_min_duration_ms.map(Duration::from_millis)
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
                let Settings { config, pool, models, cache, prepared, .. } = self.settings();
                let (scheduler, stats, settings) = (&self.scheduler, &*self.stats, config.of_vectors());
                let embedder = Embedder { config, pool, models, cache, prepared, scheduler, stats };
                let embedded = embedder.embed(request).await;
                embedded.map(|(results, damaged)| Response::Embeddings { results, damaged, settings })
            }
            Request::Thumbnails(request) => {
                let _in_flight = self.stats.begin();
                Ok(Response::Thumbnails(self.thumbnails(request).await))
            }
            Request::ImageInfo(image) => {
                let _in_flight = self.stats.begin();
                self.describe(image).await
            }
            Request::Frames(request) => {
                let _in_flight = self.stats.begin();
                self.frames(request).await
            }
            Request::Logits(model) => self.logits(&model).await,
            Request::Models => self.list_models().await,
            Request::Statistics => Ok(Response::Statistics(Box::new(self.statistics()))),
            Request::ResetStatistics => {
                self.stats.forget();
                Ok(Response::Statistics(Box::new(self.statistics())))
            }
            Request::Fetch(_) => Err(failure::Error::FetchHasMore.into()),
        };
        response.unwrap_or_else(|failure| {
            self.stats.errors.fetch_add(1, Relaxed);
            Response::Failed(failure)
        })
    }

    async fn thumbnails(&self, request: ThumbnailRequest) -> Vec<Result<Thumbnail, Failure>> {
        let Settings { config, pool, .. } = self.settings();
        let made = pool.thumbnails(request.images, request.max_side, &config).await;
        let results: Vec<Result<Thumbnail, Failure>> =
            made.into_iter().map(|result| result.map_err(|error| failure::of(&error))).collect();
        let failed = results.iter().filter(|result| result.is_err()).count();
        self.stats.errors.fetch_add(failed as u64, Relaxed);
        results
    }

    async fn describe(&self, image: serde_bytes::ByteBuf) -> Result<Response, Failure> {
        let Settings { config, pool, .. } = self.settings();
        let info = pool.describe(image, &config).await.map_err(|error| failure::of(&error))?;
        Ok(Response::ImageInfo(info))
    }

    async fn frames(&self, request: FramesRequest) -> Result<Response, Failure> {
        let Settings { config, pool, .. } = self.settings();
        pool.frames(request, &config).await.map(Response::Frames).map_err(|error| failure::of(&error))
    }

    async fn logits(&self, model: &str) -> Result<Response, Failure> {
        let Settings { config, models, .. } = self.settings();
        let model = models.get(model, &config).await.map_err(|error| failure::of(&error))?;
        Ok(Response::Logits(Logits { scale: model.spec.logit_scale, bias: model.spec.logit_bias }))
    }

    async fn list_models(&self) -> Result<Response, Failure> {
        let Settings { config, models, .. } = self.settings();
        match tokio::task::spawn_blocking(move || models.list(&config)).await {
            Ok(list) => Ok(Response::Models(list)),
            Err(panic) => Err(failure::Error::ListFailed { reason: panic.to_string() }.into()),
        }
    }

    fn statistics(&self) -> Statistics {
        let Settings { config, admission, cache, models, .. } = self.settings();
        Statistics {
            restarts: config.restarts,
            queue_items: self.scheduler.waiting() as u64,
            queue_bytes: admission.used(),
            waiting: admission.waiting(),
            cache_bytes: cache.bytes(),
            endpoints: models.endpoints(),
            ..self.stats.read()
        }
    }

    /// Whether nobody has asked for anything for as long as the settings allow.
    pub(crate) fn is_idle_for_too_long(&self) -> bool {
        let limit = self.settings().config.idle_timeout_s;
        limit > 0 && self.stats.idle() >= Duration::from_secs(limit.into())
    }
}

/// Logs what is wrong with the folder of models. That nobody has installed anything yet is nothing wrong.
fn warn_of_model_dir(config: &Config) {
    let Some(folder) = config.model_roots.first() else { return };
    match model_dir::problem(folder) {
        Some(Problem::Missing) if config.model_dir_is_default => {}
        Some(problem) => log_warning!("{problem} (\"{}\")", folder.display()),
        None => {}
    }
}

/// The items of bulk that may be prepared at a time.
fn prepared(config: &Config) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(BATCHES_PREPARED * config.max_batch.max(1) as usize))
}

//! Tokenizing, and having images decoded and made small, on threads beside the device's. Each thread has a decoder of its
//! own, which has the thread's priority: those of bulk give way to all others.

use crate::decoder::{self, Job, Patience, Reply, Settings};
use crate::models::Model;
use crate::process;
use crate::scheduler::{Class, INTERACTIVE_ITEMS};
use crate::stats::Stats;
use clip::{Array3, Error, Limits, LongText, Result};
use protocol::{Config, ImageInfo, Items, OnLongText, Thumbnail};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Images that take more processor time than this go on in a lane of their own, so that those that take long, of which whoever
/// wants to can send as many as there are threads, hold up only each other.
const QUICK: Duration = Duration::from_secs(2);
/// Texts up to this many bytes are tokenized where they are: it takes less time than handing them over.
const SHORT_TEXT: usize = 512;

/// What an encoder takes.
pub(crate) enum Input {
    /// Token ids, start and end included, not padded.
    Ids(Vec<u32>),
    /// Pixels of shape (3, height, width), normalised.
    Pixels(Array3<f32>),
}

/// The threads that prepare.
pub(crate) struct Pool {
    interactive: rayon::ThreadPool,
    bulk: rayon::ThreadPool,
    /// Half as many threads, for images of both classes that take long.
    slow: Arc<rayon::ThreadPool>,
    stats: Arc<Stats>,
}

impl Pool {
    /// So many threads for each class; 0 means one for each core.
    pub(crate) fn new(threads: u32, stats: Arc<Stats>) -> std::result::Result<Self, rayon::ThreadPoolBuildError> {
        let threads = if threads == 0 { num_cpus::get() } else { threads as usize };
        let pool = |name: &'static str, threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(move |index| format!("{name}-{index}"))
        };
        let interactive = pool("prepare", threads).build()?;
        // The operating system knows best how to let the one pass and the other not starve.
        let bulk = pool("prepare-bulk", threads).start_handler(|_| process::yield_to_others()).build()?;
        let slow = pool("prepare-slow", threads.div_ceil(2)).start_handler(|_| process::yield_to_others()).build()?;
        Ok(Self { interactive, bulk, slow: Arc::new(slow), stats })
    }

    /// Prepares a run of items. Where the future is dropped, what has not begun is left undone.
    pub(crate) async fn prepare(
        &self,
        model: &Arc<Model>,
        items: Items,
        config: &Config,
        class: Class,
    ) -> Vec<Result<Input>> {
        let abandoned = DropFlag::default();
        let mut waiting = Vec::with_capacity(items.len());
        let decoding = Decoding::new(config);
        let long = match config.on_long_text {
            OnLongText::Truncate => LongText::Truncate,
            OnLongText::Error => LongText::Error,
        };
        match items {
            Items::Texts(texts) => {
                for text in texts {
                    let short = text.len() <= SHORT_TEXT && class == Class::Interactive;
                    let model = Arc::clone(model);
                    let work = move || model.tokenizer.encode(&text, long).map(Input::Ids);
                    waiting.push(match short {
                        true => Waiting::Done(measured(&self.stats, work)),
                        false => self.spawn(work, class, &abandoned),
                    });
                }
            }
            Items::Images(images) => {
                for image in images {
                    let (model, decoding) = (Arc::clone(model), decoding.clone());
                    let limit = decoding.limit;
                    let work = move |patience: Patience<'_>| decoding.pixels(&model, &image, patience);
                    waiting.push(self.decode(work, limit, class, &abandoned));
                }
            }
        }
        all(waiting).await
    }

    /// Makes images small. Where the future is dropped, what has not begun is left undone.
    pub(crate) async fn thumbnails(
        &self,
        images: Vec<serde_bytes::ByteBuf>,
        max_side: u32,
        config: &Config,
    ) -> Vec<Result<Thumbnail>> {
        let abandoned = DropFlag::default();
        let decoding = Decoding::new(config);
        let limit = decoding.limit;
        let class = if images.len() <= INTERACTIVE_ITEMS { Class::Interactive } else { Class::Bulk };
        let make = |image: serde_bytes::ByteBuf| {
            let decoding = decoding.clone();
            let work = move |patience: Patience<'_>| decoding.thumbnail(&image, max_side, patience);
            self.decode(work, limit, class, &abandoned)
        };
        let waiting = images.into_iter().map(make).collect();
        all(waiting).await
    }

    /// Looks at an image.
    pub(crate) async fn describe(&self, image: serde_bytes::ByteBuf, config: &Config) -> Result<ImageInfo> {
        let abandoned = DropFlag::default();
        let decoding = Decoding::new(config);
        let limit = decoding.limit;
        let work = move |patience: Patience<'_>| decoding.info(&image, patience);
        self.decode(work, limit, Class::Interactive, &abandoned).result().await
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
        class: Class,
        abandoned: &DropFlag,
    ) -> Waiting<T> {
        let (reply, answer) = oneshot::channel();
        let (abandoned, stats) = (Arc::clone(&abandoned.0), Arc::clone(&self.stats));
        self.of(class).spawn_fifo(move || {
            let result = if abandoned.load(Relaxed) { Err(Error::Cancelled) } else { measured(&stats, work) };
            // Nobody listens where the request was given up.
            let _ = reply.send(result);
        });
        Waiting::For(answer)
    }

    /// Has an image decoded: soon, or else in the lane of those that take long, from the beginning.
    fn decode<T: Send + 'static>(
        &self,
        work: impl Fn(Patience<'_>) -> Result<T> + Send + 'static,
        limit: Duration,
        class: Class,
        abandoned: &DropFlag,
    ) -> Waiting<T> {
        let (reply, answer) = oneshot::channel();
        let (abandoned, stats, slow) = (Arc::clone(&abandoned.0), Arc::clone(&self.stats), Arc::clone(&self.slow));
        self.of(class).spawn_fifo(move || {
            let run = move |limit| match abandoned.load(Relaxed) {
                true => Err(Error::Cancelled),
                false => measured(&stats, || work(Patience { limit, abandoned: &abandoned })),
            };
            match run(limit.min(QUICK)) {
                Err(Error::ImageTimeout { .. }) if limit > QUICK => {
                    slow.spawn_fifo(move || drop(reply.send(run(limit))))
                }
                result => drop(reply.send(result)),
            }
        });
        Waiting::For(answer)
    }

    fn of(&self, class: Class) -> &rayon::ThreadPool {
        match class {
            Class::Interactive => &self.interactive,
            Class::Bulk => &self.bulk,
        }
    }
}

fn measured<T>(stats: &Stats, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let result = guarded(work);
    stats.prepare.record(began.elapsed());
    result
}

/// A panic fails the item, never the server.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()))
}

fn panicked() -> Error {
    Error::CorruptImage { format: "this".to_owned(), reason: "the decoder failed on it".to_owned() }
}

/// How images are decoded under one configuration.
#[derive(Clone)]
struct Decoding {
    settings: Settings,
    limit: Duration,
}

impl Decoding {
    fn new(config: &Config) -> Self {
        let limits = Limits { max_bytes: config.max_image_bytes as usize, max_pixels: config.max_image_pixels };
        let settings = Settings { limits, sandbox: config.sandbox };
        Self { settings, limit: Duration::from_millis(config.image_timeout_ms) }
    }

    fn ask(&self, job: &Job, image: &[u8], patience: Patience<'_>) -> Result<(Reply, Vec<u8>)> {
        decoder::ask(&self.settings, job, image, patience)
    }

    fn pixels(&self, model: &Model, image: &[u8], patience: Patience<'_>) -> Result<Input> {
        let (spec, reading) = model.preprocessor.spec();
        let job = Job::Pixels { spec: spec.clone(), reading };
        let (_, pixels) = self.ask(&job, image, patience)?;
        model.preprocessor.values(&pixels).map(Input::Pixels).ok_or_else(panicked)
    }

    fn thumbnail(&self, image: &[u8], max_side: u32, patience: Patience<'_>) -> Result<Thumbnail> {
        let (reply, bytes) = self.ask(&Job::Thumbnail { max_side }, image, patience)?;
        Ok(Thumbnail { is_png: matches!(reply, Reply::Png), bytes: bytes.into() })
    }

    /// Only what the server cannot do is an error: what is wrong with the image is told in its description.
    fn info(&self, image: &[u8], patience: Patience<'_>) -> Result<ImageInfo> {
        let unknown = |error: Error| ImageInfo {
            format: clip::media_type(image).map(str::to_owned),
            width: None,
            height: None,
            orientation: None,
            frames: None,
            has_alpha: None,
            error: Some(error.to_string()),
        };
        match self.ask(&Job::Info, image, patience) {
            Ok((Reply::Info(info), _)) => Ok(info),
            Ok(_) => Err(panicked()),
            Err(error) if error.is_about_image() => Ok(unknown(error)),
            Err(error) => Err(error),
        }
    }
}

enum Waiting<T> {
    Done(Result<T>),
    For(oneshot::Receiver<Result<T>>),
}

async fn all<T>(waiting: Vec<Waiting<T>>) -> Vec<Result<T>> {
    let mut results = Vec::with_capacity(waiting.len());
    for one in waiting {
        results.push(one.result().await);
    }
    results
}

impl<T> Waiting<T> {
    async fn result(self) -> Result<T> {
        match self {
            Self::Done(result) => result,
            Self::For(answer) => answer.await.unwrap_or_else(|_| Err(panicked())),
        }
    }
}

/// Raised when the future that holds it is dropped.
#[derive(Default)]
struct DropFlag(Arc<AtomicBool>);

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl Input {
    /// The token ids of a text.
    pub(crate) fn ids(&self) -> Option<&[u32]> {
        match self {
            Self::Ids(ids) => Some(ids),
            Self::Pixels(_) => None,
        }
    }

    /// The pixels of an image.
    pub(crate) fn pixels(&self) -> Option<clip::ArrayView3<'_, f32>> {
        match self {
            Self::Ids(_) => None,
            Self::Pixels(pixels) => Some(pixels.view()),
        }
    }
}

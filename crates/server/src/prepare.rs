//! Decoding, tokenizing and making images small, on threads beside the device's. Those of bulk give way to all others.

use crate::models::Model;
use crate::process;
use crate::scheduler::{Class, INTERACTIVE_ITEMS};
use crate::stats::Stats;
use clip::{Array3, Error, ImageInfo, Limits, LongText, Result, Thumbnail};
use protocol::{Config, Items, OnLongText};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;
use tokio::sync::oneshot;

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
    stats: Arc<Stats>,
}

impl Pool {
    /// So many threads for each class; 0 means one for each core.
    pub(crate) fn new(threads: u32, stats: Arc<Stats>) -> std::result::Result<Self, rayon::ThreadPoolBuildError> {
        let threads = if threads == 0 { num_cpus::get() } else { threads as usize };
        let pool = |name: &'static str| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(move |index| format!("{name}-{index}"))
        };
        let interactive = pool("prepare").build()?;
        // The operating system knows best how to let the one pass and the other not starve.
        let bulk = pool("prepare-bulk").start_handler(|_| process::yield_to_others()).build()?;
        Ok(Self { interactive, bulk, stats })
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
        let limits = limits(config);
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
                        true => Waiting::Done(self.measured(work)),
                        false => self.spawn(work, class, &abandoned),
                    });
                }
            }
            Items::Images(images) => {
                for image in images {
                    let model = Arc::clone(model);
                    let work = move || model.preprocessor.run(&image, &limits).map(Input::Pixels);
                    waiting.push(self.spawn(work, class, &abandoned));
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
        let limits = limits(config);
        let class = if images.len() <= INTERACTIVE_ITEMS { Class::Interactive } else { Class::Bulk };
        let make = |image: serde_bytes::ByteBuf| {
            self.spawn(move || clip::thumbnail(&image, max_side, &limits), class, &abandoned)
        };
        let waiting = images.into_iter().map(make).collect();
        all(waiting).await
    }

    /// Looks at an image.
    pub(crate) async fn describe(&self, image: serde_bytes::ByteBuf, config: &Config) -> Result<ImageInfo> {
        let limits = limits(config);
        let abandoned = DropFlag::default();
        self.spawn(move || Ok(clip::image_info(&image, &limits)), Class::Interactive, &abandoned).result().await
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
        class: Class,
        abandoned: &DropFlag,
    ) -> Waiting<T> {
        let (reply, answer) = oneshot::channel();
        let (abandoned, stats) = (Arc::clone(&abandoned.0), Arc::clone(&self.stats));
        let pool = match class {
            Class::Interactive => &self.interactive,
            Class::Bulk => &self.bulk,
        };
        pool.spawn_fifo(move || {
            let result = if abandoned.load(Relaxed) { Err(Error::Cancelled) } else { measured(&stats, work) };
            // Nobody listens where the request was given up.
            let _ = reply.send(result);
        });
        Waiting::For(answer)
    }

    fn measured<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        measured(&self.stats, work)
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

fn limits(config: &Config) -> Limits {
    Limits { max_bytes: config.max_image_bytes as usize, max_pixels: config.max_image_pixels }
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

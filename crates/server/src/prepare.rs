//! Tokenizing, and having images decoded and made small, on threads beside the device's. Each thread has a decoder of its
//! own, which has the thread's priority: those of bulk give way to all others.

use crate::class::{Class, INTERACTIVE_ITEMS};
use crate::decoder::{self, Job, Patience, Reply, Settings};
use crate::models::{self, Model};
use crate::process;
use crate::stats::Stats;
use clip::{Array3, Error, FrameRange, Limits, LongText, OnTruncated, Reading, RemoteInput, Result};
use protocol::{Config, Frame, Frames, FramesRequest, ImageInfo, Items, OnLongText, Thumbnail};
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
    /// An image, resized and cropped, for a model server that normalises.
    Levels {
        /// 8-bit RGB, row by row.
        levels: Vec<u8>,
        /// What is wrong with the file, of which what there is was decoded.
        damage: Option<Error>,
    },
    /// An image.
    Pixels {
        /// Of shape (3, height, width), normalised.
        values: Array3<f32>,
        /// What is wrong with the file, of which what there is was decoded.
        damage: Option<Error>,
    },
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
        let threads = process::threads(threads);
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
                let (model, limit) = (Arc::clone(model), decoding.limit);
                let work = move |images: &[&[u8]], patience: Patience<'_>| decoding.pixels(&model, images, patience);
                waiting = self.decode(images, work, limit, class, &abandoned);
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
        let work = move |images: &[&[u8]], patience: Patience<'_>| decoding.thumbnails(images, max_side, patience);
        all(self.decode(images, work, limit, class, &abandoned)).await
    }

    /// Looks at an image.
    pub(crate) async fn describe(&self, image: serde_bytes::ByteBuf, config: &Config) -> Result<ImageInfo> {
        let abandoned = DropFlag::default();
        let decoding = Decoding::new(config);
        let limit = decoding.limit;
        let work = move |images: &[&[u8]], patience: Patience<'_>| decoding.info(images, patience);
        let described = all(self.decode(vec![image], work, limit, Class::Interactive, &abandoned)).await.pop();
        described.unwrap_or_else(|| Err(panicked()))
    }

    /// Makes images of frames.
    pub(crate) async fn frames(&self, request: FramesRequest, config: &Config) -> Result<Frames> {
        let abandoned = DropFlag::default();
        let decoding = Decoding::new(config);
        let limit = decoding.limit;
        let range = FrameRange { first: request.first.max(1), every: request.every.max(1), max: request.max };
        let work = move |images: &[&[u8]], patience: Patience<'_>| decoding.frames(images, range, patience);
        // Of whatever number: they take as long as many images.
        let made = all(self.decode(vec![request.image], work, limit, Class::Bulk, &abandoned)).await.pop();
        made.unwrap_or_else(|| Err(panicked()))
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

    /// Has images decoded: soon, or else in the lane of those that take long, from the beginning. `work` gives a result for
    /// each image.
    fn decode<T: Send + 'static>(
        &self,
        images: Vec<serde_bytes::ByteBuf>,
        work: impl Fn(&[&[u8]], Patience<'_>) -> Vec<Result<T>> + Send + Sync + 'static,
        limit: Duration,
        class: Class,
        abandoned: &DropFlag,
    ) -> Vec<Waiting<T>> {
        let mut waiting = Vec::with_capacity(images.len());
        let decode = Arc::new(Decode {
            work: Box::new(work),
            limit,
            abandoned: Arc::clone(&abandoned.0),
            stats: Arc::clone(&self.stats),
            slow: Arc::clone(&self.slow),
        });
        // A few images are shared between the threads.
        let share = images.len().div_ceil(2 * self.of(class).current_num_threads());
        let mut images = images.into_iter();
        while !images.as_slice().is_empty() {
            let count = decoder::group(images.as_slice().iter().take(share).map(|image| image.len()));
            let mut group = Vec::with_capacity(count);
            for image in images.by_ref().take(count) {
                let (reply, answer) = oneshot::channel();
                waiting.push(Waiting::For(answer));
                group.push((image, reply));
            }
            let decode = Arc::clone(&decode);
            self.of(class).spawn_fifo(move || decode.group(group));
        }
        waiting
    }

    fn of(&self, class: Class) -> &rayon::ThreadPool {
        match class {
            Class::Interactive => &self.interactive,
            Class::Bulk => &self.bulk,
        }
    }
}

/// Images of a request that are decoded alike.
struct Decode<T> {
    work: Box<DecodeFn<T>>,
    limit: Duration,
    abandoned: Arc<AtomicBool>,
    stats: Arc<Stats>,
    slow: Arc<rayon::ThreadPool>,
}

/// Gives a result for each image.
type DecodeFn<T> = dyn Fn(&[&[u8]], Patience<'_>) -> Vec<Result<T>> + Send + Sync;

impl<T: Send + 'static> Decode<T> {
    /// Decodes images that are sent to a decoder together, and replies for each. Nobody listens where the request was given
    /// up.
    fn group(self: Arc<Self>, group: Vec<(serde_bytes::ByteBuf, oneshot::Sender<Result<T>>)>) {
        let images: Vec<&[u8]> = group.iter().map(|(image, _)| &***image).collect();
        let results = self.run(&images, self.limit.min(QUICK));
        for ((image, reply), result) in group.into_iter().zip(results) {
            match result {
                Err(Error::ImageTimeout { .. }) if self.limit > QUICK => {
                    let decode = Arc::clone(&self);
                    self.slow.spawn_fifo(move || {
                        let result = decode.run(&[&image], decode.limit).pop();
                        drop(reply.send(result.unwrap_or_else(|| Err(panicked()))));
                    });
                }
                result => drop(reply.send(result)),
            }
        }
    }

    fn run(&self, images: &[&[u8]], limit: Duration) -> Vec<Result<T>> {
        // What is left undone takes no time that the statistics should tell of.
        if self.abandoned.load(Relaxed) {
            return images.iter().map(|_| Err(Error::Cancelled)).collect();
        }
        let began = Instant::now();
        let patience = Patience { limit, abandoned: &self.abandoned };
        let results = catch_unwind(AssertUnwindSafe(|| (self.work)(images, patience)))
            .unwrap_or_else(|_| images.iter().map(|_| Err(panicked())).collect());
        let each = began.elapsed() / images.len().max(1) as u32;
        images.iter().for_each(|_| self.stats.prepare.record(each));
        results
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
    on_truncated: OnTruncated,
    reading: Reading,
}

impl Decoding {
    fn new(config: &Config) -> Self {
        let limits = Limits { max_bytes: config.max_image_bytes as usize, max_pixels: config.max_image_pixels };
        let settings = Settings { limits, sandbox: config.sandbox };
        let limit = Duration::from_millis(config.image_timeout_ms);
        Self { settings, limit, on_truncated: models::on_truncated(config), reading: models::reading(config) }
    }

    fn ask(&self, job: &Job, images: &[&[u8]], patience: Patience<'_>) -> Vec<Result<(Reply, Vec<u8>)>> {
        decoder::ask(&self.settings, job, images, patience)
    }

    fn pixels(&self, model: &Model, images: &[&[u8]], patience: Patience<'_>) -> Vec<Result<Input>> {
        let (spec, reading) = model.preprocessor.spec();
        let answers = self.ask(&Job::Pixels { spec: spec.clone(), reading }, images, patience);
        let input = |(reply, pixels): (Reply, Vec<u8>)| {
            let damage = if let Reply::Pixels { damage } = reply { damage } else { None };
            if model.takes_levels() {
                return Ok(Input::Levels { levels: pixels, damage });
            }
            let values = model.preprocessor.values(&pixels).ok_or_else(panicked)?;
            Ok(Input::Pixels { values, damage })
        };
        answers.into_iter().map(|answer| answer.and_then(input)).collect()
    }

    fn thumbnails(&self, images: &[&[u8]], max_side: u32, patience: Patience<'_>) -> Vec<Result<Thumbnail>> {
        let thumbnail =
            |(reply, bytes): (Reply, Vec<u8>)| Thumbnail { is_png: matches!(reply, Reply::Png), bytes: bytes.into() };
        let answers = self.ask(&Job::Thumbnail { max_side, on_truncated: self.on_truncated }, images, patience);
        answers.into_iter().map(|answer| answer.map(thumbnail)).collect()
    }

    fn frames(&self, images: &[&[u8]], range: FrameRange, patience: Patience<'_>) -> Vec<Result<Frames>> {
        let frames = |(reply, body): (Reply, Vec<u8>)| {
            let Reply::Frames { frames, next, damage } = reply else { return Err(panicked()) };
            let mut rest = &body[..];
            let frame = |(number, delay_ms, length): (u32, Option<u32>, Option<u32>)| {
                let image = length.map(|length| rest.split_off(..length as usize).unwrap_or_default().to_vec().into());
                Frame { number, delay_ms, image }
            };
            let frames = frames.into_iter().map(frame).collect();
            Ok(Frames { frames, next, damage: damage.map(|damage| damage.to_string()) })
        };
        let answers = self.ask(&Job::Frames { range, reading: self.reading }, images, patience);
        answers.into_iter().map(|answer| answer.and_then(frames)).collect()
    }

    /// Only what the server cannot do is an error: what is wrong with the image is told in its description.
    fn info(&self, images: &[&[u8]], patience: Patience<'_>) -> Vec<Result<ImageInfo>> {
        let unknown = |image: &[u8], error: Error| ImageInfo {
            format: clip::media_type(image).map(str::to_owned),
            width: None,
            height: None,
            orientation: None,
            frames: None,
            has_alpha: None,
            error: Some(error.to_string()),
        };
        let info = |(image, answer): (&&[u8], Result<(Reply, Vec<u8>)>)| match answer {
            Ok((Reply::Info(info), _)) => Ok(info),
            Ok(_) => Err(panicked()),
            Err(error) if error.is_about_image() => Ok(unknown(image, error)),
            Err(error) => Err(error),
        };
        images.iter().zip(self.ask(&Job::Info, images, patience)).map(info).collect()
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
            Self::Levels { .. } | Self::Pixels { .. } => None,
        }
    }

    /// The pixels of an image.
    pub(crate) fn pixels(&self) -> Option<clip::ArrayView3<'_, f32>> {
        match self {
            Self::Ids(_) | Self::Levels { .. } => None,
            Self::Pixels { values, .. } => Some(values.view()),
        }
    }

    /// What a model server is sent.
    pub(crate) fn remote(&self) -> RemoteInput<'_> {
        match self {
            Self::Ids(ids) => RemoteInput::Ids(ids),
            Self::Levels { levels, .. } => RemoteInput::Levels(levels),
            Self::Pixels { values, .. } => RemoteInput::Pixels(values.view()),
        }
    }

    /// What is wrong with an image of which what there is was decoded.
    pub(crate) fn damage(&self) -> Option<&Error> {
        match self {
            Self::Ids(_) => None,
            Self::Levels { damage, .. } | Self::Pixels { damage, .. } => damage.as_ref(),
        }
    }
}

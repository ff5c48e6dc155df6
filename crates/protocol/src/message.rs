//! The messages: what is asked, what is answered, and how a failure is described.

use crate::{Nearness, Statistics};
use errors::Failure;
use serde::{Deserialize, Serialize};

/// The server's first words on every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::VERSION`] of the server.
    pub protocol: u16,
    /// [`crate::RELEASE`] of the server.
    pub release: String,
    /// Process id of the server.
    pub pid: u32,
}

impl Hello {
    /// The greeting of this build.
    pub fn of_this_process() -> Self {
        Self { protocol: crate::VERSION, release: crate::RELEASE.to_owned(), pid: std::process::id() }
    }
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Embed texts or images.
    Embed(EmbedRequest),
    /// What the model of this name makes of cosine similarities.
    Logits(String),
    /// Make images small.
    Thumbnails(ThumbnailRequest),
    /// Say what an image is like.
    ImageInfo(serde_bytes::ByteBuf),
    /// Make images of the frames of an animation, or of the pages of a file.
    Frames(FramesRequest),
    /// Fetch images by URL. The only request that is answered by many responses: one [`Response::Fetched`] for each URL.
    Fetch(FetchRequest),
    /// List the installed models.
    Models,
    /// What the server has done, how long it took, and what waits.
    Statistics,
    /// Forget what [`Request::Statistics`] tells, but for what is there now.
    ResetStatistics,
}

/// Items to embed with one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbedRequest {
    /// `owner/name` of the model.
    pub model: String,
    /// What to embed.
    pub items: Items,
    /// For whom.
    pub scope: Scope,
}

/// For whom something is embedded. What was remembered for somebody answers faster, and so would tell others that it was
/// asked for: it is used for the same scope only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// OID of the database.
    pub database: u32,
    /// OID of the role that the session acts as: what SET ROLE or the login has chosen.
    pub session: u32,
    /// OID of the current user: within a function that is SECURITY DEFINER, its owner.
    pub user: u32,
}

impl Scope {
    /// For hashing.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        for (place, oid) in bytes.chunks_exact_mut(4).zip([self.database, self.session, self.user]) {
            place.copy_from_slice(&oid.to_le_bytes());
        }
        bytes
    }
}

/// The items of one request, all of one modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Items {
    /// UTF-8 texts.
    Texts(Vec<String>),
    /// Encoded images (JPEG, PNG, …).
    Images(Vec<serde_bytes::ByteBuf>),
}

impl Items {
    /// The number of items.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Images(images) => images.len(),
        }
    }

    /// Whether there is nothing to embed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images to make small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThumbnailRequest {
    /// Encoded images (JPEG, PNG, …).
    pub images: Vec<serde_bytes::ByteBuf>,
    /// Longest side in pixels. An image that is smaller keeps its size.
    pub max_side: u32,
}

/// An image made small: PNG where it has transparent parts, JPEG otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// Whether it is a PNG.
    pub is_png: bool,
    /// The encoded image.
    pub bytes: serde_bytes::ByteBuf,
}

/// What is known of an image. What its bytes do not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInfo {
    /// Media type, such as `image/jpeg`.
    pub format: Option<String>,
    /// In pixels, as stored: before it is turned.
    pub width: Option<u32>,
    /// In pixels, as stored.
    pub height: Option<u32>,
    /// EXIF orientation, 1 (upright) to 8.
    pub orientation: Option<u8>,
    /// Frames of an animation or pages of a file, of which the first is embedded.
    pub frames: Option<u32>,
    /// Whether there is an alpha channel or a transparent colour.
    pub has_alpha: Option<bool>,
    /// Why it cannot be embedded, where it cannot.
    pub error: Option<String>,
}

/// Frames to make images of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramesRequest {
    /// The encoded file (GIF, TIFF, …).
    pub image: serde_bytes::ByteBuf,
    /// The first frame, counted from 1.
    pub first: u32,
    /// Distance from one frame to the next.
    pub every: u32,
    /// Most frames. The answer may have fewer, and say with which the next request is to begin.
    pub max: u32,
}

/// Some of the frames that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    /// In order.
    pub frames: Vec<Frame>,
    /// With which frame the next request is to begin, if there may be more.
    pub next: Option<u32>,
    /// What is wrong with a damaged file, of which these are the last frames.
    pub damage: Option<String>,
}

/// A frame of an animation, or a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Counted from 1.
    pub number: u32,
    /// How long it is shown. Pages and still images have no such time.
    pub delay_ms: Option<u32>,
    /// A PNG. `None` where the file has one image: it is the frame.
    pub image: Option<serde_bytes::ByteBuf>,
}

/// Images to fetch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// `http:`, `https:` or `data:` URLs.
    pub urls: Vec<String>,
    /// Whether answers come in the order of the URLs, or as images arrive.
    pub in_order: bool,
}

/// What came of one URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    /// Position in the request, from 0.
    pub index: u32,
    /// The image, or why there is none.
    pub result: Result<FetchedImage, Failure>,
}

/// An image that was fetched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FetchedImage {
    /// The encoded image, not decoded yet.
    pub bytes: serde_bytes::ByteBuf,
    /// What the web server says that it is.
    pub content_type: Option<String>,
}

/// An L2-normalised float32 vector of the model's dimension.
pub type Embedding = Vec<f32>;

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The answer to an [`EmbedRequest`].
    Embeddings {
        /// One for each item, in order.
        results: Vec<Result<Embedding, Failure>>,
        /// Damaged images of which what there is was embedded: position in the request, from 0, and what is wrong.
        damaged: Vec<(u32, String)>,
        /// [`crate::Config::of_vectors`] of the settings that they were made with.
        settings: u64,
    },
    /// The answer to [`Request::Logits`].
    Logits(Logits),
    /// One result for each image of a [`ThumbnailRequest`], in order.
    Thumbnails(Vec<Result<Thumbnail, Failure>>),
    /// The answer to [`Request::ImageInfo`].
    ImageInfo(ImageInfo),
    /// The answer to a [`FramesRequest`].
    Frames(Frames),
    /// The answer to one URL of a [`FetchRequest`].
    Fetched(Fetched),
    /// The answer to [`Request::Models`].
    Models(Vec<ModelInfo>),
    /// The answer to [`Request::Statistics`] and [`Request::ResetStatistics`].
    Statistics(Box<Statistics>),
    /// The request failed as a whole.
    Failed(Failure),
}

/// What a model makes of cosine similarities: `scale * similarity + bias`; each is `None` where the model does not state it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logits {
    /// The factor.
    pub scale: Option<f64>,
    /// Only models that were trained with a sigmoid have one.
    pub bias: Option<f64>,
}

/// A row of `clip_models()`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// `owner/name`.
    pub name: String,
    /// Length of its vectors.
    pub dimension: Option<u32>,
    /// Height and width of the image that the image encoder sees, in pixels.
    pub image_size: Option<(u32, u32)>,
    /// Longest text in tokens, start and end included.
    pub context_length: Option<u32>,
    /// Factor on cosine similarities before a softmax, where the model states it.
    pub logit_scale: Option<f64>,
    /// Which of the model's files is used: `fp32`, `fp16`, …
    pub precision: Option<String>,
    /// The device that is configured: `auto`, `cpu`, `cuda:0`.
    pub device: String,
    /// The execution provider that the loaded sessions really got.
    pub execution_provider: Option<String>,
    /// The encoders in memory: none, `text`, `image` or both.
    pub loaded: Vec<String>,
    /// Size of the model's directory in bytes.
    pub size_bytes: Option<u64>,
    /// Hash of the files that determine the vectors.
    pub fingerprint: Option<String>,
    /// How near the 8-bit vectors of texts and of images are to those of 32 bits, where the model was quantised here.
    pub quantized: Option<[Nearness; 2]>,
    /// Why the model cannot be used, where it cannot.
    pub error: Option<String>,
}

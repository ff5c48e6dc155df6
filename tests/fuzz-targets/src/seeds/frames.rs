//! Frames of every message.

use protocol::{
    EmbedRequest, ErrorClass, Failure, FetchRequest, Fetched, FetchedImage, Frame, Frames, FramesRequest, Hello, Items,
    Kind, Logits, ModelInfo, Request, Response, Statistics, Thumbnail, ThumbnailRequest, encode,
};
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::Seed;

/// A frame of each message, and frames that lie.
pub fn frames() -> Vec<Seed> {
    let mut seeds = vec![seed("hello", Kind::Hello, &Hello { protocol: 7, release: "1.2.3".to_owned(), pid: 4321 })];
    seeds.extend(requests().into_iter().map(|(name, request)| seed(name, Kind::Request, &request)));
    seeds.extend(responses().into_iter().map(|(name, response)| seed(name, Kind::Response, &response)));
    let lies: Vec<Seed> = seeds.iter().flat_map(lies).collect();
    seeds.extend(lies);
    seeds
}

fn seed<T: Serialize>(name: &str, kind: Kind, message: &T) -> Seed {
    (name.to_owned(), encode(kind, message).expect("it is short"))
}

/// The frame with another length, cut, and with a first number that promises far more than follows.
fn lies((name, frame): &Seed) -> [Seed; 3] {
    let mut length = frame.clone();
    length[8..12].fill(0xff);
    let cut = frame[..frame.len() - 1].to_vec();
    let mut many = frame[..protocol::HEADER_LEN].to_vec();
    many.extend(frame.get(protocol::HEADER_LEN));
    many.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    [(format!("{name}-length"), length), (format!("{name}-cut"), cut), (format!("{name}-many"), many)]
}

fn requests() -> Vec<(&'static str, Request)> {
    let model = "owner/name".to_owned();
    let images = || vec![ByteBuf::from(*b"\x89PNG"), ByteBuf::new()];
    let texts = Items::Texts(vec!["a photo of a cat".to_owned(), String::new(), "猫".to_owned()]);
    vec![
        (
            "texts",
            Request::Embed(EmbedRequest { model: model.clone(), items: texts, scope: protocol::Scope::default() }),
        ),
        (
            "images",
            Request::Embed(EmbedRequest {
                model: model.clone(),
                items: Items::Images(images()),
                scope: protocol::Scope::default(),
            }),
        ),
        ("logits", Request::Logits(model)),
        ("thumbnails", Request::Thumbnails(ThumbnailRequest { images: images(), max_side: 128 })),
        ("frames", Request::Frames(FramesRequest { image: ByteBuf::from(*b"GIF89a"), first: 4, every: 3, max: 1000 })),
        ("fetch", Request::Fetch(FetchRequest { urls: vec!["https://example.org/a.jpg".to_owned()], in_order: true })),
        ("models", Request::Models),
        ("statistics", Request::Statistics),
    ]
}

fn responses() -> Vec<(&'static str, Response)> {
    let failure = || Failure {
        class: ErrorClass::Internal,
        message: "the fact".to_owned(),
        detail: Some("more".to_owned()),
        hint: None,
    };
    let image = FetchedImage { bytes: ByteBuf::from(*b"GIF89a"), content_type: Some("image/gif".to_owned()) };
    let frame = Frame { number: 4, delay_ms: Some(70), image: Some(ByteBuf::from(*b"\x89PNG")) };
    let page = Frame { number: 1, delay_ms: None, image: None };
    let frames = Frames { frames: vec![frame, page], next: Some(7), damage: Some("it is cut".to_owned()) };
    let small = Thumbnail { is_png: true, bytes: ByteBuf::from(*b"\x89PNG") };
    vec![
        (
            "embeddings",
            Response::Embeddings {
                results: vec![Ok(vec![0.5, f32::NAN, -0.0]), Err(failure()), Ok(vec![])],
                damaged: vec![(2, "it is cut".to_owned())],
                settings: u64::MAX,
            },
        ),
        ("scale", Response::Logits(Logits { scale: Some(20.0), bias: Some(-10.0) })),
        ("small", Response::Thumbnails(vec![Ok(small), Err(failure())])),
        ("framed", Response::Frames(frames)),
        ("fetched", Response::Fetched(Fetched { index: 3, result: Ok(image) })),
        ("not-fetched", Response::Fetched(Fetched { index: 0, result: Err(failure()) })),
        ("model-list", Response::Models(vec![info(), ModelInfo { error: Some("why".to_owned()), ..info() }])),
        ("server", Response::Statistics(Box::new(statistics()))),
        ("failed", Response::Failed(failure())),
    ]
}

fn info() -> ModelInfo {
    ModelInfo {
        name: "owner/name".to_owned(),
        dimension: Some(512),
        image_size: Some((224, 224)),
        context_length: Some(77),
        logit_scale: None,
        precision: Some("fp32".to_owned()),
        device: "cpu".to_owned(),
        execution_provider: None,
        loaded: vec!["text".to_owned(), "image".to_owned()],
        size_bytes: Some(1 << 40),
        fingerprint: None,
        quantized: None,
        error: None,
    }
}

fn statistics() -> Statistics {
    Statistics { pid: 1, uptime_s: 1.5, release: protocol::RELEASE.to_owned(), texts: 2, ..Statistics::default() }
}

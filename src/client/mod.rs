//! Asking the server: a connection for each backend, kept open, and one new attempt where it breaks.

mod connection;
mod pending;
mod pool;
mod startup;

pub use connection::Deadline;
pub use pending::Pending;

use crate::errors::{Error, Result, UrlError};
use crate::{memo, settings};
use connection::Connection;
use protocol::{
    Embedding, ErrorClass, Failure, FetchRequest, Fetched, FetchedImage, Frames, FramesRequest, ImageInfo, Items, Kind,
    Logits, ModelInfo, Request, Response, Statistics, Thumbnail, ThumbnailRequest,
};

/// Embeds items; one result for each, in order.
///
/// # Errors
/// [`Error::Server`] where the request failed as a whole, and all that can happen to a connection.
pub fn embed(model: String, items: Items) -> Result<Vec<Result<Embedding, Failure>>> {
    let pending = Pending::begin(model, items, &Deadline::of_request())?;
    pending.wait(&mut Deadline::of_request())
}

/// Where the server that gave the remembered vectors is gone, forgets them: another one may have other files.
pub fn forget_if_lost() {
    if !is_connected() {
        memo::clear();
    }
}

/// Whether a connection is open, and so the server that answered the latest request is there.
pub fn is_connected() -> bool {
    pool::is_connected()
}

/// What the model makes of cosine similarities.
///
/// # Errors
/// As [`embed`].
pub fn logits(model: &str) -> Result<Logits> {
    match ask(&Request::Logits(model.to_owned()))? {
        Response::Logits(logits) => Ok(logits),
        other => unexpected(other),
    }
}

/// Makes images small; one result for each, in order.
///
/// # Errors
/// As [`embed`].
pub fn thumbnails(images: Vec<Vec<u8>>, max_side: u32) -> Result<Vec<Result<Thumbnail, Failure>>> {
    let count = images.len();
    let images = images.into_iter().map(Into::into).collect();
    match ask(&Request::Thumbnails(ThumbnailRequest { images, max_side }))? {
        Response::Thumbnails(results) if results.len() == count => Ok(results),
        other => unexpected(other),
    }
}

/// Looks at an image.
///
/// # Errors
/// As [`embed`]; that the bytes are no image is no error here.
pub fn image_info(image: Vec<u8>) -> Result<ImageInfo> {
    match ask(&Request::ImageInfo(image.into()))? {
        Response::ImageInfo(info) => Ok(info),
        other => unexpected(other),
    }
}

/// Makes images of frames, part by part. `each` is given the parts in order, with the file, which is the frame where a frame
/// has no image.
///
/// # Errors
/// As [`embed`], and what `each` returns.
pub fn image_frames(mut request: FramesRequest, mut each: impl FnMut(&[u8], Frames) -> Result<()>) -> Result<()> {
    loop {
        let asked = Request::Frames(request);
        let frames = match ask(&asked)? {
            Response::Frames(frames) => frames,
            other => return unexpected(other),
        };
        let Request::Frames(asked) = asked else { unreachable!("as written above") };
        request = asked;
        request.max = request.max.saturating_sub(frames.frames.len() as u32);
        let next = frames.next;
        each(&request.image, frames)?;
        match next {
            Some(next) if request.max > 0 => request.first = next,
            _ => return Ok(()),
        }
    }
}

/// Fetches images by URL. `each` is given the position of each URL and what came of it, as answers arrive. Where the
/// connection breaks, those without an answer are asked for once more.
///
/// # Errors
/// As [`embed`]; that a URL has no image is no error here. `clip_search.request_timeout` is for each answer.
pub fn fetch(
    urls: &[String],
    in_order: bool,
    mut each: impl FnMut(usize, Result<FetchedImage, Failure>),
) -> Result<()> {
    let mut waiting: Vec<usize> = (0..urls.len()).collect();
    let mut tried = false;
    while !waiting.is_empty() {
        let asked = std::mem::take(&mut waiting);
        let mut answered = vec![false; asked.len()];
        let request = FetchRequest { urls: asked.iter().map(|index| urls[*index].clone()).collect(), in_order };
        let outcome = converse(&Request::Fetch(request), asked.len(), |response| match response {
            Response::Fetched(Fetched { index, result }) if answered.get(index as usize) == Some(&false) => {
                answered[index as usize] = true;
                each(asked[index as usize], result);
                Ok(())
            }
            other => unexpected(other),
        });
        waiting = asked.into_iter().zip(answered).filter(|(_, answered)| !answered).map(|(index, _)| index).collect();
        match outcome {
            Err(Error::Lost { .. }) if !tried => {
                pool::close_idle();
                tried = true;
            }
            // What has arrived is not to be lost for what has not.
            Err(Error::NoAnswer { ms }) => {
                waiting.drain(..).for_each(|index| each(index, Err(unanswered(ms))));
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn unanswered(ms: u128) -> Failure {
    let error = UrlError::Unanswered { ms };
    Failure::new(error.code(), &error)
}

/// Waits until a server other than `old` listens.
///
/// # Errors
/// [`Error::NotStarted`] after `clip_search.start_timeout`, and what connecting may raise.
pub fn wait_for_another(old: Option<u32>) -> Result<()> {
    startup::wait_for_another(old)
}

/// The process id of the server that listens now, if one does.
pub fn server_pid() -> Result<Option<u32>> {
    let greeting = Connection::greet(&Deadline::after(Some(settings::start_timeout())))?;
    Ok(greeting.ok().map(|(_, hello)| hello.pid))
}

/// The installed models.
///
/// # Errors
/// As [`embed`].
pub fn models() -> Result<Vec<ModelInfo>> {
    match ask(&Request::Models)? {
        Response::Models(models) => Ok(models),
        other => unexpected(other),
    }
}

/// What the server has done, how long it took, and what waits; `None` where no server runs.
///
/// # Errors
/// As [`embed`].
pub fn statistics() -> Result<Option<Statistics>> {
    ask_for_statistics(&Request::Statistics)
}

/// Has the server count anew.
///
/// # Errors
/// As [`embed`].
pub fn reset_statistics() -> Result<Option<Statistics>> {
    ask_for_statistics(&Request::ResetStatistics)
}

fn ask_for_statistics(request: &Request) -> Result<Option<Statistics>> {
    match pool::take_without_start(&Deadline::of_request())? {
        Some(connection) => connection.give_back(),
        None => return Ok(None),
    }
    match ask(request)? {
        Response::Statistics(statistics) => Ok(Some(*statistics)),
        other => unexpected(other),
    }
}

fn unexpected<T>(response: Response) -> Result<T> {
    match response {
        Response::Failed(failure) => Err(Error::Server(failure)),
        _ => Err(Error::Lost { reason: "The answer does not fit the question.".to_owned() }),
    }
}

/// Whether the server had no place for a connection. It waits until this side closes it.
fn is_refusal(response: &Response) -> bool {
    matches!(response, Response::Failed(Failure { class: ErrorClass::TooManyConnections, .. }))
}

/// Sends one request and waits for its answer. All requests are idempotent, so a connection that breaks is replaced
/// and the request sent once more: the server may have been restarted since, or killed under it.
fn ask(request: &Request) -> Result<Response> {
    let mut answer = None;
    let mut once = || {
        converse(request, 1, |response| {
            answer = Some(response);
            Ok(())
        })
    };
    match once() {
        Err(Error::Lost { .. }) => {
            pool::close_idle();
            once()?;
        }
        outcome => outcome?,
    }
    Ok(answer.expect("one response, or an error"))
}

/// Sends one request and takes so many responses, on the connection that is there or a new one.
fn converse(request: &Request, responses: usize, mut each: impl FnMut(Response) -> Result<()>) -> Result<()> {
    let frame =
        protocol::encode(Kind::Request, request).map_err(|_| Error::RequestTooLong { bytes: protocol::MAX_PAYLOAD })?;
    let mut deadline = Deadline::of_request();
    let mut connection = pool::take(&deadline)?;
    connection.send(&frame, &deadline)?;
    let mut is_kept = true;
    for _ in 0..responses {
        let response = connection.receive_response(&deadline)?;
        is_kept = !is_refusal(&response);
        each(response)?;
        deadline = Deadline::of_request();
    }
    if is_kept {
        connection.give_back();
    }
    Ok(())
}

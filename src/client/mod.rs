//! Asking the server: one connection for each backend, kept open, and one new attempt where it breaks.

mod connection;
mod startup;

use crate::errors::{Error, Result};
use crate::{memo, settings};
use connection::{Connection, Deadline};
use protocol::{EmbedRequest, Embedding, Failure, Items, Kind, ModelInfo, Request, Response, ServerStatus};
use std::cell::Cell;

thread_local! {
    /// Taken out while a request is under way: an ERROR in the middle drops it, and with it what the server still does.
    static CONNECTION: Cell<Option<Connection>> = const { Cell::new(None) };
}

/// Embeds items; one result for each, in order.
///
/// # Errors
/// [`Error::Server`] where the request failed as a whole, and all that can happen to a connection.
pub fn embed(model: String, items: Items) -> Result<Vec<Result<Embedding, Failure>>> {
    let count = items.len();
    match ask(&Request::Embed(EmbedRequest { model, items }))? {
        Response::Embeddings(results) if results.len() == count => Ok(results),
        other => unexpected(other),
    }
}

/// Where the server that gave the remembered vectors is gone, forgets them: another one may have other files.
pub fn forget_if_lost() {
    match CONNECTION.take() {
        Some(connection) if connection.is_alive() => CONNECTION.set(Some(connection)),
        _ => memo::clear(),
    }
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

/// The server's own description.
///
/// # Errors
/// As [`embed`].
pub fn status() -> Result<ServerStatus> {
    match ask(&Request::Status)? {
        Response::Status(status) => Ok(*status),
        other => unexpected(other),
    }
}

fn unexpected<T>(response: Response) -> Result<T> {
    match response {
        Response::Failed(failure) => Err(Error::Server(failure)),
        _ => Err(Error::Lost("The answer does not fit the question.".to_owned())),
    }
}

/// Sends one request and waits for its answer. All requests are idempotent, so a connection that breaks is replaced
/// and the request sent once more: the server may have been restarted since, or killed under it.
fn ask(request: &Request) -> Result<Response> {
    let frame = protocol::encode(Kind::Request, request).map_err(|_| Error::RequestTooLong(protocol::MAX_PAYLOAD))?;
    let deadline = Deadline::after(settings::request_timeout());
    for last_try in [false, true] {
        let mut connection = match CONNECTION.take().filter(|connection| connection.is_alive()) {
            Some(connection) => connection,
            None => {
                memo::clear();
                startup::connect(&deadline)?
            }
        };
        match connection.exchange(&frame, &deadline) {
            Ok(response) => {
                CONNECTION.set(Some(connection));
                return Ok(response);
            }
            Err(Error::Lost(_)) if !last_try => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the second attempt returns")
}

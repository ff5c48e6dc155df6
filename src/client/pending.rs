//! A request under way, while the backend does something else.

use super::connection::Deadline;
use super::pool::{self, Borrowed};
use crate::errors::{Error, Raise, Result};
use crate::{memo, scope};
use protocol::{EmbedRequest, Embedding, Failure, Items, Kind, Request, Response};

/// Items that the server is embedding. Dropped, it is given up.
pub struct Pending {
    /// Kept for another attempt.
    frame: Vec<u8>,
    items: usize,
    connection: Option<Borrowed>,
}

impl Pending {
    /// Sends items to be embedded, and returns when they are on their way.
    ///
    /// # Errors
    /// As [`super::embed`].
    pub fn begin(model: String, items: Items, deadline: &Deadline) -> Result<Self> {
        let count = items.len();
        let request = Request::Embed(EmbedRequest { model, items, scope: scope::current() });
        let frame = protocol::encode(Kind::Request, &request)
            .map_err(|_| Error::RequestTooLong { bytes: protocol::MAX_PAYLOAD })?;
        let mut pending = Self { frame, items: count, connection: None };
        match pending.send(deadline) {
            // Waiting tries once more.
            Ok(()) | Err(Error::Lost { .. }) => Ok(pending),
            Err(error) => Err(error),
        }
    }

    /// Waits for one result for each item, in order. Where the connection broke, the items are sent once more, to a server
    /// that has as much time as the first one had.
    ///
    /// # Errors
    /// As [`super::embed`].
    pub fn wait(mut self, deadline: &mut Deadline) -> Result<Vec<Result<Embedding, Failure>>> {
        let response = match self.receive(deadline) {
            Err(Error::Lost { .. }) => {
                pool::close_idle();
                *deadline = Deadline::of_request();
                self.send(deadline)?;
                self.receive(deadline)?
            }
            outcome => outcome?,
        };
        match response {
            Response::Embeddings { results, damaged, settings } if results.len() == self.items => {
                if settings != crate::settings::of_vectors() {
                    memo::end_with_statement();
                }
                warn_of(&damaged, self.items);
                Ok(results)
            }
            other => super::unexpected(other),
        }
    }

    fn send(&mut self, deadline: &Deadline) -> Result<()> {
        self.connection = None;
        let mut connection = pool::take(deadline)?;
        connection.send(&self.frame, deadline)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn receive(&mut self, deadline: &Deadline) -> Result<Response> {
        let Some(mut connection) = self.connection.take() else {
            return Err(Error::Lost { reason: "The server closed the connection.".to_owned() });
        };
        let response = connection.receive_response(deadline)?;
        if !super::is_refusal(&response) {
            connection.give_back();
        }
        Ok(response)
    }
}

/// One WARNING for each request, of however many images.
fn warn_of(damaged: &[(u32, String)], items: usize) {
    let Some((place, reason)) = damaged.first() else { return };
    let more = match damaged.len() - 1 {
        0 => String::new(),
        more => format!(" {more} more of them are damaged."),
    };
    let reason = match items {
        1 => format!("The {reason}."),
        _ => format!("Of {items} images that were embedded together, number {}: the {reason}.{more}", place + 1),
    };
    Error::DamagedImage { reason }.warn();
}

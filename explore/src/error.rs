//! What a page says in place of an answer.

use crate::page;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio_postgres::error::SqlState;

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    /// For the browser.
    pub status: StatusCode,
    /// The fact.
    pub message: String,
    /// More of it, and what to do.
    pub more: Vec<String>,
    /// As the database has it.
    pub sqlstate: Option<String>,
}

impl Failure {
    /// One that the address is at fault for.
    pub fn of_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), more: Vec::new(), sqlstate: None }
    }

    /// Something that is not there.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, ..Self::of_request(message) }
    }

    /// The same with a hint.
    pub fn with(mut self, hint: impl Into<String>) -> Self {
        self.more.push(hint.into());
        self
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            return Self {
                status: StatusCode::BAD_GATEWAY,
                ..Self::of_request(format!("the database does not answer: {error}{cause}"))
            };
        };
        let code = said.code();
        let status = match &code.code()[..2] {
            _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => StatusCode::FORBIDDEN,
            _ if *code == SqlState::QUERY_CANCELED => StatusCode::GATEWAY_TIMEOUT,
            "0A" | "22" | "42" | "54" => StatusCode::BAD_REQUEST,
            // It is being shut down, or starts.
            _ if code.code().starts_with("57P") => StatusCode::BAD_GATEWAY,
            "08" | "28" | "3D" => StatusCode::BAD_GATEWAY,
            "53" | "55" | "57" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let more = [said.detail(), said.hint()].into_iter().flatten().map(str::to_owned).collect();
        Self { status, message: said.message().to_owned(), more, sqlstate: Some(code.code().to_owned()) }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, page::failure(&self)).into_response()
    }
}

//! What the tests say in SQL.

use postgres::error::DbError;
use postgres::{Client, Error};
use std::fs;
use std::path::Path;

pub(crate) fn create_extension(client: &mut Client) {
    client.batch_execute("CREATE EXTENSION clip_search CASCADE").expect("CREATE EXTENSION: run `make install`");
}

/// The embedding of a text with the session's model.
///
/// # Errors
/// What the server raised.
pub fn embed_text(client: &mut Client, text: &str) -> Result<Vec<f32>, Error> {
    client.query_one("SELECT clip_embed_text($1)::real[]", &[&text]).map(|row| row.get(0))
}

/// The embedding of a text with a model.
///
/// # Errors
/// What the server raised.
pub fn embed_text_with(client: &mut Client, text: &str, model: &str) -> Result<Vec<f32>, Error> {
    client.query_one("SELECT clip_embed_text($1, $2)::real[]", &[&text, &model]).map(|row| row.get(0))
}

/// The embedding of an image with the session's model.
///
/// # Errors
/// What the server raised.
pub fn embed_image(client: &mut Client, image: &[u8]) -> Result<Vec<f32>, Error> {
    client.query_one("SELECT clip_embed_image($1)::real[]", &[&image]).map(|row| row.get(0))
}

/// An image of tests/golden/images.
pub fn image(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/images").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the statement was refused with.
///
/// # Panics
/// Where it succeeded, or failed without the server's saying why.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> DbError {
    let error = result.expect_err("the statement must be refused");
    error.as_db_error().unwrap_or_else(|| panic!("not the server's error: {error:?}")).clone()
}

/// Waits out what is left of a cancel, for a session that goes on: PostgreSQL signals the backend and then its process group, so
/// that the statement behind the cancelled one may be cancelled, too.
///
/// # Panics
/// Where the session has ended.
pub fn wait_out_cancel(client: &mut Client) {
    const PAUSE: &str = "SELECT pg_sleep(0.3)";
    if let Err(error) = client.batch_execute(PAUSE) {
        assert_eq!(refusal(Err::<(), _>(error)).code().code(), "57014");
        client.batch_execute(PAUSE).expect("there is no third signal");
    }
}

/// The SQLSTATE and all lines of what the statement was refused with, as psql prints them.
///
/// # Panics
/// As [`refusal`].
pub fn report<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let error = refusal(result);
    let line = |title: &str, text: Option<&str>| text.map(|text| format!("\n{title}: {text}")).unwrap_or_default();
    let (detail, hint) = (line("DETAIL", error.detail()), line("HINT", error.hint()));
    format!("{}: {}{detail}{hint}", error.code().code(), error.message())
}

/// The process id of the session's backend.
pub fn backend_pid(client: &mut Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).expect("pg_backend_pid").get(0)
}

/// The plan of a statement.
pub fn explain(client: &mut Client, statement: &str) -> String {
    let rows = client.query(&format!("EXPLAIN {statement}"), &[]).expect("EXPLAIN");
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

/// The similarity of two vectors of length 1.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What `clip_stat_server` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Process id of the server.
    pub pid: i32,
    /// Texts embedded.
    pub texts: i64,
    /// Images embedded.
    pub images: i64,
    /// Requests answered.
    pub requests: i64,
    /// Connections open.
    pub connections: i64,
}

/// The server's counters; zeros where there is none.
pub fn counters(client: &mut Client) -> Counters {
    let row = client
        .query_opt("SELECT pid, texts, images, requests, connections FROM clip_stat_server", &[])
        .expect("clip_stat_server");
    let Some(row) = row else { return Counters::default() };
    Counters {
        pid: row.get("pid"),
        texts: row.get("texts"),
        images: row.get("images"),
        requests: row.get("requests"),
        connections: row.get("connections"),
    }
}

//! Runs queries: each is one SQL statement, which is also what the user is shown.

use crate::queries::Query;
use crate::session::{explain, literal};
use anyhow::{Context, Result};
use postgres::Client;
use std::time::{Duration, Instant};

/// Images that a query answers with.
const LIMIT: usize = 8;
/// Share of the best similarity that still is similar enough. Similarities of texts and images are around 0.3 in one
/// model and 0.8 in another, so a fixed number would mean nothing.
const SIMILAR_ENOUGH: f64 = 0.85;

/// One image that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its row.
    pub id: i64,
    /// What it is called.
    pub name: String,
    /// Cosine similarity to what was searched for.
    pub similarity: f64,
}

/// A query with its answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Such as `Text → image`.
    pub kind: &'static str,
    /// What was searched for.
    pub title: String,
    /// The image that was searched with.
    pub image: Option<Hit>,
    /// The statement that ran.
    pub sql: String,
    /// What it found, the most similar first.
    pub hits: Vec<Hit>,
    /// How long the client waited.
    pub took: Duration,
}

/// Runs a query; `None` where it asks for an image that is not in the table.
///
/// # Errors
/// The database refuses.
pub fn search(client: &mut Client, query: &Query) -> Result<Option<Answer>> {
    match query {
        Query::Text(text) => answer(client, "text → image", text.clone(), None, by_text(text)).map(Some),
        Query::Image(name) => {
            let found = one_image(
                client,
                "SELECT id, name FROM images WHERE strpos(lower(name), lower($1)) > 0 ORDER BY length(name), id LIMIT 1",
                name,
            )?;
            found.map(|image| by_stored_image(client, image)).transpose()
        }
        Query::ImageAt(percent) => {
            let found = one_image(
                client,
                "SELECT id, name FROM images ORDER BY id
                 OFFSET (SELECT count(*) * $1::text::int / 100 FROM images) LIMIT 1",
                &percent.to_string(),
            )?;
            found.map(|image| by_stored_image(client, image)).transpose()
        }
        Query::Threshold(text) => {
            let best = rows(client, &by_text(text))?.first().map_or(0.0, |hit| hit.similarity);
            let threshold = (best * SIMILAR_ENOUGH * 100.0).floor() / 100.0;
            let title = format!("{text}, similarity at least {threshold:.2}");
            answer(client, "text → image, threshold", title, None, by_threshold(text, threshold)).map(Some)
        }
    }
}

fn one_image(client: &mut Client, sql: &str, parameter: &str) -> Result<Option<Hit>> {
    let row = client.query_opt(sql, &[&parameter]).map_err(|error| explain(&error, "could not look for the image"))?;
    Ok(row.map(|row| Hit { id: row.get(0), name: row.get(1), similarity: 1.0 }))
}

fn by_stored_image(client: &mut Client, image: Hit) -> Result<Answer> {
    answer(client, "image → image", image.name.clone(), Some(image.clone()), by_image(image.id))
}

fn answer(client: &mut Client, kind: &'static str, title: String, image: Option<Hit>, sql: String) -> Result<Answer> {
    let start = Instant::now();
    let hits = rows(client, &sql).with_context(|| format!("searching for {title}"))?;
    Ok(Answer { kind, title, image, hits, sql, took: start.elapsed() })
}

fn rows(client: &mut Client, sql: &str) -> Result<Vec<Hit>> {
    let rows = client.query(sql, &[]).map_err(|error| explain(&error, &format!("this failed: {sql}")))?;
    Ok(rows.iter().map(|row| Hit { id: row.get(0), name: row.get(1), similarity: row.get(2) }).collect())
}

fn by_text(text: &str) -> String {
    let text = literal(text);
    format!(
        "SELECT id, name, 1 - (embedding <=> clip_embed_text({text})) AS similarity
FROM images
ORDER BY embedding <=> clip_embed_text({text})
LIMIT {LIMIT};"
    )
}

/// With subqueries, not a join: then the order can come from the index. One less, since the query's own image is shown
/// with the others.
fn by_image(id: i64) -> String {
    format!(
        "SELECT id, name, 1 - (embedding <=> (SELECT embedding FROM images WHERE id = {id})) AS similarity
FROM images
WHERE id <> {id}
ORDER BY embedding <=> (SELECT embedding FROM images WHERE id = {id})
LIMIT {};",
        LIMIT - 1
    )
}

/// Looks at every row: an index scan ends after hnsw.ef_search rows, and here all that are near enough are wanted.
fn by_threshold(text: &str, threshold: f64) -> String {
    let text = literal(text);
    format!(
        "WITH wanted AS MATERIALIZED (SELECT clip_embed_text({text}) AS embedding)
SELECT id, name, 1 - (images.embedding <=> wanted.embedding) AS similarity
FROM images, wanted
WHERE 1 - (images.embedding <=> wanted.embedding) >= {threshold:.2}
ORDER BY similarity DESC;"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_what_a_user_would_write() {
        assert_eq!(
            by_text("a cat's hat"),
            "SELECT id, name, 1 - (embedding <=> clip_embed_text('a cat''s hat')) AS similarity\n\
             FROM images\n\
             ORDER BY embedding <=> clip_embed_text('a cat''s hat')\n\
             LIMIT 8;"
        );
        assert!(by_image(7).contains("WHERE id <> 7\n"));
        assert!(by_threshold("fish", 0.5).contains(">= 0.50\n"));
    }
}

//! Uploads: one row a transaction, on disk when it is answered, into a plain table and into one whose embeddings are made
//! later, from a queue.

use crate::photos::Photos;
use anyhow::{Context, ensure};
use measure::{Bound, Report, Samples, heading, table};
use postgres::Config;
use std::time::Instant;

/// What the queue may cost, with the plain upload for 1.
const LIMIT: f64 = 1.3;
/// Uploads before the timed ones.
const WARM_UP: usize = 10;
const TABLES: [&str; 2] = ["plain_uploads", "queued_uploads"];

/// Uploads into both in turns, each first as often as the other.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(config: &Config, photos: &Photos, uploads: u32, report: &mut Report) -> anyhow::Result<()> {
    heading(format!("Uploads: {uploads} of each, one a transaction, milliseconds"));
    let mut client = measure::connect(config)?;
    let dimension: i32 = client
        .query_one("SELECT vector_dims(clip_embed_image($1))", &[&photos.one()])
        .context("the first image")?
        .get(0);
    let is_durable: bool = client
        .query_one("SELECT current_setting('fsync')::bool AND current_setting('synchronous_commit') <> 'off'", &[])?
        .get(0);
    ensure!(is_durable, "fsync and synchronous_commit have to be on: otherwise an upload costs next to nothing");
    for name in TABLES {
        client.batch_execute(&format!(
            "DROP TABLE IF EXISTS {name};
             CREATE TABLE {name} (id bigserial PRIMARY KEY, image bytea NOT NULL, embedding vector({dimension}))"
        ))?;
    }
    client
        .execute("SELECT clip_sync('queued_uploads', 'image', 'embedding', mode => 'queued')", &[])
        .context("clip_sync")?;
    let insert = TABLES.map(|name| format!("INSERT INTO {name} (image) VALUES ($1)"));
    let insert = [client.prepare(&insert[0])?, client.prepare(&insert[1])?];
    let mut times: [Samples; 2] = Default::default();
    for (turn, images) in photos.list(2 * (WARM_UP as u32 + uploads)).chunks_exact(2).enumerate() {
        for (number, image) in images.iter().enumerate() {
            let kind = (number + turn) % 2;
            let began = Instant::now();
            client.execute(&insert[kind], &[image])?;
            if turn >= WARM_UP {
                times[kind].push(began.elapsed());
            }
        }
    }
    let ratio = times[1].median() / times[0].median();
    let row = |name: &str, times: &Samples| {
        let figures = [times.median(), times.p95()].map(|value| format!("{value:.2}"));
        let [median, p95] = figures;
        [name.to_owned(), median, p95]
    };
    println!("{}", table(["", "median", "p95"], [row("plain", &times[0]), row("queued", &times[1])]));
    report.limit("upload: queued over plain, medians", ratio, Bound::AtMost(LIMIT), "times");
    client.execute("SELECT clip_unsync('queued_uploads', 'embedding')", &[]).context("clip_unsync")?;
    client.batch_execute(&format!("DROP TABLE {}", TABLES.join(", ")))?;
    Ok(())
}

//! Gets images into the table, embedded. What is there already is left alone.

use crate::progress::{Progress, counted, number};
use crate::session::{Model, explain, fault_of_the_image, literal, run};
use crate::source::{Item, Source};
use anyhow::Result;
use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

/// Rows of one `INSERT ... SELECT`: few enough for progress to be seen.
const ROWS_AT_A_TIME: i64 = 50;
/// Images that are uploaded before they are embedded, in bytes: bounds the temporary table.
const UPLOAD_BYTES: usize = 256 << 20;
/// pgvector indexes vectors up to here.
const MAX_INDEXED_DIMENSION: i32 = 2000;

/// The statement that the demo is about.
pub const EMBED: &str = "\
INSERT INTO images (key, name, image, embedding)
SELECT key, name, image, clip_embed_image(image)
FROM uploads
WHERE number BETWEEN $1 AND $2
ORDER BY number";

/// What [`load`] did.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Images in the table now.
    pub total: usize,
    /// Of them, images that were embedded now.
    pub added: usize,
    /// Images that are no longer in the source, and were removed.
    pub removed: usize,
    /// Names of images that could not be read or embedded, and why.
    pub skipped: Vec<(String, String)>,
    /// Time for reading, uploading and embedding.
    pub took: Duration,
}

/// Makes the table if it is not there, or was made with another model.
///
/// # Errors
/// The database refuses.
pub fn prepare_table(client: &mut Client, model: &Model) -> Result<()> {
    let made_with = format!("images embedded with {}, fingerprint {}", model.name, model.fingerprint);
    let comment: Option<String> = client
        .query_one("SELECT obj_description(to_regclass('public.images'), 'pg_class')", &[])
        .map_err(|error| explain(&error, "could not look for the table"))?
        .get(0);
    if comment.as_deref() == Some(&made_with) {
        return Ok(());
    }
    run(
        client,
        &format!(
            "BEGIN;
             DROP TABLE IF EXISTS public.images;
             CREATE TABLE public.images (
                 id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                 key       text NOT NULL UNIQUE,
                 name      text NOT NULL,
                 image     bytea NOT NULL,
                 embedding vector({}) NOT NULL
             );
             COMMENT ON TABLE public.images IS {};
             COMMIT",
            model.dimension,
            literal(&made_with)
        ),
    )
}

/// Embeds the images that are not in the table, and removes those that are no longer in the source.
///
/// # Errors
/// The database refuses something else than a single image.
pub fn load(client: &mut Client, source: &dyn Source) -> Result<Loaded> {
    let items = source.items();
    let there: HashSet<String> = client
        .query("SELECT key FROM images", &[])
        .map_err(|error| explain(&error, "could not read the table"))?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let wanted: HashSet<&str> = items.iter().map(|item| item.key.as_str()).collect();
    let stale: Vec<&String> = there.iter().filter(|key| !wanted.contains(key.as_str())).collect();
    if !stale.is_empty() {
        client
            .execute("DELETE FROM images WHERE key = ANY ($1)", &[&stale])
            .map_err(|error| explain(&error, "could not remove images"))?;
    }
    let new: Vec<usize> = (0..items.len()).filter(|&index| !there.contains(&items[index].key)).collect();
    let mut loaded = Loaded { removed: stale.len(), ..Loaded::default() };
    if !new.is_empty() {
        embed_new(client, source, &items, &new, &mut loaded)?;
    }
    loaded.total = there.len() - loaded.removed + loaded.added;
    Ok(loaded)
}

fn embed_new(
    client: &mut Client,
    source: &dyn Source,
    items: &[Item],
    new: &[usize],
    loaded: &mut Loaded,
) -> Result<()> {
    run(client, "CREATE TEMPORARY TABLE uploads (number bigint PRIMARY KEY, key text, name text, image bytea)")?;
    let mut progress = Progress::start("embedding", new.len());
    let mut waiting = new.iter().copied().peekable();
    while waiting.peek().is_some() {
        let skipped_before = loaded.skipped.len();
        let uploaded = upload(client, source, items, &mut waiting, &mut loaded.skipped)?;
        progress.advance(loaded.skipped.len() - skipped_before);
        let mut first = 0;
        while first < uploaded.len() as i64 {
            let rows = first..(first + ROWS_AT_A_TIME).min(uploaded.len() as i64);
            loaded.added += embed(client, items, &uploaded, rows.clone(), &mut loaded.skipped)?;
            progress.advance((rows.end - rows.start) as usize);
            first = rows.end;
        }
        run(client, "TRUNCATE uploads")?;
    }
    loaded.took = progress.finish();
    run(client, "DROP TABLE uploads; ANALYZE images")
}

/// Copies the next images into the table `uploads`, numbered from 0, and gives their indices in the source.
fn upload(
    client: &mut Client,
    source: &dyn Source,
    items: &[Item],
    waiting: &mut dyn Iterator<Item = usize>,
    skipped: &mut Vec<(String, String)>,
) -> Result<Vec<usize>> {
    let failed = |error: postgres::Error| explain(&error, "could not upload the images");
    let columns = [Type::INT8, Type::TEXT, Type::TEXT, Type::BYTEA];
    let sink = client.copy_in("COPY uploads FROM STDIN (FORMAT binary)").map_err(failed)?;
    let mut writer = BinaryCopyInWriter::new(sink, &columns);
    let (mut uploaded, mut bytes) = (Vec::new(), 0);
    for index in waiting {
        let item = &items[index];
        match source.read(index) {
            Ok(image) => {
                let row: [&(dyn ToSql + Sync); 4] = [&(uploaded.len() as i64), &item.key, &item.name, &image];
                writer.write(&row).map_err(failed)?;
                uploaded.push(index);
                bytes += image.len();
            }
            Err(error) => skipped.push((item.name.clone(), format!("{error:#}"))),
        }
        if bytes >= UPLOAD_BYTES {
            break;
        }
    }
    writer.finish().map_err(failed)?;
    Ok(uploaded)
}

/// Embeds some rows of `uploads`, and gives the number of images that could be.
fn embed(
    client: &mut Client,
    items: &[Item],
    uploaded: &[usize],
    rows: Range<i64>,
    skipped: &mut Vec<(String, String)>,
) -> Result<usize> {
    let failed = |error: postgres::Error| explain(&error, "the images could not be embedded");
    match client.execute(EMBED, &[&rows.start, &(rows.end - 1)]) {
        Ok(count) => return Ok(count as usize),
        Err(error) if fault_of_the_image(&error).is_none() => return Err(failed(error)),
        Err(_) => {}
    }
    // One bad image ends the whole statement: so these one by one.
    let mut count = 0;
    for number in rows {
        match client.execute(EMBED, &[&number, &number]) {
            Ok(added) => count += added as usize,
            Err(error) => match fault_of_the_image(&error) {
                Some(reason) => skipped.push((items[uploaded[number as usize]].name.clone(), reason)),
                None => return Err(failed(error)),
            },
        }
    }
    Ok(count)
}

/// Makes the HNSW index if it is not there; gives the time it took.
///
/// # Errors
/// The database refuses.
pub fn index(client: &mut Client, model: &Model) -> Result<Indexed> {
    if model.dimension > MAX_INDEXED_DIMENSION {
        return Ok(Indexed::TooManyDimensions);
    }
    let there: bool = client
        .query_one("SELECT to_regclass('public.images_embedding_idx') IS NOT NULL", &[])
        .map_err(|error| explain(&error, "could not look for the index"))?
        .get(0);
    if there {
        return Ok(Indexed::Before);
    }
    let progress = Progress::start("indexing", 1);
    run(client, "CREATE INDEX images_embedding_idx ON images USING hnsw (embedding vector_cosine_ops)")?;
    Ok(Indexed::Now(progress.finish()))
}

/// What [`index`] did.
pub enum Indexed {
    /// The index was there.
    Before,
    /// It was made.
    Now(Duration),
    /// pgvector cannot index such vectors: a search looks at all rows.
    TooManyDimensions,
}

impl std::fmt::Display for Indexed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Before => write!(f, "HNSW, cosine distance: there already"),
            Self::Now(took) => write!(f, "HNSW, cosine distance: made in {:.1} s", took.as_secs_f64()),
            Self::TooManyDimensions => {
                write!(f, "none: pgvector indexes up to {} dimensions", number(MAX_INDEXED_DIMENSION as usize))
            }
        }
    }
}

impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let images = |count| counted(count, "image", "images");
        if self.added > 0 {
            let seconds = self.took.as_secs_f64();
            let rate = self.added as f64 / seconds.max(0.001);
            write!(f, "{} embedded in {seconds:.1} s ({rate:.0} a second)", images(self.added))?;
            if self.total > self.added {
                write!(f, ", {} in all", number(self.total))?;
            }
        } else {
            write!(f, "{}, all embedded already", images(self.total))?;
        }
        if self.removed > 0 {
            write!(f, "; {} removed", number(self.removed))?;
        }
        if !self.skipped.is_empty() {
            write!(f, "; {} skipped", number(self.skipped.len()))?;
        }
        Ok(())
    }
}

/// Images of the table by id, for the gallery.
///
/// # Errors
/// The database refuses.
pub fn images(client: &mut Client, ids: &[i64]) -> Result<HashMap<i64, Vec<u8>>> {
    let rows = client
        .query("SELECT id, image FROM images WHERE id = ANY ($1)", &[&ids])
        .map_err(|error| explain(&error, "could not read the images back"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_what_was_done() {
        let took = Duration::from_secs(2);
        let first = Loaded { total: 1391, added: 1391, took, ..Loaded::default() };
        assert_eq!(first.to_string(), "1,391 images embedded in 2.0 s (696 a second)");
        let again = Loaded { total: 1391, ..Loaded::default() };
        assert_eq!(again.to_string(), "1,391 images, all embedded already");
        let skipped = vec![("a".to_owned(), "b".to_owned())];
        let more = Loaded { total: 5, added: 1, removed: 2, skipped, took };
        assert_eq!(more.to_string(), "1 image embedded in 2.0 s (0 a second), 5 in all; 2 removed; 1 skipped");
    }
}

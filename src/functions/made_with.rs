//! What the vectors of a column were made with, where `clip_embed_table` keeps it in a provenance column.

use crate::errors::Result;
use crate::ingest::IS_PROVENANCE;
use crate::search::{Column, Table};
use crate::spi;
use pgrx::pg_sys;

/// Rows that are looked at, the first ones: a sample, since a table may be large.
const SAMPLE: u32 = 100;

/// Model and precisions of an entry of a provenance column.
pub struct MadeWith {
    /// `owner/name`.
    pub model: String,
    /// As `clip_models()` shows it: `fp32`, or `text fp16, image quantized`.
    pub precision: String,
}

impl MadeWith {
    /// Model, precision, fingerprint and sha256, with spaces between. `None` without a precision, as older entries are.
    fn parse(entry: &str) -> Option<Self> {
        let (model, rest) = entry.split_once(' ')?;
        let mut from_behind = rest.rsplitn(3, ' ');
        let precision = from_behind.nth(2).filter(|precision| !precision.is_empty())?;
        Some(Self { model: model.to_owned(), precision: precision.to_owned() })
    }

    /// The precision of the image encoder. A table of texts has that of the other, but it is the images that take long to
    /// embed again.
    pub fn of_images(precision: &str) -> &str {
        precision.rsplit_once("image ").map_or(precision, |(_, image)| image)
    }
}

/// The first entry that is found among the first rows, in any column of type text: nothing says which one has provenance.
///
/// # Errors
/// What reading the rows raises.
pub fn of(table: &Table, column: &str) -> Result<Option<MadeWith>> {
    let readable = |found: &&Column| table.is_readable(found);
    let texts = table.columns.iter().filter(|found| found.type_id == pg_sys::TEXTOID).filter(readable);
    let embedding = table.columns.iter().find(|found| found.name == column).filter(readable);
    // Only tables with a primary key can have provenance.
    let has_key = table.columns.iter().any(|found| found.key_position.is_some());
    // A long text is not read at all.
    let entry = |column: &Column| {
        let name = &column.quoted;
        format!(
            "CASE WHEN pg_catalog.octet_length(t.{name}) OPERATOR(pg_catalog.<=) 1000 THEN t.{name} COLLATE pg_catalog.\"C\" END"
        )
    };
    let entries: Vec<String> = texts.map(entry).collect();
    let Some(embedding) = embedding.filter(|_| has_key && !entries.is_empty()) else { return Ok(None) };
    let query = format!(
        "SELECT e.entry FROM (SELECT ARRAY[{}] AS entries, t.{} IS NOT NULL AS is_embedded FROM {} AS t LIMIT {SAMPLE}) AS r \
         CROSS JOIN LATERAL pg_catalog.unnest(r.entries) AS e(entry) \
         WHERE r.is_embedded AND e.entry OPERATOR(pg_catalog.~) '{IS_PROVENANCE}' AND e.entry OPERATOR(pg_catalog.<>) '' LIMIT 1",
        entries.join(", "),
        embedding.quoted,
        table.name,
    );
    let found = spi::select(&table.allowed(), &query, &[], |row| Ok(row.text(1)))?;
    Ok(found.into_iter().flatten().next().and_then(|entry| MadeWith::parse(&entry)))
}

//! `clip_suggest_threshold`: from which similarity on does a result mean something, in this table?
//!
//! ```text
//! argument  0    1       2                    3                    4                 5
//!           tbl  sample  false_positive_rate  queries              embedding_column  model
//!           tbl  query   sample               false_positive_rate  embedding_column  model
//! ```
//!
//! The method is that of [`similarity::threshold`].

use super::arguments::{Arguments, required, within};
use super::sql_function;
use crate::embedding;
use crate::errors::{ArgumentError, Result};
use crate::result_rows::{Rows, real};
use crate::search::{Column, Embeddings, Table};
use crate::spi::{self, Allowed, Argument};
use pgrx::pg_sys::Datum;
use similarity::{Background, cosine};

sql_function!(clip_suggest_threshold, pg_finfo_clip_suggest_threshold, by_texts);
sql_function!(clip_suggest_threshold_text, pg_finfo_clip_suggest_threshold_text, by_text);
sql_function!(clip_suggest_threshold_vector, pg_finfo_clip_suggest_threshold_vector, by_vector);

/// Things that people photograph and look for, of all sorts, for thresholds that are to hold for any text.
const TEXTS: [&str; 64] = [
    "a dog",
    "a cat",
    "a horse",
    "a bird",
    "a fish",
    "an insect",
    "a flower",
    "a tree",
    "a forest",
    "a mountain",
    "a beach",
    "a river",
    "a sunset",
    "a snowy field",
    "a desert",
    "a city at night",
    "a street",
    "a bridge",
    "a church",
    "a castle",
    "a kitchen",
    "a living room",
    "an office",
    "a garden",
    "a car",
    "a bicycle",
    "a train",
    "an airplane",
    "a boat",
    "a truck",
    "a man",
    "a woman",
    "a child",
    "a crowd of people",
    "a portrait",
    "a wedding",
    "a football match",
    "a swimmer",
    "a concert",
    "a dancer",
    "a plate of food",
    "a pizza",
    "a cake",
    "fruit",
    "vegetables",
    "a cup of coffee",
    "a glass of wine",
    "a shoe",
    "a dress",
    "a shirt",
    "a hat",
    "a handbag",
    "a watch",
    "jewellery",
    "a chair",
    "a lamp",
    "a telephone",
    "a computer",
    "a book",
    "a map",
    "a painting",
    "a toy",
    "a musical instrument",
    "a tool",
];

/// Fewest rows that a distribution can be told from.
const MIN_SAMPLE: i32 = 30;
/// Most rows that are looked at: they are in memory while they are.
const MAX_SAMPLE: i32 = 20_000;
/// Most texts.
const MAX_QUERIES: usize = 1000;

/// For searches by text: by those given, or by any.
fn by_texts(call: Arguments) -> Result<Datum> {
    let texts = texts(call, 3)?;
    suggest(call, call.int(1), call.double(2), || embedding::of_texts(&call.model(5), texts.into_iter()))
}

/// The texts of an argument, or everyday ones.
///
/// # Errors
/// [`ArgumentError::NoQueries`], [`ArgumentError::OutOfRange`], and as [`Arguments::list`].
pub fn texts(call: Arguments, index: usize) -> Result<Vec<String>> {
    match call.texts(index, "queries")? {
        Some(texts) if texts.is_empty() => Err(ArgumentError::NoQueries.into()),
        Some(texts) if texts.len() > MAX_QUERIES => {
            let (value, range) = (format!("{} texts", texts.len()), format!("at most {MAX_QUERIES} texts"));
            Err(ArgumentError::OutOfRange { name: "queries", value, range }.into())
        }
        Some(texts) => Ok(texts),
        None => Ok(TEXTS.map(str::to_owned).to_vec()),
    }
}

/// For searches by this text.
fn by_text(call: Arguments) -> Result<Datum> {
    let query = required(call.text(1), "query")?;
    suggest(call, call.int(2), call.double(3), || embedding::of_texts(&call.model(5), std::iter::once(query)))
}

/// For searches by this embedding.
fn by_vector(call: Arguments) -> Result<Datum> {
    let query = required(call.vector(1), "query")?;
    suggest(call, call.int(2), call.double(3), || Ok(vec![query]))
}

fn suggest(
    call: Arguments,
    sample: Option<i32>,
    rate: Option<f64>,
    queries: impl FnOnce() -> Result<Vec<Vec<f32>>>,
) -> Result<Datum> {
    let sample = sample_size(sample)?;
    let rate = self::rate(required(rate, "false_positive_rate")?)?;
    let table = Table::known(required(call.oid(0), "tbl")?)?;
    let (column, _) = table.embedding_column(call.name(4).as_deref())?;
    let sample = Sample::take(&table, column, sample, queries)?;
    let found = sample.measure(&sample.queries, rate)?;
    Rows::begin(call.0).push(|| {
        [
            Some(real(found.threshold as f32)),
            Some(Datum::from(found.sampled as i32)),
            Some(Datum::from(found.queries_used as i32)),
            Some(real(found.center as f32)),
            Some(real(found.deviation as f32)),
            Some(real(found.observed_rate as f32)),
        ]
    });
    Ok(Datum::null())
}

/// Rows of a sample.
///
/// # Errors
/// As [`within`].
pub fn sample_size(value: Option<impl Into<i64>>) -> Result<i32> {
    within(value, "sample", MIN_SAMPLE, MAX_SAMPLE)
}

/// A false positive rate.
///
/// # Errors
/// [`ArgumentError::OutOfRange`].
pub fn rate(rate: f64) -> Result<f64> {
    if rate > 0.0 && rate < 1.0 {
        return Ok(rate);
    }
    let (name, range) = ("false_positive_rate", "between 0 and 1".to_owned());
    Err(ArgumentError::OutOfRange { name, value: rate.to_string(), range }.into())
}

/// Random rows of a table, and queries that they are compared with.
pub struct Sample<'a> {
    table: &'a Table,
    /// Embeddings of the rows.
    pub images: Vec<Vec<f32>>,
    pub queries: Vec<Vec<f32>>,
    /// Rows of the table, roughly.
    pub rows: u64,
}

/// What was measured.
pub struct Measured {
    pub threshold: f64,
    pub sampled: usize,
    pub queries_used: usize,
    pub center: f64,
    pub deviation: f64,
    /// Share of the sample above the threshold.
    pub observed_rate: f64,
}

impl<'a> Sample<'a> {
    /// Takes the sample once the queries fit the column.
    ///
    /// # Errors
    /// [`ArgumentError::QueryDimension`], [`ArgumentError::Dimensions`], [`ArgumentError::NothingToSample`], and what
    /// `queries` returns.
    pub fn take(
        table: &'a Table,
        column: &Column,
        size: i32,
        queries: impl FnOnce() -> Result<Vec<Vec<f32>>>,
    ) -> Result<Self> {
        let queries = queries()?;
        if let Some(query) = queries.first() {
            column.check_dimension(query.len())?;
        }
        let (images, rows) = take_sample(table, column, size)?;
        if let Some(odd) = images.iter().find(|image| queries.iter().any(|query| query.len() != image.len())) {
            return Err(ArgumentError::Dimensions { a: queries[0].len(), b: odd.len() }.into());
        }
        if images.len() < MIN_SAMPLE as usize {
            return Err(ArgumentError::NothingToSample { table: table.name.clone(), found: images.len() }.into());
        }
        Ok(Self { table, images, queries, rows })
    }

    /// The similarity that a random row exceeds with the probability `rate`, on average over the queries. A query that is a
    /// row of the sample is not compared with itself.
    ///
    /// # Errors
    /// [`ArgumentError::NothingToSample`] where no vector has a direction.
    pub fn measure(&self, queries: &[Vec<f32>], rate: f64) -> Result<Measured> {
        let mut all = Vec::with_capacity(queries.len());
        for query in queries {
            pgrx::check_for_interrupts!();
            let similarities = self.images.iter().filter(|image| *image != query).map(|image| cosine(query, image));
            all.push(similarities.filter(|similarity| similarity.is_finite()).collect::<Vec<f32>>());
        }
        let backgrounds: Vec<Background> = all.iter_mut().filter_map(|one| Background::fit(one)).collect();
        let threshold = similarity::threshold(&backgrounds, rate)
            .ok_or_else(|| ArgumentError::NothingToSample { table: self.table.name.clone(), found: 0 })?;
        let above = all.iter().flatten().filter(|similarity| f64::from(**similarity) > threshold).count();
        let mean = |of: fn(&Background) -> f64| backgrounds.iter().map(of).sum::<f64>() / backgrounds.len() as f64;
        Ok(Measured {
            threshold,
            sampled: self.images.len(),
            queries_used: backgrounds.len(),
            center: mean(|background| background.center),
            deviation: mean(|background| background.deviation),
            observed_rate: above as f64 / all.iter().map(Vec::len).sum::<usize>().max(1) as f64,
        })
    }
}

/// Random rows. Of a large table random blocks are read, some more than needed, and rows chosen among theirs: reading
/// all of it would take longer than the answer is worth. And how many rows there are, as far as that is known.
fn take_sample(table: &Table, column: &Column, sample: i32) -> Result<(Vec<Vec<f32>>, u64)> {
    /// Rows from which on blocks are chosen.
    const LARGE: f64 = 200_000.0;
    /// Blocks of so many times the rows that are wanted.
    const MORE: f64 = 20.0;
    let Embeddings { schema, .. } = column.embeddings.as_ref().expect("a column of embeddings");
    let about = "SELECT c.reltuples FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) $1";
    let rows: f64 = spi::select(&Allowed::default(), about, &[Argument::oid(table.id)], |row| Ok(row.number(1)))?
        .into_iter()
        .flatten()
        .next()
        .unwrap_or(-1.0);
    let take = |blocks: &str| -> Result<Vec<Vec<f32>>> {
        let query = format!(
            "SELECT t.{0}::{schema}.vector FROM {1} AS t {blocks} WHERE t.{0} IS NOT NULL \
             ORDER BY pg_catalog.random() LIMIT $1",
            column.quoted, table.name
        );
        let found = spi::select(&table.allowed(), &query, &[Argument::int(sample)], |row| Ok(row.vector(1)))?;
        Ok(found.into_iter().flatten().collect())
    };
    // Of foreign tables no blocks can be read, and of foreign partitions all rows would be.
    if rows > LARGE && !table.is_remote {
        let share = (100.0 * MORE * f64::from(sample) / rows).min(100.0);
        let found = take(&format!("TABLESAMPLE SYSTEM ({share})"))?;
        // Fewer where the table has shrunk since it was counted.
        if found.len() == sample as usize {
            return Ok((found, rows as u64));
        }
    }
    let found = take("")?;
    let rows = if found.len() < sample as usize { found.len() as u64 } else { (rows as u64).max(found.len() as u64) };
    Ok((found, rows))
}

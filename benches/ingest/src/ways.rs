//! The ways in which a table of images is embedded.

use crate::Run;
use crate::alone::Alone;
use crate::photos::Photos;
use anyhow::{Context, ensure};
use measure::{Python, Samples};
use postgres::{Client, Config};
use std::thread;
use std::time::{Duration, Instant};

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// INSERT ... SELECT, each row for itself.
    RowByRow,
    /// The same statement, with batches made by the executor.
    BatchScan,
    /// The procedure.
    EmbedTable,
    /// A statement for each array.
    Arrays,
    /// A Python program that decodes ahead of ONNX Runtime, with batches.
    Python,
    /// No PostgreSQL, with so many requests under way.
    Alone(usize),
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::RowByRow, Self::BatchScan, Self::EmbedTable, Self::Arrays, Self::Python, Self::Alone(1), Self::Alone(2)];

    /// Its place in [`Way::ALL`].
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|way| *way == self).expect("one of all")
    }

    /// What it is called.
    pub fn name(self) -> String {
        match self {
            Self::RowByRow => "INSERT ... SELECT, batch scan off".to_owned(),
            Self::BatchScan => "INSERT ... SELECT, batch scan on".to_owned(),
            Self::EmbedTable => "CALL clip_embed_table".to_owned(),
            Self::Arrays => "clip_embed_images, arrays".to_owned(),
            Self::Python => "Python, batches of 16".to_owned(),
            Self::Alone(requests) => format!("the server alone, {requests} under way"),
        }
    }

    /// Fails where a row was left out.
    ///
    /// # Errors
    /// Where one was; and what PostgreSQL says.
    pub fn check(self, client: &mut Client, rows: u32) -> anyhow::Result<()> {
        let table = if self == Self::EmbedTable { "photos" } else { "embedded" };
        let embedded: i64 = client.query_one(&format!("SELECT count(embedding) FROM {table}"), &[])?.get(0);
        ensure!(embedded == i64::from(rows), "{}: {embedded} of {rows} rows were embedded", self.name());
        Ok(())
    }
}

/// The statement of [`Way::RowByRow`] and [`Way::BatchScan`].
pub const INSERT: &str = "INSERT INTO embedded SELECT id, clip_embed_image(image) FROM photos";
/// The statement of [`Way::EmbedTable`].
pub const CALL: &str = "CALL clip_embed_table('photos', 'image', 'embedding')";

/// Turns batch scans on or off.
///
/// # Errors
/// What PostgreSQL says.
pub fn set_batch_scan(client: &mut Client, on: bool) -> anyhow::Result<()> {
    Ok(client.batch_execute(&format!("SET clip_search.enable_batch_scan = {on}"))?)
}

/// A model, and who embeds with it.
pub struct Track<'a> {
    photos: &'a Photos,
    client: Client,
    alone: Alone,
    python: Python,
    dimension: i32,
    /// What is measured.
    pub about: String,
    array: u32,
}

impl<'a> Track<'a> {
    /// Connects, and has the server load the model.
    ///
    /// # Errors
    /// What PostgreSQL or the server say.
    pub fn new(config: &Config, photos: &'a Photos, model: &str, run: &Run) -> anyhow::Result<Self> {
        let mut client = measure::connect(config)?;
        client
            .execute("SELECT clip_embed_image($1)", &[&photos.one()])
            .with_context(|| format!("the first image with model {model}"))?;
        let row = client.query_one(
            "SELECT dimension, concat_ws(', ', name, dimension || ' dimensions', precision || ' on ' || execution_provider,
                    'batches of at most ' || current_setting('clip_search.max_batch'))
               FROM clip_models() WHERE name = $1",
            &[&model],
        )?;
        let (dimension, about) = (row.get(0), row.get(1));
        let alone = Alone::connect(&mut client, model, 2)?;
        let folder: String = client.query_one("SHOW clip_search.model_dir", &[])?.get(0);
        let threads = thread::available_parallelism()?.to_string();
        let python = Python::start(&run.python, &run.script, [format!("{folder}/{model}"), threads])?;
        let mut track = Self { photos, client, alone, python, dimension, about, array: run.array };
        track.check_python()?;
        Ok(track)
    }

    /// Which versions the Python program has.
    pub fn about_python(&self) -> &str {
        &self.python.about
    }

    /// Fails where the Python program makes other vectors.
    fn check_python(&mut self) -> anyhow::Result<()> {
        self.go(Way::Python, 16)?;
        let compared =
            "SELECT min(1 - (embedded.embedding <=> clip_embed_image(image))) FROM embedded JOIN photos USING (id)";
        let worst: f64 = self.client.query_one(compared, &[])?.get(0);
        ensure!(worst > 0.9999, "the Python program's vectors have a cosine of {worst} with those of clip_search");
        Ok(())
    }

    /// How many rows the server alone embeds in so long, in whole arrays.
    ///
    /// # Errors
    /// What the server says.
    pub fn rows_for(&mut self, seconds: f64) -> anyhow::Result<u32> {
        let mut times = Samples::default();
        for _ in 0..3 {
            times.push(self.alone.embed(self.photos.list(2 * self.array), self.array as usize, 2)?);
        }
        let rate = f64::from(2 * self.array) / (times.median() / 1e3);
        let arrays = (rate * seconds / f64::from(self.array)).round() as u32;
        Ok(arrays.clamp(2, 20_000 / self.array + 2) * self.array)
    }

    /// Goes a way, with images that nobody has seen. Returns how long it took.
    ///
    /// # Errors
    /// What PostgreSQL or the server say; and where a row was left out.
    pub fn go(&mut self, way: Way, rows: u32) -> anyhow::Result<Duration> {
        if let Way::Alone(requests) = way {
            return self.alone.embed(self.photos.list(rows), self.array as usize, requests);
        }
        self.photos.make_table(&mut self.client, rows, self.dimension)?;
        set_batch_scan(&mut self.client, way == Way::BatchScan)?;
        let began = Instant::now();
        match way {
            Way::EmbedTable => self.client.batch_execute(CALL)?,
            Way::Arrays => self.arrays(rows)?,
            Way::Python => drop(self.python.ask(&serde_json::json!({}))?),
            _ => self.client.batch_execute(INSERT)?,
        }
        let took = began.elapsed();
        way.check(&mut self.client, rows)?;
        Ok(took)
    }

    fn arrays(&mut self, rows: u32) -> anyhow::Result<()> {
        let mut transaction = self.client.transaction()?;
        let insert = transaction.prepare(
            "INSERT INTO embedded
             SELECT unnest(ids), unnest(clip_embed_images(images))
               FROM (SELECT array_agg(id) AS ids, array_agg(image) AS images
                       FROM photos WHERE id >= $1 AND id < $2) AS part",
        )?;
        for first in (0..rows).step_by(self.array as usize) {
            transaction.execute(&insert, &[&i64::from(first), &i64::from(first + self.array)])?;
        }
        transaction.commit()?;
        Ok(())
    }
}

//! Measures 8-bit graphs beside the 32-bit graphs that they were made from: images a second and the time of a short text,
//! through SQL.
//!
//! Figures of one run can be compared with each other, not with those of another machine or another hour: what counts is
//! the ratio. The model has random weights, which take as long as trained ones.

use anyhow::Context;
use clap::Parser;
use measure::{Bound, Cluster, Image, Report, Samples, Vit, median, table};
use postgres::{Client, Config};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What the 8-bit graphs have to reach on a CPU that multiplies 8-bit integers (VNNI).
const IMAGES: f64 = 2.2;
const TEXTS: f64 = 3.0;

const PRECISIONS: [&str; 2] = ["fp32", "w8a8"];
/// Longest wait for a setting to be in force.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures 8-bit graphs.
#[derive(Parser)]
enum Command {
    /// Measures in the cluster that PGHOST and PGPORT name. It needs the extension to be installed there.
    Measure(Run),
    /// Writes a model of the size of ViT-B/32 with random weights.
    MakeModel {
        /// The model's folder.
        folder: PathBuf,
        /// The folder of a model whose tokenizer it gets.
        other: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    cluster: Cluster,
    /// Rounds: each measures both precisions, in another order.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Images of a round, JPEGs of 500 x 375.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Texts of a round, one a statement.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    texts: u32,
    /// A page whose table is replaced.
    #[arg(long)]
    page: Option<PathBuf>,
}

/// Of one precision: images a second and milliseconds of a text, by round.
#[derive(Default)]
struct Figures {
    images: Vec<f64>,
    texts: Vec<f64>,
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Measure(run) => measure(&run),
        Command::MakeModel { folder, other } => Vit::B_32.write_whole(&folder, &other).map(|()| true),
    };
    measure::exit_code(env!("CARGO_PKG_NAME"), done)
}

fn measure(run: &Run) -> anyhow::Result<bool> {
    let config = run.cluster.prepare(&run.cluster.model)?;
    let mut client = measure::connect(&config)?;
    client.batch_execute("CREATE TABLE photos (id bigint PRIMARY KEY, image bytea)")?;
    for number in 0..run.images {
        let jpeg = Image::PHOTOGRAPH.jpeg(number)?;
        client.execute("INSERT INTO photos VALUES ($1, $2)", &[&i64::from(number), &jpeg])?;
    }
    let near = client.query_one("SELECT * FROM clip_quantize_model($1)", &[&run.cluster.model])?;
    let mut figures: [Figures; 2] = Default::default();
    for round in 0..run.rounds {
        for turn in 0..PRECISIONS.len() {
            let number = (turn + round as usize) % PRECISIONS.len();
            let mut client = with_precision(&config, &run.cluster.model, PRECISIONS[number])?;
            figures[number].texts.push(texts(&mut client, run.texts)?);
            // The few images that loaded the encoder were interactive.
            measure::calm_down();
            figures[number].images.push(images(&mut client, run.images)?);
        }
    }
    let [exact, small] = &figures;
    let rows = PRECISIONS.iter().zip(&figures).map(|(name, Figures { images, texts })| {
        [(*name).to_owned(), format!("{:.1}", median(images)), format!("{:.2}", median(texts))]
    });
    let of_images = median(&ratios(&small.images, &exact.images));
    let of_texts = median(&ratios(&exact.texts, &small.texts));
    let ratio = [
        "w8a8, times as fast as fp32 (median of the rounds)".to_owned(),
        format!("{of_images:.2}"),
        format!("{of_texts:.2}"),
    ];
    let lowest: (f64, f64) = (near.get("text_lowest"), near.get("image_lowest"));
    let text = format!(
        "On {}; {} rounds of {} JPEGs of 500 x 375 and {} texts (\"a dog on a beach 7\"). ViT-B/32 with random weights: the lowest cosine \
         to fp32 is {:.4} for texts and {:.4} for images.\n\n{}",
        measure::processor(),
        run.rounds,
        run.images,
        run.texts,
        lowest.0,
        lowest.1,
        table(["", "images/s", "ms a text"], rows.chain([ratio])),
    );
    println!("{text}");
    if let Some(path) = &run.page {
        let page = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let page = measure::document::put(&page, "benches/precision/run", "precision", &text)?;
        std::fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    let mut report = Report::default();
    report.limit("images, w8a8 over fp32", of_images, Bound::AtLeast(IMAGES), "");
    report.limit("short texts, w8a8 over fp32", of_texts, Bound::AtLeast(TEXTS), "");
    Ok(report.print_limits())
}

fn ratios(over: &[f64], under: &[f64]) -> Vec<f64> {
    over.iter().zip(under).map(|(over, under)| over / under).collect()
}

/// A connection to the server in this precision, with both encoders loaded.
fn with_precision(config: &Config, model: &str, precision: &str) -> anyhow::Result<Client> {
    let mut client = measure::connect(config)?;
    // Loads the library, which knows its settings.
    client.batch_execute("SELECT FROM clip_models()")?;
    client.batch_execute(&format!("ALTER SYSTEM SET clip_search.precision = '{precision}'"))?;
    client.batch_execute("SELECT pg_reload_conf()")?;
    let began = Instant::now();
    loop {
        let mut client = measure::connect(config)?;
        let row = client.query_opt("SELECT precision FROM clip_models() WHERE name = $1", &[&model])?;
        if row.and_then(|row| row.get::<_, Option<String>>(0)).as_deref() == Some(precision) {
            client.query("SELECT clip_embed_text('x'), clip_embed_image(image) FROM photos LIMIT 4", &[])?;
            return Ok(client);
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "the precision is not {precision} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Images a second of a table of images into a table of vectors.
fn images(client: &mut Client, count: u32) -> anyhow::Result<f64> {
    client.batch_execute("DROP TABLE IF EXISTS vectors; CREATE TABLE vectors (id bigint, embedding vector)")?;
    let began = Instant::now();
    client.batch_execute("INSERT INTO vectors SELECT id, clip_embed_image(image) FROM photos")?;
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Milliseconds of a statement that embeds a short text. The backend has not seen it before.
fn texts(client: &mut Client, count: u32) -> anyhow::Result<f64> {
    let statement = client.prepare("SELECT clip_embed_text($1)")?;
    let mut times = Samples::default();
    for number in 0..count {
        let text = format!("a dog on a beach {number}");
        let began = Instant::now();
        client.query(&statement, &[&text])?;
        times.push(began.elapsed());
    }
    Ok(times.median())
}

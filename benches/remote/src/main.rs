//! Measures encoders in Triton beside the same encoders here: images a second and the time of a short text, through SQL.
//!
//! Triton is on this machine, and so are its cores: the figures show what the way to it costs, and not what another machine would
//! add. Its Python backend runs ONNX Runtime, as the inference server does. The model has random weights, which take as long as
//! trained ones.

use anyhow::{Context, bail};
use clap::Parser;
use measure::{Bound, Cluster, Image, Report, Samples, Vit, median, table};
use postgres::Client;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, ExitCode};
use std::time::Instant;

/// Milliseconds that a text takes longer by way of Triton, at most.
const OVERHEAD: f64 = 2.0;

/// Name in the tables, model, and the option of `export-triton` for its images.
const KINDS: [(&str, &str, &str); 3] =
    [("here", "random/here", ""), ("Triton, FP32", "random/fp32", "fp32"), ("Triton, UINT8", "random/uint8", "uint8")];
/// What stands for the address in what `export-triton` prints.
const ADDRESS: &str = "HOST:8001";

/// Measures encoders on a model server.
#[derive(Parser)]
enum Command {
    /// Measures in the cluster that PGHOST and PGPORT name, with the models that make-models has made.
    Measure(Run),
    /// Writes a model of the size of ViT-B/32 with random weights, and the same with encoders in Triton, with a repository for that.
    MakeModels {
        /// The folder of the models.
        models: PathBuf,
        /// The folder of a model whose tokenizer they get.
        other: PathBuf,
        /// The program clip-search-server.
        server: PathBuf,
    },
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    cluster: Cluster,
    /// The folder of the models.
    #[arg(long)]
    models: PathBuf,
    /// Rounds: each measures all kinds, in another order.
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

/// Of one kind: images a second and milliseconds of a text, by round.
#[derive(Default)]
struct Figures {
    images: Vec<f64>,
    texts: Vec<f64>,
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Measure(run) => measure(&run),
        Command::MakeModels { models, other, server } => make(&models, &other, &server).map(|()| true),
    };
    measure::exit_code(env!("CARGO_PKG_NAME"), done)
}

fn make(models: &Path, other: &Path, server: &Path) -> anyhow::Result<()> {
    let here = models.join(KINDS[0].1);
    Vit::B_32.write_whole(&here, other)?;
    for (_, name, images) in &KINDS[1..] {
        let exported = Process::new(server)
            .args(["models", "export-triton", KINDS[0].1])
            .arg(repository(models, name))
            .args(["--backend", "python", "--images", images])
            .arg("--model-dir")
            .arg(models)
            .output()
            .with_context(|| server.display().to_string())?;
        let said = String::from_utf8_lossy(&exported.stdout);
        if !exported.status.success() {
            bail!("export-triton: {said}{}", String::from_utf8_lossy(&exported.stderr));
        }
        let (begin, end) = said.find('{').zip(said.rfind('}')).context("export-triton prints remote.json")?;
        let folder = models.join(name);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&here)?.flatten().filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        fs::write(folder.join("remote.json"), &said[begin..=end])?;
    }
    Ok(())
}

fn repository(models: &Path, name: &str) -> PathBuf {
    models.join(name.replace("random/", "triton-"))
}

fn measure(run: &Run) -> anyhow::Result<bool> {
    let config = run.cluster.prepare(&run.cluster.model)?;
    let mut client = measure::connect(&config)?;
    let mut servers = Vec::new();
    for (_, name, _) in &KINDS[1..] {
        let server = model_servers::triton(&repository(&run.models, name), &[])
            .context("there is no Triton for this machine")?;
        let file = run.models.join(name).join("remote.json");
        let remote = fs::read_to_string(&file)?;
        anyhow::ensure!(remote.contains(ADDRESS), "{}: there is no {ADDRESS} in it", file.display());
        // Triton takes larger messages than gRPC's default.
        let remote = remote
            .replace(ADDRESS, &server.address())
            .replace("\"datatype\"", "\"max_message_bytes\": 33554432, \"datatype\"");
        fs::write(&file, remote)?;
        servers.push(server);
    }
    client.batch_execute("CREATE TABLE photos (id bigint PRIMARY KEY, image bytea)")?;
    for number in 0..run.images {
        let jpeg = Image::PHOTOGRAPH.jpeg(number)?;
        client.execute("INSERT INTO photos VALUES ($1, $2)", &[&i64::from(number), &jpeg])?;
    }
    let near = compare(&mut client)?;
    let mut figures: [Figures; 3] = Default::default();
    for round in 0..run.rounds {
        for turn in 0..KINDS.len() {
            let number = (turn + round as usize) % KINDS.len();
            // A backend of its own has embedded none of the texts before.
            let mut client = measure::connect(&config)?;
            figures[number].images.push(images(&mut client, KINDS[number].1, run.images)?);
            figures[number].texts.push(texts(&mut client, KINDS[number].1, run.texts)?);
        }
    }
    drop(servers);
    let [here, fp32, uint8] = &figures;
    let rows = KINDS.iter().zip(&figures).map(|((name, ..), Figures { images, texts })| {
        [(*name).to_owned(), format!("{:.1}", median(images)), format!("{:.2}", median(texts))]
    });
    let text = format!(
        "On {}, Triton on the same cores; {} rounds of {} JPEGs of 500 x 375 and {} texts (\"a dog on a beach 7\"). ViT-B/32 with random \
         weights, fp32; the lowest cosine of 20 images and 20 texts to the local encoders is {near:.6}.\n\n{}",
        measure::processor(),
        run.rounds,
        run.images,
        run.texts,
        table(["encoders", "images/s", "ms a text"], rows),
    );
    println!("{text}");
    if let Some(path) = &run.page {
        let page = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        fs::write(path, measure::document::put(&page, "benches/remote/run", "rates", &text)?)?;
    }
    // Texts go the same way to both servers.
    let longer =
        |there: &Figures| there.texts.iter().zip(&here.texts).map(|(there, here)| there - here).collect::<Vec<_>>();
    let longer = median(&[longer(fp32), longer(uint8)].concat());
    let mut report = Report::default();
    report.limit("a text by way of Triton, above one here", longer, Bound::AtMost(OVERHEAD), "ms");
    Ok(report.print_limits())
}

/// The least cosine of vectors by way of Triton to those from here; loads all encoders.
fn compare(client: &mut Client) -> anyhow::Result<f64> {
    let mut least = f64::INFINITY;
    for (_, name, _) in &KINDS[1..] {
        let statement = "SELECT min(1 - (clip_embed_image(image, $1) <=> clip_embed_image(image, $2))),
                                min(1 - (clip_embed_text('text ' || id, $1) <=> clip_embed_text('text ' || id, $2)))
                           FROM (SELECT * FROM photos LIMIT 20) AS few";
        let row = client.query_one(statement, &[name, &KINDS[0].1])?;
        least = least.min(row.get(0)).min(row.get(1));
    }
    anyhow::ensure!(least > 0.9999, "Triton's vectors differ: the lowest cosine is {least}");
    Ok(least)
}

/// Images a second of a table of images into a table of vectors.
fn images(client: &mut Client, model: &str, count: u32) -> anyhow::Result<f64> {
    client.batch_execute("DROP TABLE IF EXISTS vectors; CREATE TABLE vectors (id bigint, embedding vector)")?;
    let began = Instant::now();
    client.execute("INSERT INTO vectors SELECT id, clip_embed_image(image, $1) FROM photos", &[&model])?;
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Milliseconds of a statement that embeds a short text.
fn texts(client: &mut Client, model: &str, count: u32) -> anyhow::Result<f64> {
    let statement = client.prepare("SELECT clip_embed_text($1, $2)")?;
    let mut times = Samples::default();
    for number in 0..count {
        let text = format!("a dog on a beach {number}");
        let began = Instant::now();
        client.query(&statement, &[&text, &model])?;
        times.push(began.elapsed());
    }
    Ok(times.median())
}

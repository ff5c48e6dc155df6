//! The server, from JPEG files and texts to vectors, fed by clients that speak its protocol; and how fast its decoding is
//! alone.

use crate::inputs::{Photographs, Texts};
use crate::{Run, model_name};
use anyhow::{Context, bail};
use clip::{Limits, ModelSpec, Precision, Preprocessor};
use measure::{Connection, Samples, embed_request};
use protocol::{Config, Items};
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Images of a request of bulk, and texts.
const IMAGES: usize = 64;
const TEXTS: usize = 512;
/// Connections that ask at the same time.
const CLIENTS: usize = 12;
/// Requests of each client, again and again: made before, since the server is what is measured.
const REQUESTS_AHEAD: usize = 4;

/// A model in one precision.
#[derive(Serialize)]
pub struct Row {
    pub model: String,
    pub precision: String,
    pub images_per_second: f64,
    /// What all cores decode and resize without the server.
    pub decoded_per_second: f64,
    pub texts_per_second: f64,
    /// Of one request of one item, in milliseconds: median and the time that 99 of 100 do not exceed.
    pub text_ms: [f64; 2],
    pub image_ms: [f64; 2],
    /// Resident memory of the server in MB.
    pub resident_mb: u64,
    /// Memory of the first GPU that is taken by all processes, in MB; nothing where the driver does not say.
    pub gpu_mb: Option<u64>,
}

/// Measures a model by way of a server of its own.
///
/// # Errors
/// Where the server cannot be started, or fails to embed something.
pub fn measure(
    run: &Run,
    name: &str,
    models: &Path,
    spec: &ModelSpec,
    precision: Precision,
    photographs: &Photographs,
) -> anyhow::Result<Row> {
    let model = model_name(name);
    let decoded_per_second = decode_alone(run.period(), spec, photographs)?;
    let server = Server::start(run, models, precision)?;
    let texts = Texts::new();
    let image_request =
        |count| embed_request(&model, Items::Images(photographs.take(count).into_iter().map(Into::into).collect()));
    let text_request = |count| embed_request(&model, Items::Texts(texts.take(count)));

    // Loads both encoders, and makes the shapes of bulk known.
    let mut connection = server.connect()?;
    for _ in 0..2 {
        connection.embed(&text_request(TEXTS)?)?;
        connection.embed(&image_request(2 * run.max_batch as usize)?)?;
    }
    let latency =
        |connection: &mut Connection, request: &dyn Fn() -> anyhow::Result<Vec<u8>>| -> anyhow::Result<[f64; 2]> {
            let mut samples = Samples::default();
            for number in 0..run.requests + 10 {
                let request = request()?;
                let began = Instant::now();
                connection.embed(&request)?;
                if number >= 10 {
                    samples.push(began.elapsed());
                }
            }
            Ok([samples.median(), samples.p99()])
        };
    let text_ms = latency(&mut connection, &|| text_request(1))?;
    let image_ms = latency(&mut connection, &|| image_request(1))?;
    let requests = (0..CLIENTS * REQUESTS_AHEAD).map(|_| image_request(IMAGES)).collect::<anyhow::Result<Vec<_>>>()?;
    let images_per_second = rate(&server, run.period(), IMAGES, &requests)?;
    drop(requests);
    // As many as the fastest card may take: a text that was asked for before is not run.
    let wanted = (run.seconds * 200.0) as usize + CLIENTS;
    let requests = (0..wanted).map(|_| text_request(TEXTS)).collect::<anyhow::Result<Vec<_>>>()?;
    let texts_per_second = rate_once(&server, run.period(), TEXTS, &requests)?;
    Ok(Row {
        model: name.to_owned(),
        precision: precision.to_string(),
        images_per_second,
        decoded_per_second,
        texts_per_second,
        text_ms,
        image_ms,
        resident_mb: server.resident_mb(),
        gpu_mb: gpu_mb(),
    })
}

/// Images a second that all cores decode, resize and normalise.
fn decode_alone(period: Duration, spec: &ModelSpec, photographs: &Photographs) -> anyhow::Result<f64> {
    let preprocessor = Preprocessor::new(spec);
    let limits = Limits { max_bytes: 64 << 20, max_pixels: 100_000_000 };
    let (done, cores) = (AtomicUsize::default(), std::thread::available_parallelism().map_or(1, usize::from));
    let began = Instant::now();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let work = |first: usize| {
            let (preprocessor, done, limits) = (&preprocessor, &done, &limits);
            scope.spawn(move || -> clip::Result<()> {
                for image in photographs.pool().iter().cycle().skip(first) {
                    if began.elapsed() >= period {
                        break;
                    }
                    preprocessor.run(image, limits)?;
                    done.fetch_add(1, Relaxed);
                }
                Ok(())
            })
        };
        let threads: Vec<_> = (0..cores).map(work).collect();
        for thread in threads {
            thread.join().expect("no panic")?;
        }
        Ok(())
    })?;
    Ok(done.into_inner() as f64 / began.elapsed().as_secs_f64())
}

/// Items a second of several clients, each of which sends its share of the requests again and again until the time is
/// over, and waits for the last response.
fn rate(server: &Server, period: Duration, items: usize, requests: &[Vec<u8>]) -> anyhow::Result<f64> {
    let (done, began) = (AtomicUsize::default(), Instant::now());
    let work = |requests: &[Vec<u8>]| -> anyhow::Result<()> {
        let mut connection = server.connect()?;
        for request in requests.iter().cycle() {
            if began.elapsed() >= period {
                break;
            }
            connection.embed(request)?;
            done.fetch_add(items, Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let work = &work;
        let threads: Vec<_> = requests.chunks(REQUESTS_AHEAD).map(|share| scope.spawn(move || work(share))).collect();
        for thread in threads {
            thread.join().expect("no panic")?;
        }
        Ok(())
    })?;
    Ok(done.load(Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// The same where no request may be sent twice: until the time is over or there are no more.
fn rate_once(server: &Server, period: Duration, items: usize, requests: &[Vec<u8>]) -> anyhow::Result<f64> {
    let (done, next) = (AtomicUsize::default(), AtomicUsize::default());
    let began = Instant::now();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let work = || -> anyhow::Result<()> {
            let mut connection = server.connect()?;
            while began.elapsed() < period {
                let Some(request) = requests.get(next.fetch_add(1, Relaxed)) else { break };
                connection.embed(request)?;
                done.fetch_add(items, Relaxed);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().expect("no panic")?;
        }
        Ok(())
    })?;
    Ok(done.into_inner() as f64 / began.elapsed().as_secs_f64())
}

/// A server of this run; it ends with it.
struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    fn start(run: &Run, models: &Path, precision: Precision) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut child = Command::new(&run.server)
            .arg("--socket")
            .arg(folder.path().join("socket"))
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| run.server.display().to_string())?;
        let config = Config {
            model_roots: vec![models.canonicalize()?],
            onnxruntime_library: run.onnxruntime_library.clone(),
            device: run.device.clone(),
            precision: precision.to_string(),
            max_batch: run.max_batch,
            max_gpu_memory: run.max_gpu_memory << 20,
            max_queue_bytes: 1 << 30,
            ..Config::default()
        };
        let settings = serde_json::to_string(&config)?;
        writeln!(child.stdin.as_mut().context("no standard input")?, "{settings}")?;
        Ok(Self { child, folder })
    }

    fn connect(&self) -> anyhow::Result<Connection> {
        let socket = self.folder.path().join("socket");
        for _ in 0..1000 {
            if socket.exists()
                && let Ok(connection) = Connection::open(&socket)
            {
                return Ok(connection);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server did not listen within 20 seconds")
    }

    fn resident_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the driver's own program says.
fn gpu_mb() -> Option<u64> {
    let output =
        Command::new("nvidia-smi").args(["--query-gpu=memory.used", "--format=csv,noheader,nounits"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next()?.trim().parse().ok()
}

//! The encoders in this process, as the server's scheduler runs them: batches are made on one thread while the batch
//! before runs on another.

use crate::{Run, first_device, inputs};
use clip::{Cancel, Device, ImageEncoder, Modality, ModelSpec, Precision, Runtime, SessionOptions, TextEncoder};
use measure::Samples;
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Threads of the scheduler for a session on a GPU.
const WORKERS: usize = 3;
/// Items that are compared with the CPU.
const COMPARED: usize = 8;

/// An encoder with batches of one size.
#[derive(Serialize)]
pub struct Row {
    pub model: String,
    pub encoder: &'static str,
    pub precision: String,
    /// Where it ran.
    pub provider: String,
    pub batch: usize,
    pub per_second: f64,
    /// The part of the time in which a batch was on the device.
    pub busy: f64,
    /// Of one batch after the other, from the items in memory to the vectors: the median.
    pub ms: f64,
    /// The worst cosine to the vectors of the CPU in fp32.
    pub cosine: f64,
}

/// Measures both encoders of a model with each size of batches.
///
/// # Errors
/// Where a model cannot be loaded or run.
pub fn measure(
    run: &Run,
    name: &str,
    spec: &ModelSpec,
    precision: Precision,
    runtime: &Runtime,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let max_gpu_memory = run.max_gpu_memory << 20;
    let options = SessionOptions { device: first_device(run)?, threads: 0, precision, max_gpu_memory };
    let on_cpu = SessionOptions { device: Device::Cpu, threads: 0, ..SessionOptions::default() };
    let mut add = |modality: Modality, provider: String, batch, (per_second, busy, ms), cosine| -> anyhow::Result<()> {
        let (model, precision) = (name.to_owned(), precision.to_string());
        let row = Row { model, encoder: modality.name(), precision, provider, batch, per_second, busy, ms, cosine };
        println!("{}", serde_json::to_string(&row)?);
        rows.push(row);
        Ok(())
    };

    let most = run.batches.iter().copied().max().unwrap_or(1).max(COMPARED);
    let images = inputs::pixels(most, spec.image.height, spec.image.width);
    let views = |count: usize| images[..count].iter().map(|image| image.view()).collect::<Vec<_>>();
    let reference = ImageEncoder::load(spec, &on_cpu, runtime)?.embed(&views(COMPARED), &Cancel::new())?;
    let mut encoder = ImageEncoder::load(spec, &options, runtime)?;
    let cosine = worst(&encoder.embed(&views(COMPARED), &Cancel::new())?, &reference);
    for &batch in &run.batches {
        let batch_views = views(batch);
        let ms = median(run, || encoder.embed(&batch_views, &Cancel::new()).map(drop))?;
        let (provider, stager) = (encoder.provider().to_string(), encoder.stager());
        let shared = Mutex::new(&mut encoder);
        let (per_second, busy) = rate(run.period(), batch, |held| {
            let staged = stager.stage(&batch_views)?;
            let mut encoder = shared.lock().expect("no panic while held");
            let began = Instant::now();
            encoder.run(&staged, &Cancel::new())?;
            held.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
            Ok(())
        })?;
        add(Modality::Image, provider, batch, (per_second, busy, ms), cosine)?;
    }
    drop(encoder);

    let texts = inputs::ids(most, spec.tokens.bos.unwrap_or(0), spec.tokens.eos.unwrap_or(1));
    let ids = |count: usize| texts[..count].iter().map(Vec::as_slice).collect::<Vec<_>>();
    let reference = TextEncoder::load(spec, &on_cpu, runtime)?.embed(&ids(COMPARED), &Cancel::new())?;
    let mut encoder = TextEncoder::load(spec, &options, runtime)?;
    let cosine = worst(&encoder.embed(&ids(COMPARED), &Cancel::new())?, &reference);
    for &batch in &run.batches {
        let batch_ids = ids(batch);
        let ms = median(run, || encoder.embed(&batch_ids, &Cancel::new()).map(drop))?;
        let provider = encoder.provider().to_string();
        let shared = Mutex::new(&mut encoder);
        let (per_second, busy) = rate(run.period(), batch, |held| {
            let mut encoder = shared.lock().expect("no panic while held");
            let began = Instant::now();
            encoder.embed(&batch_ids, &Cancel::new())?;
            held.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
            Ok(())
        })?;
        add(Modality::Text, provider, batch, (per_second, busy, ms), cosine)?;
    }
    Ok(())
}

/// The median of one run after the other, in milliseconds.
fn median(run: &Run, mut one: impl FnMut() -> clip::Result<()>) -> anyhow::Result<f64> {
    for _ in 0..5 {
        one()?;
    }
    let (mut samples, began) = (Samples::default(), Instant::now());
    for _ in 0..run.requests {
        let start = Instant::now();
        one()?;
        samples.push(start.elapsed());
        if began.elapsed() > run.period() {
            break;
        }
    }
    Ok(samples.median())
}

/// Items a second of several threads, and the part of the time in which a batch was on the device.
fn rate(
    period: Duration,
    batch: usize,
    one: impl Fn(&AtomicU64) -> clip::Result<()> + Sync,
) -> anyhow::Result<(f64, f64)> {
    let (items, held) = (AtomicUsize::default(), AtomicU64::default());
    let began = Instant::now();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let work = || -> clip::Result<()> {
            while began.elapsed() < period {
                one(&held)?;
                items.fetch_add(batch, Relaxed);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().expect("no panic")?;
        }
        Ok(())
    })?;
    let took = began.elapsed();
    let busy = Duration::from_nanos(held.into_inner()).as_secs_f64() / took.as_secs_f64();
    Ok((items.into_inner() as f64 / took.as_secs_f64(), busy))
}

fn worst(vectors: &[Vec<f32>], reference: &[Vec<f32>]) -> f64 {
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    vectors.iter().zip(reference).map(cosine).fold(f64::INFINITY, f64::min)
}

//! Measures what decoding in a process of its own costs: JPEGs of several sizes to 224 x 224 pixels.
//!
//! ```sh
//! cargo build --release -p clip-search-server && cargo run --release -p clip-search-server --example decoders
//! target/release/examples/decoders target/release/clip-search-server 64       for a model of another input size
//! ```

use clip::{CropRounding, Filter, ImageSpec, Limits, Normalize, Preprocessor, Reading, Resize};
use clip_search_server::decoder::{Decoder, Job, Patience, Settings};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

static NEVER: AtomicBool = AtomicBool::new(false);
const ROUNDS: usize = 7;
const IMAGES: usize = 150;

fn photo(width: u32, height: u32) -> Vec<u8> {
    let wave = |x: u32, y: u32, c: u32| {
        let noise = (x * 7919 + y * 104_729 + c * 31) % 23;
        (128.0 + 100.0 * (f64::from(x) / 37.0).sin() * (f64::from(y + 40 * c) / 29.0).cos()) as u32 + noise
    };
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| wave(x, y, c).min(255) as u8)));
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&image).unwrap();
    bytes
}

fn main() {
    let side =
        std::env::args().nth(2).map_or(224, |side| side.parse().expect("the side of the model's input in pixels"));
    let spec = ImageSpec {
        height: side,
        width: side,
        resize: Some(Resize::ShortestEdge(side)),
        filter: Filter::Bicubic,
        center_crop: true,
        crop_rounding: CropRounding::Down,
        fill: 0,
        reverse_channels: false,
        rescale: Some(1.0 / 255.0),
        normalize: Some(Normalize {
            mean: [0.48145466, 0.4578275, 0.40821073],
            std: [0.26862954, 0.26130258, 0.27577711],
        }),
    };
    let program =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/release/clip-search-server"), PathBuf::from);
    let settings = Settings { limits: Limits::default(), sandbox: true };
    let start = || Decoder::start(&program, &settings, &NEVER).expect("a decoder");
    let preprocessor = Preprocessor::of(spec.clone());
    let job = Job::Pixels { spec, reading: Reading::default() };
    let here = |image: &[u8]| drop(preprocessor.run(image, &settings.limits).unwrap());
    let patience = Patience { limit: Duration::from_secs(30), abandoned: &NEVER };
    let there = |decoder: &mut Decoder, images: &[&[u8]]| {
        let value = |_, pixels: Vec<u8>| drop(preprocessor.values(&pixels).unwrap());
        decoder.ask_all(&job, images, patience, value).unwrap();
    };

    let mut starts: Vec<Duration> = (0..20).map(|_| timed(|| drop(start()))).collect();
    println!("start and end of a decoder: {:?}", median(&mut starts));
    let decoder = start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", decoder.pid())).unwrap();
    for line in status.lines().filter(|line| line.starts_with("Rss")) {
        println!("at rest: {line}");
    }
    for (width, height) in [(640, 480), (224, 224), (32, 32), (2000, 1500)] {
        let image = photo(width, height);
        println!("{width} x {height}, {} bytes", image.len());
        let mut decoder = start();
        let (mut within, mut without) = (Vec::new(), Vec::new());
        // Taking turns: the machine may be busy with something else.
        for _ in 0..ROUNDS {
            within.extend((0..IMAGES / 5).map(|_| timed(|| here(&image))));
            without.extend((0..IMAGES / 5).map(|_| timed(|| there(&mut decoder, &[&image]))));
        }
        let (within, without) = (median(&mut within), median(&mut without));
        println!(
            "  p50 of one: {within:?} in this process, {without:?} in a decoder ({:+?} µs)",
            without.as_micros() as i64 - within.as_micros() as i64
        );
        let threads = thread::available_parallelism().unwrap().get();
        for group in [1, 8] {
            let images = vec![&*image; group];
            let mut rates = Vec::new();
            for _ in 0..ROUNDS {
                let within = rate(threads, || (), |_| here(&image));
                let without = group as f64 * rate(threads, start, |decoder| there(decoder, &images));
                rates.push(without / within);
            }
            rates.sort_by(f64::total_cmp);
            let (least, most) = (rates[0], rates[ROUNDS - 1]);
            println!(
                "  {threads} threads, {group} at a time: a decoder does {:.3} of what a thread does ({least:.3} to {most:.3})",
                rates[ROUNDS / 2]
            );
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Images in a second that so many threads do, each with something of its own.
fn rate<T: Send>(threads: usize, make: impl Fn() -> T + Sync, work: impl Fn(&mut T) + Sync) -> f64 {
    let mut tools: Vec<T> = (0..threads).map(|_| make()).collect();
    let done = std::sync::atomic::AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for tool in &mut tools {
            let (work, done) = (&work, &done);
            scope.spawn(move || {
                while began.elapsed() < Duration::from_millis(700) {
                    work(tool);
                    done.fetch_add(1, Relaxed);
                }
            });
        }
    });
    done.load(Relaxed) as f64 / began.elapsed().as_secs_f64()
}

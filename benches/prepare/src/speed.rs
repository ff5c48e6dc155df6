//! Time per image, each way in turn, round after round.

use crate::Run;
use crate::pillow::Pillow;
use anyhow::Context;
use clip::{ImageSpec, Limits, Preprocessor, Reading, RgbImage};
use jpeg::{Decoder, Output};
use measure::{Image, Samples, median, table};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

/// As a telephone's camera makes them.
const TWELVE_MEGAPIXELS: Image = Image { width: 4000, height: 3000 };

/// A way to make the model's input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Exact,
    Scaled,
    Zune,
    Pillow,
    PillowDraft,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Exact => "clip_search",
            Way::Scaled => "clip_search, `jpeg_scaling`",
            Way::Zune => "clip_search with zune-jpeg in place of libjpeg-turbo",
            Way::Pillow => "Pillow",
            Way::PillowDraft => "Pillow, `draft`",
        }
    }
}

/// Ratios to Pillow that are promised.
pub struct Ratios {
    /// Of files of 500 x 375.
    pub small: f64,
    /// Of files of 12 megapixels.
    pub large: f64,
    /// The same with scaling.
    pub large_scaled: f64,
}

/// A JPEG file, and where Pillow finds it.
struct File {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Measures both sizes: a table in Markdown, and what is promised.
///
/// # Errors
/// Where Pillow or a decoder fails, or both sides make different inputs.
pub fn measure(run: &Run, spec: &ImageSpec, pillow: &mut Pillow) -> anyhow::Result<(String, Ratios)> {
    let folder = tempfile::tempdir()?;
    let small = files(Image::PHOTOGRAPH, 16, folder.path(), pillow)?;
    let large = files(TWELVE_MEGAPIXELS, 3, folder.path(), pillow)?;
    let subject = Subject::new(spec);
    for file in [&small[0], &large[0]] {
        subject.compare(file, pillow)?;
    }
    let mut rows = Vec::new();
    let ways = [Way::Exact, Way::Zune, Way::Pillow];
    let [small_ratio, ..] = subject.rows("500 x 375", run.rounds, &small, &ways, pillow, &mut rows)?[..] else {
        unreachable!("a ratio for each way")
    };
    let ways = [Way::Exact, Way::Scaled, Way::Zune, Way::Pillow, Way::PillowDraft];
    let rounds = run.rounds.div_ceil(2);
    let [exact, scaled, ..] = subject.rows("4000 x 3000", rounds, &large, &ways, pillow, &mut rows)?[..] else {
        unreachable!("a ratio for each way")
    };
    let head = ["", "file", "decoding, ms", "all, ms", "images/s", "Pillow's time : this"];
    let ratios = Ratios { small: small_ratio, large: exact, large_scaled: scaled };
    Ok((table(head, rows).to_string(), ratios))
}

/// Different images of a size, as files that a camera could have written.
fn files(size: Image, count: u32, folder: &Path, pillow: &mut Pillow) -> anyhow::Result<Vec<File>> {
    let file = |number| {
        let made = folder.join("made.jpg");
        std::fs::write(&made, size.photograph(number)?)?;
        let path = folder.join(format!("{}-{number}.jpg", size.width));
        pillow.encode(&made, &path)?;
        Ok(File { bytes: std::fs::read(&path)?, path })
    };
    (0..count).map(file).collect()
}

struct Subject {
    exact: Preprocessor,
    scaled: Preprocessor,
    limits: Limits,
}

impl Subject {
    fn new(spec: &ImageSpec) -> Self {
        let with =
            |jpeg_scaling| Preprocessor::of(spec.clone()).with_reading(Reading { jpeg_scaling, ..Reading::default() });
        Self { exact: with(false), scaled: with(true), limits: Limits::default() }
    }

    /// Fails where both sides do not make the same input.
    fn compare(&self, file: &File, pillow: &mut Pillow) -> anyhow::Result<()> {
        for (preprocessor, draft) in [(&self.exact, false), (&self.scaled, true)] {
            let ours = preprocessor.run(&file.bytes, &self.limits)?;
            let theirs = pillow.input(&file.path, draft)?;
            let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // A level of 8 bits is more than 0.01.
            anyhow::ensure!(ours.len() == theirs.len() && worst < 1e-4, "inputs differ by {worst}, draft: {draft}");
        }
        Ok(())
    }

    /// Adds a row for each way, and returns for each how many times as long Pillow takes.
    fn rows(
        &self,
        size: &str,
        rounds: usize,
        files: &[File],
        ways: &[Way],
        pillow: &mut Pillow,
        rows: &mut Vec<[String; 6]>,
    ) -> anyhow::Result<Vec<f64>> {
        let mut times: Vec<_> = ways.iter().map(|_| (Samples::default(), Samples::default(), Vec::new())).collect();
        // The first round warms up.
        for round in 0..=rounds {
            for (way, (decode, all, seconds)) in ways.iter().zip(&mut times) {
                let (decoded, prepared) = self.time(*way, files, pillow)?;
                if round > 0 {
                    decode.push(decoded.div_f64(files.len() as f64));
                    all.push(prepared.div_f64(files.len() as f64));
                    seconds.push(prepared.as_secs_f64());
                }
            }
        }
        let reference = ways.iter().position(|way| *way == Way::Pillow).context("Pillow is measured")?;
        let ratio = |seconds: &[f64]| {
            let ratios: Vec<f64> = times[reference].2.iter().zip(seconds).map(|(theirs, ours)| theirs / ours).collect();
            median(&ratios)
        };
        let ratios: Vec<f64> = times.iter().map(|(.., seconds)| ratio(seconds)).collect();
        let bytes = files.iter().map(|file| file.bytes.len()).sum::<usize>() as f64 / files.len() as f64;
        let bytes = if bytes < 1e6 { format!("{:.0} kB", bytes / 1e3) } else { format!("{:.1} MB", bytes / 1e6) };
        for ((way, (decode, all, _)), ratio) in ways.iter().zip(&times).zip(&ratios) {
            rows.push([
                way.name().to_owned(),
                format!("{size}, {bytes}"),
                format!("{:.2}", decode.median()),
                format!("{:.2}", all.median()),
                format!("{:.0}", 1e3 / all.median()),
                format!("{ratio:.2}"),
            ]);
        }
        Ok(ratios)
    }

    /// Time to decode all files, and to make inputs of them.
    fn time(&self, way: Way, files: &[File], pillow: &mut Pillow) -> anyhow::Result<(Duration, Duration)> {
        let paths = || files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
        let seconds = match way {
            Way::Pillow => pillow.time(&paths(), false)?,
            Way::PillowDraft => pillow.time(&paths(), true)?,
            Way::Exact | Way::Scaled => {
                let preprocessor = if way == Way::Exact { &self.exact } else { &self.scaled };
                let decoded = timed(files, |bytes| turbo(bytes, way == Way::Scaled))?;
                return Ok((decoded, timed(files, |bytes| Ok(preprocessor.run(bytes, &self.limits)?))?));
            }
            Way::Zune => {
                let decoded = timed(files, zune)?;
                return Ok((decoded, timed(files, |bytes| Ok(self.exact.input(&zune(bytes)?)))?));
            }
        };
        Ok((Duration::from_secs_f64(seconds.decode), Duration::from_secs_f64(seconds.prepare)))
    }
}

fn timed<T>(files: &[File], make: impl Fn(&[u8]) -> anyhow::Result<T>) -> anyhow::Result<Duration> {
    let start = Instant::now();
    for file in files {
        std::hint::black_box(make(&file.bytes)?);
    }
    Ok(start.elapsed())
}

/// With twice the model's input in both directions, as the preprocessor asks for, of an image of 4 : 3.
fn turbo(bytes: &[u8], scaled: bool) -> anyhow::Result<Vec<u8>> {
    let mut decoder = Decoder::new(None, bytes, false)?;
    if scaled {
        decoder.scale_down_to(2 * 298, 2 * 224)?;
    }
    let limits = jpeg::Limits { max_memory: 1 << 30, max_scans: 100 };
    Ok(decoder.decode(Output::Colours, limits)?.0)
}

fn zune(bytes: &[u8]) -> anyhow::Result<RgbImage> {
    let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
    let pixels = decoder.decode().map_err(|error| anyhow::anyhow!("zune-jpeg: {error:?}"))?;
    let (width, height) = decoder.dimensions().context("zune-jpeg has no dimensions")?;
    RgbImage::from_raw(width as u32, height as u32, pixels).context("zune-jpeg made other pixels than RGB")
}

//! Memory of a backend that embeds a large table: it must not grow with the table.
//!
//! What counts is the backend's anonymous memory, which leaves out shared buffers and files; the most that was seen, above
//! what the same session had after its first image. What it takes for the first tenth of the table has to be about enough
//! for the rest.

use crate::photos::{HEAVY_BYTES, Photos, make_large_table};
use crate::ways::{CALL, INSERT, Way, set_batch_scan};
use anyhow::Context;
use measure::{Bound, Report, heading, table};
use postgres::Config;
use procfs::process::Process;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// What the whole table may take, with what the first tenth of the time takes for 1.
const LIMIT: f64 = 1.25;
/// Growth that is no different from none, in MiB.
const NOISE: f64 = 4.0;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What one statement took.
struct Taken {
    /// The most memory so far, in MiB, with the time since its begin.
    course: Vec<(f64, Duration)>,
    time: Duration,
}

impl Taken {
    /// The most memory in this share of the time, from the begin on.
    fn most(&self, share: f64) -> f64 {
        let end = self.time.mul_f64(share);
        self.course.iter().take_while(|(_, time)| *time <= end).last().map_or(0.0, |(most, _)| *most)
    }
}

/// Embeds a table of so many gigabytes in each way that makes batches by itself.
///
/// # Errors
/// What PostgreSQL says, and where /proc does not tell.
pub fn measure(config: &Config, photos: &Photos, gigabytes: f64, report: &mut Report) -> anyhow::Result<()> {
    let rows = ((gigabytes * 1e9 / HEAVY_BYTES as f64) as u32).max(1);
    let mebibytes = HEAVY_BYTES >> 20;
    heading(format!("Memory of the backend, {rows} images of {mebibytes} MiB that repeat, {gigabytes} GB, MiB"));
    photos.store_heavy(&mut measure::connect(config)?)?;
    let mut lines = Vec::new();
    for way in [Way::BatchScan, Way::EmbedTable] {
        let taken = embed(config, photos, way, rows)?;
        let share = taken.most(1.0) * f64::from(1 << 20) / (gigabytes * 1e9) * 100.0;
        let [tenth, half, all] = [0.1, 0.5, 1.0].map(|share| format!("{:.1}", taken.most(share)));
        let (share, seconds) = (format!("{share:.2} %"), format!("{:.0}", taken.time.as_secs_f64()));
        lines.push([way.name(), tenth, half, all, share, seconds]);
        let ratio = taken.most(1.0).max(NOISE) / taken.most(0.1).max(NOISE);
        let what = format!("{}: memory of all over that of the first tenth", way.name());
        report.limit(what, ratio, Bound::AtMost(LIMIT), "times");
    }
    println!("{}", table(["", "in the first tenth", "first half", "all", "of the table", "seconds"], lines));
    Ok(())
}

/// Embeds a table of so many rows in a session of its own.
fn embed(config: &Config, photos: &Photos, way: Way, rows: u32) -> anyhow::Result<Taken> {
    let mut client = measure::connect(config)?;
    let dimension = client
        .query_one("SELECT vector_dims(clip_embed_image($1))", &[&photos.one()])
        .context("the first image")?
        .get(0);
    make_large_table(&mut client, rows, dimension)?;
    // In a session of its own: what made the table leaves memory behind.
    let mut client = measure::connect(config)?;
    client.execute("SELECT clip_embed_image($1)", &[&photos.one()])?;
    set_batch_scan(&mut client, way == Way::BatchScan)?;
    let backend = Process::new(client.query_one("SELECT pg_backend_pid()", &[])?.get(0))?;
    let before = anonymous(&backend)?;
    let (done, began) = (&AtomicBool::new(false), Instant::now());
    let (course, time) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut most, mut course) = (before, Vec::new());
            while !done.load(Relaxed) {
                most = most.max(anonymous(&backend)?);
                course.push(((most - before) as f64 / 1024.0, began.elapsed()));
                thread::sleep(PAUSE);
            }
            anyhow::Ok(course)
        });
        let embedded = client.batch_execute(if way == Way::EmbedTable { CALL } else { INSERT });
        let time = began.elapsed();
        done.store(true, Relaxed);
        embedded?;
        anyhow::Ok((watch.join().expect("no panic")?, time))
    })?;
    way.check(&mut client, rows)?;
    client.batch_execute("DROP TABLE photos, embedded")?;
    Ok(Taken { course, time })
}

/// In KiB.
fn anonymous(process: &Process) -> anyhow::Result<u64> {
    process.status()?.rssanon.context("/proc does not tell how much memory is anonymous: Linux 4.5 does")
}

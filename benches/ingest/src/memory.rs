//! Memory of a backend that embeds a large table: it must not grow with the table.
//!
//! What counts is the backend's anonymous memory, which leaves out shared buffers and files; the most that was seen, above
//! what the same session had after its first picture. A table and one a tenth of its size may differ by little.

use crate::photos::{HEAVY_BYTES, Photos, make_large_table};
use crate::ways::{CALL, INSERT, Installed, Way};
use anyhow::Context;
use measure::{Bound, Report, heading, table};
use postgres::Config;
use procfs::process::Process;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// What a table ten times as large may take, with what the small one takes for 1.
const LIMIT: f64 = 1.25;
/// Growth that is no different from none, in MiB.
const NOISE: f64 = 4.0;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What one statement took.
struct Taken {
    mib: f64,
    seconds: f64,
}

/// Embeds a table of so many gigabytes, and before it a tenth of it, in each way that makes batches by itself.
///
/// # Errors
/// What PostgreSQL says, and where /proc does not tell.
pub fn measure(config: &Config, photos: &Photos, gigabytes: f64, report: &mut Report) -> anyhow::Result<()> {
    let rows = |gigabytes: f64| ((gigabytes * 1e9 / HEAVY_BYTES as f64) as u32).max(1);
    let mebibytes = HEAVY_BYTES >> 20;
    heading(format!("Memory of the backend, pictures of {mebibytes} MiB that repeat, {gigabytes} GB of them"));
    photos.store_heavy(&mut measure::connect(config)?)?;
    let mut lines = Vec::new();
    for way in [Way::BatchScan, Way::EmbedTable] {
        let small = embed(config, photos, way, rows(gigabytes / 10.0))?;
        let large = embed(config, photos, way, rows(gigabytes))?;
        let (figures, ratio) = match (small, large) {
            (Some(small), Some(large)) => {
                let share = large.mib * f64::from(1 << 20) / (gigabytes * 1e9) * 100.0;
                let figures = [
                    format!("{:.1}", small.mib),
                    format!("{:.1}", large.mib),
                    format!("{share:.3} %"),
                    format!("{:.0}", large.seconds),
                ];
                (figures, large.mib.max(NOISE) / small.mib.max(NOISE))
            }
            _ => (["not there"; 4].map(str::to_owned), f64::NAN),
        };
        let [tenth, all, share, seconds] = figures;
        lines.push([way.name(), tenth, all, share, seconds]);
        let what = format!("{}: memory over that with a tenth of the table", way.name());
        report.limit(what, ratio, Bound::AtMost(LIMIT), "times");
    }
    println!("{}", table(["", "MiB with a tenth", "MiB with all", "of the table", "seconds"], lines));
    Ok(())
}

/// Embeds a table of so many rows in a session of its own. `None` where the extension has no such way.
fn embed(config: &Config, photos: &Photos, way: Way, rows: u32) -> anyhow::Result<Option<Taken>> {
    let mut client = measure::connect(config)?;
    let dimension = client
        .query_one("SELECT vector_dims(clip_embed_image($1))", &[&photos.one()])
        .context("the first picture")?
        .get(0);
    let installed = Installed::of(&mut client)?;
    if !installed.has(way) {
        return Ok(None);
    }
    make_large_table(&mut client, rows, dimension)?;
    // In a session of its own: what made the table leaves memory behind.
    let mut client = measure::connect(config)?;
    client.execute("SELECT clip_embed_image($1)", &[&photos.one()])?;
    installed.set_batch_scan(&mut client, way == Way::BatchScan)?;
    let backend = Process::new(client.query_one("SELECT pg_backend_pid()", &[])?.get(0))?;
    let before = anonymous(&backend)?;
    let (done, began) = (&AtomicBool::new(false), Instant::now());
    let most = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = before;
            while !done.load(Relaxed) {
                most = most.max(anonymous(&backend)?);
                thread::sleep(PAUSE);
            }
            anyhow::Ok(most)
        });
        let embedded = client.batch_execute(if way == Way::EmbedTable { CALL } else { INSERT });
        done.store(true, Relaxed);
        embedded?;
        watch.join().expect("no panic")
    })?;
    let seconds = began.elapsed().as_secs_f64();
    way.check(&mut client, rows)?;
    client.batch_execute("DROP TABLE photos, embedded")?;
    Ok(Some(Taken { mib: (most - before) as f64 / 1024.0, seconds }))
}

/// In KiB.
fn anonymous(process: &Process) -> anyhow::Result<u64> {
    process.status()?.rssanon.context("/proc does not tell how much memory is anonymous: Linux 4.5 does")
}

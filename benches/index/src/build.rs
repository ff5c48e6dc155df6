//! The table, and its indexes: how long each takes to build, what memory, and what it is on disk.

use crate::data::{DIMENSION, Data, Nearest, binary, dot};
use anyhow::Context;
use fastrand::Rng;
use measure::heading;
use postgres::{Client, Config};
use std::fs;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Queries, and their nearest rows that are to be found.
pub const QUERIES: usize = 200;
/// Rows that a search is to find.
pub const WANTED: usize = 10;

/// The indexes: a name, and what CREATE INDEX says.
pub const INDEXES: [(&str, &str); 3] = [
    ("vector", "hnsw (embedding vector_cosine_ops)"),
    ("halfvec", "hnsw ((embedding::halfvec(512)) halfvec_cosine_ops)"),
    ("bit", "hnsw ((binary_quantize(embedding)::bit(512)) bit_hamming_ops)"),
];

/// Fills the table, notes the exact answers, and builds the indexes, as many at once as there are `jobs`.
///
/// # Errors
/// What PostgreSQL says.
pub fn build(config: &Config, rows: u32, memory: &str, jobs: usize) -> anyhow::Result<()> {
    let mut client = measure::connect(config)?;
    fill(&mut client, rows)?;
    let waiting = Mutex::new(INDEXES.iter());
    let next = || waiting.lock().expect("no thread panics with it").next();
    std::thread::scope(|scope| {
        let work = || {
            while let Some((name, definition)) = next() {
                index(config, name, definition, memory)?;
            }
            anyhow::Ok(())
        };
        let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

fn fill(client: &mut Client, rows: u32) -> anyhow::Result<()> {
    client.batch_execute(&format!(
        "SET client_min_messages = warning;
         CREATE EXTENSION IF NOT EXISTS vector;
         DROP TABLE IF EXISTS photos, queries, builds;
         CREATE TABLE photos (id int PRIMARY KEY, embedding vector({DIMENSION}));
         CREATE TABLE queries (id int, embedding vector({DIMENSION}), nearest int[]);
         CREATE TABLE builds (name text, seconds float8, cpu float8, memory float8)"
    ))?;
    let data = Data::new();
    let mut random = Rng::with_seed(2);
    let mut queries: Vec<Nearest> = (0..QUERIES).map(|_| Nearest::new(data.draw(&mut random), WANTED)).collect();
    let mut random = Rng::with_seed(3);
    let began = Instant::now();
    let mut mean = 0.0;
    let mut writer = client.copy_in("COPY photos FROM STDIN (FORMAT binary)")?;
    writer.write_all(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0")?;
    for id in 0..rows as i32 {
        let vector = data.draw(&mut random);
        queries.iter_mut().for_each(|query| query.see(id, &vector));
        mean += f64::from(dot(queries[id as usize % QUERIES].query(), &vector));
        writer.write_all(&binary_row(id, &vector))?;
    }
    writer.write_all(&(-1i16).to_be_bytes())?;
    writer.finish()?;
    let sql = "INSERT INTO queries VALUES ($1, $2::real[]::vector, $3)";
    for (number, query) in (0i32..).zip(&queries) {
        client.execute(sql, &[&number, &query.query(), &query.ids()])?;
    }
    client.batch_execute("VACUUM ANALYZE photos")?;
    let tenth = queries.iter().map(|query| f64::from(query.least())).sum::<f64>() / QUERIES as f64;
    println!("{rows} rows in {:.0} s", began.elapsed().as_secs_f64());
    println!("cosine of a query to any row {:.3}, to its tenth neighbour {tenth:.3}", mean / f64::from(rows));
    Ok(())
}

fn binary_row(id: i32, vector: &[f32]) -> Vec<u8> {
    let vector = binary(vector);
    let mut row = Vec::with_capacity(vector.len() + 14);
    row.extend(2i16.to_be_bytes());
    row.extend(4i32.to_be_bytes());
    row.extend(id.to_be_bytes());
    row.extend((vector.len() as i32).to_be_bytes());
    row.extend(vector);
    row
}

/// By itself in one process, whose processor time is that of the index whatever else the machine does.
fn index(config: &Config, name: &str, definition: &str, memory: &str) -> anyhow::Result<()> {
    let mut client = measure::connect(config)?;
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
    client.batch_execute(&format!(
        "SET client_min_messages = warning; SET max_parallel_maintenance_workers = 0; SET maintenance_work_mem = '{memory}'"
    ))?;
    let (began, cpu) = (Instant::now(), processor_seconds(pid)?);
    let is_done = AtomicBool::new(false);
    let peak = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0.0f64;
            while !is_done.load(Ordering::Relaxed) {
                peak = peak.max(anonymous_mib(pid).unwrap_or_default());
                std::thread::sleep(Duration::from_millis(200));
            }
            peak
        });
        let result = client.batch_execute(&format!("CREATE INDEX photos_{name} ON photos USING {definition}"));
        is_done.store(true, Ordering::Relaxed);
        let peak = watch.join().expect("no panic");
        result.map(|()| peak)
    })?;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), processor_seconds(pid)? - cpu);
    client.execute("INSERT INTO builds VALUES ($1, $2, $3, $4)", &[&name, &seconds, &cpu, &peak])?;
    heading(format!("Index of {name}"));
    println!("{seconds:.0} s, {cpu:.0} s of a processor, {peak:.0} MiB of memory");
    Ok(())
}

/// What a process has used of processors.
fn processor_seconds(pid: i32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').context("/proc has no process name")?.1;
    // The 14th and 15th field; the name is the second. In hundredths of a second on every Linux.
    let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

fn anonymous_mib(pid: i32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

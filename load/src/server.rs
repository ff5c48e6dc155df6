//! What the inference server says of itself, and what /proc says of it.

use crate::Arguments;
use crate::inputs::Inputs;
use crate::numbers::ms;
use anyhow::Context;
use measure::table;
use postgres::{Client, Config};
use procfs::Current;
use procfs::process::Process;

/// The cluster, its server, and a connection that looks on.
pub struct Server {
    config: Config,
    control: Client,
    model: String,
    process: Process,
}

/// Since the latest reset.
pub struct Statistics {
    /// How long ago that was.
    pub seconds: f64,
    /// Requests and items that failed.
    pub errors: i64,
    /// Memory for texts that were asked for before.
    pub cache_bytes: i64,
    /// The 99th percentile of how long a run of images takes, in milliseconds.
    pub step_p99: f64,
    mean_batch: f64,
    others: String,
    encoders: Vec<Encoder>,
    /// Name, count, p50, p99.
    latencies: Vec<(String, i64, f64, f64)>,
}

struct Encoder {
    name: String,
    items: i64,
    runs: i64,
    ms: f64,
}

impl Server {
    /// Connects, creates the extensions where they are missing, and has the server load the model.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn connect_first(arguments: &Arguments, inputs: &Inputs) -> anyhow::Result<Self> {
        let config = arguments.cluster.prepare(&arguments.cluster.model)?;
        let mut control = measure::connect(&config)?;
        control
            .execute("SELECT clip_embed_text($1), clip_embed_image($2)", &[&inputs.text(), &inputs.image()])
            .context("the first embeddings")?;
        let pid: i32 = control.query_one("SELECT pid FROM clip_stat_server", &[])?.get(0);
        let process = Process::new(pid).context("looking at the server's process")?;
        Ok(Self { config, control, model: arguments.cluster.model.clone(), process })
    }

    /// How to connect.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Says what is loaded, and how busy the machine is.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn describe(&mut self) -> anyhow::Result<()> {
        let row = self.control.query_one(
            "SELECT concat_ws(', ', name, precision || ' on ' || execution_provider,
                    'steps of ' || current_setting('clip_search.bulk_step_ms'),
                    'batches of at most ' || current_setting('clip_search.max_batch'),
                    'PostgreSQL ' || current_setting('server_version'))
               FROM clip_models() WHERE name = $1",
            &[&self.model],
        )?;
        println!("{}", row.get::<_, &str>(0));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if let Ok(load) = procfs::LoadAverage::current() {
            println!("{cores} cores; load average of the last minute: {}", load.one);
        }
        Ok(())
    }

    /// Has the server count anew.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn reset(&mut self) -> anyhow::Result<()> {
        self.control.execute("SELECT clip_stat_reset()", &[])?;
        Ok(())
    }

    /// What it has counted.
    ///
    /// # Errors
    /// What PostgreSQL says; and where it is not the server that was there at the start.
    pub fn statistics(&mut self) -> anyhow::Result<Statistics> {
        let row = self.control.query_one(
            "SELECT mean_batch_size, errors, (SELECT inference_p99 FROM clip_stat_models WHERE model = $1 AND encoder = 'image'), extract(epoch FROM clock_timestamp() - stats_reset)::float8,
                    concat_ws(', ', cache_hits || ' texts were known', shared || ' items were asked for twice',
                              pg_size_pretty(cache_bytes) || ' of texts are kept', connections || ' connections',
                              connections_refused || ' refused'), pid, cache_bytes
               FROM clip_stat_server",
            &[&self.model],
        )?;
        anyhow::ensure!(row.get::<_, i32>(5) == self.process.pid(), "the server was started anew");
        let encoders = self.control.query(
            "SELECT encoder, items, batches, inference_time FROM clip_stat_models WHERE model = $1 AND batches > 0 ORDER BY 1",
            &[&self.model],
        )?;
        let latencies = self.control.query(
            "SELECT l.* FROM clip_stat_get_server(),
                    LATERAL (VALUES ('prepare', prepare_count, prepare_p50, prepare_p99),
                                    ('queue', queue_count, queue_p50, queue_p99),
                                    ('inference', inference_count, inference_p50, inference_p99)) AS l",
            &[],
        )?;
        // None of what did not happen.
        let time = |row: &postgres::Row, column| row.get::<_, Option<f64>>(column).unwrap_or(f64::NAN);
        Ok(Statistics {
            seconds: row.get(3),
            errors: row.get(1),
            cache_bytes: row.get(6),
            step_p99: row.get::<_, Option<f64>>(2).unwrap_or_default(),
            mean_batch: row.get(0),
            others: row.get(4),
            encoders: encoders
                .iter()
                .map(|row| Encoder { name: row.get(0), items: row.get(1), runs: row.get(2), ms: row.get(3) })
                .collect(),
            latencies: latencies.iter().map(|row| (row.get(0), row.get(1), time(row, 2), time(row, 3))).collect(),
        })
    }

    /// Its resident memory in MiB.
    ///
    /// # Errors
    /// Where /proc does not tell: it has ended.
    pub fn resident(&self) -> anyhow::Result<f64> {
        let pages = self.process.stat().context("looking at the server's memory")?.rss;
        Ok((pages * procfs::page_size()) as f64 / f64::from(1 << 20))
    }

    /// The processor time that it has taken, in seconds.
    ///
    /// # Errors
    /// Where /proc does not tell: it has ended.
    pub fn processor_seconds(&self) -> anyhow::Result<f64> {
        let stat = self.process.stat().context("looking at the server's processor time")?;
        Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
    }
}

impl Statistics {
    /// Prints how the server batched, and how long it took.
    pub fn print(&self) {
        let encoder = |encoder: &Encoder| {
            let each = |sum: f64| sum / encoder.runs.max(1) as f64;
            [
                format!("{} encoder", encoder.name),
                encoder.runs.to_string(),
                format!("{:.2}", each(encoder.items as f64)),
                ms(each(encoder.ms)),
                format!("{:.0} %", encoder.ms / self.seconds / 10.0),
            ]
        };
        println!(
            "{}",
            table(["", "runs", "items in one", "ms of one", "of the time"], self.encoders.iter().map(encoder))
        );
        let latency =
            |(phase, count, p50, p99): &(String, i64, f64, f64)| [phase.clone(), count.to_string(), ms(*p50), ms(*p99)];
        println!("\n{}", table(["in the server", "count", "p50 ms", "p99 ms"], self.latencies.iter().map(latency)));
        println!("\nmean batch {:.2}; {}; {} errors", self.mean_batch, self.others, self.errors);
    }
}

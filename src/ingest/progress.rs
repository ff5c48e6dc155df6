//! How far it is: `clip_stat_progress_embed` for others, NOTICEs for whoever waits.

use super::elevated::Elevated;
use super::target::Target;
use crate::spi::{Argument, Connection};
use std::time::{Duration, Instant};

/// Between two notices.
const BETWEEN: Duration = Duration::from_secs(5);

/// Counts of one run.
pub struct Progress {
    table: String,
    name: String,
    began: Instant,
    noticed: Instant,
    total: i64,
    /// Rows that have an embedding now.
    pub done: i64,
    /// Rows that could not be embedded.
    pub failed: i64,
    /// Rows that are known to fail.
    pub skipped: i64,
}

impl Progress {
    /// Shows that the rows are being counted.
    pub fn begin(connection: &Connection, target: &Target, schema: &str) -> Self {
        let now = Instant::now();
        let table = format!("{schema}.clip_embed_progress_data");
        let insert = format!(
            "INSERT INTO {table} (pid, backend_start, query_start, relid, embedding_column, phase) \
             SELECT a.pid, a.backend_start, a.query_start, $1, CAST($2 AS pg_catalog.name), 'counting rows' \
             FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a"
        );
        let progress = Self {
            table,
            name: target.table.name.clone(),
            began: now,
            noticed: now,
            total: 0,
            done: 0,
            failed: 0,
            skipped: 0,
        };
        progress.end(connection);
        let _elevated = Elevated::begin();
        connection.execute(&insert, &[Argument::oid(target.table.id), Argument::text(&target.embedding.name)]);
        progress
    }

    /// So many rows there are.
    pub fn counted(&mut self, rows: i64) {
        self.total = rows;
    }

    /// Shows the counts, and says them where it is time.
    pub fn show(&mut self, connection: &Connection) {
        let update = format!(
            "UPDATE {} AS p SET phase = 'embedding rows', rows_total = $1, rows_done = $2, rows_failed = $3, \
             rows_skipped = $4, updated_at = pg_catalog.clock_timestamp() \
             WHERE p.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()",
            self.table
        );
        let counts = [self.total, self.done, self.failed, self.skipped].map(Argument::long);
        {
            let _elevated = Elevated::begin();
            connection.execute(&update, &counts);
        }
        if self.noticed.elapsed() >= BETWEEN {
            self.noticed = Instant::now();
            pgrx::notice!("{}: {}", self.name, self.so_far());
        }
    }

    fn so_far(&self) -> String {
        let done = self.done + self.failed + self.skipped;
        if done == 0 {
            return format!("0 of {} rows", self.total);
        }
        let rate = done as f64 / self.began.elapsed().as_secs_f64();
        // Others may work on the same table, and rows may have come since.
        let total = self.total.max(done);
        let left = Duration::from_secs(((total - done) as f64 / rate).min(1e9) as u64);
        let seconds = left.as_secs();
        let left = match seconds {
            0..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", seconds / 60),
            _ => format!("{} h", seconds / 3600),
        };
        format!("{done} of {total} rows, {rate:.1} rows/s, about {left} left")
    }

    /// Says what came of it; nothing is shown any more.
    pub fn finish(&self, connection: &Connection) {
        self.end(connection);
        let mut result = format!("{}: rows embedded: {}", self.name, self.done);
        if self.failed > 0 {
            result = format!("{result}, not possible: {} (see clip_embed_errors)", self.failed);
        }
        if self.skipped > 0 {
            result = format!("{result}, left out: {} (failed before; retry_errors => true tries again)", self.skipped);
        }
        pgrx::notice!("{result}");
    }

    fn end(&self, connection: &Connection) {
        let delete = format!(
            "DELETE FROM {} AS p WHERE p.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
             OR NOT EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity(NULL) AS a \
             WHERE a.pid OPERATOR(pg_catalog.=) p.pid)",
            self.table
        );
        let _elevated = Elevated::begin();
        connection.execute(&delete, &[]);
    }
}

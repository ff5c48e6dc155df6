//! How far it is: `clip_stat_progress_embed` for others, NOTICEs for whoever waits.

use super::target::Target;
use crate::internal_tables::{self, InternalTable};
use crate::spi::{Argument, Connection};
use pgrx::pg_sys::{self, Datum};
use std::time::{Duration, Instant};

const TABLE: &str = InternalTable::Progress.name();

fn execute(connection: &Connection, query: &str, arguments: &[Argument]) {
    internal_tables::execute(connection, &[InternalTable::Progress], query, arguments);
}

/// Between two notices.
const BETWEEN: Duration = Duration::from_secs(5);

/// Counts of one run.
pub struct Progress {
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
    pub fn begin(connection: &Connection, target: &Target) -> Self {
        let now = Instant::now();
        let insert = format!(
            "INSERT INTO {TABLE} (pid, backend_start, query_start, relid, embedding_column, phase, rows_total, rows_done, \
             rows_failed, rows_skipped, started_at, updated_at) VALUES (pg_catalog.pg_backend_pid(), $3, $4, $1, \
             CAST($2 AS pg_catalog.name), 'counting rows', NULL, 0, 0, 0, pg_catalog.clock_timestamp(), \
             pg_catalog.clock_timestamp())"
        );
        let progress = Self {
            name: target.table.name.clone(),
            began: now,
            noticed: now,
            total: 0,
            done: 0,
            failed: 0,
            skipped: 0,
        };
        progress.end(connection);
        let time = |time: i64| {
            // SAFETY: a timestamptz is such a number.
            unsafe { Argument::of_type(pg_sys::TIMESTAMPTZOID, Datum::from(time)) }
        };
        // As pg_stat_activity shows them.
        // SAFETY: numbers of this process's.
        let (backend, statement) = unsafe { (pg_sys::MyStartTimestamp, pg_sys::GetCurrentStatementStartTimestamp()) };
        let (table, column) = (Argument::oid(target.table.id), Argument::text(&target.embedding.name));
        execute(connection, &insert, &[table, column, time(backend), time(statement)]);
        progress
    }

    /// So many rows there are.
    pub fn counted(&mut self, rows: i64) {
        self.total = rows;
    }

    /// Shows the counts, and says them where it is time.
    pub fn show(&mut self, connection: &Connection) {
        let update = format!(
            "UPDATE {TABLE} AS p SET phase = 'embedding rows', rows_total = $1, rows_done = $2, rows_failed = $3, \
             rows_skipped = $4, updated_at = pg_catalog.clock_timestamp() \
             WHERE p.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()"
        );
        let counts = [self.total, self.done, self.failed, self.skipped].map(Argument::long);
        execute(connection, &update, &counts);
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
            "DELETE FROM {TABLE} AS p WHERE p.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
             OR NOT EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity(NULL) AS a \
             WHERE a.pid OPERATOR(pg_catalog.=) p.pid)"
        );
        execute(connection, &delete, &[]);
    }
}

//! `clip_calibrate`, `clip_threshold`: thresholds that are kept with a table.
//!
//! ```text
//! argument  0    1           2                    3                 4        5
//!           tbl  sample      false_positive_rate  embedding_column  queries  model     clip_calibrate
//!           tbl  query_kind  embedding_column     model                                clip_threshold
//! ```

use super::arguments::{Arguments, required};
use super::kept_threshold::{self, QueryKind, SIZE};
use super::sql_function;
use super::threshold::{self, Sample};
use crate::errors::{ArgumentError, Result};
use crate::internal_tables::{self, InternalTable};
use crate::result_rows::{Rows, real};
use crate::search::Table;
use crate::spi::{self, Argument, Connection};
use crate::{embedding, text};
use pgrx::pg_sys::Datum;

sql_function!(clip_calibrate, pg_finfo_clip_calibrate, calibrate);
sql_function!(clip_threshold, pg_finfo_clip_threshold, kept);

/// Lowest and highest rate where none is given: of rarer things the distribution tells nothing.
const RATES: (f64, f64) = (1e-7, 1e-3);
/// Images of the sample that are taken for queries.
const IMAGES: usize = 64;

/// Measures the thresholds of searches by text and by image, and keeps them.
fn calibrate(call: Arguments) -> Result<Datum> {
    spi::require_writable(c"clip_calibrate");
    let sample = threshold::sample_size(call.bigint(1))?;
    let rate = call.double(2).map(threshold::rate).transpose()?;
    let table = Table::known(required(call.oid(0), "tbl")?)?;
    let (column, _) = table.embedding_column(call.name(3).as_deref())?;
    // What is kept is for all who search the table: nobody else is to set it.
    table.require_owner();
    let (model, texts) = (call.model(5), threshold::texts(call, 4)?);
    let by_text = || embedding::of_texts(&model, texts.into_iter());
    let sample = Sample::take(&table, column, sample, by_text)?;
    let rate = match rate {
        Some(rate) => rate,
        // One row by chance in a search of the whole table.
        None => (1.0 / sample.rows.max(1) as f64).clamp(RATES.0, RATES.1),
    };
    let images: Vec<Vec<f32>> = sample.images.iter().take(IMAGES).cloned().collect();
    let measured =
        [(QueryKind::Text, sample.measure(&sample.queries, rate)?), (QueryKind::Image, sample.measure(&images, rate)?)];
    let connection = Connection::open();
    forget_dropped(&connection);
    for (kind, found) in &measured {
        let arguments = [
            Argument::oid(table.id),
            Argument::text(&column.name),
            Argument::text(kind.name()),
            Argument::text(&model),
            Argument::double(found.threshold),
            Argument::double(rate),
            Argument::int(found.sampled as i32),
        ];
        internal_tables::execute(&connection, &[InternalTable::Thresholds], &keep(), &arguments);
    }
    drop(connection);
    let mut rows = Rows::begin(call.0);
    for (kind, found) in measured {
        rows.push(|| {
            [
                Some(text::to_datum(kind.name())),
                Some(real(found.threshold as f32)),
                Some(Datum::from(rate.to_bits())),
                Some(Datum::from(found.sampled as i32)),
                Some(Datum::from(found.queries_used as i32)),
                Some(real(found.center as f32)),
                Some(real(found.deviation as f32)),
                Some(real(found.observed_rate as f32)),
            ]
        });
    }
    Ok(Datum::null())
}

fn keep() -> String {
    format!(
        "INSERT INTO {} AS k (relid, embedding_column, query_kind, model, threshold, false_positive_rate, sampled, \
         table_bytes, measured_at) \
         VALUES ($1, CAST($2 AS pg_catalog.name), $3, $4, CAST($5 AS pg_catalog.float4), $6, $7, {SIZE}, \
         pg_catalog.clock_timestamp()) \
         ON CONFLICT (relid, embedding_column, query_kind, model) DO UPDATE SET threshold = excluded.threshold, \
         false_positive_rate = excluded.false_positive_rate, sampled = excluded.sampled, \
         table_bytes = excluded.table_bytes, measured_at = excluded.measured_at",
        InternalTable::Thresholds.name()
    )
}

/// The OID of a dropped table may be that of another one some day.
fn forget_dropped(connection: &Connection) {
    let forget = format!(
        "DELETE FROM {} AS k WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c \
         WHERE c.oid OPERATOR(pg_catalog.=) CAST(k.relid AS pg_catalog.oid))",
        InternalTable::Thresholds.name()
    );
    internal_tables::execute(connection, &[InternalTable::Thresholds], &forget, &[]);
}

/// The threshold that is kept, for `min_similarity`.
fn kept(call: Arguments) -> Result<Datum> {
    let kind = required(call.text(1), "query_kind")?;
    let kind = QueryKind::of(&kind).ok_or(ArgumentError::QueryKind { value: kind })?;
    let table = Table::known(required(call.oid(0), "tbl")?)?;
    let (column, _) = table.embedding_column(call.name(2).as_deref())?;
    let threshold = kept_threshold::of(&table, column, kind, &call.model(3))?;
    Ok(Datum::from(threshold.to_bits()))
}

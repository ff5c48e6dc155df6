//! `clip_enqueue_trigger`: notes what is to be embedded, for a background worker. The upload does not wait.

use super::super::sql_function;
use super::Options;
use super::row::{Row, same};
use crate::c_function;
use crate::errors::{Result, TableError};
use crate::ingest::as_json;
use crate::internal_tables::{self, InternalTable};
use crate::spi::{Argument, Connection, LocalSettings};
use crate::sync;
use pgrx::pg_sys::{self, Datum, Oid};

sql_function!(clip_enqueue_trigger, pg_finfo_clip_enqueue_trigger, |call| { run(&Row::after(call.0)?) });

/// Whether it is this function.
pub fn is_this(function: Oid) -> bool {
    c_function::address(function) == Some(clip_enqueue_trigger as *const () as usize)
}

fn run(row: &Row) -> Result<Datum> {
    let options = match Options::parse(row.arguments()) {
        Ok(options) if !options.null_on_error => options,
        _ => return Err(TableError::QueueTriggerArguments.into()),
    };
    let (source, _) = row.source(&options.source, true)?;
    let target = row.target(&options.embedding, true)?;
    if row.is_temporary() {
        return Err(TableError::Temporary { table: row.name() }.into());
    }
    let (before, now) = (row.old_value(source), row.new_value(source));
    let changed = match (before, now) {
        (None, None) => false,
        (Some(before), Some(now)) => !same(before, now),
        _ => true,
    };
    let is_missing = row.new_value(target.number).is_none() && now.is_some();
    let is_asked_for = is_missing && (!row.is_update() || row.is_assigned(source));
    let key = row.key();
    // What waits for a row of the old key finds none.
    let has_moved = row.is_update() && now.is_some() && key.iter().any(|number| row.has_changed(*number));
    if changed || is_asked_for || has_moved {
        enqueue(row, &key, &options)?;
    }
    Ok(Datum::null())
}

/// Types whose values are written in one way, whatever the session's settings.
const PLAIN: [Oid; 7] = [
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::NUMERICOID,
    pg_sys::TEXTOID,
    pg_sys::VARCHAROID,
    pg_sys::UUIDOID,
];

fn enqueue(row: &Row, numbers: &[i32], options: &Options) -> Result<()> {
    if numbers.is_empty() {
        return Err(TableError::NoPrimaryKey { table: row.name() }.into());
    }
    let (mut pairs, mut values, mut is_plain) = (Vec::new(), Vec::new(), true);
    for (place, number) in (1..).zip(numbers.iter().copied()) {
        let (name, type_id) = row.column_of(number);
        is_plain &= PLAIN.contains(&type_id);
        pairs.push(format!("{}, {}", crate::spi::literal(&name), as_json(type_id, &format!("${place}"))));
        // SAFETY: a column of the key, which is not NULL, of this type.
        values.push(unsafe { Argument::of_type(type_id, row.new_value(number).expect("not NULL")) });
    }
    let object = format!("pg_catalog.jsonb_build_object({})", pairs.join(", "));
    let connection = Connection::open();
    // Where it may run functions of the key's types, the object is made before, as whoever writes.
    let (key, mut arguments) = if is_plain {
        (object, values)
    } else {
        let _settings = LocalSettings::with_keys_as_text();
        let key = connection.execute_kept(format!("SELECT {object}"), &values)[0].datum(1).expect("an object");
        // SAFETY: a jsonb, which lives as long as the connection.
        ("$1".to_owned(), vec![unsafe { Argument::jsonb(key) }])
    };
    let mut place = |argument| {
        arguments.push(argument);
        arguments.len()
    };
    let insert = format!(
        "INSERT INTO {} (id, relid, key, source_column, embedding_column, model, enqueued_at, due_at, attempts, deferrals, \
         last_error, owner) VALUES (pg_catalog.gen_random_uuid(), ${}, {key}, CAST(${} AS pg_catalog.name), \
         CAST(${} AS pg_catalog.name), ${}, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp(), 0, 0, NULL, ${})",
        InternalTable::Queue.name(),
        place(Argument::oid(row.table())),
        place(Argument::text(&options.source)),
        place(Argument::text(&options.embedding)),
        place(Argument::text(&options.model)),
        place(Argument::oid(row.owner())),
    );
    internal_tables::execute_kept(&connection, InternalTable::Queue, insert, &arguments);
    sync::work_at_commit();
    Ok(())
}

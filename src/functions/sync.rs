//! `clip_sync`, `clip_unsync`, `clip_sync_status`: triggers that keep embeddings in step.

use super::arguments::{Arguments, required};
use super::embed_table::schema;
use super::rows::Rows;
use super::sql_function;
use crate::errors::{Result, TableError};
use crate::ingest::{Elevated, Names, Target, check_not_generated};
use crate::search::Table;
use crate::spi::{self, Argument, Connection, Row, literal};
use crate::{settings, sync, text};
use pgrx::pg_sys::{self, Datum};
use std::ffi::CStr;

sql_function!(clip_sync, pg_finfo_clip_sync, sync);
sql_function!(clip_unsync, pg_finfo_clip_unsync, unsync);
sql_function!(clip_sync_status, pg_finfo_clip_sync_status, status);

/// Longest name in bytes.
const NAME: usize = pg_sys::NAMEDATALEN as usize - 1;

fn sync(call: Arguments) -> Result<Datum> {
    spi::require_writable(c"clip_sync");
    let table = Table::read(required(call.oid(0), "tbl")?)?;
    let source = required(call.name(1), "source_column")?;
    let embedding = required(call.name(2), "embedding_column")?;
    let mode = required(call.text(3), "mode")?;
    let model = call.text(4).unwrap_or_else(settings::model);
    let on_error = required(call.text(5), "on_error")?;
    let always = required(call.boolean(6), "always")?;
    let is_queued = chosen("mode", mode, "immediate", "queued", "immediate or queued")?;
    let gives_null = chosen("on_error", on_error, "error", "null", "error or null")?;
    if is_queued && gives_null {
        return Err(TableError::NullQueued.into());
    }
    check_may_create(&table);
    let schema = schema(call);
    let (kind, image, provenance) = (None, None, None);
    let names =
        Names { source: source.clone(), embedding: embedding.clone(), kind, image, provenance, model: model.clone() };
    let connection = Connection::open();
    if is_queued {
        check_queued(&connection, &names, &schema, &table)
    } else {
        check_immediate(&names, &schema, &table)
    }?;
    drop_triggers(&connection, &schema, &table, &embedding, Some(&source));
    check_partitions(&connection, &table, &embedding)?;
    let name = trigger_name(&embedding);
    let (time, function) = if is_queued { ("AFTER", "clip_enqueue_trigger") } else { ("BEFORE", "clip_embed_trigger") };
    let mut arguments = vec![literal(&source), literal(&embedding), literal(&model)];
    if gives_null {
        arguments.push("'on_error=null'".to_owned());
    }
    // Not UPDATE OF: another trigger may change the source, too. Whether it has changed is seen at once.
    let create = format!(
        "CREATE TRIGGER {name} {time} INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION {schema}.{function}({})",
        table.name,
        arguments.join(", ")
    );
    connection.execute(&create, &[]);
    if always {
        connection.execute(&format!("ALTER TABLE {} ENABLE ALWAYS TRIGGER {name}", table.name), &[]);
    }
    adopt(&connection, &schema, &table, &names);
    drop(connection);
    Ok(text::to_datum(&name))
}

/// Raises what CREATE TRIGGER would: before the server is asked, and with nothing locked.
fn check_may_create(table: &Table) {
    // SAFETY: a table that exists, and its name, NUL-terminated and palloc'd.
    unsafe {
        // Of another width from 16 on
        let right = pg_sys::ACL_TRIGGER as pg_sys::AclMode;
        let result = pg_sys::pg_class_aclcheck(table.id, pg_sys::GetUserId(), right);
        if result != pg_sys::AclResult::ACLCHECK_OK {
            pg_sys::aclcheck_error(result, pg_sys::ObjectType::OBJECT_TABLE, pg_sys::get_rel_name(table.id));
        }
    }
}

/// What the trigger would refuse at the first upload is refused now.
fn check_immediate(names: &Names, schema: &str, table: &Table) -> Result<()> {
    let target = Target::check_columns(table.id, names, schema)?;
    check_not_generated(table, &target.source)?;
    match &target.embedding.embeddings {
        Some(embeddings) if embeddings.type_name != "vector" => {
            Err(TableError::HalfVector { column: target.embedding.name }.into())
        }
        _ => Ok(()),
    }
}

fn check_queued(connection: &Connection, names: &Names, schema: &str, table: &Table) -> Result<()> {
    const DEFERRABLE: &str = "SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid OPERATOR(pg_catalog.=) $1 \
        AND i.indisprimary AND NOT i.indimmediate";
    let name = || table.name.clone();
    if Target::check(table.id, names, schema)?.is_temporary {
        return Err(TableError::Temporary { table: name() }.into());
    }
    if connection.execute(DEFERRABLE, &[Argument::oid(table.id)]).0 > 0 {
        return Err(TableError::DeferrableKey { table: name() }.into());
    }
    Ok(())
}

/// What waits in the queue for a column waits for what is asked for now, and so does what waits for one that was renamed.
fn adopt(connection: &Connection, schema: &str, table: &Table, names: &Names) {
    let adopt = format!(
        "UPDATE {schema}.clip_embed_queue AS q SET source_column = $3, embedding_column = $2, model = $4, \
         due_at = pg_catalog.clock_timestamp(), attempts = 0, deferrals = 0 WHERE {IS_OF_TABLE} AND ({IS_OF_COLUMN} \
         OR {} AND (q.source_column OPERATOR(pg_catalog.=) $3 OR {}))",
        is_gone("q.embedding_column"),
        is_gone("q.source_column")
    );
    let [source, embedding] = [&names.source, &names.embedding].map(|name| Argument::text(name));
    let arguments = [Argument::oid(table.id), embedding, source, Argument::text(&names.model)];
    let _elevated = Elevated::begin();
    if connection.execute(&adopt, &arguments).0 > 0 {
        sync::work_at_commit();
    }
}

/// Whether the table, `$1`, has no column of this name.
fn is_gone(column: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid OPERATOR(pg_catalog.=) $1 \
         AND a.attname OPERATOR(pg_catalog.=) {column} AND NOT a.attisdropped)"
    )
}

/// Entries of a table, `$1`, and its partitions.
const IS_OF_TABLE: &str = "(q.relid OPERATOR(pg_catalog.=) $1 OR CAST(q.relid AS pg_catalog.oid) OPERATOR(pg_catalog.=) \
    ANY (SELECT CAST(i.relid AS pg_catalog.oid) FROM pg_catalog.pg_partition_tree($1) AS i))";
/// Those for a column of embeddings, `$2`.
const IS_OF_COLUMN: &str = "q.embedding_column OPERATOR(pg_catalog.=) $2";

/// Whether it is the second of two values.
fn chosen(name: &'static str, value: String, first: &str, second: &str, values: &'static str) -> Result<bool> {
    match value {
        value if value == first => Ok(false),
        value if value == second => Ok(true),
        value => Err(TableError::SyncOption { name, value, values }.into()),
    }
}

fn unsync(call: Arguments) -> Result<Datum> {
    spi::require_writable(c"clip_unsync");
    let table = Table::read(required(call.oid(0), "tbl")?)?;
    let embedding = required(call.name(1), "embedding_column")?;
    let connection = Connection::open();
    let schema = schema(call);
    let dropped = drop_triggers(&connection, &schema, &table, &embedding, None);
    if dropped == 0 {
        return Err(TableError::NotInStep { table: table.name, column: embedding }.into());
    }
    forget(&connection, &schema, &table, &embedding);
    Ok(Datum::from(dropped as i32))
}

/// Drops the triggers for a column; where a source is named, also those of it for a column that is gone, or was renamed: no
/// upload gets past them. How many there were.
fn drop_triggers(
    connection: &Connection,
    schema: &str,
    table: &Table,
    embedding: &str,
    source: Option<&String>,
) -> usize {
    let query = format!(
        "SELECT pg_catalog.quote_ident(t.trigger) FROM {schema}.clip_sync_triggers AS t \
         WHERE t.\"table\" OPERATOR(pg_catalog.=) $1 AND (t.embedding_column OPERATOR(pg_catalog.=) $2 \
         OR {} AND (t.source_column OPERATOR(pg_catalog.=) $3 OR $3 IS NOT NULL AND {}))",
        is_gone("CAST(t.embedding_column AS pg_catalog.name)"),
        is_gone("CAST(t.source_column AS pg_catalog.name)")
    );
    let source = source.map_or_else(|| Argument::null(pg_sys::TEXTOID), |source| Argument::text(source));
    let arguments = [Argument::oid(table.id), Argument::text(embedding), source];
    let triggers: Vec<String> = {
        // Also where one may not read the table: dropping one says who may.
        let _elevated = Elevated::begin();
        connection.execute(&query, &arguments).1.iter().filter_map(|row: &Row| row.text(1)).collect()
    };
    if !triggers.is_empty() {
        lock(connection, table);
    }
    for trigger in &triggers {
        // Postgres raises where the table is not the caller's.
        connection.execute(&format!("DROP TRIGGER {trigger} ON {}", table.name), &[]);
    }
    triggers.len()
}

/// Locks a table of the caller's as DROP TRIGGER does, before its partitions, as whoever uploads: it would lock them first.
fn lock(connection: &Connection, table: &Table) {
    const IS_OWNER: &str = "SELECT FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) $1 \
        AND pg_catalog.pg_has_role(c.relowner, 'USAGE')";
    const PARTITIONS: &str = "SELECT CAST(i.relid AS pg_catalog.oid) FROM pg_catalog.pg_partition_tree($1) AS i \
        WHERE i.level OPERATOR(pg_catalog.>) 0";
    if connection.execute(IS_OWNER, &[Argument::oid(table.id)]).0 == 0 {
        return;
    }
    // SAFETY: a table, which the caller may drop; what is locked is unlocked by the transaction's end.
    let lock = |id| unsafe { pg_sys::LockRelationOid(id, pg_sys::AccessExclusiveLock as i32) };
    lock(table.id);
    for row in connection.execute(PARTITIONS, &[Argument::oid(table.id)]).1 {
        row.number::<u32>(1).map(pg_sys::Oid::from).into_iter().for_each(lock);
    }
}

/// A partition that is kept in step by itself is in the way of a trigger of the whole table.
fn check_partitions(connection: &Connection, table: &Table, embedding: &str) -> Result<()> {
    const OWN: &str = "SELECT CAST(CAST(t.tgrelid AS pg_catalog.regclass) AS pg_catalog.text) \
        FROM pg_catalog.pg_partition_tree($1) AS i JOIN pg_catalog.pg_trigger AS t \
        ON t.tgrelid OPERATOR(pg_catalog.=) CAST(i.relid AS pg_catalog.oid) \
        WHERE i.level OPERATOR(pg_catalog.>) 0 AND t.tgparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid \
        AND pg_catalog.quote_ident(t.tgname) OPERATOR(pg_catalog.=) $2 LIMIT 1";
    let name = trigger_name(embedding);
    let rows = connection.execute(OWN, &[Argument::oid(table.id), Argument::text(&name)]).1;
    match rows.first().and_then(|row| row.text(1)) {
        Some(partition) => {
            Err(TableError::PartitionInStep { partition, trigger: name, column: embedding.to_owned() }.into())
        }
        None => Ok(()),
    }
}

/// Removes what waits for a column, and what is known of its failures.
fn forget(connection: &Connection, schema: &str, table: &Table, embedding: &str) {
    let _elevated = Elevated::begin();
    for name in ["clip_embed_queue", "clip_embed_errors_data"] {
        let forget = format!("DELETE FROM {schema}.{name} AS q WHERE {IS_OF_TABLE} AND {IS_OF_COLUMN}");
        connection.execute(&forget, &[Argument::oid(table.id), Argument::text(embedding)]);
    }
}

/// `clip_sync_` and the column, quoted where it has to be; cut where that is too long.
fn trigger_name(embedding: &str) -> String {
    let name = text::to_c(&format!("clip_sync_{embedding}"));
    // SAFETY: a NUL-terminated string of so many bytes in the database's encoding; what comes back is palloc'd or a part
    // of it.
    unsafe {
        let bytes = name.as_bytes();
        let length = pg_sys::pg_mbcliplen(name.as_ptr(), bytes.len() as i32, NAME as i32) as usize;
        let clipped = std::ffi::CString::new(&bytes[..length]).expect("no NUL within");
        text::from_c(CStr::from_ptr(pg_sys::quote_identifier(clipped.as_ptr())))
    }
}

fn status(call: Arguments) -> Result<Datum> {
    let mut rows = Rows::begin(call.0);
    let query = format!("SELECT * FROM {}.clip_sync_triggers AS t ORDER BY 1, 2", schema(call));
    // SAFETY: the view has the columns that the function is declared with.
    unsafe { spi::select_into(&mut rows, &query, &[], 0, |_| true) };
    Ok(Datum::null())
}

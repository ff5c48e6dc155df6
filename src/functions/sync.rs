//! `clip_sync`, `clip_unsync`, `clip_sync_status`, `clip_start_worker`: triggers that keep embeddings in step.

use super::arguments::{Arguments, required};
use super::embed_table::schema;
use super::sql_function;
use super::sync_triggers::{self, SyncTrigger};
use super::trigger::{is_embed_trigger, is_enqueue_trigger};
use crate::errors::{Result, TableError};
use crate::ingest::{Names, Target, check_not_generated};
use crate::internal_tables::{self, InternalTable};
use crate::models::notice;
use crate::result_rows::Rows;
use crate::search::Table;
use crate::spi::{self, Argument, Connection, literal};
use crate::{settings, sync, text, vector};
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::CStr;

sql_function!(clip_sync, pg_finfo_clip_sync, sync);
sql_function!(clip_unsync, pg_finfo_clip_unsync, unsync);
sql_function!(clip_sync_status, pg_finfo_clip_sync_status, status);
sql_function!(clip_start_worker, pg_finfo_clip_start_worker, |_| start_worker());

/// Longest name in bytes.
const NAME: usize = pg_sys::NAMEDATALEN as usize - 1;
/// What the names of clip_sync's triggers begin with.
const PREFIX: &str = "clip_sync_";

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
    if is_queued { check_queued(&connection, &names, &table) } else { check_immediate(&names, &table) }?;
    drop_triggers(&connection, &table, &embedding, Some(&source))?;
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
    check_created(&connection, &table, &name, is_queued)?;
    if always {
        connection.execute(&format!("ALTER TABLE {} ENABLE ALWAYS TRIGGER {name}", table.name), &[]);
    }
    adopt(&connection, &table, &names);
    drop(connection);
    Ok(text::to_datum(&name))
}

/// Whether the trigger was created on this table and runs this library's function: for a moment, others may have had their
/// names. Where not, it is undone by the error.
fn check_created(connection: &Connection, table: &Table, name: &str, is_queued: bool) -> Result<()> {
    const FUNCTION: &str = "SELECT CAST(t.tgfoid AS pg_catalog.oid) FROM pg_catalog.pg_trigger AS t \
        WHERE t.tgrelid OPERATOR(pg_catalog.=) $1 AND pg_catalog.quote_ident(t.tgname) OPERATOR(pg_catalog.=) $2";
    let rows = connection.execute(FUNCTION, &[Argument::oid(table.id), Argument::text(name)]).1;
    let function = rows.first().and_then(|row| row.number::<u32>(1)).map(Oid::from);
    let is_ours = if is_queued { is_enqueue_trigger } else { is_embed_trigger };
    if function.is_some_and(is_ours) { Ok(()) } else { Err(TableError::Replaced.into()) }
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
fn check_immediate(names: &Names, table: &Table) -> Result<()> {
    let target = Target::check_columns(table.id, names)?;
    check_not_generated(table, &target.source)?;
    match &target.embedding.embeddings {
        Some(_) if vector::kind_of(target.embedding.type_id) != Some(vector::Kind::Single) => {
            Err(TableError::HalfVector { column: target.embedding.name }.into())
        }
        _ => Ok(()),
    }
}

fn check_queued(connection: &Connection, names: &Names, table: &Table) -> Result<()> {
    const DEFERRABLE: &str = "SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid OPERATOR(pg_catalog.=) $1 \
        AND i.indisprimary AND NOT i.indimmediate";
    let name = || table.name.clone();
    if Target::check(table.id, names)?.is_temporary {
        return Err(TableError::Temporary { table: name() }.into());
    }
    if connection.execute(DEFERRABLE, &[Argument::oid(table.id)]).0 > 0 {
        return Err(TableError::DeferrableKey { table: name() }.into());
    }
    Ok(())
}

/// What waits in the queue for a column waits for what is asked for now, and so does what waits for one that was renamed.
fn adopt(connection: &Connection, table: &Table, names: &Names) {
    let adopt = format!(
        "UPDATE {} AS q SET source_column = $3, embedding_column = $2, model = $4, \
         due_at = pg_catalog.clock_timestamp(), attempts = 0, deferrals = 0 WHERE {IS_OF_TABLE} AND ({IS_OF_COLUMN} \
         OR {} AND (q.source_column OPERATOR(pg_catalog.=) $3 OR {}))",
        InternalTable::Queue.name(),
        is_gone("q.embedding_column"),
        is_gone("q.source_column")
    );
    let [source, embedding] = [&names.source, &names.embedding].map(|name| Argument::text(name));
    let arguments = [Argument::oid(table.id), embedding, source, Argument::text(&names.model)];
    if internal_tables::execute(connection, &[InternalTable::Queue], &adopt, &arguments).0 > 0 {
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
    let dropped = drop_triggers(&connection, &table, &embedding, None)?;
    if dropped == 0 {
        return Err(TableError::NotInStep { table: table.name, column: embedding }.into());
    }
    forget(&connection, &table, &embedding);
    Ok(Datum::from(dropped as i32))
}

/// Drops the triggers for a column; where a source is named, also those of it for a column that is gone, or was renamed: no
/// upload gets past them. How many there were.
///
/// # Errors
/// [`TableError::QualifiedTrigger`] where another takes the place of one that is not for each row and column.
fn drop_triggers(connection: &Connection, table: &Table, embedding: &str, source: Option<&String>) -> Result<usize> {
    let is_gone = |column: &str| table.columns.iter().all(|known| known.name != column);
    let is_meant = |trigger: &SyncTrigger| {
        let [from, to, ..] = &trigger.arguments[..] else { return false };
        to == embedding || is_gone(to) && source.is_some_and(|source| from == source || is_gone(from))
    };
    let mut triggers = sync_triggers::of(connection, table);
    triggers.retain(is_meant);
    if source.is_some()
        && let Some(trigger) = triggers.iter().find(|trigger| trigger.is_qualified)
    {
        return Err(TableError::QualifiedTrigger { trigger: trigger.name.clone(), table: table.name.clone() }.into());
    }
    if !triggers.is_empty() {
        lock(connection, table);
    }
    for SyncTrigger { name, .. } in &triggers {
        // Postgres raises where the table is not the caller's.
        connection.execute(&format!("DROP TRIGGER {name} ON {}", table.name), &[]);
        if !name.trim_start_matches('"').starts_with(PREFIX) {
            notice(&format!("trigger {name} of {}, which clip_sync had not made, is dropped", table.name), None);
        }
    }
    Ok(triggers.len())
}

/// Locks a table of the caller's as DROP TRIGGER does, before its partitions, as whoever uploads: it would lock them first.
fn lock(connection: &Connection, table: &Table) {
    const PARTITIONS: &str = "SELECT CAST(i.relid AS pg_catalog.oid) FROM pg_catalog.pg_partition_tree($1) AS i \
        WHERE i.level OPERATOR(pg_catalog.>) 0";
    if !table.is_owned(connection) {
        return;
    }
    // SAFETY: a table, which the caller may drop; what is locked is unlocked by the transaction's end.
    let lock = |id| unsafe { pg_sys::LockRelationOid(id, pg_sys::AccessExclusiveLock as i32) };
    lock(table.id);
    for row in connection.execute(PARTITIONS, &[Argument::oid(table.id)]).1 {
        row.number::<u32>(1).map(Oid::from).into_iter().for_each(lock);
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
fn forget(connection: &Connection, table: &Table, embedding: &str) {
    for internal in [InternalTable::Queue, InternalTable::Errors] {
        let forget = format!("DELETE FROM {} AS q WHERE {IS_OF_TABLE} AND {IS_OF_COLUMN}", internal.name());
        let arguments = [Argument::oid(table.id), Argument::text(embedding)];
        internal_tables::execute(connection, &[internal], &forget, &arguments);
    }
}

/// `clip_sync_` and the column, quoted where it has to be; cut where that is too long.
fn trigger_name(embedding: &str) -> String {
    let name = text::to_c(&format!("{PREFIX}{embedding}"));
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
    let view = "SELECT t.*, $1 FROM clip_search_internal.clip_sync_triggers AS t ORDER BY 1, 2";
    let allowed = internal_tables::view(c"clip_sync_triggers")?;
    let is_running = [Argument::boolean(sync::WorkerLock::is_held())];
    // SAFETY: the view has the columns that the function is declared with.
    unsafe { spi::select_into(&mut rows, &allowed, view, &is_running, |_| true, |_| true) };
    Ok(Datum::null())
}

fn start_worker() -> Result<Datum> {
    spi::require_writable(c"clip_start_worker");
    Ok(Datum::from(sync::start()))
}

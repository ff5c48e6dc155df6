//! The table whose rows are written: locked so that nobody waits for the other, owned by whom, and with whose triggers.

use crate::errors::{Obstacle, Result};
use crate::spi::{Argument, Connection};
use pgrx::pg_sys::{self, Oid};

/// Locks a table as its rows' writer does, before any entry of the queue is locked for long: `clip_unsync` and others
/// lock the table first, too, and a partition after its parents. False where somebody else has locked it.
pub fn lock(table: Oid) -> bool {
    const PARENTS: &str = "SELECT CAST(a.relid AS pg_catalog.oid) \
        FROM ROWS FROM (pg_catalog.pg_partition_ancestors($1)) WITH ORDINALITY AS a(relid, place) \
        WHERE a.place OPERATOR(pg_catalog.>) 1 ORDER BY a.place DESC";
    let connection = Connection::open();
    let parents = connection.execute(PARENTS, &[Argument::oid(table)]).1;
    let parents = parents.iter().filter_map(|row| row.number::<u32>(1)).map(Oid::from);
    let read = parents.map(|parent| (parent, pg_sys::AccessShareLock));
    // SAFETY: any number may be locked; whether there is such a table is seen afterwards. Without waiting.
    read.chain([(table, pg_sys::RowExclusiveLock)])
        .all(|(table, mode)| unsafe { pg_sys::ConditionalLockRelationOid(table, mode as i32) })
}

/// The table's owner; `None` where it is gone.
pub fn owner(connection: &Connection, table: Oid) -> Option<Oid> {
    const OWNER: &str =
        "SELECT CAST(c.relowner AS pg_catalog.oid) FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) $1";
    let rows = connection.execute(OWNER, &[Argument::oid(table)]).1;
    rows.first().and_then(|row| row.number::<u32>(1)).map(Oid::from)
}

/// Whoever may create triggers on a table could have its owner run what they like, since the worker updates rows with the
/// owner's rights and nobody has asked the owner. So functions of triggers have to be the owner's or a superuser's.
///
/// # Errors
/// [`Obstacle::StrangersTrigger`].
pub fn check_triggers(connection: &Connection, table: Oid) -> Result<()> {
    const STRANGERS: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), t.tgname, r.rolname \
        FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid \
        JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
        JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid \
        JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) p.proowner \
        WHERE t.tgrelid OPERATOR(pg_catalog.=) $1 AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') \
        AND (t.tgtype OPERATOR(pg_catalog.&) 16::pg_catalog.int2) OPERATOR(pg_catalog.<>) 0 AND NOT p.prosecdef \
        AND NOT r.rolsuper AND p.proowner OPERATOR(pg_catalog.<>) c.relowner LIMIT 1";
    let rows = connection.execute(STRANGERS, &[Argument::oid(table)]).1;
    let Some(row) = rows.first() else { return Ok(()) };
    let text = |column| row.text(column).unwrap_or_default();
    Err(Obstacle::StrangersTrigger { table: text(1), trigger: text(2), owner: text(3) }.into())
}

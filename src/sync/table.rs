//! The table whose rows are written: locked so that nobody waits for the other, and owned by whom.

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

//! The table whose rows are written: locked so that nobody waits for the other, and owned by whom.

use crate::spi::{Argument, Connection};
use pgrx::pg_sys::{self, Oid, SysCacheIdentifier};

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

/// The table's owner; `None` where it is gone. From the cache and not by SQL: Citus hides shards from background workers' queries of
/// pg_class, and what waits for a table that is gone is deleted.
pub fn owner(table: Oid) -> Option<Oid> {
    // SAFETY: any number may be looked up; an entry that is found is of this struct, until it is released.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(SysCacheIdentifier::RELOID as i32, table.into());
        if tuple.is_null() {
            return None;
        }
        let owner = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>()).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

//! The tables that this backend has searched, kept until something changes that they were read from.
//!
//! PostgreSQL tells each backend what has changed, by the numbers of tables and by hashes of the rows of catalogs; it does
//! so when a transaction or a command ends, when a lock is taken, and when a transaction is rolled back. A callback only
//! forgets tables. Their statements' plans, which may be running just then, are dropped when others take their place: a
//! table that is read anew has a number of its own, by which its plans are found.

use super::table::Table;
use crate::errors::Result;
use lru::LruCache;
use pgrx::pg_sys::SysCacheIdentifier::{AMOPOPID, CLAOID, NAMESPACEOID, OPEROID, PROCOID, TYPEOID};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::rc::Rc;

/// Tables that are kept: one of 20 columns takes some 10 kB.
const TABLES: NonZeroUsize = NonZeroUsize::new(64).unwrap();

struct Known {
    table: Rc<Table>,
    /// The hashes of its columns' types, as the callback has them.
    types: Vec<u32>,
}

thread_local! {
    static KNOWN: RefCell<LruCache<Oid, Known>> = RefCell::new(LruCache::new(TABLES));
    /// How many changes there were.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
    /// The number of the latest table.
    static LATEST: Cell<u64> = const { Cell::new(0) };
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
}

impl Table {
    /// As [`Table::read`], but from memory where nothing has changed.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn known(id: Oid) -> Result<Rc<Self>> {
        register();
        // SAFETY: in a transaction. What others have changed up to now is forgotten.
        unsafe { pg_sys::AcceptInvalidationMessages() };
        if let Some(table) = KNOWN.with_borrow_mut(|known| known.get(&id).map(|known| Rc::clone(&known.table))) {
            return Ok(table);
        }
        let changes = CHANGES.get();
        let mut table = Self::read(id)?;
        LATEST.set(LATEST.get() + 1);
        table.number = Some(LATEST.get());
        let types = table.types().map(hash_of_type).collect();
        let table = Rc::new(table);
        // What has changed meanwhile may not be in what was read.
        if changes == CHANGES.get() {
            let known = Known { table: Rc::clone(&table), types };
            KNOWN.with_borrow_mut(|all| all.put(id, known));
        }
        Ok(table)
    }
}

fn hash_of_type(id: Oid) -> u32 {
    let none = Datum::from(0);
    // SAFETY: a cache of one key.
    unsafe { pg_sys::GetSysCacheHashValue(TYPEOID as i32, id.into(), none, none, none) }
}

fn register() {
    if IS_REGISTERED.replace(true) {
        return;
    }
    let none = Datum::from(0);
    // SAFETY: functions that stay as long as the library, and caches that there are.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation), none);
        pg_sys::CacheRegisterSyscacheCallback(TYPEOID as i32, Some(on_type), none);
        // Names of schemas, operators and what they run, and what indexes order by: these seldom change.
        for cache in [NAMESPACEOID, PROCOID, OPEROID, AMOPOPID, CLAOID] {
            pg_sys::CacheRegisterSyscacheCallback(cache as i32, Some(on_other), none);
        }
    }
}

fn forget(is_changed: impl Fn(&Known) -> bool) {
    CHANGES.set(CHANGES.get() + 1);
    KNOWN.with_borrow_mut(|all| {
        let changed: Vec<Oid> = all.iter().filter(|(_, known)| is_changed(known)).map(|(id, _)| *id).collect();
        changed.iter().for_each(|id| drop(all.pop(id)));
    });
}

/// A table, a partition or an index has changed, or with no number any may have.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_relation(_argument: Datum, relation: Oid) {
    let is_of =
        |table: &Table| table.id == relation || table.indexes.contains(&relation) || table.tree.contains(&relation);
    forget(|known| relation == Oid::INVALID || is_of(&known.table));
}

/// A type has changed, or with 0 any may have.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_type(_argument: Datum, _cache: i32, hash: u32) {
    forget(|known| hash == 0 || known.types.contains(&hash));
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn on_other(_argument: Datum, _cache: i32, _hash: u32) {
    forget(|_| true);
}

//! Plans that are kept for the session's next statement of the same text.

use super::{Allowed, Argument, Connection, Plan, Row};
use lru::LruCache;
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;

/// More are not worth their memory, of some 50 kB each.
const PLANS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What a statement is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// PostgreSQL's own objects.
    Catalogs,
    /// A table of the extension's own.
    Internal(Oid),
    /// One reading of a user's table, which is kept until the table changes.
    Table(u64),
}

/// A statement, the types of its parameters, and what it was planned for.
type Key = (String, Vec<Oid>, Subject);

thread_local! {
    // Not dropped when the process ends: Postgres has ended by then.
    static KEPT: RefCell<ManuallyDrop<LruCache<Key, Plan>>> = RefCell::new(ManuallyDrop::new(LruCache::new(PLANS)));
}

/// Runs a statement whose plan is kept.
pub fn run_kept<T>(
    query: String,
    arguments: &[Argument],
    subject: Subject,
    prepare: impl FnOnce(&str, &[Oid]) -> Plan,
    run: impl FnOnce(&Plan) -> T,
) -> T {
    let types: Vec<Oid> = arguments.iter().map(Argument::type_id).collect();
    // Taken out while it runs: what it runs may come here again, or raise.
    let key = (query, types, subject);
    let plan = KEPT.with_borrow_mut(|kept| kept.pop(&key)).unwrap_or_else(|| prepare(&key.0, &key.1));
    let result = run(&plan);
    // The least recently used one is freed when it is no longer in the way of anybody.
    drop(KEPT.with_borrow_mut(|kept| kept.push(key, plan)));
    result
}

impl Connection {
    /// As [`Connection::execute`], with a plan that is kept; the rows that it gives.
    pub fn execute_kept(&self, query: String, arguments: &[Argument]) -> Vec<Row> {
        let prepare = |query: &str, types: &[Oid]| Plan::prepare(self, &Allowed::default(), query, types);
        run_kept(query, arguments, Subject::Catalogs, prepare, |plan| plan.run(self, arguments).1)
    }
}

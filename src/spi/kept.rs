//! Plans that are kept for the session's next statement of the same text.

use super::{Allowed, Argument, Connection, Plan, Row};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;

/// More are not worth their memory.
const PLANS: usize = 64;

/// A statement, the types of its parameters, and the table of the extension's own that it was planned for.
type Key = (String, Vec<Oid>, Option<Oid>);

thread_local! {
    // Not dropped when the process ends: Postgres has ended by then.
    static KEPT: RefCell<ManuallyDrop<HashMap<Key, Plan>>> = RefCell::new(ManuallyDrop::new(HashMap::new()));
}

/// Runs a statement whose plan is kept.
pub fn run_kept(
    query: String,
    arguments: &[Argument],
    table: Option<Oid>,
    prepare: impl FnOnce(&str, &[Oid]) -> Plan,
    run: impl FnOnce(&Plan) -> Vec<Row>,
) -> Vec<Row> {
    let types: Vec<Oid> = arguments.iter().map(Argument::type_id).collect();
    // Taken out while it runs: what it runs may come here again, or raise.
    let key = (query, types, table);
    let plan = KEPT.with_borrow_mut(|kept| kept.remove(&key)).unwrap_or_else(|| prepare(&key.0, &key.1));
    let rows = run(&plan);
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= PLANS {
            kept.clear();
        }
        kept.insert(key, plan);
    });
    rows
}

impl Connection {
    /// As [`Connection::execute`], with a plan that is kept; the rows that it gives.
    pub fn execute_kept(&self, query: String, arguments: &[Argument]) -> Vec<Row> {
        let prepare = |query: &str, types: &[Oid]| Plan::prepare(self, &Allowed::default(), query, types);
        run_kept(query, arguments, None, prepare, |plan| plan.run(self, arguments).1)
    }
}

//! Plans that are kept for the session's next statement of the same text.

use super::{Argument, Connection, Plan, Row};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;

/// More are not worth their memory.
const PLANS: usize = 64;

type Plans = HashMap<(String, Vec<Oid>), Plan>;

thread_local! {
    // Not dropped when the process ends: Postgres has ended by then.
    static KEPT: RefCell<ManuallyDrop<Plans>> = RefCell::new(ManuallyDrop::new(HashMap::new()));
}

impl Connection {
    /// As [`Connection::execute`], with a plan that is kept; the rows that it gives.
    pub fn execute_kept(&self, query: String, arguments: &[Argument]) -> Vec<Row> {
        let types: Vec<Oid> = arguments.iter().map(Argument::type_id).collect();
        // Taken out while it runs: what it runs may come here again, or raise.
        let place = (query, types);
        let plan = KEPT.with_borrow_mut(|kept| kept.remove(&place));
        let plan = plan.unwrap_or_else(|| Plan::prepare(self, &place.0, &place.1));
        let rows = plan.run(self, arguments).1;
        KEPT.with_borrow_mut(|kept| {
            if kept.len() >= PLANS {
                kept.clear();
            }
            kept.insert(place, plan);
        });
        rows
    }
}

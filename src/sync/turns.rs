//! Whose turn it is. Owners of tables take turns, and so do the tables of each: who has queued a million rows, or tables whose
//! rows cannot be done, is not in the way of another. Within a table, what has waited longest comes first.

use super::queue::{Queue, Task};
use pgrx::pg_sys::Oid;
use std::collections::HashMap;

/// Tables of one owner that are looked at in one turn: whoever has thousands that are not due pays for it alone.
const MOST_TABLES: usize = 64;

/// Whose turn it was last.
#[derive(Default)]
pub struct Turns {
    owner: u32,
    /// Of each owner, the table.
    tables: HashMap<u32, u32>,
    /// Tables of which something is in the way, with the column that waits, and an entry that was put off: until it is due,
    /// all others of the column wait as well.
    held: HashMap<u32, (String, String)>,
}

/// What came of going round.
enum Round<T> {
    Found(u32, T),
    Nothing,
    /// There may be more after this one.
    Enough(u32),
}

impl Turns {
    /// What a task asks for waits as long as an entry that was put off.
    pub fn hold(&mut self, task: &Task, entry: Option<String>) {
        if let Some(entry) = entry {
            self.held.insert(task.table.to_u32(), (task.embedding.clone(), entry));
        }
    }

    /// Entries of the table whose turn it is; `most` says how many of a table are taken together.
    pub fn next(&mut self, queue: &Queue, most: impl Fn(Oid) -> usize) -> Option<(Task, Vec<String>)> {
        let _settings = Queue::by_index();
        let Self { owner, tables, held } = self;
        let of_owner = |owner| {
            let last = tables.get(&owner).copied().unwrap_or_default();
            let of_table = |table| {
                if held.get(&table).is_some_and(|(_, entry)| !queue.is_waiting(entry)) {
                    held.remove(&table);
                }
                let waits = held.get(&table).map(|(column, _)| column.as_str());
                queue.due(owner, table, most(table.into()), waits)
            };
            match round(last, MOST_TABLES, |from| queue.table_from(owner, from), of_table) {
                Round::Found(table, due) => {
                    tables.insert(owner, table);
                    Some(due)
                }
                Round::Enough(table) => {
                    tables.insert(owner, table);
                    None
                }
                Round::Nothing => {
                    tables.remove(&owner);
                    None
                }
            }
        };
        match round(*owner, usize::MAX, |from| queue.owner_from(from), of_owner) {
            Round::Found(found, due) => {
                *owner = found;
                Some(due)
            }
            Round::Nothing | Round::Enough(_) => None,
        }
    }
}

/// Visits numbers once each, from the one after `last` on, until there is something or enough were visited. `next` gives
/// the first that is at least so large.
fn round<T>(
    last: u32,
    enough: usize,
    next: impl Fn(u32) -> Option<u32>,
    mut visit: impl FnMut(u32) -> Option<T>,
) -> Round<T> {
    let (mut from, mut is_second, mut visited) = (last.checked_add(1), false, 0);
    loop {
        match from.and_then(&next) {
            None if is_second => return Round::Nothing,
            None => (from, is_second) = (Some(0), true),
            Some(number) if is_second && number > last => return Round::Nothing,
            Some(number) => {
                if let Some(found) = visit(number) {
                    return Round::Found(number, found);
                }
                visited += 1;
                if visited == enough {
                    return Round::Enough(number);
                }
                from = number.checked_add(1);
            }
        }
    }
}

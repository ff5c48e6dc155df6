//! For whom a session asks, and in which statement.

use pgrx::pg_sys;
use protocol::Scope;
use std::cell::Cell;

/// Both roles count. The session's alone would let the owner of a SECURITY DEFINER function time what its caller has searched
/// for; the current user's alone would let all callers of such a function time each other. And a role may trust one
/// database, whose owner can have it run functions, less than another.
pub fn current() -> Scope {
    // SAFETY: numbers of this process.
    unsafe {
        Scope {
            database: pg_sys::MyDatabaseId.to_u32(),
            session: pg_sys::GetOuterUserId().to_u32(),
            user: pg_sys::GetUserId().to_u32(),
        }
    }
}

/// Tells statements apart.
pub fn statement() -> i64 {
    // SAFETY: a number of this process's.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}

/// For a warning that each of thousands of rows would give.
pub struct OnceInStatement(Cell<i64>);

impl OnceInStatement {
    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self(Cell::new(0))
    }

    /// Whether this is asked for the first time in a statement.
    pub fn is_first(&self) -> bool {
        let now = statement();
        self.0.replace(now) != now
    }
}

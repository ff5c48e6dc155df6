//! The extension's own tables are nobody's to write but the extension's.

use crate::spi::LocalSettings;
use pgrx::pg_sys;
use std::cell::Cell;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Statements run as the bootstrap superuser until this is dropped, or until an error ends the transaction. They have to
/// name everything with its schema, and to touch nothing that a user could have defined.
pub struct Elevated {
    user: pg_sys::Oid,
    context: i32,
}

impl Elevated {
    /// From now on.
    pub fn begin() -> Self {
        let (mut user, mut context) = (pg_sys::Oid::INVALID, 0);
        // SAFETY: reads and sets variables of this process; undone by drop.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
            let local = context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32;
            pg_sys::SetUserIdAndSecContext(pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID), local);
        }
        DEPTH.set(DEPTH.get() + 1);
        Self { user, context }
    }

    /// Whether the extension writes to its own tables right now.
    pub fn is_active() -> bool {
        DEPTH.get() > 0
    }
}

impl Drop for Elevated {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        // SAFETY: puts back what `begin` found.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

/// Statements run as a table's owner, in the way of ANALYZE and REFRESH MATERIALIZED VIEW: triggers and functions of the
/// table can do nothing that lasts beyond them, and names are looked up in `pg_catalog` alone.
pub struct OwnersRights {
    _settings: LocalSettings,
    user: pg_sys::Oid,
    context: i32,
}

impl OwnersRights {
    /// From now on, until this is dropped or an error ends the transaction.
    pub fn begin(owner: pg_sys::Oid) -> Self {
        let (mut user, mut context) = (pg_sys::Oid::INVALID, 0);
        let settings = LocalSettings::with_catalog_only();
        // Where policies would hide rows, that is an error.
        settings.set(c"row_security", c"off");
        // Somebody's lock is no reason to wait for ever.
        settings.set(c"lock_timeout", c"10s");
        // SAFETY: as in `Elevated`.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
            pg_sys::SetUserIdAndSecContext(owner, context | pg_sys::SECURITY_RESTRICTED_OPERATION as i32);
        }
        Self { _settings: settings, user, context }
    }
}

impl Drop for OwnersRights {
    fn drop(&mut self) {
        // SAFETY: puts back what `begin` found; the settings follow.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

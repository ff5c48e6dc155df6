//! As a table's owner.

use crate::spi::LocalSettings;
use pgrx::pg_sys;

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
        // SAFETY: reads and sets variables of this process; undone by drop, and by the end of a transaction that fails.
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

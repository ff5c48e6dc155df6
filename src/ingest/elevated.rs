//! The extension's own tables are nobody's to write but the extension's.

use pgrx::pg_sys;

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
        Self { user, context }
    }
}

impl Drop for Elevated {
    fn drop(&mut self) {
        // SAFETY: puts back what `begin` found.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

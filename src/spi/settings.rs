//! Settings, for a while.

use pgrx::pg_sys;
use std::ffi::CStr;

/// Settings with which keys become text in one way, whoever reads them.
pub const KEYS_AS_TEXT: [(&CStr, &CStr); 5] = [
    (c"datestyle", c"ISO, MDY"),
    (c"intervalstyle", c"postgres"),
    (c"timezone", c"UTC"),
    (c"extra_float_digits", c"1"),
    (c"bytea_output", c"hex"),
];

/// Settings that hold until this is dropped, or until an error ends the transaction.
pub struct LocalSettings(i32);

impl LocalSettings {
    /// Nothing set yet.
    pub fn begin() -> Self {
        // SAFETY: opens a level, which drop closes.
        Self(unsafe { pg_sys::NewGUCNestLevel() })
    }

    /// Names are looked up in `pg_catalog` alone.
    pub fn with_catalog_only() -> Self {
        let settings = Self::begin();
        settings.set(c"search_path", c"pg_catalog, pg_temp");
        settings
    }

    /// Keys become text, and are read, as by everybody else.
    pub fn with_keys_as_text() -> Self {
        let settings = Self::begin();
        for (name, value) in KEYS_AS_TEXT {
            settings.set(name, value);
        }
        settings
    }

    /// Sets a setting that every user may set.
    pub fn set(&self, name: &CStr, value: &CStr) {
        // SAFETY: the strings are NUL-terminated and copied.
        unsafe {
            pg_sys::set_config_option(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
        }
    }
}

impl Drop for LocalSettings {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: closes the level of `begin`. Not as at a commit: what functions of others have set meanwhile goes, too.
            unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
        }
    }
}

/// Raises where nothing can be written: on a standby, or in a read-only transaction.
pub fn require_writable(command: &CStr) {
    // SAFETY: a NUL-terminated name.
    unsafe {
        pg_sys::PreventCommandDuringRecovery(command.as_ptr());
        pg_sys::PreventCommandIfReadOnly(command.as_ptr());
    }
}

/// The value of a setting, where there is one of this name.
pub fn setting(name: &CStr) -> Option<String> {
    // SAFETY: the name is NUL-terminated; what comes back is NULL or a string that lives until the setting changes.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

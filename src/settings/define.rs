//! From the table of settings to their variables and their definitions in PostgreSQL.

/// A variable for each setting, and a function that defines them in PostgreSQL; and a constant of their names, where one
/// is asked for.
macro_rules! settings {
    ($define:ident, $names:ident: $($setting:ident: $kind:ident { name: $name:expr, $($field:tt)* })*) => {
        /// The names of these settings.
        pub const $names: &[&std::ffi::CStr] = &[$($name),*];

        settings! { $define: $($setting: $kind { name: $name, $($field)* })* }
    };
    ($define:ident: $($setting:ident: $kind:ident { $($field:tt)* })*) => {
        $(variable! { $setting $kind $($field)* })*

        /// Defines these settings in PostgreSQL.
        pub fn $define() {
            $(define! { $setting $kind $($field)* })*
        }
    };
}

macro_rules! variable {
    ($setting:ident string name: $name:expr, default: $default:expr, $($rest:tt)*) => {
        pub static $setting: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some($default));
    };
    ($setting:ident choice name: $name:expr, values: $values:ty, default: $default:expr, $($rest:tt)*) => {
        pub static $setting: GucSetting<$values> = GucSetting::<$values>::new($default);
    };
    ($setting:ident bool name: $name:expr, default: $default:expr, $($rest:tt)*) => {
        pub static $setting: GucSetting<bool> = GucSetting::<bool>::new($default);
    };
    ($setting:ident int name: $name:expr, default: $default:expr, $($rest:tt)*) => {
        pub static $setting: GucSetting<i32> = GucSetting::<i32>::new($default);
    };
}

macro_rules! define {
    ($setting:ident string name: $name:expr, default: $default:expr, check: $check:expr,
     context: $context:ident, flags: $flags:expr, short: $short:expr, long: $long:expr,) => {
        // SAFETY: the hook is guarded.
        unsafe {
            GucRegistry::define_string_guc_with_hooks(
                $name,
                $short,
                $long,
                &$setting,
                GucContext::$context,
                $flags,
                $check,
                None,
                None,
            );
        }
    };
    ($setting:ident choice name: $name:expr, values: $values:ty, default: $default:expr,
     context: $context:ident, flags: $flags:expr, short: $short:expr, long: $long:expr,) => {
        GucRegistry::define_enum_guc($name, $short, $long, &$setting, GucContext::$context, $flags);
    };
    ($setting:ident bool name: $name:expr, default: $default:expr,
     context: $context:ident, flags: $flags:expr, short: $short:expr, long: $long:expr,) => {
        GucRegistry::define_bool_guc($name, $short, $long, &$setting, GucContext::$context, $flags);
    };
    ($setting:ident int name: $name:expr, default: $default:expr, min: $min:expr, max: $max:expr,
     context: $context:ident, flags: $flags:expr, short: $short:expr, long: $long:expr,) => {
        GucRegistry::define_int_guc($name, $short, $long, &$setting, $min, $max, GucContext::$context, $flags);
    };
}

pub(super) use {define, settings, variable};

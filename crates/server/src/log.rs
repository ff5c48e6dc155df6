//! Log lines: one line each on standard error, with the level that Postgres is to give it.

/// Logs a fact that an administrator may look for later.
#[macro_export]
macro_rules! log_info {
    ($($argument:tt)*) => { $crate::log::write("LOG", format_args!($($argument)*)) };
}

/// Logs something that is wrong.
#[macro_export]
macro_rules! log_warning {
    ($($argument:tt)*) => { $crate::log::write("WARNING", format_args!($($argument)*)) };
}

#[doc(hidden)]
pub fn write(level: &str, message: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let line = format!("{level}: {}\n", message.to_string().replace('\n', " "));
    // One write for one line; where standard error is gone, there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

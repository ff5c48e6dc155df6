//! How numbers are printed.

/// Milliseconds.
pub fn ms(value: f64) -> String {
    format!("{value:.2}")
}

/// MiB.
pub fn mib(value: f64) -> String {
    format!("{value:.1}")
}

//! What is printed: tables, and at the end the limits.

use comfy_table::{CellAlignment, Table, presets};

struct Limit {
    what: &'static str,
    measured: f64,
    limit: f64,
    unit: &'static str,
}

impl Limit {
    fn kept(&self) -> bool {
        self.measured <= self.limit
    }
}

/// The limits that were measured.
#[derive(Default)]
pub struct Report(Vec<Limit>);

impl Report {
    /// Adds a measured value and the most that it may be.
    pub fn limit(&mut self, what: &'static str, measured: f64, limit: f64, unit: &'static str) {
        self.0.push(Limit { what, measured, limit, unit });
    }

    /// Prints all limits; true where all are kept.
    pub fn print_limits(&self) -> bool {
        let row = |limit: &Limit| {
            let unit = limit.unit;
            [
                limit.what.to_owned(),
                format!("{:.2} {unit}", limit.measured),
                format!("{:.1} {unit}", limit.limit),
                format!("{:.0} %", limit.measured / limit.limit * 100.0),
                if limit.kept() { "kept" } else { "BROKEN" }.to_owned(),
            ]
        };
        println!("\nLimits:\n");
        println!("{}", table(["", "measured", "limit", "of the limit", ""], self.0.iter().map(row)));
        self.0.iter().all(Limit::kept)
    }
}

/// A table with numbers to the right of their names.
pub fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(head).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Milliseconds.
pub fn ms(value: f64) -> String {
    format!("{value:.3}")
}

/// MiB.
pub fn mib(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_limit_is_told() {
        let mut report = Report::default();
        report.limit("a", 1.5, 1.5, "ms");
        assert!(report.print_limits());
        report.limit("b", 1.6, 1.5, "ms");
        assert!(!report.print_limits());
    }
}

//! What is printed: tables, and at the end the limits.

use comfy_table::{CellAlignment, Table, presets};

/// How a measured value may be.
#[derive(Clone, Copy)]
pub enum Bound {
    /// Not above this.
    AtMost(f64),
    /// Not below this.
    AtLeast(f64),
}

struct Limit {
    what: String,
    measured: f64,
    bound: Bound,
    unit: &'static str,
}

impl Limit {
    // Written so that a value that is no number breaks the limit.
    fn kept(&self) -> bool {
        match self.bound {
            Bound::AtMost(limit) => self.measured <= limit,
            Bound::AtLeast(limit) => self.measured >= limit,
        }
    }

    /// Of a limit of nothing, there is none.
    fn share(&self) -> String {
        let (Bound::AtMost(limit) | Bound::AtLeast(limit)) = self.bound;
        if limit == 0.0 { String::new() } else { format!("{:.0} %", self.measured / limit * 100.0) }
    }
}

/// The limits that were measured.
#[derive(Default)]
pub struct Report(Vec<Limit>);

impl Report {
    /// Adds a measured value and how it may be.
    pub fn limit(&mut self, what: impl Into<String>, measured: f64, bound: Bound, unit: &'static str) {
        self.0.push(Limit { what: what.into(), measured, bound, unit });
    }

    /// Prints all limits; true where all are kept.
    pub fn print_limits(&self) -> bool {
        let row = |limit: &Limit| {
            let figure = |value: f64| format!("{value:.2} {}", limit.unit).trim_end().to_owned();
            let bound = match limit.bound {
                Bound::AtMost(bound) => format!("at most {}", figure(bound)),
                Bound::AtLeast(bound) => format!("at least {}", figure(bound)),
            };
            [
                limit.what.clone(),
                figure(limit.measured),
                bound,
                limit.share(),
                if limit.kept() { "kept" } else { "BROKEN" }.to_owned(),
            ]
        };
        heading("Limits");
        println!("{}", table(["", "measured", "limit", "of the limit", ""], self.0.iter().map(row)));
        self.0.iter().all(Limit::kept)
    }
}

/// Begins a phase.
pub fn heading(text: impl AsRef<str>) {
    println!("\n{}:\n", text.as_ref());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_limit_is_told() {
        for (value, bound, kept) in [
            (1.5, Bound::AtMost(1.5), true),
            (1.6, Bound::AtMost(1.5), false),
            (0.95, Bound::AtLeast(0.95), true),
            (0.94, Bound::AtLeast(0.95), false),
            (f64::NAN, Bound::AtMost(1.0), false),
            (f64::INFINITY, Bound::AtMost(1.0), false),
        ] {
            let mut report = Report::default();
            report.limit("a", value, bound, "ms");
            assert_eq!(report.print_limits(), kept, "{value}");
        }
    }
}

//! What the demo prints.

use crate::progress::number;
use crate::search::Answer;
use comfy_table::{CellAlignment, Table, presets};
use std::time::Duration;

/// Rows of one table.
const ROWS: usize = 8;

/// Images that are named one by one when they were skipped.
const NAMED: usize = 10;

/// One step that is done, in one line.
pub fn step(what: &str, result: &str) {
    println!("  {what:11} {result}");
}

/// What could not be used, and why: the first of them.
pub fn skipped(skipped: &[(String, String)]) {
    for (name, reason) in skipped.iter().take(NAMED) {
        step("skipped", &format!("{name}: {reason}"));
    }
    if skipped.len() > NAMED {
        step("", &format!("… and {} more", number(skipped.len() - NAMED)));
    }
}

/// An answer as a table.
pub fn table(answer: &Answer) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["id", "name", "similarity"]);
    for column in [0, 2] {
        let column = table.column_mut(column).expect("the header has three");
        column.set_cell_alignment(CellAlignment::Right);
    }
    for hit in answer.hits.iter().take(ROWS) {
        table.add_row([hit.id.to_string(), hit.name.clone(), format!("{:.3}", hit.similarity)]);
    }
    let more = answer.hits.len().saturating_sub(ROWS);
    let more = if more > 0 { format!("\n      … and {} more", number(more)) } else { String::new() };
    format!("{}: {}   ({})\n{table}{more}\n", answer.kind, answer.title, milliseconds(answer.took))
}

/// A short time.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Hit;

    #[test]
    fn tables_align_and_say_what_they_leave_out() {
        let hit = |id| Hit { id, name: format!("image {id}"), similarity: 0.5 };
        let answer = Answer {
            kind: "text → image",
            title: "red fruit".into(),
            image: None,
            sql: String::new(),
            hits: (1..=10).map(hit).collect(),
            took: Duration::from_micros(2345),
        };
        let text = table(&answer);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "text → image: red fruit   (2.3 ms)");
        assert_eq!(lines[2], "  1  image 1       0.500");
        assert_eq!(lines.last(), Some(&"      … and 2 more"));
        assert_eq!(lines.len(), 11);
    }
}

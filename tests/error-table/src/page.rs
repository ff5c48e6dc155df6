//! `docs/errors.md`.

use crate::sections;
use errors::Row;

const HEAD: &str = "# Errors

Each error has a SQLSTATE, a message and, where something can be done, a HINT. For an array, DETAIL says which element the
error is about, counted from 1. Words in *italics* stand for values.

This page is generated from the tables of errors: `cargo run --release -p error-table` writes it.
";

const TAIL: &str = "
## PostgreSQL's own

A cancelled statement and `statement_timeout` (`57014`) end a wait for the inference server at once, and the work with it.
";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in sections() {
        page += &format!("\n## {}\n\n| SQLSTATE | message | what to do |\n|---|---|---|\n", section.title);
        let mut lines: Vec<String> = Vec::new();
        for line in section.tables.iter().flat_map(|(_, rows)| *rows).map(line) {
            // Two tables may say the same.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        page += &lines.concat();
    }
    page + TAIL
}

fn line(row: &Row) -> String {
    let todo = row.docs.or(row.hint).unwrap_or_default();
    let detail = row.detail.map(|detail| format!("<br>{}", prose(detail))).unwrap_or_default();
    format!("| `{}` | {}{detail} | {} |\n", row.sqlstate, prose(row.message), prose(todo))
}

/// A template as Markdown in a cell: the names of values in italics.
fn prose(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '{' | '}' if rest.peek() == Some(&character) => {
                text.push(character);
                rest.next();
            }
            '{' => {
                let inside: String = rest.by_ref().take_while(|&character| character != '}').collect();
                // A value that is perhaps empty brings its own space.
                if text.ends_with(char::is_alphanumeric) {
                    text.push(' ');
                }
                let name = inside.split(':').next().unwrap_or_default().replace('_', " ");
                text += &format!("*{name}*");
            }
            // As they are, not as Markdown or HTML.
            '|' | '*' | '_' | '<' | '>' | '[' | ']' | '`' | '~' => text.extend(['\\', character]),
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_prose() {
        assert_eq!(prose("a {source_name} at {byte:#04x}"), "a *source name* at *byte*");
        assert_eq!(prose("wait{time}"), "wait *time*");
        assert_eq!(prose("'a {{}}' | a_b <=> c"), "'a {}' \\| a\\_b \\<=\\> c");
    }
}

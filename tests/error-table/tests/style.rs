//! Every message follows PostgreSQL's style guide, has a SQLSTATE that PostgreSQL knows, and is in the docs.

use error_table::{page, path, sections};
use errors::{Row, Sqlstate};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What is wrong with a row.
fn problems(row: &Row) -> Vec<String> {
    let mut problems = Vec::new();
    let mut problem = |of: &str, what: &str| problems.push(format!("{of} {what}"));
    if begins_with_a_capital(row.message) {
        problem("message", "begins with a capital letter");
    }
    if row.message.ends_with(['.', '!', '?']) {
        problem("message", "ends with a full stop");
    }
    if row.message.contains('\n') || row.message.contains("  ") {
        problem("message", "has a line end or two spaces");
    }
    for (of, text) in [("detail", row.detail), ("hint", row.hint), ("docs", row.docs)] {
        let Some(text) = text else { continue };
        if text.starts_with(char::is_lowercase) && !begins_with_a_name(text) {
            problem(of, "does not begin with a capital letter");
        }
        if !text.ends_with(['.', '…']) && !is_a_value(text) && !is_sql(text) {
            problem(of, "does not end with a full stop");
        }
        if text.contains('\n') || text.contains("  ") {
            problem(of, "has a line end or two spaces");
        }
    }
    if row.hint.is_none_or(is_a_value) != row.docs.is_some() {
        problem("row", "needs a hint or, where there is none to read, a line for the docs");
    }
    let state = row.sqlstate.as_str();
    let is_state = state.len() == 5 && state.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    if !is_state || ["00", "01", "02"].contains(&&state[..2]) {
        problem("row", "has no SQLSTATE of an error");
    }
    problems
}

/// An abbreviation, such as ONNX, begins with two.
fn begins_with_a_capital(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(char::is_uppercase) && !letters.next().is_some_and(char::is_uppercase)
}

/// A function, a setting, an argument or a file, which keeps its spelling.
fn begins_with_a_name(text: &str) -> bool {
    let word = text.split(' ').next().unwrap_or_default();
    word.contains(['_', '/', '.']) && !word.ends_with('.')
}

/// Nothing but what another function has said, as a sentence.
fn is_a_value(text: &str) -> bool {
    text.starts_with('{') && text.find('}') == Some(text.len() - 1)
}

fn is_sql(text: &str) -> bool {
    text.starts_with("CREATE TRIGGER ")
}

fn rows() -> Vec<(String, Row)> {
    let tables = sections().into_iter().flat_map(|section| section.tables);
    tables.flat_map(|(table, rows)| rows.iter().map(move |row| (format!("{table}::{}", row.name), *row))).collect()
}

#[test]
fn every_row_follows_the_style_guide() {
    let rows = rows();
    let found: Vec<String> = rows
        .iter()
        .flat_map(|(name, row)| problems(row).into_iter().map(move |problem| format!("{name}: {problem}")))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Tables in the sources below a folder; in comments there are examples.
fn tables_in(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => tables_in(&path),
        Some(extension) if extension == "rs" => {
            let source = fs::read_to_string(&path).unwrap();
            let starts = ["errors::error_table! {", "crate::error_table! {"];
            source.lines().filter(|line| starts.contains(line)).count()
        }
        _ => 0,
    };
    entries.map(of).sum()
}

#[test]
fn no_table_is_forgotten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let known = sections().iter().map(|section| section.tables.len()).sum::<usize>();
    assert_eq!(tables_in(&root.join("crates")) + tables_in(&root.join("src")), known);
}

/// The test above sees what it is to see.
#[test]
fn problems_are_found() {
    let good = Row {
        name: "Good",
        sqlstate: Sqlstate::IO_ERROR,
        message: "could not read \"{file}\": {reason}",
        detail: Some("{reason}"),
        hint: Some("clip_models() lists what there is."),
        docs: None,
    };
    assert_eq!(problems(&good), [""; 0]);
    assert_eq!(problems(&Row { message: "ONNX Runtime is missing", ..good }), [""; 0]);
    assert_eq!(problems(&Row { hint: Some("{remedy}"), docs: Some("Try again."), ..good }), [""; 0]);
    let bad = [
        Row { message: "Could not read", ..good },
        Row { message: "could not read.", ..good },
        Row { message: "could not  read", ..good },
        Row { detail: Some("it is small."), ..good },
        Row { hint: Some("Try again"), ..good },
        Row { hint: Some("try again."), ..good },
        Row { hint: None, ..good },
        Row { hint: Some("{remedy}"), ..good },
        Row { docs: Some("Try again."), ..good },
    ];
    for row in bad {
        assert_eq!(problems(&row).len(), 1, "{row:?}");
    }
}

/// The page has a row for each error, and nothing that is no error any more.
#[test]
fn docs_are_up_to_date() {
    let found = fs::read_to_string(path()).unwrap();
    assert!(found == page(), "docs/errors.md is out of date: run \"cargo run --release -p error-table\"");
}

/// By PostgreSQL's own list, under its name: the extension raises XX000 for a SQLSTATE that PostgreSQL does not know.
#[test]
fn sqlstates_are_those_of_postgres() {
    let pg_config = env::var_os("PG_CONFIG").unwrap_or_else(|| "pg_config".into());
    let shared = Command::new(pg_config).arg("--sharedir").output().expect("pg_config");
    let shared = String::from_utf8(shared.stdout).unwrap();
    let list = fs::read_to_string(format!("{}/errcodes.txt", shared.trim())).unwrap();
    let is_known = |name: &str, state: Sqlstate| {
        list.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(state.as_str()) && words.nth(1) == Some(&format!("ERRCODE_{name}"))
        })
    };
    let unknown: Vec<_> = Sqlstate::ALL.iter().filter(|(name, state)| !is_known(name, *state)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

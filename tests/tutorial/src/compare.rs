//! Whether psql printed what the tutorial shows.
//!
//! Blanks at the ends of lines and of the whole do not count. In what is expected, `…` within a line stands for any
//! characters, and a line of `…` alone for any lines but errors.

use similar::TextDiff;

const ANYTHING: &str = "…";

/// Whether the printed text is as expected.
pub fn matches(expected: &str, printed: &str) -> bool {
    lines_match(&lines(expected), &lines(printed))
}

/// Whether a block that is followed by no output may print this: what statements report, and no results or errors.
pub fn needs_no_showing(printed: &str) -> bool {
    let is_tag = |line: &str| line.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ');
    lines(printed).into_iter().all(|line| is_tag(line) || line.starts_with("NOTICE: "))
}

/// A unified difference; `shown` says where the expected text is.
pub fn difference(expected: &str, printed: &str, shown: &str) -> String {
    let printed = lines(printed);
    // A line that a pattern stands for is no difference.
    let found = |line| printed.iter().find(|actual| line != ANYTHING && line_matches(line, actual)).copied();
    let expected: Vec<&str> = lines(expected).into_iter().map(|line| found(line).unwrap_or(line)).collect();
    let (old, new) = (joined(&expected), joined(&printed));
    TextDiff::from_lines(&old, &new).unified_diff().header(shown, "psql").to_string()
}

/// The lines without the blanks at their ends, nor empty lines at the end.
pub fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn lines_match(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.trim() == ANYTHING => {
            let skippable = printed.iter().take_while(|line| !line.starts_with("ERROR:")).count();
            (0..=skippable).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(line, after)| line_matches(first, line) && lines_match(rest, after))
        }
    }
}

fn line_matches(expected: &str, printed: &str) -> bool {
    let Some((start, patterns)) = expected.split_once(ANYTHING) else { return expected == printed };
    let Some(mut rest) = printed.strip_prefix(start) else { return false };
    let (middle, end) = patterns.rsplit_once(ANYTHING).unwrap_or(("", patterns));
    for part in middle.split(ANYTHING) {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_at_ends_do_not_count_and_others_do() {
        assert!(matches(" a | b\n---+---\n(0 rows)\n", " a | b \n---+---\n(0 rows)\n\n"));
        assert!(!matches(" a\n", "a\n"));
        assert!(!matches("a\n\nb\n", "a\nb\n"));
        assert!(matches("", "\n"));
        assert!(!matches("", "a"));
    }

    #[test]
    fn an_ellipsis_stands_for_anything() {
        assert!(matches("a\n…\nz\n", "a\nz\n") && matches("a\n…\nz\n", "a\nb\nc\nz\n"));
        assert!(!matches("a\n…\nz\n", "a\nb\n"));
        assert!(!matches("…", "a\nERROR:  no\nz"));
        assert!(matches("x = …, y = …;", "x = 1, y = 2;"));
        assert!(!matches("x = …, y = …;", "x = 1; y = 2;"));
        assert!(!matches("ab…bc", "abc"), "a character counts once");
        assert!(!matches("a…", "b"));
        assert!(matches("a…b…c", "a12b34c") && !matches("a…b…c", "a12c"));
    }

    #[test]
    fn only_tags_and_notices_may_go_unshown() {
        assert!(needs_no_showing(""));
        assert!(needs_no_showing("CREATE TABLE\nINSERT 0 12\nNOTICE:  installing \"vector\"\n"));
        assert!(!needs_no_showing("CREATE TABLE\nERROR:  no\n"));
        assert!(!needs_no_showing("captions.csv: No such file or directory\n"));
        assert!(!needs_no_showing(" one\n-----\n   1\n(1 row)\n"));
    }

    #[test]
    fn differences_leave_out_what_a_pattern_stands_for() {
        let diff = difference("took … ms\nhere\n", "took 12 ms\nthere\n", "t.md:7");
        assert_eq!(diff, "--- t.md:7\n+++ psql\n@@ -1,2 +1,2 @@\n took 12 ms\n-here\n+there\n");
    }
}

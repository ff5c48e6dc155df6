//! Puts tables into a page of the docs, between two comments.

use anyhow::Context;

/// The page with a text in the section of that name, which `program` writes.
///
/// # Errors
/// Where the page has no such section.
pub fn put(page: &str, program: &str, section: &str, text: &str) -> anyhow::Result<String> {
    let begin = format!("<!-- begin: written by `{program}`, {section} -->");
    let end = format!("<!-- end: written by `{program}`, {section} -->");
    let missing = || format!("the page has not both of {begin:?} and {end:?}");
    let (before, rest) = page.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "benches/prepare/run --write";

    #[test]
    fn a_section_is_replaced_and_nothing_else() {
        let mark = |edge, name| format!("<!-- {edge}: written by `benches/prepare/run --write`, {name} -->");
        let page =
            |text: &str| format!("a\n{}{text}{}\nb {}", mark("begin", "x"), mark("end", "x"), mark("begin", "y"));
        assert_eq!(put(&page("\nold\n"), PROGRAM, "x", " new\n").unwrap(), page("\n\nnew\n\n"));
        assert!(put(&page(""), PROGRAM, "y", "new").is_err(), "it does not end");
    }
}

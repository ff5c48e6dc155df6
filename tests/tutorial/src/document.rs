//! The Markdown file: its SQL, and the outputs that it shows.

use anyhow::{Result, ensure};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use std::ops::Range;

/// A block of SQL.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// Its text.
    pub sql: String,
    /// The block of output right after it.
    pub expected: Option<Expected>,
}

/// A block of output.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    /// The line that its text begins on, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
    /// Where that is in the file.
    range: Range<usize>,
}

/// All blocks of SQL in their order.
///
/// # Errors
/// A block ends within a statement, or stands in a list: what it shows could not be replaced.
pub fn blocks(markdown: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut after_sql = false;
    let mut events = Parser::new(markdown).into_offset_iter();
    while let Some((event, range)) = events.next() {
        let Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) = event else {
            after_sql = false;
            continue;
        };
        let text = text_of(&mut events);
        let line = 1 + line_of(markdown, range.start);
        match &*language {
            "sql" => {
                ensure!(ends(&text), "line {line}: the last statement of this block does not end in it");
                blocks.push(Block { line, sql: text, expected: None });
            }
            "text" | "console" if after_sql => {
                let range = inside(markdown, range);
                ensure!(markdown[range.clone()] == text, "line {line}: this block is indented");
                let block = blocks.last_mut().expect("there was one right before");
                block.expected = Some(Expected { line, text, range });
            }
            _ => {}
        }
        after_sql = &*language == "sql";
    }
    Ok(blocks)
}

/// The file, with the outputs after these blocks replaced.
pub fn with_outputs(markdown: &str, outputs: &[(&Block, &str)]) -> String {
    let mut updated = String::new();
    let mut copied = 0;
    for (block, output) in outputs {
        let Some(expected) = &block.expected else { continue };
        updated += &markdown[copied..expected.range.start];
        for line in crate::compare::lines(output) {
            updated += line;
            updated.push('\n');
        }
        copied = expected.range.end;
    }
    updated + &markdown[copied..]
}

fn text_of<'a>(events: &mut impl Iterator<Item = (Event<'a>, Range<usize>)>) -> String {
    let mut text = String::new();
    for (event, _) in events {
        match event {
            Event::Text(part) => text += &part,
            Event::End(TagEnd::CodeBlock) => break,
            _ => {}
        }
    }
    text
}

/// What is between the fences of a block.
fn inside(markdown: &str, block: Range<usize>) -> Range<usize> {
    let text = &markdown[block.clone()];
    let first = text.find('\n').map_or(text.len(), |at| at + 1);
    let last = text.trim_end().rfind('\n').map_or(first, |at| at + 1);
    block.start + first..block.start + last.max(first)
}

fn line_of(markdown: &str, at: usize) -> usize {
    1 + markdown[..at].matches('\n').count()
}

/// Whether psql is done with a block at its end: with a semicolon, a command like `\gset`, or a comment after them.
fn ends(sql: &str) -> bool {
    let code = |line: &&str| !line.trim_start().starts_with("--") && !line.trim().is_empty();
    let Some(last) = sql.lines().rev().find(code) else { return true };
    let statement = last.split_once("--").map_or(last, |(statement, _)| statement);
    statement.trim_end().ends_with(';') || last.trim_start().starts_with('\\') || last.contains(" \\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUTORIAL: &str = "\
# Title

```sql
SELECT 1;
```

```text
one
```

```python
pass
```

```text
not an output
```

```sql
SELECT 2;   -- two
SELECT 'x' \\gset
```

A sentence.

```text
not an output either
```

```sql
\\echo
```
```console
```
";

    #[test]
    fn finds_sql_and_the_output_right_after_it() {
        let blocks = blocks(TUTORIAL).unwrap();
        let found: Vec<_> = blocks
            .iter()
            .map(|block| (block.line, block.sql.as_str(), block.expected.as_ref().map(|e| (e.line, e.text.as_str()))))
            .collect();
        assert_eq!(
            found,
            [
                (4, "SELECT 1;\n", Some((8, "one\n"))),
                (20, "SELECT 2;   -- two\nSELECT 'x' \\gset\n", None),
                (31, "\\echo\n", Some((34, ""))),
            ]
        );
    }

    #[test]
    fn replaces_outputs_and_nothing_else() {
        let blocks = blocks(TUTORIAL).unwrap();
        let updated = with_outputs(TUTORIAL, &[(&blocks[0], "1  \n2\n\n"), (&blocks[2], "three\n")]);
        let wanted = TUTORIAL.replace("```text\none\n", "```text\n1\n2\n").replace("console\n", "console\nthree\n");
        assert_eq!(updated, wanted);
        assert_eq!(with_outputs(TUTORIAL, &[(&blocks[1], "4\n")]), TUTORIAL);
    }

    #[test]
    fn refuses_what_would_not_end() {
        assert!(blocks("```sql\nSELECT 1\n```\n").unwrap_err().to_string().starts_with("line 2: "));
        assert!(blocks("- ```sql\n  SELECT 1;\n  ```\n  ```text\n  1\n  ```\n").is_err());
        assert!(blocks("```sql\n```\n").is_ok());
    }
}

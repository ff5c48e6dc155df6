//! What a page is sorted by, as somebody writes it: `taken_at DESC NULLS LAST, "Shop"`. Each name becomes a column that is
//! there; nothing of the text gets into a statement.

use super::table::{Column, Table};
use crate::errors::{ArgumentError, Result};

/// A column to sort by.
pub struct Order<'a> {
    /// The column.
    pub column: &'a Column,
    /// ` DESC NULLS LAST` and the like, of these words alone.
    pub direction: String,
}

/// Reads a list of columns, each with `ASC` or `DESC` and `NULLS FIRST` or `NULLS LAST`, in any case. As in SQL, a name
/// without quotes is in lower case.
///
/// # Errors
/// [`ArgumentError::OrderBy`], [`ArgumentError::NoSuchColumn`], [`ArgumentError::NotSortable`].
pub fn parse<'a>(text: &str, table: &'a Table) -> Result<Vec<Order<'a>>> {
    let mut words = Words(text).peekable();
    let mut orders = Vec::new();
    loop {
        let (Some(Word::Name(name)) | Some(Word::Quoted(name))) = words.next() else { return Err(wrong(text)) };
        let column = table.column(&name)?;
        if !column.is_sortable() {
            let (column, found) = (column.name.clone(), column.type_name.clone());
            return Err(ArgumentError::NotSortable { column, found }.into());
        }
        let mut direction = String::new();
        for choices in [&["asc", "desc"][..], &["nulls"], &["first", "last"]] {
            if choices.contains(&"first") && !direction.ends_with("nulls") {
                continue;
            }
            match words.next_if(|word| matches!(word, Word::Name(name) if choices.contains(&name.as_str()))) {
                Some(Word::Name(keyword)) => direction = format!("{direction} {keyword}"),
                _ if direction.ends_with("nulls") => return Err(wrong(text)),
                _ => (),
            }
        }
        orders.push(Order { column, direction: direction.to_ascii_uppercase() });
        match words.next() {
            None => return Ok(orders),
            Some(Word::Comma) => (),
            _ => return Err(wrong(text)),
        }
    }
}

fn wrong(text: &str) -> crate::errors::Error {
    ArgumentError::OrderBy { text: text.to_owned() }.into()
}

enum Word {
    /// A name or keyword, in lower case.
    Name(String),
    /// A name in quotes.
    Quoted(String),
    Comma,
    /// What is neither.
    Other,
}

struct Words<'a>(&'a str);

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let text = self.0.trim_start();
        let first = text.chars().next()?;
        let (word, length) = match first {
            ',' => (Word::Comma, 1),
            '"' => match quoted(&text[1..]) {
                Some((name, length)) => (Word::Quoted(name), length + 1),
                None => (Word::Other, text.len()),
            },
            _ if is_of_name(first) && !first.is_ascii_digit() => {
                let length = text.find(|character| !is_of_name(character)).unwrap_or(text.len());
                (Word::Name(text[..length].to_ascii_lowercase()), length)
            }
            _ => (Word::Other, text.len()),
        };
        self.0 = &text[length..];
        Some(word)
    }
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '$' || !character.is_ascii()
}

/// A name up to its closing quote, and the bytes that it took; a doubled quote is one.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character == '"' && characters.next_if(|(_, next)| *next == '"').is_none() {
            return Some((name, at + 1));
        }
        name.push(character);
    }
    None
}

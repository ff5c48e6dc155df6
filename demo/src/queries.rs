//! What is searched for.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// One thing to search for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Images that a text describes.
    Text(String),
    /// Images that look like the image of this name.
    Image(String),
    /// Images that look like one in the table: this far into it, in percent.
    ImageAt(u8),
    /// All images that a text describes well enough.
    Threshold(String),
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "text → image: {text}"),
            Self::Image(name) => write!(f, "image → image: {name}"),
            Self::ImageAt(percent) => write!(f, "image → image: the image {percent} % into the table"),
            Self::Threshold(text) => write!(f, "text → image, threshold: {text}"),
        }
    }
}

/// For the emoji.
pub fn for_emoji() -> Vec<Query> {
    let text = |text: &str| Query::Text(text.to_owned());
    let image = |name: &str| Query::Image(name.to_owned());
    vec![
        text("red fruit"),
        text("a happy cat"),
        text("sailing boat"),
        text("music"),
        text("rain"),
        text("party"),
        text("drink"),
        image("red apple"),
        image("cat face"),
        image("taxi"),
        Query::Threshold("flower".to_owned()),
    ]
}

/// For images that nobody has seen yet.
pub fn for_photographs() -> Vec<Query> {
    let texts = [
        "a photo of people",
        "a photo of an animal",
        "a photo of food",
        "a building",
        "a landscape with water",
        "flowers",
        "a street with cars",
        "something red",
    ];
    let mut queries: Vec<Query> = texts.map(|text| Query::Text(text.to_owned())).into();
    queries.extend([20, 50, 80].map(Query::ImageAt));
    queries.push(Query::Threshold("a photo of people".to_owned()));
    queries
}

/// The user's own, one on each line: a text; `image: NAME` for images like one (any part of its name); `all: TEXT` for
/// all that are similar enough. Lines that begin with `#` are comments.
///
/// # Errors
/// The file cannot be read, or has no query in it.
pub fn from_file(path: &Path) -> Result<Vec<Query>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    let queries = parse(&text);
    if queries.is_empty() {
        bail!("there is no query in {}\n  Write one on each line, such as: red fruit", path.display());
    }
    Ok(queries)
}

fn parse(text: &str) -> Vec<Query> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split_once(':') {
            Some(("image", name)) => Query::Image(name.trim().to_owned()),
            Some(("all", text)) => Query::Threshold(text.trim().to_owned()),
            _ => Query::Text(line.to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_users_queries() {
        let queries = parse("# mine\n\nred fruit\n image: dog.jpg \nall: a cat\n12:30 on a clock\n");
        let expected = [
            Query::Text("red fruit".into()),
            Query::Image("dog.jpg".into()),
            Query::Threshold("a cat".into()),
            Query::Text("12:30 on a clock".into()),
        ];
        assert_eq!(queries, expected);
    }

    #[test]
    fn says_what_is_wrong_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.txt");
        assert!(from_file(&path).unwrap_err().to_string().contains("could not read"));
        std::fs::write(&path, "# nothing\n").unwrap();
        assert!(from_file(&path).unwrap_err().to_string().contains("there is no query in"));
    }
}

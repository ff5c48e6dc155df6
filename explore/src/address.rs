//! A search as the query string of a page's address, and back: pages can be kept, shared, and gone back to.

use crate::error::Failure;
use form_urlencoded::{Serializer, parse};

/// Most terms of one search beside the first, and most filters.
const MAX_TERMS: usize = 16;
/// Most labels of a classification.
const MAX_LABELS: usize = 100;
/// Most hits of a page.
const MAX_K: i64 = 200;
/// Hits of a page.
const K: i64 = 24;
/// As `clip_search` has it.
const MAX_SKIP: i64 = 1_000_000;

/// A search. Each field is a parameter of the same name, repeated where there are several.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// The table, as `regclass` reads it.
    pub table: String,
    /// The column of its embeddings.
    pub column: Option<String>,
    /// Words.
    pub q: Option<String>,
    /// The uploaded image with this hash.
    pub image: Option<String>,
    /// Rows, by the JSON of their ids.
    pub like: Vec<String>,
    /// Words that are added with half the weight.
    pub plus: Vec<String>,
    /// Words that are subtracted with half the weight.
    pub minus: Vec<String>,
    /// Most hits.
    pub k: i64,
    /// Hits left out at the beginning.
    pub skip: i64,
    /// Least similarity.
    pub min: Option<f64>,
    /// Columns and the values that they are to have: `filter=column` and `is=value`, in turn.
    pub filters: Vec<(String, String)>,
    /// A column to sort the hits by, in place of the similarity.
    pub sort: Option<String>,
    /// From the greatest.
    pub descending: bool,
    /// Labels to classify the hits with.
    pub labels: Vec<String>,
    /// The model of the words and of the uploaded image.
    pub model: Option<String>,
    /// The column of ids, where the table has no primary key.
    pub id: Option<String>,
    /// The column of images.
    pub picture: Option<String>,
}

impl Default for Address {
    fn default() -> Self {
        Self {
            table: String::new(),
            column: None,
            q: None,
            image: None,
            like: Vec::new(),
            plus: Vec::new(),
            minus: Vec::new(),
            k: K,
            skip: 0,
            min: None,
            filters: Vec::new(),
            sort: None,
            descending: false,
            labels: Vec::new(),
            model: None,
            id: None,
            picture: None,
        }
    }
}

impl Address {
    /// Reads a query string. Parameters of other names are left for others; empty ones are none.
    ///
    /// # Errors
    /// A number is none, or there is too much of something.
    pub fn read(query: &str) -> Result<Self, Failure> {
        let mut this = Self::default();
        let mut filter = None;
        for (name, value) in parse(query.as_bytes()) {
            // No text of the database's has it.
            if value.contains('\0') {
                return Err(Failure::of_request(format!("{name} has a zero byte")));
            }
            // A filter may be for the empty text; its column is chosen or not.
            if name == "is" {
                if let Some(column) = filter.take() {
                    this.filters.push((column, value.into_owned()));
                }
                continue;
            }
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            let text = value.to_owned();
            match &*name {
                "table" => this.table = text,
                "column" => this.column = Some(text),
                "q" => this.q = Some(text),
                "image" => this.image = Some(text),
                "like" => this.like.push(text),
                "plus" => this.plus.push(text),
                "minus" => this.minus.push(text),
                "k" => this.k = number(&name, value, 1, MAX_K)?,
                "skip" => this.skip = number(&name, value, 0, MAX_SKIP)?,
                "min" => this.min = Some(similarity(value)?),
                "filter" => filter = Some(text),
                "sort" => this.sort = Some(text),
                "descending" => this.descending = true,
                "labels" => {
                    let labels = value.split(',').map(str::trim).filter(|label| !label.is_empty());
                    this.labels.extend(labels.map(str::to_owned));
                }
                "model" => this.model = Some(text),
                "id" => this.id = Some(text),
                "picture" => this.picture = Some(text),
                _ => {}
            }
        }
        for (what, number, most) in [
            ("terms", this.like.len() + this.plus.len() + this.minus.len(), MAX_TERMS),
            ("filters", this.filters.len(), MAX_TERMS),
            ("labels", this.labels.len(), MAX_LABELS),
        ] {
            if number > most {
                return Err(Failure::of_request(format!("{number} {what} are too many: at most {most}")));
            }
        }
        Ok(this)
    }

    /// The parameters, without those that are as they would be without them.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("table", self.table.clone())];
        let mut add = |name, value: &Option<String>| pairs.extend(value.clone().map(|value| (name, value)));
        add("column", &self.column);
        add("q", &self.q);
        add("image", &self.image);
        add("sort", &self.sort);
        add("model", &self.model);
        add("id", &self.id);
        add("picture", &self.picture);
        add("min", &self.min.map(|least| least.to_string()));
        add("k", &(self.k != K).then(|| self.k.to_string()));
        add("skip", &(self.skip != 0).then(|| self.skip.to_string()));
        add("labels", &(!self.labels.is_empty()).then(|| self.labels.join(", ")));
        add("descending", &self.descending.then(|| "1".to_owned()));
        for (name, values) in [("like", &self.like), ("plus", &self.plus), ("minus", &self.minus)] {
            pairs.extend(values.iter().map(|value| (name, value.clone())));
        }
        for (column, value) in &self.filters {
            pairs.extend([("filter", column.clone()), ("is", value.clone())]);
        }
        pairs
    }

    /// The address of a page of this search.
    pub fn link(&self, path: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.pairs());
        format!("{path}?{}", query.finish())
    }

    /// The same search, changed.
    pub fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = self.clone();
        // Whatever changes, its first page is wanted.
        other.skip = 0;
        change(&mut other);
        other
    }

    /// Whether there is anything to compare with.
    pub fn has_query(&self) -> bool {
        self.q.is_some() || self.image.is_some() || !self.like.is_empty() || !self.plus.is_empty()
    }
}

fn number(name: &str, value: &str, least: i64, most: i64) -> Result<i64, Failure> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Failure::of_request(format!("{name} is a number from {least} to {most}, and not \"{value}\"")))
}

fn similarity(value: &str) -> Result<f64, Failure> {
    let number = value.parse().ok().filter(|number| (-1.0..=1.0).contains(number));
    number.ok_or_else(|| Failure::of_request(format!("a similarity is from -1 to 1, and not \"{value}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let address = Address {
            table: "\"my photos\"".to_owned(),
            q: Some("dog & cat = ?".to_owned()),
            like: vec!["5".to_owned(), r#"{"a": 1}"#.to_owned()],
            plus: vec!["snow".to_owned()],
            minus: vec!["people".to_owned(), "ü".to_owned()],
            k: 5,
            skip: 10,
            min: Some(0.25),
            filters: vec![("place".to_owned(), "".to_owned()), ("b".to_owned(), "1".to_owned())],
            sort: Some("taken at".to_owned()),
            descending: true,
            labels: vec!["a".to_owned(), "b c".to_owned()],
            ..Address::default()
        };
        let link = address.link("/search");
        assert_eq!(Address::read(link.strip_prefix("/search?").unwrap()).unwrap(), address);
        assert_eq!(address.but(|other| other.q = None).skip, 0);
    }

    #[test]
    fn empty_fields_of_a_form_are_none() {
        let address = Address::read("table=t&q=++&image=&min=&filter=&is=x&plus=&filter=c&is=").unwrap();
        let filters = vec![("c".to_owned(), String::new())];
        assert_eq!(address, Address { table: "t".to_owned(), filters, ..Address::default() });
        assert!(!address.has_query());
    }

    #[test]
    fn nonsense_is_refused() {
        for query in ["k=0", "k=x", "k=201", "skip=-1", "min=2", "min=NaN", "q=%00"] {
            assert!(Address::read(query).is_err(), "{query}");
        }
        assert!(Address::read(&"plus=x&".repeat(17)).is_err());
        assert!(Address::read(&format!("labels={}", "x,".repeat(101))).is_err());
    }
}

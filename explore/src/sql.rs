//! A statement in two forms: with parameters, to be run, and with literals, to be shown and copied.

use crate::database::Value;
use std::sync::Arc;

/// The two forms, as they grow.
#[derive(Debug, Default)]
pub struct Sql {
    /// With `$1`, `$2` and so on.
    pub run: String,
    /// What stands for them.
    pub values: Vec<Value>,
    /// With literals.
    pub shown: String,
}

impl Sql {
    /// What is the same in both, and is trusted: SQL of ours, and names that the database has quoted.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.run.push_str(text);
        self.shown.push_str(text);
        self
    }

    /// A value of anybody's, as this type.
    pub fn value(&mut self, value: &str, type_name: &str) -> &mut Self {
        self.parameter(Value::Text(value.to_owned()), type_name);
        self.shown.push_str(&literal(value));
        self
    }

    /// The same where the literal's type would not be clear.
    pub fn typed(&mut self, value: &str, type_name: &str) -> &mut Self {
        self.value(value, type_name);
        self.shown.push_str(&format!("::{type_name}"));
        self
    }

    /// An array of texts.
    pub fn texts<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.push("ARRAY[");
        for (at, value) in values.into_iter().enumerate() {
            self.push(if at == 0 { "" } else { ", " }).value(value, "text");
        }
        self.push("]")
    }

    /// An image, which is too large to be shown.
    pub fn image(&mut self, bytes: Arc<Vec<u8>>) -> &mut Self {
        self.parameter(Value::Bytes(bytes), "bytea");
        self.shown.push_str("$1 /* the image, bytea */");
        self
    }

    fn parameter(&mut self, value: Value, type_name: &str) {
        self.values.push(value);
        self.run.push_str(&format!("${}::{type_name}", self.values.len()));
    }
}

/// A text as a literal that means the same whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!("{escape}'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut sql = Sql::default();
        sql.push("SELECT f(").value("it's", "regclass").push(", ").typed(r"a\b", "bigint").push(", ");
        sql.texts(["x", "y'"]).push(")");
        assert_eq!(sql.run, "SELECT f($1::regclass, $2::bigint, ARRAY[$3::text, $4::text])");
        assert_eq!(sql.shown, r"SELECT f('it''s', E'a\\b'::bigint, ARRAY['x', 'y'''])");
        assert_eq!(sql.values.len(), 4);
    }
}

//! A search: address and table → one statement → hits.

use crate::address::Address;
use crate::catalog::{Column, Extension, Table};
use crate::database::{Database, Notice};
use crate::error::Failure;
use crate::sql::Sql;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Weight of words that are added or, negated, subtracted.
const WEIGHT: &str = "0.5";

/// A row that was found.
pub struct Hit {
    /// The JSON of its id.
    pub id: String,
    /// To the query, if there is one and its embedding has a direction.
    pub similarity: Option<f32>,
    /// Its other columns.
    pub metadata: Map<String, Value>,
    /// The label that fits best, and its probability.
    pub label: Option<(String, f32)>,
}

/// What was found, and how.
pub struct Found {
    pub hits: Vec<Hit>,
    /// The statement with literals.
    pub sql: String,
    pub notices: Vec<Notice>,
    pub took: Duration,
}

/// What is searched: all that a statement is made of.
pub struct Search<'a> {
    pub address: &'a Address,
    pub table: &'a Table,
    pub extension: &'a Extension,
    /// Of words and of the uploaded image.
    pub model: &'a str,
    /// The uploaded image.
    pub image: Option<Arc<Vec<u8>>>,
}

impl Search<'_> {
    /// Searches; without a query, shows rows as they come.
    ///
    /// # Errors
    /// What the database says.
    pub async fn run(&self, database: &Database) -> Result<Found, Failure> {
        let sql = if self.address.has_query() { self.statement()? } else { self.browse()? };
        let started = Instant::now();
        let answer = database.run(&sql.run, &sql.values).await?;
        let took = started.elapsed();
        let hits = answer.rows.iter().map(|row| Hit {
            id: row.get(0),
            similarity: row.get(1),
            metadata: row
                .get::<_, Option<&str>>(2)
                .and_then(|json| serde_json::from_str(json).ok())
                .unwrap_or_default(),
            label: row.get::<_, Option<String>>(3).zip(row.get(4)),
        });
        let hits = hits.collect();
        Ok(Found { hits, sql: format!("{};", sql.shown), notices: answer.notices, took })
    }

    /// The similarities of a sample of `rows` rows, and the least that means something.
    pub fn sample(&self, rows: i64) -> Result<Sql, Failure> {
        let table = self.table;
        let embedding = &table.column(&table.embedding)?.quoted;
        let mut sql = Sql::default();
        sql.push(&format!(
            "SELECT {}clip_similarity(t.{embedding}::{}vector, q.query) FROM (SELECT ",
            self.extension.prefix, self.extension.vector
        ));
        self.vector(&mut sql)?;
        sql.push(&format!(" AS query) AS q, {} AS t", table.name));
        if let (true, Some(all)) = (table.can_be_sampled, table.rows.filter(|all| *all > rows)) {
            // Pages are chosen, and rows at the end cut off: a few more than wanted.
            sql.push(&format!(" TABLESAMPLE SYSTEM ({:.6})", (120.0 * rows as f64 / all as f64).min(100.0)));
        }
        sql.push(&format!(" WHERE t.{embedding} IS NOT NULL LIMIT {rows}"));
        Ok(sql)
    }

    /// The least similarity of a match, by `clip_suggest_threshold`.
    pub fn threshold(&self) -> Result<Sql, Failure> {
        let mut sql = Sql::default();
        sql.push(&format!("SELECT threshold FROM {}clip_suggest_threshold(", self.extension.prefix));
        sql.value(&self.table.name, "regclass").push(", (SELECT ");
        self.vector(&mut sql)?;
        sql.push("), embedding_column => ").value(&self.table.embedding, "name").push(")");
        Ok(sql)
    }

    fn statement(&self) -> Result<Sql, Failure> {
        let Self { address, table, extension, .. } = self;
        let key = table.key(address.id.as_deref())?;
        let has_labels = !address.labels.is_empty();
        let mut sql = Sql::default();
        sql.push("SELECT f.id::text, f.similarity, f.metadata::text");
        sql.push(if has_labels {
            ", c.label, c.probability\n"
        } else {
            ", NULL AS label, NULL::real AS probability\n"
        });
        // Of all that is similar enough, not of a page.
        let sorted = address.sort.as_ref().filter(|_| address.min.is_some() && extension.has_relevant);
        let function = if sorted.is_some() { "clip_search_relevant" } else { "clip_search" };
        sql.push(&format!("  FROM {}{function}(", extension.prefix)).value(&table.name, "regclass").push(", ");
        if let (Some(words), true) = (&address.q, self.is_words_alone()) {
            sql.value(words, "text").push(", model => ").value(self.model, "text");
        } else {
            self.vector(&mut sql)?;
        }
        sql.push(&format!(", k => {}", address.k));
        if address.skip > 0 {
            sql.push(&format!(", skip => {}", address.skip));
        }
        if let Some(least) = address.min {
            sql.push(&format!(", min_similarity => {least}"));
        }
        if !address.filters.is_empty() {
            sql.push(", filter => ").value(&self.filter(), "jsonb");
        }
        if let Some(column) = sorted {
            let order = format!("{}{} NULLS LAST", table.column(column)?.quoted, self.direction());
            sql.push(", order_by => ").value(&order, "text");
        }
        if !address.like.is_empty() {
            let ids: Result<Vec<Value>, _> = address.like.iter().map(|id| read_id(id)).collect();
            sql.push(", exclude => ").typed(&Value::Array(ids?).to_string(), "jsonb");
        }
        sql.push(", embedding_column => ").value(&table.embedding, "name");
        if address.id.is_some() || !table.columns.iter().any(|column| column.is_key) {
            sql.push(", id_column => ").value(&key[0].name, "name");
        }
        sql.push(") AS f");
        if has_labels || address.sort.is_some() {
            sql.push(&format!("\n  JOIN {} AS t ON ", table.name));
            for (at, column) in key.iter().enumerate() {
                let of_id = if key.len() == 1 { "#>> '{}'" } else { "->> " };
                sql.push(if at == 0 { "" } else { " AND " });
                sql.push(&format!("t.{} = (f.id {of_id}", column.quoted));
                if key.len() > 1 {
                    sql.value(&column.name, "text");
                }
                sql.push(&format!(")::{}", column.type_name));
            }
        }
        if has_labels {
            let embedding = &table.column(&table.embedding)?.quoted;
            sql.push(&format!(
                "\n  LEFT JOIN LATERAL (SELECT label, probability FROM {}clip_classify(t.{embedding}::{}vector, ",
                extension.prefix, extension.vector
            ));
            sql.texts(address.labels.iter().map(String::as_str)).push(", model => ").value(self.model, "text");
            sql.push(") LIMIT 1) AS c ON true");
        }
        sql.push("\n ORDER BY ");
        if let Some(column) = &address.sort {
            sql.push(&format!("t.{}{} NULLS LAST, ", table.column(column)?.quoted, self.direction()));
        }
        sql.push("f.similarity DESC");
        Ok(sql)
    }

    /// Rows as they come, or sorted.
    fn browse(&self) -> Result<Sql, Failure> {
        let Self { address, table, .. } = self;
        let key = table.key(address.id.as_deref())?;
        let mut sql = Sql::default();
        let object = |columns: &[&Column]| {
            let pairs: Vec<String> = columns.iter().map(|column| format!("t.{}", column.quoted)).collect();
            format!("(SELECT to_jsonb(j) FROM (SELECT {}) AS j)", pairs.join(", "))
        };
        let id = if let [only] = &key[..] { format!("to_jsonb(t.{})", only.quoted) } else { object(&key) };
        let others: Vec<&Column> =
            table.plain().filter(|column| !key.iter().any(|key| key.name == column.name)).collect();
        let metadata = if others.is_empty() { "'{}'".to_owned() } else { object(&others) };
        sql.push(&format!(
            "SELECT {id}::text AS id, NULL::real AS similarity, {metadata}::text AS metadata, NULL AS label, \
             NULL::real AS probability\n  FROM {} AS t",
            table.name
        ));
        for (at, (name, value)) in address.filters.iter().enumerate() {
            let column = table.column(name)?;
            sql.push(if at == 0 { "\n WHERE " } else { " AND " });
            sql.push(&format!("t.{} = ", column.quoted)).value(value, &column.type_name);
        }
        if let Some(column) = &address.sort {
            sql.push(&format!("\n ORDER BY t.{}{} NULLS LAST", table.column(column)?.quoted, self.direction()));
        }
        sql.push(&format!("\n LIMIT {} OFFSET {}", address.k, address.skip));
        Ok(sql)
    }

    fn direction(&self) -> &'static str {
        if self.address.descending { " DESC" } else { "" }
    }

    fn is_words_alone(&self) -> bool {
        let Address { image, like, plus, minus, .. } = self.address;
        image.is_none() && like.is_empty() && plus.is_empty() && minus.is_empty()
    }

    /// The embedding of the query: one term, or several that are combined.
    fn vector(&self, sql: &mut Sql) -> Result<(), Failure> {
        let Self { address, extension, .. } = self;
        let half = |term: &String| (term.clone(), WEIGHT.to_owned());
        let negative = |term: &String| (term.clone(), format!("-{WEIGHT}"));
        let words = address.q.iter().map(|words| (words.clone(), "1".to_owned()));
        let words: Vec<(String, String)> =
            words.chain(address.plus.iter().map(half)).chain(address.minus.iter().map(negative)).collect();
        let rows = address.like.len();
        let images = usize::from(address.image.is_some());
        let is_one = rows + images + words.len() == 1;
        if !is_one {
            sql.push(&format!("{}clip_combine(ARRAY[", extension.prefix));
        }
        let mut weights = Vec::new();
        let mut next = |sql: &mut Sql, weight: &str| {
            if !weights.is_empty() {
                sql.push(", ");
            }
            weights.push(weight.to_owned());
        };
        for id in &address.like {
            next(sql, "1");
            self.row(sql, id)?;
        }
        if let Some(hash) = &address.image {
            next(sql, "1");
            let Some(image) = &self.image else {
                return Err(Failure::missing(format!("the image {hash} is no longer there"))
                    .with("Drop it on the page once more."));
            };
            sql.push(&format!("{}clip_embed_image(", extension.prefix)).image(image.clone());
            sql.push(", ").value(self.model, "text").push(")");
        }
        for (term, weight) in &words {
            next(sql, weight);
            sql.push(&format!("{}clip_embed_text(", extension.prefix)).value(term, "text");
            sql.push(", ").value(self.model, "text").push(")");
        }
        if !is_one {
            sql.push(&format!("], ARRAY[{}]::float8[])", weights.join(", ")));
        }
        Ok(())
    }

    /// The embedding of a row.
    fn row(&self, sql: &mut Sql, id: &str) -> Result<(), Failure> {
        let table = self.table;
        let embedding = &table.column(&table.embedding)?.quoted;
        sql.push(&format!("(SELECT t.{embedding}::{}vector FROM {} AS t WHERE ", self.extension.vector, table.name));
        self.is_row(sql, id)?;
        sql.push(")");
        Ok(())
    }

    /// The condition that a row is the one with this id.
    pub fn is_row(&self, sql: &mut Sql, id: &str) -> Result<(), Failure> {
        let key = self.table.key(self.address.id.as_deref())?;
        let id_value = read_id(id)?;
        for (at, column) in key.iter().enumerate() {
            let value = if key.len() == 1 { Some(&id_value) } else { id_value.get(&column.name) };
            let value = match value {
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
                _ => return Err(Failure::of_request(format!("{id} is no id of a row of {}", self.table.name))),
            };
            sql.push(if at == 0 { "" } else { " AND " });
            sql.push(&format!("t.{} = ", column.quoted)).value(&value, &column.type_name);
        }
        Ok(())
    }

    fn filter(&self) -> String {
        let mut filter = Map::new();
        for (column, value) in &self.address.filters {
            // Two values of one column: either will do.
            match filter.get_mut(column) {
                None => drop(filter.insert(column.clone(), Value::String(value.clone()))),
                Some(Value::Array(values)) => values.push(Value::String(value.clone())),
                Some(one) => *one = Value::Array(vec![one.take(), Value::String(value.clone())]),
            }
        }
        Value::Object(filter).to_string()
    }
}

fn read_id(id: &str) -> Result<Value, Failure> {
    serde_json::from_str(id)
        .map_err(|_| Failure::of_request(format!("{id} is no id: it is JSON, as clip_search returns it")))
}

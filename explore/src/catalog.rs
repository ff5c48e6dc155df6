//! What there is to search: tables with embeddings that the role may read, and what has to be known of one.

use crate::database::{Database, Value};
use crate::error::Failure;

/// Where the functions are, and how to call them from here.
pub struct Extension {
    /// Empty, or the schema with a dot, where it is not in the search path.
    pub prefix: String,
    /// The same of pgvector's types.
    pub vector: String,
    /// Whether it has `clip_search_relevant`, as it has since 0.2.0.
    pub has_relevant: bool,
}

/// A column of embeddings, in the list of all.
pub struct Listed {
    /// The table, as `regclass` writes it.
    pub table: String,
    /// The column's name.
    pub column: String,
    /// Rows as of the last ANALYZE, if there was any.
    pub rows: Option<i64>,
    /// Numbers of each embedding, where the type says so.
    pub dimension: Option<i32>,
    /// The comment on the table.
    pub comment: Option<String>,
    /// Whether the table has an index for vectors.
    pub has_index: bool,
}

/// A column of the table that is searched.
pub struct Column {
    /// Its name.
    pub name: String,
    /// The same as SQL has to write it.
    pub quoted: String,
    /// Its type, as SQL writes it.
    pub type_name: String,
    /// Whether values may be compared with what somebody types.
    pub is_plain: bool,
    /// Whether the role may read it.
    pub is_readable: bool,
    /// Whether it is part of the key.
    pub is_key: bool,
}

/// The table that is searched.
pub struct Table {
    /// As `regclass` writes it, which is also how SQL writes it.
    pub name: String,
    /// In the order of the table.
    pub columns: Vec<Column>,
    /// The column of embeddings.
    pub embedding: String,
    /// Numbers of each embedding, where the type says so.
    pub dimension: Option<i32>,
    /// Rows as of the last ANALYZE, if there was any.
    pub rows: Option<i64>,
    /// Whether a part of its pages can be read.
    pub can_be_sampled: bool,
    /// The model that a generated column's expression names.
    pub generated_by: Option<String>,
}

/// Columns of embeddings. Partitions are found through their table.
const LISTED: &str = "
SELECT c.oid::regclass::text, a.attname::text, CASE WHEN c.reltuples > 0 THEN c.reltuples::bigint END,
       CASE WHEN a.atttypmod > 0 THEN a.atttypmod END, obj_description(c.oid, 'pg_class'),
       EXISTS (SELECT FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_am AS m ON m.oid = x.relam
                WHERE i.indrelid = c.oid AND i.indisvalid AND m.amname NOT IN ('btree', 'hash', 'gin', 'gist', 'brin', 'spgist'))
  FROM pg_class AS c
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type AS t ON t.oid = a.atttypid
 WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f') AND NOT c.relispartition AND t.typname IN ('vector', 'halfvec')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
   AND has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, a.attnum, 'SELECT')
 ORDER BY 1, 2
 LIMIT 1000";

const EXTENSION: &str = "
SELECT CASE WHEN n.nspname = ANY (current_schemas(true)) THEN '' ELSE quote_ident(n.nspname) || '.' END,
       EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = n.oid AND p.proname = 'clip_search_relevant')
  FROM unnest(ARRAY['clip_search', 'vector']) WITH ORDINALITY AS wanted (name, at)
  JOIN pg_extension AS e ON e.extname = wanted.name
  JOIN pg_namespace AS n ON n.oid = e.extnamespace
 ORDER BY at";

const TABLE: &str = "
SELECT c.oid::regclass::text, CASE WHEN c.reltuples > 0 THEN c.reltuples::bigint END, c.relkind IN ('r', 'p', 'm')
  FROM pg_class AS c WHERE c.oid = to_regclass($1)";

/// The key is the primary one, or else a unique index of one column that is never NULL.
const COLUMNS: &str = "
SELECT a.attname::text, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), t.typname::text,
       t.typcategory IN ('S', 'N', 'D', 'B', 'E', 'T', 'I') OR t.typname IN ('uuid'),
       has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
       COALESCE(a.attnum = ANY (k.indkey::int2[]), false),
       CASE WHEN a.atttypmod > 0 THEN a.atttypmod END,
       CASE WHEN a.attgenerated <> '' THEN
           substring(pg_get_expr(d.adbin, d.adrelid), 'clip_embed_(?:image|text)[(].*, ''([^'']+)''::text[)]') END
  FROM pg_attribute AS a
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN LATERAL (
       SELECT i.indkey FROM pg_index AS i JOIN pg_attribute AS first ON first.attrelid = i.indrelid AND first.attnum = i.indkey[0]
        WHERE i.indrelid = a.attrelid AND i.indisvalid AND (i.indisprimary
              OR i.indisunique AND i.indnatts = 1 AND first.attnotnull AND i.indpred IS NULL AND i.indexprs IS NULL)
        ORDER BY NOT i.indisprimary, i.indexrelid LIMIT 1) AS k ON true
 WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum";

/// Where the extension is.
///
/// # Errors
/// It is not in this database.
pub async fn extension(database: &Database) -> Result<Extension, Failure> {
    let rows = database.run(EXTENSION, &[]).await?.rows;
    let [prefix, vector] = &rows[..] else {
        return Err(Failure::missing(format!("there is no clip_search in the database \"{}\"", database.name()))
            .with("As a superuser: CREATE EXTENSION clip_search CASCADE;"));
    };
    Ok(Extension { prefix: prefix.get(0), vector: vector.get(0), has_relevant: prefix.get(1) })
}

/// All columns of embeddings.
///
/// # Errors
/// What the database says.
pub async fn listed(database: &Database) -> Result<Vec<Listed>, Failure> {
    let rows = database.run(LISTED, &[]).await?.rows;
    let listed = rows.iter().map(|row| Listed {
        table: row.get(0),
        column: row.get(1),
        rows: row.get(2),
        dimension: row.get(3),
        comment: row.get(4),
        has_index: row.get(5),
    });
    Ok(listed.collect())
}

/// The models that give vectors of this dimension, the default one first.
///
/// # Errors
/// What the database says.
pub async fn models(
    database: &Database,
    extension: &Extension,
    dimension: Option<i32>,
) -> Result<Vec<String>, Failure> {
    let statement = format!(
        "SELECT name FROM {}clip_models() WHERE error IS NULL AND dimension = COALESCE($1::integer, dimension) \
         ORDER BY NOT is_default, name",
        extension.prefix
    );
    let dimension = dimension.map(|dimension| dimension.to_string()).unwrap_or_default();
    let statement = statement.replace("$1::integer", "NULLIF($1, '')::integer");
    Ok(database.run(&statement, &[Value::Text(dimension)]).await?.rows.iter().map(|row| row.get(0)).collect())
}

impl Table {
    /// The table of this name, with the column of embeddings that is asked for, or its first.
    ///
    /// # Errors
    /// There is none, or it has no such column.
    pub async fn find(database: &Database, name: &str, embedding: Option<&str>) -> Result<Self, Failure> {
        let name = [Value::Text(name.to_owned())];
        let found = database.run(TABLE, &name).await?.rows;
        let Some(table) = found.first() else {
            let Value::Text(name) = &name[0] else { unreachable!("a text") };
            return Err(Failure::missing(format!("there is no table {name}")));
        };
        let rows = database.run(COLUMNS, &name).await?.rows;
        let mut of_embedding = rows.iter().filter(|row| ["vector", "halfvec"].contains(&row.get::<_, &str>(3)));
        let column = of_embedding.find(|row| embedding.is_none_or(|name| row.get::<_, &str>(0) == name));
        let Some(column) = column else {
            let table: &str = table.get(0);
            return Err(Failure::missing(match embedding {
                Some(name) => format!("{table} has no column \"{name}\" of type vector or halfvec"),
                None => format!("{table} has no column of type vector or halfvec"),
            }));
        };
        Ok(Self {
            name: table.get(0),
            rows: table.get(1),
            can_be_sampled: table.get(2),
            embedding: column.get(0),
            dimension: column.get(7),
            generated_by: column.get(8),
            columns: rows
                .iter()
                .map(|row| Column {
                    name: row.get(0),
                    quoted: row.get(1),
                    type_name: row.get(2),
                    is_plain: row.get(4),
                    is_readable: row.get(5),
                    is_key: row.get(6),
                })
                .collect(),
        })
    }

    /// A column by its name.
    ///
    /// # Errors
    /// There is none that the role may read.
    pub fn column(&self, name: &str) -> Result<&Column, Failure> {
        let found = self.columns.iter().find(|column| column.name == name && column.is_readable);
        found.ok_or_else(|| Failure::missing(format!("{} has no column \"{name}\" that you may read", self.name)))
    }

    /// The columns of the ids: the one that is asked for, or the key's, or one that is called id.
    ///
    /// # Errors
    /// There is none.
    pub fn key(&self, wanted: Option<&str>) -> Result<Vec<&Column>, Failure> {
        if let Some(name) = wanted {
            return Ok(vec![self.column(name)?]);
        }
        let key: Vec<&Column> = self.columns.iter().filter(|column| column.is_key).collect();
        if !key.is_empty() {
            return Ok(key);
        }
        let id = self.column("id").map_err(|_| {
            Failure::of_request(format!("{} has no primary key and no column \"id\"", self.name))
                .with("Choose the column that tells rows apart, under \"Columns and model\".")
        })?;
        Ok(vec![id])
    }

    /// The column of images, if there is any: the one that is asked for, or the first whose name speaks of one.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn picture(&self, wanted: Option<&str>) -> Result<Option<&Column>, Failure> {
        if let Some(name) = wanted {
            return self.column(name).map(Some);
        }
        let is_named =
            |column: &Column| ["image", "photo", "picture", "thumb"].iter().any(|part| column.name.contains(part));
        let pictures: Vec<&Column> = self.pictures().collect();
        Ok(pictures.iter().find(|column| is_named(column)).or(pictures.first()).copied())
    }

    /// The columns that may hold images.
    pub fn pictures(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.type_name == "bytea" && column.is_readable)
    }

    /// The columns that can be filtered and sorted by.
    pub fn plain(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_plain && column.is_readable)
    }

    /// The column that says what a row is: of those that usually do, or the first text.
    pub fn caption(&self) -> Option<&str> {
        const NAMES: [&str; 7] = ["name", "title", "caption", "filename", "file_name", "path", "url"];
        let named = NAMES.iter().find_map(|name| self.plain().find(|column| column.name == *name));
        let is_text =
            |column: &&Column| ["text", "character varying"].iter().any(|name| column.type_name.starts_with(name));
        named.or_else(|| self.plain().find(is_text)).map(|column| column.name.as_str())
    }
}

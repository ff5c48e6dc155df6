//! Words and vectors together: the ranks of a row in several searches, joined by reciprocal rank fusion (Cormack, Clarke and
//! Büttcher, 2009).
//!
//! ```sql
//! WITH near AS MATERIALIZED (the nearest rows, by the vector index …),
//!      a AS (SELECT …, row_number() … AS place FROM near WHERE similarity >= $5),
//!      b AS (SELECT …, row_number() … AS place FROM (SELECT … FROM the_table AS t WHERE words @@ query …) …),
//!      c AS (the same with pg_trgm's word similarity)
//! SELECT id, score, similarity, a.place, b.place, c.place, metadata
//!   FROM a FULL JOIN b ON a.k0 = b.k0 FULL JOIN c ON COALESCE(a.k0, b.k0) = c.k0
//!  ORDER BY score DESC LIMIT k OFFSET skip
//! ```
//!
//! Among rows that words find equally well the more similar one comes first. A row without an embedding is found by its
//! words.

use super::parameters::Parameters;
use super::shards::Exact;
use super::statement::{
    COSINE, Options, Statement, conditions, distance, id, metadata, nearest, object, search, shown, similarity,
};
use super::table::{Column, Table, Words};
use crate::errors::{ArgumentError, Result};
use crate::result_rows::Rows;
use crate::spi::{self, Argument, LocalSettings};
use crate::vector;
use pgrx::pg_sys::{self, Oid};

/// What the ranks of all searches are raised by, as in the paper.
const RANK_CONSTANT: u32 = 60;

/// Where pg_trgm is, for those who may use it.
const TRIGRAMS: &str = "
SELECT quote_ident(n.nspname) FROM pg_extension AS x JOIN pg_namespace AS n ON n.oid = x.extnamespace
 WHERE x.extname = 'pg_trgm' AND has_schema_privilege(n.oid, 'USAGE')";

/// A page of a hybrid search. [`Options::k`] is for how many rows each search gives, without any skipped.
pub struct Hybrid {
    /// The words that are searched for.
    pub query: String,
    /// The columns that have words.
    pub text_columns: Vec<String>,
    /// Most rows.
    pub k: i32,
    /// Rows left out at the beginning.
    pub skip: i32,
    /// What a rank of the nearest rows counts; above 0.
    pub similarity_weight: f64,
    /// What a rank of full text search counts; 0 leaves it out.
    pub words_weight: f64,
    /// What a rank of pg_trgm counts. `None`: 1, where it can be used.
    pub trigrams_weight: Option<f64>,
    /// The text search configuration.
    pub config: Oid,
}

/// A hybrid search whose columns were found.
pub struct Resolved<'a> {
    hybrid: &'a Hybrid,
    columns: Vec<(&'a Column, Words)>,
    /// pg_trgm's schema, quoted, and what a rank counts.
    trigrams: Option<(String, f64)>,
}

impl Hybrid {
    /// Looks for the columns, and for pg_trgm.
    ///
    /// # Errors
    /// [`ArgumentError::Empty`], [`ArgumentError::NoSuchColumn`], [`ArgumentError::NotText`], [`ArgumentError::NoTrigrams`],
    /// [`ArgumentError::NoTextForTrigrams`].
    pub fn resolve<'a>(&'a self, table: &'a Table) -> Result<Resolved<'a>> {
        if self.text_columns.is_empty() {
            return Err(ArgumentError::Empty { name: "text_columns" }.into());
        }
        let column = |name: &String| {
            let column = table.column(name)?;
            let not_text =
                || ArgumentError::NotText { column: column.name.clone(), found: column.type_name.clone() }.into();
            column.words().map(|words| (column, words)).ok_or_else(not_text)
        };
        let columns: Vec<_> = self.text_columns.iter().map(column).collect::<Result<_>>()?;
        let has_text = columns.iter().any(|(_, words)| *words != Words::Parsed);
        let trigrams = match self.trigrams_weight {
            Some(0.0) => None,
            Some(_) if !has_text => return Err(ArgumentError::NoTextForTrigrams.into()),
            None if !has_text => None,
            weight => match (schema_of_trigrams()?, weight) {
                (None, Some(_)) => return Err(ArgumentError::NoTrigrams.into()),
                (schema, weight) => schema.map(|schema| (schema, weight.unwrap_or(1.0))),
            },
        };
        Ok(Resolved { hybrid: self, columns, trigrams })
    }
}

fn schema_of_trigrams() -> Result<Option<String>> {
    let _settings = LocalSettings::with_catalog_only();
    Ok(spi::select_catalog(TRIGRAMS, &[], |row| Ok(row.text(1)))?.into_iter().flatten().next())
}

/// Adds a page to the rows of the call: id, score, similarity, the ranks by similarity, words and trigrams, metadata.
///
/// # Errors
/// [`ArgumentError`].
pub fn hybrid(table: &Table, query: &[f32], options: &Options, hybrid: &Resolved, rows: &mut Rows) -> Result<()> {
    let run = |statement: Statement, is_last: bool| {
        let Statement { text, parameters, allowed, .. } = &statement;
        let mut exact = Exact::None;
        spi::select_kept(allowed, text.clone(), &parameters.0, |row| {
            if !is_last {
                exact = statement.exact_after(row.number(8).unwrap_or(0), options, || row.text(10));
            }
            if exact == Exact::None && row.is_true(9) {
                rows.push(|| [1, 2, 3, 4, 5, 6, 7].map(|column| row.datum(column)));
            }
            Ok(())
        })?;
        Ok(exact)
    };
    search(table, |exact| hybrid.compose(table, query, options, exact), run)
}

/// A search whose ranks count.
struct List {
    /// The alias of its rows.
    name: &'static str,
    /// The query of its rows: the columns of [`nearest`], and `place`.
    text: String,
    /// The parameter that says what a rank counts.
    weight: String,
}

impl Resolved<'_> {
    fn compose(&self, table: &Table, query: &[f32], options: &Options, exact: &Exact) -> Result<Statement> {
        let key = table.key(options.id_column.as_deref())?;
        if let Some(column) = key.iter().find(|column| !column.is_sortable()) {
            let (column, found) = (column.name.clone(), column.type_name.clone());
            return Err(ArgumentError::NotAKey { column, found }.into());
        }
        let metadata = metadata(table, &key, options)?;
        let Statement { text: nearest, mut parameters, allowed, has_index, is_sharded, candidates } =
            nearest(table, query, options, &[], exact)?;

        let least = parameters.add(Argument::double(options.min_similarity.unwrap_or(-1.0)));
        let weight = parameters.add(Argument::double(self.hybrid.similarity_weight));
        // As the similarity is shown, so that a row's own similarity does not leave it out.
        let text = format!(
            "SELECT n.*, pg_catalog.row_number() OVER (ORDER BY n.distance) AS place FROM near AS n \
             WHERE n.similarity OPERATOR(pg_catalog.>=) {least}::pg_catalog.float4"
        );
        let mut lists = vec![List { name: "a", text, weight }];
        lists.extend(self.lists_of_words(table, query, options, &mut parameters)?);

        let aliases: Vec<&str> = lists.iter().map(|list| list.name).collect();
        let first_of = |column: &str, aliases: &[&str]| {
            let all: Vec<String> = aliases.iter().map(|alias| format!("{alias}.{column}")).collect();
            format!("COALESCE({})", all.join(", "))
        };
        let mut joined = "a".to_owned();
        for at in 1..aliases.len() {
            let equal = |(number, column): (usize, &&Column)| -> Result<String> {
                let (left, name) = (first_of(&format!("k{number}"), &aliases[..at]), aliases[at]);
                Ok(format!("{left} {} {name}.k{number}", column.equals()?))
            };
            let equal: Vec<String> = key.iter().enumerate().map(equal).collect::<Result<_>>()?;
            joined = format!("{joined} FULL JOIN {} ON {}", aliases[at], equal.join(" AND "));
        }
        let mut columns: Vec<String> = (0..key.len()).map(|at| format!("k{at}")).collect();
        columns.extend((0..metadata.len()).map(|at| format!("m{at}")));
        columns.push("distance".to_owned());
        let columns: Vec<String> =
            columns.iter().map(|column| format!("{} AS {column}", first_of(column, &aliases))).collect();
        let place = |name: &'static str| match aliases.contains(&name) {
            true => format!("{name}.place"),
            false => "NULL::pg_catalog.int8".to_owned(),
        };
        let counts = lists.iter().map(|List { name, weight, .. }| {
            format!(
                "COALESCE({weight}::pg_catalog.float8 OPERATOR(pg_catalog./) \
                 ({RANK_CONSTANT} OPERATOR(pg_catalog.+) {name}.place)::pg_catalog.float8, 0)"
            )
        });
        let (limit, offset) =
            (parameters.add(Argument::int(self.hybrid.k)), parameters.add(Argument::int(self.hybrid.skip)));
        let with: Vec<String> = lists.iter().map(|list| format!("{} AS ({})", list.name, list.text)).collect();
        let text = format!(
            "WITH near AS MATERIALIZED (SELECT c.*, {} AS similarity FROM ({nearest}) AS c), {} \
             SELECT {} AS id, found.score, {} AS similarity, found.place_a, found.place_b, found.place_c, {} AS metadata, \
             s.n, found.is_there, s.short \
             FROM (SELECT pg_catalog.count(*) AS n, {} AS short FROM near) AS s \
             LEFT JOIN (SELECT {}, {} AS place_a, {} AS place_b, {} AS place_c, {} AS score, true AS is_there FROM {joined} \
             ORDER BY score DESC, distance LIMIT {limit} OFFSET {offset}) AS found ON true \
             ORDER BY found.score DESC, found.distance",
            similarity("c"),
            with.join(", "),
            id(&key),
            similarity("found"),
            object("m", &metadata),
            if is_sharded { "pg_catalog.min(near.short)" } else { "NULL::pg_catalog.text" },
            columns.join(", "),
            place("a"),
            place("b"),
            place("c"),
            counts.collect::<Vec<_>>().join(" OPERATOR(pg_catalog.+) "),
        );
        Ok(Statement { text, parameters, allowed, has_index, is_sharded, candidates })
    }

    /// What full text search and pg_trgm find.
    fn lists_of_words(
        &self,
        table: &Table,
        query: &[f32],
        options: &Options,
        parameters: &mut Parameters,
    ) -> Result<Vec<List>> {
        let Self { hybrid, columns, trigrams } = self;
        let (column, embeddings) = table.embedding_column(options.embedding_column.as_deref())?;
        let key = table.key(options.id_column.as_deref())?;
        let metadata = metadata(table, &key, options)?;
        // SAFETY: as in `nearest`.
        let vector = parameters.add(unsafe { Argument::of_type(embeddings.vector_type, vector::to_datum(query)?) });
        let query = parameters.add(Argument::text(&hybrid.query));
        let rows = parameters.add(Argument::int(options.k));
        let (conditions, _) = conditions(table, &key, options, parameters)?;
        let mut shown = shown(&key, &metadata);
        shown.push(format!("{} AS distance", distance(column, embeddings, COSINE, &vector)));
        let shown = shown.join(", ");
        let list = |is_found: &str, rank: &str| {
            let conditions: Vec<&str> = [is_found].into_iter().chain(conditions.iter().map(String::as_str)).collect();
            format!(
                "SELECT w.*, pg_catalog.row_number() OVER (ORDER BY w.rank DESC, w.distance) AS place FROM \
                 (SELECT {shown}, {rank} AS rank FROM {} AS t WHERE {} ORDER BY rank DESC, distance LIMIT {rows}) AS w",
                table.name,
                conditions.join(" AND ")
            )
        };

        let mut lists = Vec::new();
        if hybrid.words_weight > 0.0 {
            let config = format!("'{}'::pg_catalog.regconfig", hybrid.config.to_u32());
            let parsed = |(column, words): &(&Column, Words)| match words {
                Words::Parsed => format!("t.{}", column.quoted),
                _ => format!("pg_catalog.to_tsvector({config}, {})", text(column, *words)),
            };
            let document = match &columns[..] {
                // The very expression that an index may have.
                [one] => parsed(one),
                all => {
                    let parts: Vec<String> =
                        all.iter().map(|column| format!("COALESCE({}, '')", parsed(column))).collect();
                    format!("({})", parts.join(" OPERATOR(pg_catalog.||) "))
                }
            };
            let query = format!("pg_catalog.websearch_to_tsquery({config}, {query})");
            let is_found = format!("{document} OPERATOR(pg_catalog.@@) {query}");
            // 1: divided by 1 + the logarithm of the document's length.
            let text = list(&is_found, &format!("pg_catalog.ts_rank({document}, {query}, 1)"));
            lists.push(List { name: "b", text, weight: parameters.add(Argument::double(hybrid.words_weight)) });
        }
        if let Some((schema, weight)) = trigrams {
            let texts = columns.iter().filter(|(_, words)| *words != Words::Parsed);
            let texts: Vec<String> = texts.map(|(column, words)| text(column, *words)).collect();
            let all = |each: &dyn Fn(&String) -> String, between: &str| {
                texts.iter().map(each).collect::<Vec<_>>().join(between)
            };
            let is_found = all(&|text| format!("{text} OPERATOR({schema}.%>) {query}"), " OR ");
            let rank = all(&|text| format!("{schema}.word_similarity({query}, {text})"), ", ");
            let text = list(&format!("({is_found})"), &format!("GREATEST({rank})"));
            lists.push(List { name: "c", text, weight: parameters.add(Argument::double(*weight)) });
        }
        Ok(lists)
    }
}

/// A column's text.
fn text(column: &Column, words: Words) -> String {
    match words {
        Words::List => format!("pg_catalog.array_to_string(t.{}::pg_catalog.text[], ' ')", column.quoted),
        _ => format!("t.{}::pg_catalog.text", column.quoted),
    }
}

/// The text search configuration of the session.
///
/// # Errors
/// None of its own; Postgres raises where the setting names none.
pub fn current_config() -> Oid {
    // SAFETY: looks at a setting, and at the catalog.
    unsafe { pg_sys::getTSCurrentConfig(true) }
}

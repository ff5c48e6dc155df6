//! `clip_index_stats`: what a table's embeddings and their indexes are like.
//!
//! ```text
//! argument  0    1                 2
//!           tbl  embedding_column  exact
//! ```

use super::arguments::{Arguments, required};
use super::{generated_model, sql_function};
use crate::errors::Result;
use crate::search::{Index, Table};
use crate::spi::{self, Allowed, Argument, LocalSettings};
use pgrx::pg_sys::Datum;

sql_function!(clip_index_stats, pg_finfo_clip_index_stats, index_stats);

/// The catalog's part, `$1` the table and `$2` the column's name. A generated column names its model in its expression.
const CATALOG: &str = concat!(
    "
SELECT jsonb_build_object(
         'table', $1::oid::regclass::text, 'column', a.attname, 'type', t.typname,
         'dimension', nullif(a.atttypmod, -1),
         'metric', (SELECT i.metric FROM indexes AS i LIMIT 1),
         'model', ",
    generated_model!(),
    ",
         'table_bytes', pg_total_relation_size($1)
                        + COALESCE((SELECT sum(pg_total_relation_size(p.relid))
                                      FROM pg_partition_tree($1) AS p WHERE p.relid <> $1), 0),
         -- While CREATE INDEX runs, others do not see the index yet, and here see how far it is.
         'builds', COALESCE((SELECT jsonb_agg(jsonb_build_object(
                                        'index', b.index_relid::regclass::text, 'phase', b.phase,
                                        'tuples_done', b.tuples_done, 'tuples_total', b.tuples_total,
                                        'blocks_done', b.blocks_done, 'blocks_total', b.blocks_total))
                               FROM pg_stat_progress_create_index AS b
                              WHERE b.relid = $1 OR b.relid IN (SELECT p.relid FROM pg_partition_tree($1) AS p)), '[]'),
         'indexes', COALESCE((SELECT jsonb_agg(to_jsonb(i) ORDER BY i.name) FROM indexes AS i), '[]'))
  FROM pg_attribute AS a
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = $1 AND a.attname = $2"
);

/// Those that clip_search uses, `$3`. Each type has an operator class of each metric, named after it.
const INDEXES: &str = "
WITH indexes AS (
    SELECT c.oid::regclass::text AS name, am.amname AS method, o.opcname AS operator_class,
           CASE substring(o.opcname FROM '_(cosine|l2|ip|l1|hamming)_ops$')
               WHEN 'cosine' THEN 'cosine' WHEN 'l2' THEN 'euclidean' WHEN 'ip' THEN 'inner product'
               WHEN 'l1' THEN 'taxicab' WHEN 'hamming' THEN 'hamming' END AS metric,
           pg_get_indexdef(c.oid, 1, false) AS expression,
           pg_relation_size(c.oid)
               + COALESCE((SELECT sum(pg_relation_size(p.relid))
                             FROM pg_partition_tree(c.oid) AS p WHERE p.relid <> c.oid), 0) AS bytes,
           c.reloptions AS options
      FROM pg_index AS i
      JOIN pg_class AS c ON c.oid = i.indexrelid
      JOIN pg_am AS am ON am.oid = c.relam
      JOIN pg_opclass AS o ON o.oid = i.indclass[0]
     WHERE i.indexrelid = ANY ($3::oid[])
)";

fn index_stats(call: Arguments) -> Result<Option<Datum>> {
    let table = Table::known(required(call.oid(0), "tbl")?)?;
    let exact = required(call.boolean(2), "exact")?;
    let (column, embeddings) = table.embedding_column(call.name(1).as_deref())?;
    // Where there are several, all that are ordered by in the same way: the planner takes any of them.
    let used = embeddings.index(embeddings.dimension);
    let is_used =
        |index: &&Index| used.is_some_and(|used| (used.kind, &used.operator) == (index.kind, &index.operator));
    let indexes: Vec<String> =
        embeddings.indexes.iter().filter(is_used).map(|index| index.id.to_u32().to_string()).collect();
    let indexes = format!("{{{}}}", indexes.join(","));
    let arguments = [Argument::oid(table.id), Argument::text(&column.name), Argument::text(&indexes)];
    let catalog = {
        let _settings = LocalSettings::with_catalog_only();
        let estimate = if exact { "'{}'" } else { ESTIMATE };
        spi::value::<i64>(&Allowed::default(), &format!("{INDEXES} SELECT ({CATALOG}) || ({estimate})"), &arguments).0
    };
    // Reads the table, for which the caller's search path may matter: row security may call functions.
    let mut parts = Vec::new();
    if exact {
        parts.push(format!(
            "(SELECT pg_catalog.jsonb_build_object('rows', c.n, 'embeddings', c.e, 'exact', true,
                     'without_embedding', c.n OPERATOR(pg_catalog.-) c.e)
                FROM (SELECT pg_catalog.count(*) AS n, pg_catalog.count((t.{} IS NULL) OR NULL) AS missing FROM {} AS t) AS x,
                     LATERAL (SELECT x.n, x.n OPERATOR(pg_catalog.-) x.missing AS e) AS c)",
            column.quoted, table.name
        ));
    }
    // A column without a dimension takes vectors of any; the first one tells.
    if embeddings.dimension.is_none() {
        parts.push(format!(
            "COALESCE((SELECT pg_catalog.jsonb_build_object('dimension', {}.vector_dims(t.{1})) FROM {2} AS t
                        WHERE t.{1} IS NOT NULL LIMIT 1), '{{}}')",
            embeddings.schema, column.quoted, table.name
        ));
    }
    let Some(catalog) = catalog else { return Ok(None) };
    // SAFETY: made above, in this call's memory.
    let mut arguments = vec![unsafe { Argument::jsonb(catalog) }];
    let mut whole = "$1".to_owned();
    for part in parts {
        let Some(part) = spi::value::<i64>(&table.allowed(), &format!("SELECT {part}"), &[]).0 else { continue };
        // SAFETY: as above.
        arguments.push(unsafe { Argument::jsonb(part) });
        whole.push_str(&format!(" OPERATOR(pg_catalog.||) ${}", arguments.len()));
    }
    Ok(spi::value::<i64>(&Allowed::default(), &format!("SELECT {whole}"), &arguments).0)
}

/// What VACUUM and ANALYZE have counted; -1 rows is never.
const ESTIMATE: &str = "
SELECT jsonb_build_object('rows', s.n, 'embeddings', (s.n * (1 - s.nulls))::bigint,
                          'without_embedding', (s.n * s.nulls)::bigint, 'exact', false)
  FROM (SELECT nullif(greatest(c.reltuples, -1), -1)::bigint AS n,
               (SELECT max(p.null_frac) FROM pg_stats AS p
                 WHERE p.schemaname = n.nspname AND p.tablename = c.relname AND p.attname = $2) AS nulls
          FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1) AS s";

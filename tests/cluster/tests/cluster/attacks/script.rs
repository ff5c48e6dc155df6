//! What was planted before the extension was created.

use super::{MALLORY, assert_nothing_gained, number};
use cluster_tests::{Cluster, DIMENSION, embed_text};
use postgres::Client;

/// What the script could take for PostgreSQL's own: operators that fit better, functions, types.
fn plant(client: &mut Client, schema: &str) {
    client.batch_execute("SET ROLE mallory").unwrap();
    for (operator, left, right) in [
        ("=", "oid", "integer"),
        ("=", "oid", "regclass"),
        ("=", "regclass", "oid"),
        ("=", "regclass", "regclass"),
        ("=", "name", "character varying"),
        ("=", "\"char\"", "text"),
        ("=", "text", "name"),
        ("=", "smallint", "bigint"),
        ("<>", "\"char\"", "text"),
        ("<>", "text", "name"),
        ("-", "timestamptz", "text"),
        ("~", "name", "name"),
    ] {
        client
            .batch_execute(&format!(
                "CREATE OR REPLACE FUNCTION {schema}.planted({left}, {right}) RETURNS boolean LANGUAGE plpgsql AS
                     $$ BEGIN INSERT INTO own.calls VALUES (current_user, 'operator'); RETURN true; END $$;
                 CREATE OPERATOR {schema}.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {schema}.planted)"
            ))
            .unwrap_or_else(|error| panic!("{operator} {left} {right}: {error:?}"));
    }
    client
        .batch_execute(&format!(
            "CREATE DOMAIN {schema}.regclass AS text; CREATE DOMAIN {schema}.uuid AS text; CREATE DOMAIN {schema}.bytea AS text;
             CREATE TABLE {schema}.pg_class (oid oid, relpersistence \"char\", relname name);
             CREATE VIEW {schema}.pg_stat_activity AS SELECT 1 AS pid;
             CREATE FUNCTION {schema}.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
             CREATE FUNCTION {schema}.has_table_privilege(regclass, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
             CREATE FUNCTION {schema}.row_security_active(regclass) RETURNS boolean LANGUAGE sql AS 'SELECT false';
             RESET ROLE"
        ))
        .unwrap_or_else(|error| panic!("{error:?}"));
}

/// What the extension's objects, and what belongs to these, need beyond PostgreSQL's own, pgvector and themselves. pg_depend
/// has what rules, defaults, checks, indexes and triggers refer to; functions are in C.
const FOREIGN: &str = "
WITH RECURSIVE ours AS (
    SELECT d.classid, d.objid FROM pg_depend AS d
     WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
       AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'clip_search')
     UNION
    SELECT d.classid, d.objid FROM pg_depend AS d JOIN ours AS o ON d.refclassid = o.classid AND d.refobjid = o.objid
     WHERE d.deptype IN ('i', 'a')
), allowed AS (
    SELECT classid, objid FROM ours
     UNION
    SELECT 'pg_catalog.pg_extension'::pg_catalog.regclass, e.oid FROM pg_extension AS e WHERE e.extname IN ('clip_search', 'vector')
     UNION
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, e.extnamespace FROM pg_extension AS e WHERE e.extname = 'clip_search'
     UNION
    SELECT d.classid, d.objid FROM pg_depend AS d
     WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
       AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'vector')
)
SELECT coalesce(string_agg(DISTINCT pg_describe_object(d.classid, d.objid, 0) || ' needs '
                           || pg_describe_object(d.refclassid, d.refobjid, 0), E'\\n'), '')
  FROM pg_depend AS d JOIN ours AS o ON d.classid = o.classid AND d.objid = o.objid
 WHERE d.refobjid >= 16384 AND (d.refclassid, d.refobjid) NOT IN (SELECT classid, objid FROM allowed)
       -- An array type is made with its element, and what it needs is that.
   AND NOT EXISTS (SELECT FROM pg_type AS t JOIN allowed AS a ON a.objid = t.typelem
                    WHERE d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.oid = d.refobjid)";

fn check(client: &mut Client) {
    client.batch_execute("SET search_path = pg_catalog").unwrap();
    assert!(number(client, "SELECT count(*) FROM pg_depend WHERE deptype = 'e'") > 100);
    assert_eq!(super::one::<String>(client, FOREIGN), "");
    client.batch_execute("RESET search_path").unwrap();
}

#[test]
fn nothing_planted_in_public_is_used() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("DROP EXTENSION clip_search, vector").unwrap();
    client.batch_execute(MALLORY).unwrap();
    plant(&mut client, "public");
    client.batch_execute("CREATE EXTENSION clip_search CASCADE").unwrap_or_else(|error| panic!("{error:?}"));
    check(&mut client);
    use_it(&mut client, "public");
    cluster.assert_sessions_survived();
}

#[test]
fn nothing_planted_in_the_extensions_schemas_is_used() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("DROP EXTENSION clip_search, vector").unwrap();
    client.batch_execute(MALLORY).unwrap();
    client
        .batch_execute(
            "CREATE SCHEMA \"the vectors\"; CREATE SCHEMA target; GRANT ALL ON SCHEMA \"the vectors\", target TO mallory",
        )
        .unwrap();
    plant(&mut client, "\"the vectors\"");
    plant(&mut client, "target");
    plant(&mut client, "public");
    client
        .batch_execute("CREATE EXTENSION vector SCHEMA \"the vectors\"; CREATE EXTENSION clip_search SCHEMA target")
        .unwrap_or_else(|error| panic!("{error:?}"));
    check(&mut client);
    use_it(&mut client, "target");
    cluster.assert_sessions_survived();
}

fn use_it(client: &mut Client, schema: &str) {
    let vectors: String = super::one(
        client,
        "SELECT quote_ident(n.nspname) FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) \
         e.extnamespace WHERE e.extname OPERATOR(pg_catalog.=) 'vector'::name",
    );
    client
        .batch_execute(&format!(
            "SET search_path = {schema}, {vectors};
             CREATE SCHEMA app; CREATE TABLE app.captions (id integer PRIMARY KEY, caption text, embedding {vectors}.vector);
             INSERT INTO app.captions VALUES (1, 'caption')"
        ))
        .unwrap_or_else(|error| panic!("{error:?}"));
    client
        .batch_execute(&format!("CALL {schema}.clip_embed_table('app.captions', 'caption')"))
        .unwrap_or_else(|error| panic!("{error:?}"));
    client
        .batch_execute(&format!(
            "SELECT {schema}.clip_sync('app.captions', 'caption', mode => 'queued');
             INSERT INTO app.captions VALUES (2, 'another');
             SELECT * FROM {schema}.clip_sync_status(); SELECT * FROM {schema}.clip_embed_errors;
             SELECT * FROM {schema}.clip_stat_progress_embed; SELECT * FROM {schema}.clip_stat_server;
             SELECT {schema}.clip_unsync('app.captions')"
        ))
        .unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(embed_text(client, "x").unwrap().len(), DIMENSION);
    client.batch_execute("RESET search_path").unwrap();
    assert_nothing_gained(client);
}

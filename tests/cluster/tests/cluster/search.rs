//! What clip_search asks of the planner.

use cluster_tests::{Cluster, image, wait_until};
use postgres::Client;
use std::time::Duration;

/// A table of random vectors that is large enough for an index to be worth it.
fn table(client: &mut Client) {
    client
        .batch_execute(
            "CREATE TABLE things (id int PRIMARY KEY, shop int, embedding vector(32));
             INSERT INTO things SELECT i, i % 1000, (SELECT array_agg(random() - 0.5 + 0 * (i + j))::vector FROM generate_series(1, 32) AS j)
                 FROM generate_series(1, 20000) AS i;
             CREATE INDEX things_embedding ON things USING hnsw (embedding vector_cosine_ops);
             ANALYZE things",
        )
        .unwrap();
}

/// The plan of the statement inside a call, which auto_explain writes to the log.
fn inner_plan(cluster: &Cluster, client: &mut Client, call: &str) -> String {
    let before = cluster.log().len();
    client
        .batch_execute(&format!(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
             SELECT * FROM {call}; SET auto_explain.log_min_duration = -1"
        ))
        .unwrap();
    // The call's own plan is logged last.
    wait_until("the plan is in the log", Duration::from_secs(20), || {
        cluster.log()[before..].contains("Function Scan on")
    });
    let log = cluster.log()[before..].to_owned();
    let inner = log.split("plan:").find(|plan| plan.contains("AS found")).expect("the inner statement");
    inner.to_owned()
}

#[test]
fn the_vector_index_is_used() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    for call in [
        "clip_search('things', 'a dog')",
        "clip_search('things', 'a dog', 100, min_similarity => 0.1, skip => 20)",
        "clip_search('things', (SELECT embedding FROM things WHERE id = 7), exclude => '7')",
        "clip_search_json('things', 'a dog', 5)",
    ] {
        let plan = inner_plan(&cluster, &mut client, call);
        assert!(plan.contains("Index Scan using things_embedding on things"), "{call}\n{plan}");
        assert!(!plan.contains("Seq Scan"), "{call}\n{plan}");
    }
}

/// The plain form of docs/guide.md, and a filter that leaves 20 of 20,000 rows: without an iterative scan, an HNSW index
/// would find none or few of them.
#[test]
fn a_rare_row_is_found_through_the_index() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client.batch_execute("SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off").unwrap();
    let exact = client
        .query(
            "SELECT id FROM things WHERE shop = 7 ORDER BY (embedding <=> clip_embed_text('a dog')) + 0 LIMIT 10",
            &[],
        )
        .unwrap();
    let id = |row: &postgres::Row| row.get::<_, i32>(0);
    let found = client
        .query("SELECT id::int FROM clip_search('things', 'a dog', 10, filter => '{\"shop\": 7}')", &[])
        .unwrap()
        .iter()
        .map(id)
        .collect::<Vec<_>>();
    assert_eq!(found.len(), 10);
    let hits = exact.iter().map(id).filter(|id| found.contains(id)).count();
    assert!(hits >= 8, "{hits} of 10");
}

/// An HNSW index gives up after `hnsw.max_scan_tuples` rows; k rows come all the same.
#[test]
fn a_page_beyond_what_the_index_looks_at() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client.batch_execute("SELECT '[1]'::vector; SET hnsw.max_scan_tuples = 500; SET enable_sort = off").unwrap();
    let count = |client: &mut Client, call: &str| -> i64 {
        client.query_one(&format!("SELECT count(*) FROM {call}"), &[]).unwrap().get(0)
    };
    assert_eq!(count(&mut client, "clip_search('things', 'a dog', 10, skip => 15000)"), 10);
    assert_eq!(count(&mut client, "clip_search('things', 'a dog', 20, filter => '{\"shop\": 7}')"), 20);
    assert_eq!(count(&mut client, "clip_search('things', 'a dog', 21, filter => '{\"shop\": 7}')"), 20);
    let json = "jsonb_array_elements(clip_search_json('things', 'a dog', 20, filter => '{\"shop\": 7}') -> 'matches')";
    assert_eq!(count(&mut client, json), 20);
}

#[test]
fn settings_are_as_before_even_after_an_error() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    // Loads the library, which has the settings.
    client.batch_execute("SELECT '[1]'::vector").unwrap();
    let settings = |client: &mut Client| -> [String; 3] {
        ["hnsw.ef_search", "hnsw.iterative_scan", "search_path"]
            .map(|name| client.query_one("SELECT current_setting($1)", &[&name]).unwrap().get(0))
    };
    let before = settings(&mut client);
    client.batch_execute("SELECT * FROM clip_search('things', 'a dog', 500)").unwrap();
    assert_eq!(settings(&mut client), before);
    for refused in ["{\"shop\": \"x\"}", "{\"nothing\": 1}", "[]"] {
        let statement = format!("SELECT * FROM clip_search('things', 'a dog', 500, filter => '{refused}')");
        assert!(client.batch_execute(&statement).is_err());
        assert_eq!(settings(&mut client), before, "{refused}");
        // Caught within a transaction that goes on
        let block = format!(
            "DO $$ BEGIN PERFORM * FROM clip_search('things', 'a dog', 500, filter => '{refused}');
             EXCEPTION WHEN OTHERS THEN NULL; END $$; SELECT * FROM clip_search('things', 'a dog', 500)"
        );
        client.batch_execute(&block).unwrap();
        assert_eq!(settings(&mut client), before, "{refused}");
    }
    cluster.assert_sessions_survived();
}

/// A function of somebody else's in the caller's search path does not get hold of the search.
#[test]
fn names_in_the_search_path_do_not_matter() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .batch_execute(
            "CREATE SCHEMA trap;
             CREATE FUNCTION trap.format(text, VARIADIC \"any\") RETURNS text LANGUAGE internal IMMUTABLE AS 'text_format';
             CREATE FUNCTION trap.to_jsonb(int) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
             CREATE FUNCTION trap.quote_ident(name) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
             CREATE FUNCTION trap.jsonb_each(jsonb) RETURNS SETOF int LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
             -- Better matches than those of pg_catalog, if names were looked up
             CREATE FUNCTION trap.caught(int, double precision) RETURNS double precision LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
             CREATE OPERATOR trap.- (LEFTARG = int, RIGHTARG = double precision, FUNCTION = trap.caught);
             CREATE FUNCTION trap.caught(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
             CREATE OPERATOR trap.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = trap.caught);
             CREATE FUNCTION trap.caught(int, int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
             CREATE OPERATOR trap.= (LEFTARG = int, RIGHTARG = int, FUNCTION = trap.caught);
             CREATE FUNCTION trap.add(bigint, vector) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RAISE ''caught''; END';
             CREATE AGGREGATE trap.count(vector) (SFUNC = trap.add, STYPE = bigint, INITCOND = '0');
             ALTER TABLE things ADD COLUMN kind varchar(5) DEFAULT 'x';
             SET search_path = trap, public, pg_catalog",
        )
        .unwrap();
    let rows =
        client.query("SELECT * FROM clip_search('things', 'a dog', filter => '{\"shop\": [1, 2, 3], \"kind\": \"x\"}', min_similarity => -1)", &[]).unwrap();
    assert_eq!(rows.len(), 10);
    assert_eq!(client.query("SELECT clip_index_stats('things')::text", &[]).unwrap().len(), 1);
    assert_eq!(client.query("SELECT * FROM clip_suggest_threshold('things', 'a dog')", &[]).unwrap().len(), 1);
    // pgvector elsewhere than in the search path
    client
        .batch_execute("RESET search_path; CREATE SCHEMA vectors; ALTER EXTENSION vector SET SCHEMA vectors")
        .unwrap();
    let rows = client.query("SELECT * FROM clip_search('things', 'a dog')", &[]).unwrap();
    assert_eq!(rows.len(), 10);
}

/// As docs/applications.md says for tokio-postgres, which this client is made of: parameters have the types that the
/// server asks for, and no others.
#[test]
fn a_driver_that_asks_for_the_types_can_call_it() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE photos (id bigint PRIMARY KEY, shop int, image bytea, embedding vector(32));
             INSERT INTO photos VALUES (1, 1), (2, 1), (3, 2)",
        )
        .unwrap();
    let bytes = ["noise.png", "photo_420.jpg", "black.png"].map(image);
    for (id, bytes) in (1_i64..).zip(&bytes) {
        client
            .execute("UPDATE photos SET image = $2, embedding = clip_embed_image($2) WHERE id = $1", &[&id, bytes])
            .unwrap();
    }
    let mut ids = |sql: &str, parameters: &[&(dyn postgres::types::ToSql + Sync)]| -> Vec<i64> {
        let found = client.query(sql, parameters).unwrap();
        found.iter().map(|row| row.get(0)).collect()
    };
    let by_text = "SELECT id::bigint FROM clip_search('photos', $1, k => $2, skip => $3)";
    assert_eq!(ids(by_text, &[&"a dog", &2_i64, &0_i64]).len(), 2);
    let filtered = "SELECT id::bigint FROM clip_search('photos', $1, filter => $2::text)";
    assert_eq!(ids(filtered, &[&"a dog", &r#"{"shop": 2}"#]), [3]);
    let others = "SELECT id::bigint FROM clip_search('photos', $1, exclude => $2::bigint)";
    assert!(!ids(others, &[&"a dog", &2_i64]).contains(&2));
    let by_image =
        "SELECT p.id FROM clip_search('photos', $1::bytea, k => 1) AS f JOIN photos AS p ON p.id = f.id::bigint";
    assert_eq!(ids(by_image, &[&bytes[1]]), [2]);
    let plain = "SELECT id FROM photos ORDER BY embedding <=> clip_embed_text($1) LIMIT $2";
    assert_eq!(ids(plain, &[&"a dog", &3_i64]).len(), 3);
}

/// What a backend keeps of a table is not older than the changes that it was told, even where its snapshot is.
#[test]
fn changes_of_others_show() {
    let cluster = Cluster::on_demand();
    let (mut client, mut other) = (cluster.connect(), cluster.connect());
    table(&mut client);
    let keys = |client: &mut Client| -> String {
        let query = "SELECT string_agg(k, ',' ORDER BY k) FROM clip_search('things', 'a dog', 1) AS s, jsonb_object_keys(s.metadata) AS k";
        client.query_one(query, &[]).unwrap().get(0)
    };
    assert_eq!(keys(&mut client), "shop");
    other.batch_execute("ALTER TABLE things RENAME shop TO store").unwrap();
    assert_eq!(keys(&mut client), "store");
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM pg_class")).unwrap();
        other.batch_execute("ALTER TABLE things RENAME store TO mall").unwrap();
        assert_eq!(keys(&mut client), "mall", "{level}, in the transaction");
        client.batch_execute("COMMIT").unwrap();
        assert_eq!(keys(&mut client), "mall", "{level}, after it");
        other.batch_execute("ALTER TABLE things RENAME mall TO store").unwrap();
        assert_eq!(keys(&mut client), "store", "{level}");
    }
    other.batch_execute("DROP INDEX things_embedding").unwrap();
    let plan = inner_plan(&cluster, &mut client, "clip_search('things', 'a dog')");
    assert!(plan.contains("Seq Scan on things"), "{plan}");
    other.batch_execute("CREATE INDEX CONCURRENTLY again ON things USING hnsw (embedding vector_cosine_ops)").unwrap();
    let plan = inner_plan(&cluster, &mut client, "clip_search('things', 'a dog')");
    assert!(plan.contains("Index Scan using again on things"), "{plan}");
    cluster.assert_sessions_survived();
}

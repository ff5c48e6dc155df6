//! CREATE, DROP and databases that go away.

use cluster_tests::{Cluster, DIMENSION, embed_text};

#[test]
fn dropped_and_created_again() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let before = embed_text(&mut client, "x").unwrap();
    let server = cluster.server();
    for _ in 0..2 {
        client.batch_execute("DROP EXTENSION clip_search; CREATE EXTENSION clip_search").unwrap();
        assert_eq!(embed_text(&mut client, "x").unwrap(), before);
    }
    // vector has another OID now, in a session that knows the old one.
    client
        .batch_execute("DROP EXTENSION clip_search; DROP EXTENSION vector; CREATE EXTENSION clip_search CASCADE")
        .unwrap();
    let rows = client.query_one("SELECT (clip_embed_texts(ARRAY['x', 'y']))[1]::real[]", &[]).unwrap();
    assert_eq!(rows.get::<_, Vec<f32>>(0).len(), DIMENSION);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

#[test]
fn created_in_a_schema() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "DROP EXTENSION clip_search; DROP EXTENSION vector;
             CREATE SCHEMA v; CREATE SCHEMA c; CREATE EXTENSION vector SCHEMA v; CREATE EXTENSION clip_search SCHEMA c",
        )
        .unwrap_or_else(|error| panic!("{error:?}"));
    let row = client.query_one("SELECT c.clip_embed_text('x')::real[]", &[]).unwrap();
    assert_eq!(row.get::<_, Vec<f32>>(0).len(), DIMENSION);
    let row = client.query_one("SELECT array_length(c.clip_embed_texts(ARRAY['x', 'y']), 1)", &[]).unwrap();
    assert_eq!(row.get::<_, i32>(0), 2);
}

#[test]
fn database_dropped_while_the_server_runs() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("CREATE DATABASE doomed").unwrap();
    {
        // Its first session is the one that has the supervisor started.
        let mut doomed = cluster.connect_to("doomed", "postgres");
        doomed.batch_execute("CREATE EXTENSION clip_search CASCADE").unwrap();
        embed_text(&mut doomed, "x").unwrap();
    }
    let server = cluster.server();
    client.batch_execute("DROP DATABASE doomed WITH (FORCE)").unwrap();
    assert_eq!(embed_text(&mut client, "x").unwrap().len(), DIMENSION);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

/// What a call asks the catalog does not show among the statements of sessions.
#[test]
fn statements_within_calls_are_not_counted() {
    let cluster = Cluster::builder().set("shared_preload_libraries", "pg_stat_statements").start();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE EXTENSION pg_stat_statements;
             CREATE TABLE things (id integer PRIMARY KEY, name text, embedding vector);
             SELECT clip_sync('things', 'name');
             SELECT pg_stat_statements_reset()",
        )
        .unwrap();
    client.batch_execute("INSERT INTO things VALUES (1, 'dog')").unwrap();
    for _ in 0..3 {
        client.query("SELECT id FROM clip_search('things', 'cat')", &[]).unwrap();
    }
    client.query("SELECT * FROM clip_sync_status()", &[]).unwrap();
    let rows =
        client.query("SELECT query, calls FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%'", &[]).unwrap();
    let mut counted: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    counted.sort();
    let expected = [
        ("INSERT INTO things VALUES ($1, $2)", 1),
        ("SELECT * FROM clip_sync_status()", 1),
        ("SELECT id FROM clip_search($1, $2)", 3),
    ];
    assert_eq!(counted, expected.map(|(query, calls)| (query.to_owned(), calls)));
}

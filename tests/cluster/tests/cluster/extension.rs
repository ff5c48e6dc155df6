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

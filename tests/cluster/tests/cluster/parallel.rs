//! Parallel workers embed too, with the leader's settings.

use cluster_tests::{Cluster, MODEL, explain};
use postgres::Client;

fn cluster_with_words() -> Cluster {
    // The session's SET has to reach the workers.
    let cluster = Cluster::builder().set("clip_search.model", "no/such-model").start();
    cluster
        .connect()
        .batch_execute(
            "CREATE TABLE words (id integer PRIMARY KEY, word text) WITH (parallel_workers = 2);
             INSERT INTO words SELECT i, 'word ' || i FROM generate_series(1, 300) i;
             ANALYZE words",
        )
        .unwrap();
    cluster
}

fn parallel_client(cluster: &Cluster) -> Client {
    let mut client = cluster.connect();
    let version: String = client.query_one("SHOW server_version_num", &[]).unwrap().get(0);
    let force = if version.parse::<u32>().unwrap() >= 160_000 { "debug_parallel_query" } else { "force_parallel_mode" };
    client
        .batch_execute(&format!(
            "SET clip_search.model = '{MODEL}'; SET {force} = on; SET min_parallel_table_scan_size = 0;
             SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET max_parallel_workers_per_gather = 2"
        ))
        .unwrap();
    client
}

fn vectors(client: &mut Client, call: &str) -> Vec<Vec<f32>> {
    let rows = client.query(&format!("SELECT id, {call}::real[] FROM words"), &[]).unwrap();
    let mut rows: Vec<(i32, Vec<f32>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    rows.sort_by_key(|(id, _)| *id);
    rows.into_iter().map(|(_, vector)| vector).collect()
}

#[test]
fn parallel_and_serial_give_the_same_vectors() {
    let cluster = cluster_with_words();
    for call in ["clip_embed_text(word)", "clip_embed_text(word, 'golden/small')"] {
        let mut client = parallel_client(&cluster);
        // The very first call comes from a worker.
        client.batch_execute("SET parallel_leader_participation = off").unwrap();
        let plan = explain(&mut client, &format!("(ANALYZE, VERBOSE) SELECT id, {call} FROM words"));
        assert!(plan.contains("Gather") && plan.contains("Workers Launched: 2"), "{plan}");
        let parallel = vectors(&mut client, call);
        client.batch_execute("SET max_parallel_workers_per_gather = 0").unwrap();
        let serial = vectors(&mut client, call);
        assert_eq!(serial.len(), 300);
        for (one, other) in serial.iter().zip(&parallel) {
            assert!(cluster_tests::cosine(one, other) > 0.99999);
        }
        assert!(cluster_tests::cosine(&serial[0], &serial[1]) < 0.99999, "different words have different vectors");
    }
    cluster.assert_sessions_survived();
}

/// Where the library is loaded by the first call: settings that were set before, one of them by somebody who may not, are
/// checked then, and not by each worker.
#[test]
fn settings_from_before_the_library_was_loaded() {
    let cluster = cluster_with_words();
    let mut client = parallel_client(&cluster);
    client
        .batch_execute(
            "CREATE ROLE reader; GRANT SELECT ON words TO reader; SET ROLE reader; SET clip_search.url_fetch = on",
        )
        .unwrap();
    client.execute("SELECT clip_embed_text('word', 'golden/small')", &[]).unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM words WHERE word LIKE 'word %'", &[]).unwrap().get(0);
    assert_eq!(count, 300);
}

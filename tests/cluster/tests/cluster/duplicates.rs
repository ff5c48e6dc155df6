//! `clip_duplicates` in a table that is large enough for its index.

use cluster_tests::{Cluster, wait_until};
use std::time::Duration;

#[test]
fn each_row_is_looked_up_in_the_index() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "SELECT setseed(0.5);
             CREATE TABLE points (id int PRIMARY KEY, embedding vector(16));
             INSERT INTO points
                 SELECT i, (SELECT array_agg(random() - 0.5 + 0 * (i + n)) FROM generate_series(1, 16) AS n)::real[]::vector
                   FROM generate_series(1, 3000) AS i;
             INSERT INTO points SELECT id + 10000, embedding FROM points WHERE id % 30 = 0;
             CREATE INDEX points_hnsw ON points USING hnsw (embedding vector_cosine_ops);
             ANALYZE points",
        )
        .unwrap();
    let pairs =
        "SELECT array_agg(concat(id, ' ', other_id) ORDER BY id, other_id) FROM clip_duplicates('points', 0.9999)";
    let found: Vec<String> = client.query_one(pairs, &[]).unwrap().get(0);
    assert!(found.len() == 100 && found.contains(&"30 10030".to_owned()), "{found:?}");
    // The session reports its statistics a second later, at the end of a statement.
    wait_until("each row was looked up", Duration::from_secs(20), || {
        let scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'points_hnsw'";
        client.query_one(scans, &[]).unwrap().get::<_, i64>(0) >= 3100
    });
    client.batch_execute("DROP INDEX points_hnsw").unwrap();
    let exact: Vec<String> = client.query_one(pairs, &[]).unwrap().get(0);
    assert_eq!(found, exact);
}

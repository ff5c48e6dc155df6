//! One inference for each query, whatever the plan: counted by the server.

use cluster_tests::{Cluster, Request, counters, embed_text, explain, refusal, wait_until};
use postgres::Client;
use std::time::{Duration, Instant};

const SEARCH: &str = "SELECT id FROM items ORDER BY embedding <=> clip_embed_text('a red apple') LIMIT 10";

fn cluster_with_items() -> Cluster {
    let cluster = Cluster::on_demand();
    cluster
        .connect()
        .batch_execute(
            "CREATE TABLE items (id integer PRIMARY KEY, embedding vector(32) NOT NULL);
             INSERT INTO items
                 SELECT i, (SELECT array_agg(random() - 0.5) FROM generate_series(1, 32) WHERE i > 0)::vector
                 FROM generate_series(1, 2000) i;
             CREATE INDEX ON items USING hnsw (embedding vector_cosine_ops);
             ANALYZE items",
        )
        .unwrap();
    cluster
}

/// How many texts the server embeds while `work` is done.
fn inferences(cluster: &Cluster, work: impl FnOnce()) -> i64 {
    let mut witness = cluster.connect();
    let before = counters(&mut witness).texts;
    work();
    counters(&mut witness).texts - before
}

fn ten_rows(client: &mut Client, query: &str) {
    assert_eq!(client.query(query, &[]).unwrap().len(), 10);
}

#[test]
fn index_scan_costs_one_inference() {
    let cluster = cluster_with_items();
    let mut client = cluster.connect();
    client.batch_execute("SET enable_seqscan = off").unwrap();
    let spent = inferences(&cluster, || {
        let plan = explain(&mut client, SEARCH);
        assert!(plan.contains("Index Scan using items_embedding_idx"), "{plan}");
        ten_rows(&mut client, SEARCH);
    });
    assert_eq!(spent, 1);
}

#[test]
fn sequential_scan_costs_one_inference() {
    let cluster = cluster_with_items();
    let mut client = cluster.connect();
    client.batch_execute("SET enable_indexscan = off; SET max_parallel_workers_per_gather = 0").unwrap();
    let spent = inferences(&cluster, || {
        let plan = explain(&mut client, SEARCH);
        assert!(plan.contains("Seq Scan on items"), "{plan}");
        ten_rows(&mut client, SEARCH);
    });
    assert_eq!(spent, 1);
}

#[test]
fn prepared_statement_run_seven_times_costs_one_inference() {
    let cluster = cluster_with_items();
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        let mut client = cluster.connect();
        client
            .batch_execute(&format!(
                "SET plan_cache_mode = {mode};
                 PREPARE search(text) AS SELECT id FROM items ORDER BY embedding <=> clip_embed_text($1) LIMIT 10"
            ))
            .unwrap();
        let spent = inferences(&cluster, || {
            for _ in 0..7 {
                ten_rows(&mut client, "EXECUTE search('a sailing boat')");
            }
        });
        assert_eq!(spent, 1, "{mode}");
        let generic: i64 = client
            .query_one("SELECT generic_plans FROM pg_prepared_statements WHERE name = 'search'", &[])
            .unwrap()
            .get(0);
        assert_eq!(generic == 7, mode == "force_generic_plan", "{generic} generic plans with {mode}");
        let spent =
            inferences(&cluster, || ten_rows(&mut client, &format!("EXECUTE search('another text for {mode}')")));
        assert_eq!(spent, 1, "{mode}: a new text");
    }
}

#[test]
fn statement_prepared_by_the_driver_costs_one_inference() {
    let cluster = cluster_with_items();
    let mut client = cluster.connect();
    let search = client
        .prepare("SELECT id FROM items ORDER BY embedding <=> clip_embed_text($1, 'golden/small') LIMIT 10")
        .unwrap();
    let spent = inferences(&cluster, || {
        for _ in 0..7 {
            assert_eq!(client.query(&search, &[&"music"]).unwrap().len(), 10);
        }
    });
    assert_eq!(spent, 1);
}

/// A session that has a vector in its memo must not go on with it when the settings have changed.
#[test]
fn changed_settings_hold_for_texts_that_were_embedded_before() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let long = "apple ".repeat(2000);
    embed_text(&mut client, &long).unwrap();
    cluster.reconfigure(&[("clip_search.on_long_text", "error")]);
    wait_until("the server has the new setting", Duration::from_secs(10), || {
        embed_text(&mut cluster.connect(), &long).is_err()
    });
    wait_until("the session has the new setting", Duration::from_secs(10), || {
        client.query_one("SHOW clip_search.on_long_text", &[]).unwrap().get::<_, String>(0) == "error"
    });
    assert_eq!(refusal(embed_text(&mut client, &long)).code().code(), "54000");
}

/// What a session asks for before the server knows of new settings is not remembered as made under them, however late the
/// answer is; nor where the session is a new one.
#[test]
fn vectors_made_before_the_server_knew_of_new_settings() {
    let cluster = Cluster::on_demand();
    let long = "apple ".repeat(2000);
    let mut others = ["of one that was there", "of a new one"].map(|name| format!("{long} {name}"));
    let is_quick = (0..20).any(|_| {
        cluster.reconfigure(&[("clip_search.on_long_text", "truncate")]);
        wait_until("the server takes long texts", Duration::from_secs(10), || {
            embed_text(&mut cluster.connect(), &long).is_ok()
        });
        let first = cluster.connect();
        let (supervisor, server) = (cluster.supervisor(), cluster.server());
        supervisor.freeze();
        let start = Instant::now();
        cluster.reconfigure(&[("clip_search.on_long_text", "error")]);
        let mut sessions = [first, cluster.connect()];
        for session in &mut sessions {
            wait_until("the session has the new setting", Duration::from_secs(10), || {
                session.query_one("SHOW clip_search.on_long_text", &[]).unwrap().get::<_, String>(0) == "error"
            });
        }
        server.freeze();
        // Not the same text: the server gives those that it knows without a look at them.
        others.iter_mut().for_each(|text| text.push('.'));
        let mut texts = others.iter();
        let requests = sessions.map(|session| Request::waiting(&cluster, session, texts.next().expect("two")));
        let is_quick = start.elapsed() < Duration::from_millis(900);
        // Until the settings are no longer new.
        std::thread::sleep(Duration::from_millis(1200));
        server.thaw();
        let mut sessions = requests.map(|request| {
            let (client, result) = request.join();
            result.expect("under the old settings");
            client
        });
        supervisor.thaw();
        wait_until("the server has the new setting", Duration::from_secs(10), || {
            embed_text(&mut cluster.connect(), &format!("{long} of somebody else")).is_err()
        });
        if is_quick {
            for (session, text) in sessions.iter_mut().zip(&others) {
                assert_eq!(refusal(embed_text(session, text)).code().code(), "54000");
            }
        }
        is_quick
    });
    assert!(is_quick, "asked within a second, once in twenty attempts");
}

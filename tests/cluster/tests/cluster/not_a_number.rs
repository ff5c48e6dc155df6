//! A model that answers NaN for one text: that is the text's failure, and all others are embedded.

use cluster_tests::{Cluster, embed_text_with, refusal, wait_until};
use postgres::Client;
use std::fs;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const MODEL: &str = "golden/nan";

/// A cluster with the golden model and a copy of it whose text encoder has no vector for texts with "#".
fn cluster() -> Cluster {
    let cluster = Cluster::on_demand();
    let (from, to) = (cluster.models().join("golden/small"), cluster.models().join(MODEL));
    fs::create_dir_all(to.join("onnx")).unwrap();
    for file in
        ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "onnx/vision_model.onnx"]
    {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/layouts/graphs/nan.onnx");
    fs::copy(graph, to.join("onnx/text_model.onnx")).unwrap();
    cluster
}

fn table(client: &mut Client) {
    client
        .batch_execute(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
             INSERT INTO captions SELECT n, CASE n WHEN 17 THEN 'a # b' ELSE 'caption ' || n END FROM generate_series(1, 60) AS n",
        )
        .unwrap();
}

fn number(client: &mut Client, query: &str) -> i64 {
    client.query_one(query, &[]).unwrap().get(0)
}

fn assert_one_failed(client: &mut Client) {
    assert_eq!(number(client, "SELECT count(embedding) FROM captions"), 59);
    let row = client.query_one("SELECT key::text, sqlstate, message FROM clip_embed_errors", &[]).unwrap();
    assert_eq!((row.get::<_, String>(0), row.get::<_, String>(1)), ("{\"id\": 17}".to_owned(), "22000".to_owned()));
    let message: String = row.get(2);
    assert_eq!(message, "model \"golden/nan\" answered with a vector that has values that are not finite");
}

#[test]
fn one_row_of_a_table() {
    let cluster = cluster();
    let mut client = cluster.connect();
    table(&mut client);
    let error = refusal(embed_text_with(&mut client, "a # b", MODEL));
    assert_eq!(error.code().code(), "22000");
    assert!(error.hint().is_some_and(|hint| hint.contains("clip_search.precision")), "{error:?}");
    client.batch_execute(&format!("CALL clip_embed_table('captions', 'caption', model => '{MODEL}')")).unwrap();
    assert_one_failed(&mut client);
    cluster.assert_sessions_survived();
}

#[test]
fn one_row_of_the_queue() {
    let cluster = cluster();
    let mut client = cluster.connect();
    client
        .batch_execute(&format!(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('captions', 'caption', mode => 'queued', model => '{MODEL}');
             INSERT INTO captions SELECT n, CASE n WHEN 17 THEN 'a # b' ELSE 'caption ' || n END FROM generate_series(1, 60) AS n"
        ))
        .unwrap();
    wait_until("the others", LIMIT, || number(&mut client, "SELECT count(embedding) FROM captions") == 59);
    wait_until("the failure", LIMIT, || number(&mut client, "SELECT count(*) FROM clip_embed_errors") == 1);
    assert_one_failed(&mut client);
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_search_internal.clip_embed_queue"), 0);
    cluster.assert_sessions_survived();
}

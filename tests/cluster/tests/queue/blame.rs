//! Whose fault a failure is: only a row's own counts as an attempt.

use super::{DONE, LIMIT, number, number_of, table, upload, wait_for};
use cluster_tests::{Cluster, bits, picture, wait_until};

fn due_now(client: &mut postgres::Client) {
    client.batch_execute("UPDATE clip_embed_queue SET due_at = now()").unwrap();
}

/// A server that does not answer, or has no memory for the model: nothing is given up.
#[test]
fn a_server_that_is_of_no_use() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    upload(&mut client, 0..1);
    wait_for(&mut client, 1);
    cluster.reconfigure(&[("clip_search.request_timeout", "300ms")]);
    let server = cluster.server();
    server.freeze();
    upload(&mut client, 1..4);
    wait_until("an attempt", LIMIT, || number_of(&mut client, "clip_embed_queue WHERE last_error IS NOT NULL") > 0);
    due_now(&mut client);
    let times = |log: String| log.matches("was not embedded: clip-search-server did not answer").count();
    let before = times(cluster.log());
    wait_until("another", LIMIT, || times(cluster.log()) > before + 2);
    assert_eq!(number_of(&mut client, "clip_embed_queue WHERE attempts = 0"), 3);
    cluster.reconfigure(&[("clip_search.request_timeout", "60s"), ("clip_search.max_server_memory", "1MB")]);
    server.thaw();
    client.query("SELECT clip_restart_server()", &[]).unwrap();
    let of_memory = "clip_embed_queue WHERE last_error LIKE '%ran out of memory%'";
    wait_until("an attempt without memory", LIMIT, || {
        due_now(&mut client);
        number_of(&mut client, of_memory) > 0
    });
    assert_eq!(number_of(&mut client, "clip_embed_queue WHERE attempts = 0"), 3);
    let status = client.query_one("SELECT queued, last_error FROM clip_sync_status()", &[]).unwrap();
    assert_eq!(status.get::<_, i64>(0), 3);
    assert!(status.get::<_, String>(1).contains("ran out of memory"));
    cluster.reconfigure(&[("clip_search.max_server_memory", "0")]);
    wait_until("all", LIMIT, || {
        due_now(&mut client);
        number(&mut client, DONE) == 4
    });
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

/// One picture is too much for the server, and others are not: they are embedded, and it is given up.
#[test]
fn a_picture_that_is_too_much() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE photos (id integer PRIMARY KEY, image bytea, embedding vector);
             SELECT clip_sync('photos', 'image', mode => 'queued')",
        )
        .unwrap();
    let small = picture("gradient.png");
    let embedded = "SELECT count(*) FROM photos WHERE embedding IS NOT NULL";
    client.execute("INSERT INTO photos VALUES (1, $1)", &[&small]).unwrap();
    wait_until("the first", LIMIT, || number(&mut client, embedded) == 1);
    let resident = number(&mut client, "SELECT resident_bytes FROM clip_stat_server");
    cluster.reconfigure(&[("clip_search.max_server_memory", &format!("{}MB", (resident >> 20) + 40))]);
    cluster.wait_for_log("took new settings");
    client.execute("INSERT INTO photos VALUES (2, $1), (3, $2), (4, $2)", &[&bits(20000, 16000, 1), &small]).unwrap();
    wait_until("the others", LIMIT, || number(&mut client, embedded) == 3);
    wait_until("the end of it", LIMIT, || {
        client
            .batch_execute("UPDATE clip_embed_queue SET attempts = 9, due_at = now() WHERE attempts BETWEEN 1 AND 8")
            .unwrap();
        number_of(&mut client, "clip_embed_errors") == 1
    });
    let row = client.query_one("SELECT key::text, sqlstate, attempts FROM clip_embed_errors", &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "{\"id\": 2}");
    assert_eq!(row.get::<_, String>(1), "53200");
    assert_eq!(row.get::<_, i32>(2), 10);
    assert_eq!(number_of(&mut client, "clip_embed_queue"), 0);
    cluster.assert_sessions_survived();
}

//! Whose fault a failure is: only a row's own counts as an attempt.

use super::{DONE, LIMIT, number, number_of, table, upload, wait_for, worker};
use cluster_tests::{Cluster, bits, image, wait_until};

fn due_now(client: &mut postgres::Client) {
    client.batch_execute("UPDATE clip_search_internal.clip_embed_queue SET due_at = now()").unwrap();
}

/// A server that does not answer: nothing is given up.
#[test]
fn a_server_that_does_not_answer() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    upload(&mut client, 0..1);
    wait_for(&mut client, 1);
    cluster.reconfigure(&[("clip_search.request_timeout", "300ms")]);
    // The next one has the new setting.
    wait_until("the worker's end", LIMIT, || worker(&mut client).is_none());
    let server = cluster.server();
    server.freeze();
    upload(&mut client, 1..4);
    let failures = |log: String| log.matches("was not embedded: clip-search-server did not answer").count();
    // Together, alone, and again.
    wait_until("attempts", LIMIT, || {
        due_now(&mut client);
        failures(cluster.log()) > 6
    });
    assert_eq!(number_of(&mut client, "clip_search_internal.clip_embed_queue WHERE attempts = 0"), 3);
    cluster.reconfigure(&[("clip_search.request_timeout", "60s")]);
    server.thaw();
    wait_until("all", LIMIT, || {
        due_now(&mut client);
        number_of(&mut client, "captions WHERE embedding IS NOT NULL") == 4
    });
    // This session may still have the old setting.
    assert_eq!(number(&mut cluster.connect(), DONE), 4);
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

/// A server that has no memory for the model: nothing is given up.
#[test]
fn a_server_without_memory() {
    let cluster = Cluster::builder().set("clip_search.max_server_memory", "1MB").start();
    let mut client = cluster.connect();
    table(&mut client);
    upload(&mut client, 0..3);
    wait_until("attempts", LIMIT, || {
        due_now(&mut client);
        number_of(&mut client, "clip_sync_status() WHERE queued = 3 AND last_error LIKE '%ran out of memory%'") == 1
            && cluster.log().matches("was not embedded: model").count() > 6
    });
    assert_eq!(number_of(&mut client, "clip_search_internal.clip_embed_queue WHERE attempts = 0"), 3);
    cluster.reconfigure(&[("clip_search.max_server_memory", "0")]);
    cluster.wait_for_log("took new settings");
    wait_until("all", LIMIT, || {
        due_now(&mut client);
        number(&mut client, DONE) == 3
    });
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

/// One image is too much for the server, and others are not: they are embedded, and it is given up.
#[test]
fn an_image_that_is_too_much() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE photos (id integer PRIMARY KEY, image bytea, embedding vector);
             SELECT clip_sync('photos', 'image', mode => 'queued')",
        )
        .unwrap();
    let small = image("gradient.png");
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
            .batch_execute("UPDATE clip_search_internal.clip_embed_queue SET attempts = 9, due_at = now() WHERE attempts BETWEEN 1 AND 8")
            .unwrap();
        number_of(&mut client, "clip_embed_errors") == 1
    });
    let row = client.query_one("SELECT key::text, sqlstate, attempts FROM clip_embed_errors", &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "{\"id\": 2}");
    assert_eq!(row.get::<_, String>(1), "53200");
    assert_eq!(row.get::<_, i32>(2), 10);
    assert_eq!(number_of(&mut client, "clip_search_internal.clip_embed_queue"), 0);
    cluster.assert_sessions_survived();
}

/// A row whose source was taken away, and that cannot be written, is not in the way of others.
#[test]
fn a_row_that_cannot_be_cleared() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    upload(&mut client, 0..5);
    wait_for(&mut client, 5);
    client
        .batch_execute("ALTER TABLE captions ADD CHECK (id <> 2 OR embedding IS NOT NULL); UPDATE captions SET caption = NULL WHERE id = 2")
        .unwrap();
    wait_until("an attempt", LIMIT, || {
        number_of(&mut client, "clip_search_internal.clip_embed_queue WHERE attempts > 0") == 1
    });
    upload(&mut client, 5..10);
    wait_until("the others", LIMIT, || number(&mut client, DONE) == 9);
    client.batch_execute("UPDATE clip_search_internal.clip_embed_queue SET attempts = 9, due_at = now()").unwrap();
    wait_until("the end of it", LIMIT, || number_of(&mut client, "clip_embed_errors WHERE sqlstate = '23514'") == 1);
    cluster.assert_sessions_survived();
}

/// A trigger that takes for ever is ended; other tables do not wait for the next of its rows.
#[test]
fn a_trigger_that_sleeps() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .batch_execute(
            "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;
             CREATE TRIGGER sleep BEFORE UPDATE ON captions FOR EACH ROW EXECUTE FUNCTION sleep();
             ALTER TABLE captions ENABLE ALWAYS TRIGGER sleep;
             CREATE TABLE other (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('other', 'caption', mode => 'queued')",
        )
        .unwrap();
    upload(&mut client, 0..2);
    client.batch_execute("INSERT INTO other VALUES (1, 'another')").unwrap();
    wait_until("the other table's row", LIMIT * 3, || number(&mut client, "SELECT count(embedding) FROM other") == 1);
    wait_until("what it says", LIMIT, || {
        number_of(&mut client, "clip_search_internal.clip_embed_queue WHERE last_error LIKE 'canceling statement%'") > 0
    });
    cluster.assert_sessions_survived();
}

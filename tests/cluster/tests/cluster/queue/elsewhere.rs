//! What is queued in a dump, on a subscriber, on a standby.

use super::{LIMIT, number_of, one, table, upload, wait_for, worker};
use cluster_tests::{Cluster, refusal, wait_until};
use postgres::{Client, error::SqlState};
use std::process::Stdio;

/// Runs statements whose entries in the queue are not due until the far future, so that tests see what is in it.
fn held_back(client: &mut Client, statements: &str) {
    client
        .batch_execute(&format!(
            "BEGIN; {statements}; UPDATE clip_search_internal.clip_embed_queue SET due_at = 'infinity'; COMMIT"
        ))
        .unwrap();
}

fn upload_held_back(client: &mut Client, ids: std::ops::Range<i32>) {
    let (first, last) = (ids.start, ids.end - 1);
    held_back(
        client,
        &format!("INSERT INTO captions SELECT n, 'caption ' || n FROM generate_series({first}, {last}) AS n"),
    );
}

fn let_go(client: &mut Client) {
    client.batch_execute("UPDATE clip_search_internal.clip_embed_queue SET due_at = clock_timestamp()").unwrap();
}

/// A dump has the triggers, the embeddings and what was queued; nothing is embedded that was.
#[test]
fn dumped_and_restored() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .batch_execute(
            "CREATE TABLE at_once (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('at_once', 'caption');
             INSERT INTO at_once VALUES (1, 'at once');
             ALTER TABLE at_once DISABLE TRIGGER clip_sync_embedding;
             UPDATE at_once SET embedding = '[1,2,3]';
             ALTER TABLE at_once ENABLE TRIGGER clip_sync_embedding",
        )
        .unwrap();
    upload(&mut client, 0..3);
    wait_for(&mut client, 3);
    // Would be another if it were embedded again.
    client.batch_execute("UPDATE captions SET embedding = '[1,2,3]' WHERE id < 3").unwrap();
    upload_held_back(&mut client, 3..5);
    client.batch_execute("CREATE DATABASE copy TEMPLATE template0").unwrap();
    let mut dump = cluster.client("pg_dump").stdout(Stdio::piped()).spawn().unwrap();
    let restore = cluster
        .psql()
        .args(["--set=ON_ERROR_STOP=1", "--quiet", "--dbname=copy"])
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(restore.status.success(), "{}", String::from_utf8_lossy(&restore.stderr));
    assert!(dump.wait().unwrap().success());
    let mut copy = cluster.connect_to("copy", "postgres");
    assert_eq!(number_of(&mut copy, "captions WHERE embedding = '[1,2,3]'"), 3);
    assert_eq!(number_of(&mut copy, "at_once WHERE embedding = '[1,2,3]'"), 1);
    assert_eq!(number_of(&mut copy, "clip_sync_status()"), 2);
    assert_eq!(one::<i64>(&mut copy, "SELECT queued FROM clip_sync_status() WHERE mode = 'queued'"), 2);
    // What had waited is done when its time has come, and the triggers work.
    copy.batch_execute(
        "UPDATE clip_search_internal.clip_embed_queue SET due_at = now(); INSERT INTO at_once VALUES (2, 'another')",
    )
    .unwrap();
    upload(&mut copy, 5..6);
    wait_for(&mut copy, 3);
    assert_eq!(number_of(&mut copy, "at_once WHERE embedding = clip_embed_text(caption)"), 1);
    cluster.assert_sessions_survived();
}

/// A subscriber embeds what is replicated to it, where its triggers were asked to.
#[test]
fn logical_replication() {
    let cluster = Cluster::builder().set("wal_level", "logical").start();
    let mut client = cluster.connect();
    client.batch_execute("CREATE DATABASE origin").unwrap();
    let mut origin = cluster.connect_to("origin", "postgres");
    origin
        .batch_execute(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text);
             INSERT INTO captions SELECT n, 'caption ' || n FROM generate_series(0, 9) AS n;
             CREATE PUBLICATION captions FOR TABLE captions",
        )
        .unwrap();
    origin.query("SELECT pg_create_logical_replication_slot('captions', 'pgoutput')", &[]).unwrap();
    client
        .batch_execute(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector, at_once vector, never vector);
             SELECT clip_sync('captions', 'caption', mode => 'queued', always => true);
             SELECT clip_sync('captions', 'caption', 'at_once', always => true);
             SELECT clip_sync('captions', 'caption', 'never')",
        )
        .unwrap();
    let folder: String = one(&mut client, "SHOW unix_socket_directories");
    let port: String = one(&mut client, "SHOW port");
    client
        .batch_execute(&format!(
            "CREATE SUBSCRIPTION captions CONNECTION 'host={folder} port={port} dbname=origin user=postgres'
                 PUBLICATION captions WITH (create_slot = false, slot_name = 'captions')"
        ))
        .unwrap();
    wait_for(&mut client, 10);
    origin
        .batch_execute(
            "INSERT INTO captions SELECT n, 'caption ' || n FROM generate_series(10, 19) AS n;
             UPDATE captions SET caption = 'another' WHERE id = 3; DELETE FROM captions WHERE id = 4",
        )
        .unwrap();
    wait_for(&mut client, 19);
    assert_eq!(number_of(&mut client, "captions WHERE at_once = clip_embed_text(caption)"), 19);
    assert_eq!(number_of(&mut client, "captions WHERE never IS NOT NULL"), 0);
    assert_eq!(number_of(&mut client, "captions WHERE caption = 'another'"), 1);
    client.batch_execute("DROP SUBSCRIPTION captions").unwrap();
    cluster.assert_sessions_survived();
}

/// Where all tables are published, the queue and the failures of each server are its own.
#[test]
fn everything_is_replicated() {
    let cluster = Cluster::builder().set("wal_level", "logical").start();
    let mut client = cluster.connect();
    client.batch_execute("CREATE DATABASE origin").unwrap();
    let mut origin = cluster.connect_to("origin", "postgres");
    let tables = "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
         CREATE TABLE images (id integer PRIMARY KEY, image bytea, embedding vector);";
    origin
        .batch_execute(&format!(
            "CREATE EXTENSION clip_search CASCADE; {tables}
             SELECT clip_sync('captions', 'caption', mode => 'queued'), clip_sync('images', 'image', mode => 'queued');
             SET client_min_messages = error; CREATE PUBLICATION everything FOR ALL TABLES"
        ))
        .unwrap();
    upload(&mut origin, 0..3);
    wait_for(&mut origin, 3);
    origin.query("SELECT pg_create_logical_replication_slot('everything', 'pgoutput')", &[]).unwrap();
    let folder: String = one(&mut client, "SHOW unix_socket_directories");
    let port: String = one(&mut client, "SHOW port");
    client
        .batch_execute(&format!(
            "{tables}
             SELECT clip_sync('captions', 'caption', mode => 'queued', always => true),
                    clip_sync('images', 'image', mode => 'queued', always => true)"
        ))
        .unwrap();
    client
        .batch_execute(&format!(
            "CREATE SUBSCRIPTION everything CONNECTION 'host={folder} port={port} dbname=origin user=postgres'
                 PUBLICATION everything WITH (create_slot = false, slot_name = 'everything')"
        ))
        .unwrap();
    wait_for(&mut client, 3);
    // Each of them finds out that it is none, the subscriber first.
    held_back(&mut origin, "INSERT INTO images VALUES (1, 'no image')");
    let failed = "clip_embed_errors WHERE \"table\" = 'images'::regclass";
    wait_until("the subscriber's failure", LIMIT, || number_of(&mut client, failed) == 1);
    let_go(&mut origin);
    wait_until("the publisher's failure", LIMIT, || number_of(&mut origin, failed) == 1);
    upload(&mut origin, 3..6);
    wait_for(&mut origin, 6);
    wait_for(&mut client, 6);
    // What one server forgets, the other still knows.
    origin.batch_execute("SELECT clip_unsync('images')").unwrap();
    upload(&mut origin, 6..7);
    wait_for(&mut client, 7);
    assert_eq!((number_of(&mut origin, failed), number_of(&mut client, failed)), (0, 1));
    client.batch_execute("DROP SUBSCRIPTION everything").unwrap();
    cluster.assert_sessions_survived();
}

/// The rows of one database are loaded into the tables of another, which have triggers by then.
#[test]
fn data_alone_restored() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    upload_held_back(&mut client, 0..5);
    client.batch_execute("CREATE DATABASE copy TEMPLATE template0").unwrap();
    for part in ["--schema-only", "--data-only"] {
        let mut dump = cluster.client("pg_dump").arg(part).stdout(Stdio::piped()).spawn().unwrap();
        let restore = cluster
            .psql()
            .args(["--set=ON_ERROR_STOP=1", "--quiet", "--single-transaction", "--dbname=copy"])
            .stdin(dump.stdout.take().unwrap())
            .stdout(Stdio::null())
            .output()
            .unwrap();
        assert!(restore.status.success(), "{}", String::from_utf8_lossy(&restore.stderr));
        assert!(dump.wait().unwrap().success());
    }
    let mut copy = cluster.connect_to("copy", "postgres");
    copy.batch_execute("UPDATE clip_search_internal.clip_embed_queue SET due_at = now()").unwrap();
    wait_for(&mut copy, 5);
    cluster.assert_sessions_survived();
}

/// A standby shows the queue and leaves it alone; after its promotion, it goes on where the primary was.
#[test]
fn a_standby_takes_over() {
    let primary = Cluster::on_demand();
    let mut client = primary.connect();
    table(&mut client);
    upload_held_back(&mut client, 0..5);
    let standby = Cluster::builder().preload(true).start_standby_of(&primary);
    drop(client);
    let mut client = standby.connect();
    assert_eq!(one::<i64>(&mut client, "SELECT queued FROM clip_sync_status()"), 5);
    assert!(!one::<bool>(&mut client, "SELECT worker FROM clip_sync_status()"));
    assert!(worker(&mut client).is_none());
    for statement in [
        "SELECT clip_start_worker()",
        "CALL clip_embed_table('captions', 'caption')",
        "SELECT clip_sync('captions', 'caption')",
        "SELECT clip_unsync('captions')",
    ] {
        let error = refusal(client.batch_execute(statement));
        assert_eq!(error.code(), &SqlState::READ_ONLY_SQL_TRANSACTION, "{statement}");
        assert!(error.message().starts_with("cannot execute "), "{}", error.message());
        assert!(error.message().ends_with(" during recovery"), "{}", error.message());
    }
    client.query("SELECT pg_promote()", &[]).unwrap();
    let_go(&mut client);
    wait_for(&mut client, 5);
    standby.assert_sessions_survived();
}

/// A restored queue waits for somebody: an upload, or a call.
#[test]
fn a_worker_is_started_by_a_call() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    upload_held_back(&mut client, 0..5);
    let has_worker = "SELECT worker FROM clip_sync_status()";
    // It would stay as long as there is something in the queue.
    wait_until("the worker that the upload started", LIMIT, || worker(&mut client).is_some());
    client
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'clip_search worker'",
        )
        .unwrap();
    wait_until("its end", LIMIT, || worker(&mut client).is_none());
    assert!(!one::<bool>(&mut client, has_worker));
    let_go(&mut client);
    assert!(one::<bool>(&mut client, "SELECT clip_start_worker()"));
    wait_for(&mut client, 5);
    client.batch_execute("CREATE ROLE stranger LOGIN").unwrap();
    let error = refusal(cluster.connect_to("postgres", "stranger").query("SELECT clip_start_worker()", &[]));
    assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
    cluster.assert_sessions_survived();
}

/// DROP DATABASE waits five seconds for sessions to end; a worker that has more to do than that ends in time.
#[test]
fn a_database_is_dropped_beside_a_busy_worker() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("CREATE DATABASE doomed").unwrap();
    let mut doomed = cluster.connect_to("doomed", "postgres");
    doomed.batch_execute("CREATE EXTENSION clip_search CASCADE").unwrap();
    table(&mut doomed);
    doomed.batch_execute("INSERT INTO captions SELECT n, 'caption ' || n FROM generate_series(1, 20000) AS n").unwrap();
    wait_until("a worker in the middle", LIMIT, || number_of(&mut doomed, "captions WHERE embedding IS NOT NULL") > 0);
    drop(doomed);
    client.batch_execute("DROP DATABASE doomed").unwrap();
    cluster.assert_sessions_survived();
}

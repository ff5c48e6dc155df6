//! Uploads that are embedded later: nothing is lost, whoever is killed.

use cluster_tests::{Cluster, Process, StopMode, refusal, wait_until};
use postgres::{Client, error::SqlState};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const DONE: &str = "SELECT count(*) FROM captions WHERE embedding = clip_embed_text(caption)";

fn number(client: &mut Client, query: &str) -> i64 {
    client.query_one(query, &[]).unwrap().get(0)
}

fn table(client: &mut Client) {
    client
        .batch_execute(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('captions', 'caption', mode => 'queued')",
        )
        .unwrap();
}

fn upload(client: &mut Client, ids: std::ops::Range<i32>) {
    for id in ids {
        client.execute("INSERT INTO captions VALUES ($1, 'caption ' || $1::integer)", &[&id]).unwrap();
    }
}

fn wait_for(client: &mut Client, rows: i64) {
    wait_until("all rows to be embedded", LIMIT, || number(client, DONE) == rows);
    wait_until("an empty queue", LIMIT, || number(client, "SELECT count(*) FROM clip_embed_queue") == 0);
}

fn worker(client: &mut Client) -> Option<Process> {
    let query =
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'clip_search worker' ORDER BY backend_start LIMIT 1";
    client.query_opt(query, &[]).unwrap().map(|row| Process(row.get(0)))
}

#[test]
fn uploads_are_embedded_and_the_worker_ends() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    assert!(worker(&mut client).is_none());
    let mut transaction = client.transaction().unwrap();
    transaction.execute("INSERT INTO captions VALUES (100, 'never')", &[]).unwrap();
    transaction.rollback().unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_embed_queue"), 0);
    upload(&mut client, 0..50);
    wait_for(&mut client, 50);
    // Changed, twice in one transaction, emptied, and gone before its turn.
    client
        .batch_execute(
            "BEGIN; UPDATE captions SET caption = 'once' WHERE id = 1; UPDATE captions SET caption = 'twice' WHERE id = 1;
             UPDATE captions SET caption = NULL WHERE id = 2; UPDATE captions SET caption = 'gone' WHERE id = 3;
             DELETE FROM captions WHERE id = 3; COMMIT",
        )
        .unwrap();
    wait_for(&mut client, 48);
    assert_eq!(number(&mut client, "SELECT count(*) FROM captions WHERE id = 2 AND embedding IS NULL"), 1);
    // What does not touch the source asks for nothing.
    client.batch_execute("BEGIN; UPDATE captions SET id = id + 1000 WHERE id = 4").unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_embed_queue"), 0);
    client.batch_execute("COMMIT").unwrap();
    wait_until("the worker's end", LIMIT, || worker(&mut client).is_none());
    upload(&mut client, 50..60);
    wait_for(&mut client, 58);
    cluster.assert_sessions_survived();
}

#[test]
fn killed_servers_lose_nothing() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    for round in 0..5 {
        upload(&mut client, round * 100..round * 100 + 100);
        cluster.server().kill();
    }
    wait_for(&mut client, 500);
    cluster.assert_sessions_survived();
}

/// PostgreSQL restarts all sessions then; the next upload starts a worker, which finds what is left.
#[test]
fn a_killed_worker_loses_nothing() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    upload(&mut client, 0..200);
    let mut worker_was_there = None;
    wait_until("a worker", LIMIT, || {
        worker_was_there = worker(&mut client);
        worker_was_there.is_some()
    });
    // Held where it stands, so that it has not finished when it is killed.
    worker_was_there.unwrap().freeze();
    upload(&mut client, 200..220);
    worker_was_there.unwrap().kill();
    let lost = wait_for_restart(&cluster, client);
    let mut client = lost;
    upload(&mut client, 220..221);
    wait_for(&mut client, 221);
}

fn wait_for_restart(cluster: &Cluster, mut old: Client) -> Client {
    wait_until("the session's end", LIMIT, || old.simple_query("SELECT 1").is_err());
    let mut found = None;
    wait_until("PostgreSQL to accept connections", LIMIT, || {
        let connect = || cluster.connect();
        found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(connect)).ok();
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_killed_postmaster_loses_nothing() {
    let cluster = Cluster::builder().preload(true).set("clip_search.databases", "postgres").start();
    let mut client = cluster.connect();
    table(&mut client);
    wait_until("the static worker", LIMIT, || worker(&mut client).is_some());
    upload(&mut client, 0..200);
    cluster.stop(StopMode::Immediate);
    cluster.start();
    let mut client = cluster.connect();
    // Without another upload.
    wait_for(&mut client, 200);
}

/// A trigger of the table that raises: tried again, not in the way of others, and nothing of it lasts.
#[test]
fn a_row_that_cannot_be_written_is_not_in_the_way() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.id = 7 THEN RAISE 'not this one'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON captions FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .unwrap();
    upload(&mut client, 0..40);
    wait_until("the others to be embedded", LIMIT, || number(&mut client, DONE) == 39);
    wait_until("an attempt", LIMIT, || {
        number(&mut client, "SELECT count(*) FROM clip_embed_queue WHERE attempts > 0 AND (key ->> 'id') = '7'") == 1
    });
    client.batch_execute("DROP TRIGGER refuse ON captions").unwrap();
    wait_for(&mut client, 40);
}

/// As the table's owner, in a security-restricted operation.
#[test]
fn the_worker_acts_as_the_owner() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE ROLE owner LOGIN; CREATE SCHEMA own AUTHORIZATION owner; SET ROLE owner;
             CREATE TABLE own.captions (id integer PRIMARY KEY, caption text, embedding public.vector, writer text);
             CREATE FUNCTION own.writer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 NEW.writer := current_user;
                 BEGIN
                     SET LOCAL ROLE NONE;
                     NEW.writer := NEW.writer || ' and ' || current_user;
                 EXCEPTION WHEN OTHERS THEN NEW.writer := NEW.writer || ' ' || SQLSTATE;
                 END;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER writer BEFORE UPDATE ON own.captions FOR EACH ROW EXECUTE FUNCTION own.writer();
             SELECT clip_sync('own.captions', 'caption', mode => 'queued');
             INSERT INTO own.captions VALUES (1, 'a caption')",
        )
        .unwrap();
    let error = refusal(client.query("SELECT * FROM clip_embed_queue", &[]));
    assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
    client.batch_execute("RESET ROLE").unwrap();
    wait_until("the embedding", LIMIT, || number(&mut client, "SELECT count(embedding) FROM own.captions") == 1);
    let writer: String = client.query_one("SELECT writer FROM own.captions", &[]).unwrap().get(0);
    assert_eq!(writer, "owner 42501");
}

//! Uploads that are embedded later.

mod attacks;
mod blame;
mod elsewhere;
mod faults;
mod hidden;
mod locks;
mod remote;
mod rights;
mod tables;

use cluster_tests::{Cluster, Process, refusal, wait_until};
use postgres::{Client, error::SqlState};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const DONE: &str = "SELECT count(*) FROM captions WHERE embedding = clip_embed_text(caption)";

fn number(client: &mut Client, query: &str) -> i64 {
    client.query_one(query, &[]).unwrap().get(0)
}

fn number_of(client: &mut Client, table: &str) -> i64 {
    number(client, &format!("SELECT count(*) FROM {table}"))
}

fn one<T: for<'a> postgres::types::FromSql<'a>>(client: &mut Client, query: &str) -> T {
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
    wait_until("an empty queue", LIMIT, || {
        number(client, "SELECT count(*) FROM clip_search_internal.clip_embed_queue") == 0
    });
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
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_search_internal.clip_embed_queue"), 0);
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
    // What touches neither source nor key asks for nothing.
    client.batch_execute("BEGIN; UPDATE captions SET embedding = embedding WHERE id = 4").unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_search_internal.clip_embed_queue"), 0);
    // Its key changes before its turn.
    client
        .batch_execute(
            "INSERT INTO captions VALUES (101, 'moves'); UPDATE captions SET id = 102 WHERE id = 101; COMMIT",
        )
        .unwrap();
    wait_for(&mut client, 49);
    wait_until("the worker's end", LIMIT, || worker(&mut client).is_none());
    upload(&mut client, 50..60);
    wait_for(&mut client, 59);
    cluster.assert_sessions_survived();
}

/// A trigger of the table that raises: tried again, not in the way of others, and nothing of it lasts.
#[test]
fn a_row_that_cannot_be_written_is_not_in_the_way() {
    refuses_one("CREATE TRIGGER refuse BEFORE UPDATE ON captions");
}

/// Nor is one that would raise within the commit.
#[test]
fn a_deferred_trigger_that_raises_is_not_in_the_way() {
    refuses_one("CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON captions DEFERRABLE INITIALLY DEFERRED");
}

fn refuses_one(trigger: &str) {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .batch_execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.id = 7 THEN RAISE 'not this one'; END IF;
                 RETURN NEW;
             END $$;
             {trigger} FOR EACH ROW EXECUTE FUNCTION refuse(); ALTER TABLE captions ENABLE ALWAYS TRIGGER refuse"
        ))
        .unwrap();
    upload(&mut client, 0..40);
    wait_until("the others to be embedded", LIMIT, || number(&mut client, DONE) == 39);
    wait_until("an attempt", LIMIT, || {
        number(
            &mut client,
            "SELECT count(*) FROM clip_search_internal.clip_embed_queue WHERE attempts > 0 AND (key ->> 'id') = '7'",
        ) == 1
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
             CREATE TRIGGER writer BEFORE UPDATE ON own.captions FOR EACH ROW EXECUTE FUNCTION own.writer(); ALTER TABLE own.captions ENABLE ALWAYS TRIGGER writer;
             SELECT clip_sync('own.captions', 'caption', mode => 'queued');
             INSERT INTO own.captions VALUES (1, 'a caption')",
        )
        .unwrap();
    let error = refusal(client.query("SELECT * FROM clip_search_internal.clip_embed_queue", &[]));
    assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
    client.batch_execute("RESET ROLE").unwrap();
    wait_until("the embedding", LIMIT, || number(&mut client, "SELECT count(embedding) FROM own.captions") == 1);
    let writer: String = client.query_one("SELECT writer FROM own.captions", &[]).unwrap().get(0);
    assert_eq!(writer, "owner 42501");
}

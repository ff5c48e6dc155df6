//! What one table's owner does to the queue is not felt by another.

use super::{LIMIT, number, number_of, one, worker};
use cluster_tests::{Cluster, wait_until};
use postgres::Client;
use std::time::Duration;

/// Two owners, and the code of a table has half a second.
fn cluster() -> (Cluster, Client) {
    two_owners(Cluster::builder().set("clip_search.queue_timeout", "500ms").start())
}

/// Two owners, each with a table whose rows are queued.
fn two_owners(cluster: Cluster) -> (Cluster, Client) {
    let mut client = cluster.connect();
    for owner in ["mallory", "alice"] {
        client
            .batch_execute(&format!(
                "CREATE ROLE {owner}; CREATE SCHEMA {owner} AUTHORIZATION {owner}; SET ROLE {owner};
                 CREATE TABLE {owner}.captions (id integer PRIMARY KEY, caption text, embedding public.vector);
                 SELECT clip_sync('{owner}.captions', 'caption', mode => 'queued'); RESET ROLE"
            ))
            .unwrap();
    }
    (cluster, client)
}

fn embedded(client: &mut Client, table: &str) -> i64 {
    number(client, &format!("SELECT count(embedding) FROM {table}"))
}

fn alices_row_is_embedded(client: &mut Client, id: i32, limit: Duration) {
    let before = embedded(client, "alice.captions");
    client.execute("INSERT INTO alice.captions VALUES ($1, 'a caption of alice')", &[&id]).unwrap();
    wait_until("another owner's row is embedded", limit, || embedded(client, "alice.captions") == before + 1);
}

fn wait_for_the_attack(client: &mut Client) {
    wait_until("the worker runs the owner's code", LIMIT, || {
        number_of(client, "pg_stat_activity WHERE backend_type = 'clip_search worker' AND wait_event = 'PgSleep'") == 1
    });
}

/// The last attempts, at once.
fn it_is_given_up(client: &mut Client, sqlstate: &str) {
    wait_until("it is given up", LIMIT, || {
        client
            .batch_execute("UPDATE clip_search_internal.clip_embed_queue SET attempts = 9, due_at = now() WHERE relid = 'mallory.captions'::regclass AND attempts > 0")
            .unwrap();
        number_of(client, "clip_embed_errors WHERE \"table\" = 'mallory.captions'::regclass") == 1
    });
    assert_eq!(one::<String>(client, "SELECT sqlstate FROM clip_embed_errors"), sqlstate);
    assert_eq!(
        number_of(client, "clip_search_internal.clip_embed_queue WHERE relid = 'mallory.captions'::regclass"),
        0
    );
}

/// A trigger that catches the cancel, again and again: the worker is ended, and another takes its place.
#[test]
fn a_trigger_that_swallows_the_cancel() {
    let (cluster, mut client) = cluster();
    client
        .batch_execute(
            "SET ROLE mallory;
             CREATE FUNCTION mallory.stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 LOOP
                     BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled OR OTHERS THEN NULL; END;
                 END LOOP;
             END $$;
             CREATE TRIGGER stay BEFORE UPDATE ON mallory.captions FOR EACH ROW EXECUTE FUNCTION mallory.stay();
             ALTER TABLE mallory.captions ENABLE ALWAYS TRIGGER stay;
             INSERT INTO mallory.captions VALUES (1, 'a caption'); RESET ROLE",
        )
        .unwrap();
    wait_for_the_attack(&mut client);
    let first = worker(&mut client).expect("a worker");
    alices_row_is_embedded(&mut client, 1, LIMIT / 2);
    cluster.wait_for_log(
        "triggers, constraints or types of mallory.captions ran for longer than clip_search.queue_timeout (500 ms)",
    );
    wait_until("the worker's end", LIMIT, || !first.runs());
    // Nobody uploads anything, and others' rows go on all the same.
    wait_until("the attempt is counted", LIMIT, || {
        number_of(
            &mut client,
            "clip_search_internal.clip_embed_queue WHERE attempts > 0 AND last_error LIKE '%worker was ended%'",
        ) == 1
    });
    it_is_given_up(&mut client, "57P01");
    alices_row_is_embedded(&mut client, 2, LIMIT / 2);
    assert_eq!(number_of(&mut client, "clip_search_internal.clip_embed_attempts"), 0);
    cluster.assert_sessions_survived();
}

/// A key's domain whose CHECK takes for ever, while rows are only looked for.
#[test]
fn a_check_of_a_keys_domain_that_sleeps() {
    let (cluster, mut client) = cluster();
    client
        .batch_execute(
            "SET ROLE mallory; DROP TABLE mallory.captions;
             CREATE FUNCTION mallory.sleep(integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                 IF current_setting('session_replication_role') = 'replica' THEN PERFORM pg_sleep(3600); END IF;
                 RETURN true;
             END $$;
             CREATE DOMAIN mallory.key AS integer CHECK (mallory.sleep(VALUE));
             CREATE TABLE mallory.captions (id mallory.key PRIMARY KEY, caption text, embedding public.vector);
             SELECT clip_sync('mallory.captions', 'caption', mode => 'queued');
             INSERT INTO mallory.captions VALUES (1, 'a caption'); RESET ROLE",
        )
        .unwrap();
    wait_for_the_attack(&mut client);
    alices_row_is_embedded(&mut client, 1, LIMIT / 2);
    wait_until("the attempt is counted", LIMIT, || {
        number_of(
            &mut client,
            "clip_search_internal.clip_embed_queue WHERE attempts > 0 AND last_error LIKE 'canceling statement%'",
        ) == 1
    });
    it_is_given_up(&mut client, "57014");
    cluster.assert_sessions_survived();
}

/// Each row takes a part of the time, and all together more than there is.
#[test]
fn the_limit_is_for_all_rows_together() {
    let (cluster, mut client) = cluster();
    client
        .batch_execute(
            "SET ROLE mallory;
             CREATE FUNCTION mallory.slow() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$;
             CREATE TRIGGER slow BEFORE UPDATE ON mallory.captions FOR EACH ROW EXECUTE FUNCTION mallory.slow();
             ALTER TABLE mallory.captions ENABLE ALWAYS TRIGGER slow;
             INSERT INTO mallory.captions SELECT n, 'caption ' || n FROM generate_series(1, 10) AS n; RESET ROLE",
        )
        .unwrap();
    wait_for_the_attack(&mut client);
    alices_row_is_embedded(&mut client, 1, LIMIT / 2);
    // One by one, they have enough of it.
    wait_until("all of them", LIMIT * 2, || {
        client
            .batch_execute("UPDATE clip_search_internal.clip_embed_queue SET due_at = now() WHERE due_at > now()")
            .unwrap();
        embedded(&mut client, "mallory.captions") == 10
    });
    cluster.assert_sessions_survived();
}

/// Ten thousand rows of one owner, and then one of another, and one in another table of the first.
#[test]
fn owners_take_turns_and_so_do_tables() {
    const ROWS: i64 = 10_000;
    let (cluster, mut client) = two_owners(Cluster::on_demand());
    client
        .batch_execute(&format!(
            "SET ROLE mallory; CREATE TABLE mallory.others (LIKE mallory.captions INCLUDING ALL);
             SELECT clip_sync('mallory.others', 'caption', mode => 'queued');
             INSERT INTO mallory.captions SELECT n, 'caption ' || n FROM generate_series(1, {ROWS}) AS n; RESET ROLE"
        ))
        .unwrap();
    wait_until("the worker has begun", LIMIT, || embedded(&mut client, "mallory.captions") > 0);
    // By the numbers of transactions: the worker goes on while this looks.
    let before: i64 = one(&mut client, "SELECT txid_current()");
    client.batch_execute("INSERT INTO mallory.others VALUES (1, 'another caption')").unwrap();
    alices_row_is_embedded(&mut client, 1, LIMIT);
    wait_until("the other table's row", LIMIT, || embedded(&mut client, "mallory.others") == 1);
    let last: i64 = one(
        &mut client,
        "SELECT max(xmin::text::bigint) FROM (SELECT xmin FROM alice.captions UNION ALL SELECT xmin FROM mallory.others) AS rows",
    );
    let batches = format!(
        "(SELECT count(*) FROM mallory.captions
          WHERE embedding IS NOT NULL AND xmin::text::bigint BETWEEN {before} AND {last} GROUP BY xmin) AS batches"
    );
    let meanwhile = number(&mut client, &format!("SELECT coalesce(sum(count), 0)::bigint FROM {batches}"));
    assert!(meanwhile < ROWS / 4, "{meanwhile} rows were embedded before that of another owner");
    assert_eq!(number_of(&mut client, &format!("{batches} WHERE count < 16")), 0, "batches stay large");
    cluster.assert_sessions_survived();
}

/// Whatever ends the worker, what it was at is tried a bounded number of times.
#[test]
fn an_attempt_that_ends_the_worker_is_counted() {
    let (cluster, mut client) = cluster();
    alices_row_is_embedded(&mut client, 1, LIMIT);
    let server = cluster.server();
    server.freeze();
    client.batch_execute("INSERT INTO mallory.captions VALUES (1, 'a caption')").unwrap();
    for attempt in 1..=2_i32 {
        wait_until("the worker works on it", LIMIT, || {
            client
                .batch_execute("UPDATE clip_search_internal.clip_embed_queue SET due_at = now() WHERE due_at > now()")
                .unwrap();
            number_of(&mut client, "clip_search_internal.clip_embed_attempts") == 1
        });
        let worker = worker(&mut client).expect("a worker");
        worker.terminate();
        // It is gone when the postmaster says so.
        cluster.wait_for_log(&format!("\"clip_search worker\" (PID {}) exited", worker.0));
        // Starts another.
        client.execute("INSERT INTO alice.captions VALUES ($1, 'a caption')", &[&(10 + attempt)]).unwrap();
        wait_until("the attempt is counted", LIMIT, || {
            number(&mut client, "SELECT sum(attempts) FROM clip_search_internal.clip_embed_queue") >= attempt.into()
        });
    }
    server.thaw();
    wait_until("all rows", LIMIT, || {
        client
            .batch_execute("UPDATE clip_search_internal.clip_embed_queue SET due_at = now() WHERE due_at > now()")
            .unwrap();
        embedded(&mut client, "mallory.captions") == 1 && embedded(&mut client, "alice.captions") == 3
    });
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

//! Those who lock a table for something else.

use super::{LIMIT, number_of, table, upload, wait_for};
use cluster_tests::{Cluster, refusal, wait_until};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// What has waited for long is not put off for long by a lock that is held for a moment.
#[test]
fn a_lock_for_a_moment() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    let mut other = cluster.connect();
    client
        .batch_execute(
            "INSERT INTO captions VALUES (100, 'begin'); BEGIN; INSERT INTO captions SELECT n, 'caption ' || n FROM generate_series(0, 99) n;
             UPDATE clip_search_internal.clip_embed_queue SET enqueued_at = now() - interval '1 day'",
        )
        .unwrap();
    let lock = thread::spawn(move || {
        other.batch_execute("BEGIN; LOCK TABLE captions IN SHARE MODE").unwrap();
        other
    });
    wait_until("somebody who waits for the table", LIMIT, || {
        number_of(&mut cluster.connect(), "pg_locks WHERE relation = 'captions'::regclass AND NOT granted") == 1
    });
    client.batch_execute("COMMIT").unwrap();
    let mut other = lock.join().unwrap();
    wait_until("entries that were put off", LIMIT, || {
        number_of(
            &mut client,
            "clip_search_internal.clip_embed_queue WHERE deferrals > 0 AND last_error LIKE '%locked%'",
        ) > 0
    });
    other.batch_execute("COMMIT").unwrap();
    wait_for(&mut client, 101);
    cluster.assert_sessions_survived();
}

/// The triggers of a partitioned table are made anew while rows come in.
#[test]
fn triggers_are_changed_while_uploads_run() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector) PARTITION BY HASH (id);
             CREATE TABLE captions_0 PARTITION OF captions FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE captions_1 PARTITION OF captions FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             SELECT clip_sync('captions', 'caption', mode => 'queued')",
        )
        .unwrap();
    let is_over = AtomicBool::new(false);
    let rows: i32 = thread::scope(|scope| {
        let uploads: Vec<_> = (0..3)
            .map(|number| {
                let (mut client, is_over) = (cluster.connect(), &is_over);
                scope.spawn(move || {
                    let mut rows = 0;
                    while !is_over.load(Relaxed) {
                        let first = number * 1_000_000 + rows;
                        upload(&mut client, first..first + 2);
                        rows += 2;
                    }
                    rows
                })
            })
            .collect();
        for _ in 0..30 {
            client.batch_execute("SELECT clip_sync('captions', 'caption', mode => 'queued')").unwrap();
        }
        is_over.store(true, Relaxed);
        uploads.into_iter().map(|upload| upload.join().unwrap()).sum()
    });
    wait_for(&mut client, rows.into());
    assert_eq!(refusal(client.batch_execute("SELECT clip_unsync('captions', 'no')")).code().code(), "42704");
    cluster.assert_sessions_survived();
}

//! Nothing is lost, whoever is killed.

use super::{LIMIT, number, number_of, table, upload, wait_for, worker};
use cluster_tests::{Cluster, StopMode, embed_text, wait_until};
use postgres::Client;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// Uploads without an end, in a session that is opened again when it is lost. What was answered is noted.
fn upload_on(cluster: &Cluster, first: i32, is_over: &AtomicBool) -> BTreeSet<i32> {
    let (mut answered, mut session, mut id) = (BTreeSet::new(), None, first);
    while !is_over.load(Relaxed) {
        let client = match &mut session {
            Some(client) => client,
            None => {
                cluster.wait_for_sessions();
                // Killed again since?
                let Ok(client) = cluster.try_connect() else { continue };
                session.insert(client)
            }
        };
        match client.execute("INSERT INTO captions VALUES ($1, 'caption ' || $1::integer)", &[&id]) {
            Ok(_) => {
                answered.insert(id);
            }
            Err(_) => session = None,
        }
        id += 1;
        thread::sleep(Duration::from_millis(2));
    }
    answered
}

/// While two sessions upload, `kill` is called so many times, with some time between.
fn while_uploads_run(cluster: &Cluster, times: usize, kill: impl Fn(&Cluster)) {
    table(&mut cluster.connect());
    let is_over = AtomicBool::new(false);
    let answered = thread::scope(|scope| {
        let uploads = [0, 1_000_000].map(|first| {
            let is_over = &is_over;
            scope.spawn(move || upload_on(cluster, first, is_over))
        });
        for _ in 0..times {
            thread::sleep(Duration::from_millis(400));
            kill(cluster);
        }
        thread::sleep(Duration::from_millis(200));
        is_over.store(true, Relaxed);
        uploads.into_iter().flat_map(|upload| upload.join().expect("no panic")).collect::<BTreeSet<i32>>()
    });
    assert!(!answered.is_empty());
    cluster.wait_for_sessions();
    let mut client = cluster.connect();
    // The last upload may have been before the last kill: then the next one starts the worker.
    upload(&mut client, -1..0);
    let stored = number(&mut client, "SELECT count(*) FROM captions");
    let answered: Vec<i32> = answered.into_iter().collect();
    let found = client.query_one("SELECT count(*) FROM captions WHERE id = ANY ($1)", &[&answered]).unwrap();
    assert_eq!(found.get::<_, i64>(0), answered.len() as i64);
    wait_for(&mut client, stored);
}

#[test]
fn servers_killed_while_uploads_run() {
    let cluster = Cluster::on_demand();
    while_uploads_run(&cluster, 4, |cluster| cluster.server().kill());
    cluster.assert_sessions_survived();
}

/// PostgreSQL restarts all sessions then; the next upload starts a worker, which finds what is left.
#[test]
fn workers_killed_while_uploads_run() {
    let cluster = Cluster::on_demand();
    while_uploads_run(&cluster, 3, |cluster| {
        let mut client = None;
        let mut found = None;
        wait_until("a worker", LIMIT, || {
            cluster.wait_for_sessions();
            let client = client.insert(cluster.connect());
            found = worker(client);
            found.is_some()
        });
        found.unwrap().kill();
        wait_until("the session's end", LIMIT, || client.as_mut().unwrap().simple_query("SELECT 1").is_err());
    });
}

#[test]
fn postmasters_killed_while_uploads_run() {
    let cluster = Cluster::on_demand();
    while_uploads_run(&cluster, 3, |cluster| {
        let postmaster = cluster.postmaster();
        postmaster.kill();
        wait_until("the postmaster's end", LIMIT, || !postmaster.runs());
        // What is left of it ends by itself; until then, a new one refuses to start.
        wait_until("a start", LIMIT, || cluster.try_start());
    });
}

#[test]
fn a_killed_worker_loses_nothing() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    embed_text(&mut client, "warm").unwrap();
    // It waits for the server, so that it has not finished when it is killed. Frozen itself, it might hold what uploads wait for.
    let server = cluster.server();
    server.freeze();
    upload(&mut client, 0..200);
    let is_waiting = "pg_stat_activity WHERE backend_type = 'clip_search worker' AND wait_event_type = 'Extension' AND backend_xmin IS NOT NULL";
    wait_until("a worker that waits", LIMIT, || number_of(&mut client, is_waiting) == 1);
    upload(&mut client, 200..220);
    worker(&mut client).expect("the worker").kill();
    server.thaw();
    wait_until("the session's end", LIMIT, || client.simple_query("SELECT 1").is_err());
    cluster.wait_for_sessions();
    let mut client = cluster.connect();
    upload(&mut client, 220..221);
    wait_for(&mut client, 221);
}

#[test]
fn a_stopped_cluster_loses_nothing() {
    let cluster = Cluster::builder().preload(true).start();
    let mut client = cluster.connect();
    table(&mut client);
    upload(&mut client, 0..200);
    cluster.stop(StopMode::Immediate);
    cluster.start();
    let mut client = cluster.connect();
    // Without another upload.
    wait_for(&mut client, 200);
}

/// An upload does not fail for want of a worker, and what it has queued is there when one can be had.
#[test]
fn no_free_worker_slot() {
    let cluster = Cluster::builder().set("max_worker_processes", 0).start();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
             CREATE TRIGGER queued AFTER INSERT OR UPDATE ON captions FOR EACH ROW
                 EXECUTE FUNCTION clip_enqueue_trigger('caption', 'embedding')",
        )
        .unwrap();
    upload(&mut client, 0..3);
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_search_internal.clip_embed_queue"), 3);
    cluster.wait_for_log("WARNING:  clip_search: no background worker slot is free to embed what is queued");
    drop(client);
    cluster.alter_system(&[("max_worker_processes", "8")]);
    cluster.stop(StopMode::Fast);
    cluster.start();
    let mut client: Client = cluster.connect();
    upload(&mut client, 3..4);
    wait_for(&mut client, 4);
    cluster.assert_sessions_survived();
}

/// A worker that was terminated is replaced by the next upload, however soon.
#[test]
fn worker_terminated_a_moment_ago() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    embed_text(&mut client, "connect").unwrap();
    let server = cluster.server();
    server.freeze();
    upload(&mut client, 0..1);
    wait_until("a worker", LIMIT, || worker(&mut client).is_some());
    client
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'clip_search worker'",
        )
        .unwrap();
    // It is gone when the postmaster says so, a little later than pg_stat_activity.
    cluster.wait_for_log("\"clip_search worker\" (PID");
    upload(&mut client, 1..2);
    server.thaw();
    wait_for(&mut client, 2);
    cluster.assert_sessions_survived();
}

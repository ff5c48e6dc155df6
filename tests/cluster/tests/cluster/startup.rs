//! How the server comes to run, whether the library is preloaded or not.

use cluster_tests::{Cluster, DIMENSION, Process, counters, embed_text, refusal, wait_until};
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

fn assert_one_of_each(cluster: &Cluster) {
    // Workers that found the lock taken may still be ending.
    cluster.supervisor();
    assert_eq!(cluster.servers().len(), 1);
    // Logged when it runs already.
    let started = "clip_search: started clip-search-server";
    cluster.wait_for_log(started);
    assert_eq!(cluster.log().matches(started).count(), 1);
}

#[test]
fn first_call_starts_the_server() {
    let cluster = Cluster::on_demand();
    assert!(cluster.servers().is_empty(), "CREATE EXTENSION needs no server");
    let vector = embed_text(&mut cluster.connect(), "a red apple").unwrap();
    assert_eq!(vector.len(), DIMENSION);
    assert_one_of_each(&cluster);
    cluster.assert_sessions_survived();
}

#[test]
fn preloaded_library_starts_the_server_by_itself() {
    let cluster = Cluster::preloaded();
    cluster.server();
    assert_eq!(embed_text(&mut cluster.connect(), "a red apple").unwrap().len(), DIMENSION);
    assert_one_of_each(&cluster);
    cluster.assert_sessions_survived();
}

#[test]
fn twenty_first_calls_at_once_start_one_server() {
    let cluster = Cluster::on_demand();
    let barrier = Arc::new(Barrier::new(20));
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (mut client, barrier) = (cluster.connect(), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                embed_text(&mut client, "a red apple")
            })
        })
        .collect();
    let vectors: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap().unwrap()).collect();
    assert!(vectors.iter().all(|vector| *vector == vectors[0]));
    assert_one_of_each(&cluster);
    cluster.assert_sessions_survived();
}

#[test]
fn two_databases_share_one_server() {
    let cluster = Cluster::on_demand();
    cluster.connect().batch_execute("CREATE DATABASE other").unwrap();
    let mut clients = ["postgres", "other"].map(|database| cluster.connect_to(database, "postgres"));
    clients[1].batch_execute("CREATE EXTENSION clip_search CASCADE").unwrap();
    let vectors = clients.each_mut().map(|client| embed_text(client, "a red apple").unwrap());
    let pids: BTreeSet<i32> = clients.iter_mut().map(|client| counters(client).pid).collect();
    assert_eq!(pids, BTreeSet::from([cluster.server().0]));
    assert_eq!(vectors[0], vectors[1]);
    assert_one_of_each(&cluster);
}

#[test]
fn the_cluster_restarts_with_a_new_server() {
    let cluster = Cluster::on_demand();
    embed_text(&mut cluster.connect(), "x").unwrap();
    let old = cluster.server();
    cluster.stop(cluster_tests::StopMode::Fast);
    cluster.start();
    embed_text(&mut cluster.connect(), "x").unwrap();
    let new: Process = cluster.server();
    assert_ne!(old, new);
}

#[test]
fn no_free_worker_slot_is_an_error_that_names_the_setting() {
    let cluster = Cluster::builder().set("max_worker_processes", 0).start();
    let error = refusal(embed_text(&mut cluster.connect(), "x"));
    assert_eq!(error.code().code(), "53400");
    assert!(error.hint().unwrap().contains("max_worker_processes"), "{error:?}");
    cluster.assert_sessions_survived();
}

#[test]
fn pg_stat_activity_shows_the_supervisor() {
    for preload in [true, false] {
        let cluster = Cluster::builder().preload(preload).start();
        let mut client = cluster.connect();
        embed_text(&mut client, "x").unwrap();
        let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'clip_search supervisor'";
        wait_until("pg_stat_activity shows the supervisor", Duration::from_secs(20), || {
            let rows = client.query(query, &[]).unwrap();
            rows.len() == 1 && rows[0].get::<_, i32>(0) == cluster.supervisor().0
        });
        // And so it can be ended from SQL, with its server; another comes after a second.
        let server = cluster.server();
        client.execute("SELECT pg_terminate_backend($1)", &[&cluster.supervisor().0]).unwrap();
        wait_until("the server ends", Duration::from_secs(20), || !server.runs());
    }
}

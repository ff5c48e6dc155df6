//! PostgreSQL restarts, or its postmaster is killed, while sessions are in the middle of requests.

use cluster_tests::{Cluster, DIMENSION, Load, StopMode, embed_text, wait_until};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A cluster whose server has to do all of its work.
fn cluster(preload: bool) -> Cluster {
    Cluster::builder().preload(preload).set("clip_search.text_cache_size", 0).start()
}

/// Sessions that embed until their connection breaks; returns when there is work to do.
fn busy(cluster: &Cluster) -> Vec<JoinHandle<()>> {
    let mut witness = cluster.connect();
    embed_text(&mut witness, "warm").unwrap();
    let sessions = (0..10).map(|session| {
        let mut client = cluster.connect();
        thread::spawn(move || {
            let array =
                format!("SELECT clip_embed_texts(array_agg('{session} ' || i)) FROM generate_series(1, 100000) i");
            while client.batch_execute(&array).is_ok() {}
        })
    });
    let sessions = sessions.collect();
    Load::wait_for(&mut witness, "there is work to do", |load| load.in_flight >= 5);
    sessions
}

fn assert_all_is_gone(cluster: &Cluster) {
    wait_until("no clip-search-server and no supervisor stays behind", Duration::from_secs(20), || {
        cluster.servers().is_empty() && cluster.supervisors().is_empty()
    });
}

fn works_again(cluster: &Cluster) {
    // What is left of one that was killed ends by itself; until then, a new one refuses to start.
    wait_until("a start", Duration::from_secs(30), || cluster.try_start());
    assert_eq!(embed_text(&mut cluster.connect(), "after").unwrap().len(), DIMENSION);
    cluster.server();
    cluster.supervisor();
    cluster.assert_sessions_survived();
}

/// Also waits until it is reaped: it cannot be started again before.
fn kill_postmaster(cluster: &Cluster) {
    let postmaster = cluster.postmaster();
    postmaster.kill();
    let trace = format!("/proc/{}", postmaster.0);
    wait_until("process 1 reaps the postmaster", Duration::from_secs(20), || !Path::new(&trace).exists());
}

fn restarted(preload: bool) {
    let cluster = cluster(preload);
    for _ in 0..3 {
        let sessions = busy(&cluster);
        cluster.stop(StopMode::Fast);
        assert_all_is_gone(&cluster);
        sessions.into_iter().for_each(|session| session.join().unwrap());
        works_again(&cluster);
    }
}

#[test]
fn restarted_on_demand() {
    restarted(false);
}

#[test]
fn restarted_preloaded() {
    restarted(true);
}

#[test]
fn postmaster_killed() {
    for preload in [true, false] {
        let cluster = cluster(preload);
        let sessions = busy(&cluster);
        kill_postmaster(&cluster);
        assert_all_is_gone(&cluster);
        sessions.into_iter().for_each(|session| session.join().unwrap());
        works_again(&cluster);
    }
}

/// Sessions and supervisor leave; a server that stands still leaves when it goes on.
#[test]
fn postmaster_killed_while_the_server_stands_still() {
    let cluster = cluster(false);
    let sessions = busy(&cluster);
    let server = cluster.server();
    server.freeze();
    kill_postmaster(&cluster);
    sessions.into_iter().for_each(|session| session.join().unwrap());
    wait_until("the supervisor leaves", Duration::from_secs(20), || cluster.supervisors().is_empty());
    server.thaw();
    assert_all_is_gone(&cluster);
    works_again(&cluster);
}

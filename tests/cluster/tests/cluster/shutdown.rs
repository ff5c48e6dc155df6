//! However the cluster ends, no clip-search-server stays behind, and no decoder of it.

use cluster_tests::{Cluster, Request, StopMode, backend_pid, embed_image, embed_text, image, wait_until};
use std::thread;
use std::time::Duration;

fn assert_none_stays(cluster: &Cluster) {
    wait_until("no clip-search-server stays behind", Duration::from_secs(20), || cluster.servers().is_empty());
    wait_until("no decoder stays behind", Duration::from_secs(20), || cluster.decoders().is_empty());
    cluster.assert_sessions_survived();
}

fn stopped(preload: bool, mode: StopMode) {
    let cluster = Cluster::builder().preload(preload).start();
    embed_image(&mut cluster.connect(), &image("black.png")).unwrap();
    cluster.server();
    assert!(!cluster.decoders().is_empty());
    cluster.stop(mode);
    assert_none_stays(&cluster);
}

#[test]
fn smart() {
    stopped(true, StopMode::Smart);
    stopped(false, StopMode::Smart);
}

#[test]
fn fast() {
    stopped(true, StopMode::Fast);
    stopped(false, StopMode::Fast);
}

#[test]
fn immediate() {
    stopped(true, StopMode::Immediate);
    stopped(false, StopMode::Immediate);
}

#[test]
fn fast_under_a_request_to_a_server_that_stands_still() {
    let cluster = Cluster::on_demand();
    embed_text(&mut cluster.connect(), "warm").unwrap();
    let server = cluster.server();
    server.freeze();
    let request = Request::waiting(&cluster, cluster.connect(), "never answered");
    cluster.stop(StopMode::Fast);
    assert!(request.join().1.is_err());
    assert_none_stays(&cluster);
}

#[test]
fn immediate_while_the_server_works() {
    let cluster = Cluster::preloaded();
    let mut client = cluster.connect();
    let backend = backend_pid(&mut client);
    let request = thread::spawn(move || {
        client.batch_execute("SELECT clip_embed_texts(array_agg('text ' || i)) FROM generate_series(1, 200000) i")
    });
    cluster.wait_for_waiting(backend);
    cluster.stop(StopMode::Immediate);
    assert!(request.join().unwrap().is_err());
    assert_none_stays(&cluster);
}

#[test]
fn postmaster_killed() {
    for preload in [true, false] {
        let cluster = Cluster::builder().preload(preload).start();
        embed_image(&mut cluster.connect(), &image("black.png")).unwrap();
        cluster.server();
        assert!(!cluster.decoders().is_empty());
        cluster.postmaster().kill();
        assert_none_stays(&cluster);
    }
}

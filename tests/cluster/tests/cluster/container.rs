//! What needs namespaces of mounts and processes: scripts/test leaves this file out where there are none, and says so.
//!
//! As in a container: the postmaster is process 1, and inherits what others leave behind. A child that it does not know
//! counts as one of its own, so one that dies of a signal would restart all sessions.

use super::disk::comes_to_work;
use cluster_tests::{
    Cluster, Container, DIMENSION, Request, backend_pid, bits, embed_image, embed_text, image, report,
};
use std::fs;
use std::thread;
use std::time::Duration;

fn container() -> Container {
    let container = Container::start(Cluster::on_demand());
    let file = fs::read_to_string(container.cluster.data().join("postmaster.pid")).unwrap();
    assert_eq!(file.lines().next(), Some("1"), "the postmaster is process 1");
    container
}

#[test]
fn server_is_killed() {
    let container = container();
    let cluster = &container.cluster;
    let mut client = cluster.connect();
    embed_text(&mut client, "before").unwrap();
    let backend = backend_pid(&mut client);
    for round in 0..3 {
        let server = cluster.server();
        server.kill();
        let text = format!("after {round}");
        assert_eq!(embed_text(&mut client, &text).expect("made good").len(), DIMENSION);
        assert_ne!(cluster.server(), server);
    }
    assert_eq!(backend_pid(&mut client), backend);
    cluster.assert_sessions_survived();
}

/// Decoders are process 1's children then. Also one that works leaves with status 0.
#[test]
fn server_is_killed_and_leaves_decoders() {
    let container = container();
    let cluster = &container.cluster;
    let mut client = cluster.connect();
    for _ in 0..3 {
        embed_image(&mut client, &image("black.png")).unwrap();
        let (server, busy) = (cluster.server(), Request::image(cluster.connect(), bits(9_400, 9_400, 1)));
        thread::sleep(Duration::from_millis(100));
        assert!(!cluster.decoders().is_empty());
        server.kill();
        assert_eq!(busy.join().1.expect("made good").len(), DIMENSION);
        cluster.server_after(server);
    }
    cluster.assert_sessions_survived();
}

#[test]
fn server_is_killed_under_a_request() {
    Request::survives_its_server(&container().cluster);
}

/// The supervisor ends and reaps its server, also one that does not leave by itself.
#[test]
fn supervisor_is_ended() {
    let container = container();
    let cluster = &container.cluster;
    let mut client = cluster.connect();
    for (round, stands_still) in [false, true].into_iter().enumerate() {
        embed_text(&mut client, &format!("before {round}")).unwrap();
        if stands_still {
            cluster.server().freeze();
        }
        cluster.terminate_supervisor();
        assert_eq!(embed_text(&mut client, &format!("after {round}")).unwrap().len(), DIMENSION);
    }
    cluster.assert_sessions_survived();
}

/// That restarts the sessions, as with any of PostgreSQL's processes; the server, process 1's child then, leaves without
/// doing it again.
#[test]
fn supervisor_is_killed() {
    let container = container();
    let cluster = &container.cluster;
    embed_text(&mut cluster.connect(), "before").unwrap();
    cluster.kill_supervisor();
    let mut client = cluster.connect();
    for text in ["after", "and after that"] {
        assert_eq!(embed_text(&mut client, text).unwrap().len(), DIMENSION);
    }
    assert_eq!(cluster.log().matches("all server processes terminated; reinitializing").count(), 1);
}

/// A disk that is full from the beginning, and full again when the server has to be started anew.
#[test]
fn disk_is_full() {
    let container = Container::start(Cluster::on_demand());
    let cluster = &container.cluster;
    let mut client = cluster.connect();
    container.fill_disk();
    assert_eq!(
        report(embed_text(&mut client, "x")),
        "58030: could not lock \"pgsql_tmp_clip_search/supervisor.lock\": No space left on device (os error 28)"
    );
    container.clear_disk();
    assert_eq!(embed_text(&mut client, "x").unwrap().len(), DIMENSION);

    container.fill_disk();
    assert_eq!(embed_text(&mut client, "nothing is written").unwrap().len(), DIMENSION);
    client.batch_execute("SET clip_search.start_timeout = '3s'").unwrap();
    cluster.server().kill();
    let said = report(embed_text(&mut client, "a new server needs a socket"));
    assert!(said.starts_with("08006: clip-search-server did not start within 3000 ms\nDETAIL: "), "{said}");
    cluster.wait_for_log("could not listen on \"pgsql_tmp_clip_search/server.sock\": No space left on device");
    container.clear_disk();
    comes_to_work(cluster);
    assert_eq!(embed_text(&mut client, "the same session").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

//! As in a container: the postmaster is process 1, and inherits what others leave behind. A child that it does not know
//! counts as one of its own, so one that dies of a signal would restart all sessions.

use cluster_tests::{Cluster, Container, DIMENSION, backend_pid, embed_text, wait_until};
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

#[test]
fn server_is_killed_under_a_request() {
    let container = container();
    let cluster = &container.cluster;
    let mut client = cluster.connect();
    embed_text(&mut client, "before").unwrap();
    let backend = backend_pid(&mut client);
    let server = cluster.server();
    server.freeze();
    let request = thread::spawn(move || {
        let result = embed_text(&mut client, "under way");
        (client, result)
    });
    cluster.wait_for_waiting(backend);
    server.kill();
    let (mut client, result) = request.join().unwrap();
    assert_eq!(result.expect("sent once more to the new server").len(), DIMENSION);
    assert_eq!(backend_pid(&mut client), backend);
    cluster.assert_sessions_survived();
}

/// The supervisor ends and reaps its server, also one that does not leave by itself.
#[test]
fn supervisor_is_ended() {
    let container = container();
    let cluster = &container.cluster;
    let mut client = cluster.connect();
    for (round, stands_still) in [false, true].into_iter().enumerate() {
        embed_text(&mut client, &format!("before {round}")).unwrap();
        let (server, supervisor) = (cluster.server(), cluster.supervisor());
        if stands_still {
            server.freeze();
        }
        supervisor.terminate();
        wait_until("the server ends with its supervisor", Duration::from_secs(10), || !server.runs());
        wait_until("the supervisor ends", Duration::from_secs(10), || !supervisor.runs());
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
    let server = cluster.server();
    cluster.supervisor().kill();
    wait_until("the server leaves", Duration::from_secs(10), || !server.runs());
    cluster.wait_for_log("all server processes terminated; reinitializing");
    wait_until("the cluster accepts sessions", Duration::from_secs(20), || {
        cluster.psql().args(["-c", "SELECT 1"]).output().unwrap().status.success()
    });
    let mut client = cluster.connect();
    for text in ["after", "and after that"] {
        assert_eq!(embed_text(&mut client, text).unwrap().len(), DIMENSION);
    }
    assert_eq!(cluster.log().matches("all server processes terminated; reinitializing").count(), 1);
}

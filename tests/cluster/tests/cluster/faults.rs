//! The server dies: at rest, under a request, again and again. No session of Postgres may notice more than an ERROR.

use cluster_tests::{Cluster, DIMENSION, Request, counters, embed_text, refusal, wait_until};
use std::thread;
use std::time::Duration;

#[test]
fn killed_while_idle() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "before").unwrap();
    let old = cluster.server();
    old.kill();
    wait_until("the server is gone", Duration::from_secs(20), || !old.runs());
    assert_eq!(embed_text(&mut client, "after").unwrap().len(), DIMENSION);
    let new = cluster.server();
    assert_ne!(new, old);
    assert_eq!(counters(&mut client).pid, new.0);
    assert!(cluster.log().contains("clip-search-server was terminated by signal 9"));
    cluster.assert_sessions_survived();
}

#[test]
fn killed_under_a_request() {
    Request::survives_its_server(&Cluster::preloaded());
}

#[test]
fn killed_twice_under_the_same_request() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "warm").unwrap();
    let first = cluster.server();
    first.freeze();
    let request = Request::waiting(&cluster, client, "under way");
    first.kill();
    // Whether this finds the request in the second server or just before or after is a matter of luck.
    cluster.server_after(first).kill();
    let (mut client, result) = request.join();
    match result {
        Ok(vector) => assert_eq!(vector.len(), DIMENSION),
        error => {
            let error = refusal(error);
            assert_eq!(error.code().code(), "08006");
            assert!(error.hint().is_some());
        }
    }
    assert_eq!(embed_text(&mut client, "the next").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

#[test]
fn restarts_back_off() {
    let cluster = Cluster::preloaded();
    let mut server = cluster.server();
    for delay in [50, 100, 200] {
        server.kill();
        cluster.wait_for_log(&format!("was terminated by signal 9; starting it again in {delay} ms"));
        server = cluster.server_after(server);
    }
    assert_eq!(embed_text(&mut cluster.connect(), "x").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

/// Twenty sessions in the middle of requests lose their server at once.
#[test]
fn killed_under_many_sessions() {
    let cluster = Cluster::on_demand();
    embed_text(&mut cluster.connect(), "warm").unwrap();
    let server = cluster.server();
    let sessions: Vec<_> = (0..20)
        .map(|session| {
            let mut client = cluster.connect();
            thread::spawn(move || {
                (0..20).map(|step| embed_text(&mut client, &format!("{session} {step}"))).collect::<Vec<_>>()
            })
        })
        .collect();
    server.kill();
    for session in sessions {
        for result in session.join().unwrap() {
            assert_eq!(result.expect("one loss is made good").len(), DIMENSION);
        }
    }
    cluster.assert_sessions_survived();
}

/// What is attached to shared memory takes the sessions with it, as in any PostgreSQL; the server must not stay.
#[test]
fn supervisor_killed() {
    let cluster = Cluster::on_demand();
    embed_text(&mut cluster.connect(), "warm").unwrap();
    let old = cluster.kill_supervisor();
    assert_eq!(embed_text(&mut cluster.connect(), "after").unwrap().len(), DIMENSION);
    assert_ne!(cluster.server(), old);
}

#[test]
fn supervisor_terminated_on_demand() {
    supervisor_terminated(&Cluster::on_demand());
}

#[test]
fn supervisor_terminated_preloaded() {
    supervisor_terminated(&Cluster::preloaded());
}

fn supervisor_terminated(cluster: &Cluster) {
    let mut client = cluster.connect();
    embed_text(&mut client, "warm").unwrap();
    let old = cluster.terminate_supervisor();
    assert_eq!(embed_text(&mut client, "after").unwrap().len(), DIMENSION);
    assert_ne!(cluster.server(), old);
    cluster.supervisor();
    cluster.assert_sessions_survived();
}

/// A cluster that preloads the library has a server without anybody's asking, also after its supervisor was ended.
#[test]
fn preloaded_supervisor_comes_back_by_itself() {
    let cluster = Cluster::preloaded();
    let old = cluster.server();
    cluster.supervisor().terminate();
    let new = cluster.server_after(old);
    assert_ne!(new, old);
}

//! Fifty sessions in the middle of a request when their server ends, crashes or stands still; and two clusters at once.

use cluster_tests::{
    Cluster, DIMENSION, Gate, Load, MODEL, Process, Request, Silence, backend_pid, counters, embed_image, embed_text,
    image, refusal,
};
use postgres::Client;
use rustix::process::{Pid, Signal, kill_process};

const SESSIONS: usize = 50;

/// A pipe in place of the text encoder of a model that was read already.
fn gate(cluster: &Cluster, witness: &mut Client) -> Gate {
    embed_image(witness, &image("black.png")).unwrap();
    Gate::before(&cluster.models().join(MODEL).join("onnx/text_model.onnx"))
}

fn text(session: usize) -> String {
    format!("what session {session} looks for")
}

/// Each session asks for a text. Returns when the server has all the requests under way.
fn all_in_flight(cluster: &Cluster, witness: &mut Client, settings: &str) -> Vec<Request> {
    let clients: Vec<Client> = (0..SESSIONS).map(|_| cluster.connect()).collect();
    let ask = |(session, mut client): (usize, Client)| {
        client.batch_execute(settings).unwrap();
        Request::text(client, text(session))
    };
    let requests = clients.into_iter().enumerate().map(ask).collect();
    Load::wait_for(witness, "all requests are under way", |load| load.in_flight == SESSIONS as i64);
    requests
}

fn ended(end: impl FnOnce(Process), sign: &str) {
    let cluster = Cluster::on_demand();
    let mut witness = cluster.connect();
    let gate = gate(&cluster, &mut witness);
    let old = cluster.server();
    let requests = all_in_flight(&cluster, &mut witness, "");
    gate.lift();
    end(old);
    for (session, request) in requests.into_iter().enumerate() {
        let (mut client, result) = request.join();
        let vector = result.expect("sent once more to the new server");
        assert_eq!(vector, embed_text(&mut witness, &text(session)).unwrap(), "an answer of its own");
        assert_eq!(embed_text(&mut client, "the next").unwrap().len(), DIMENSION);
    }
    assert_ne!(cluster.server(), old);
    assert_eq!(cluster.log().matches("; starting it again in").count(), 1);
    assert!(cluster.log().contains(sign));
    cluster.assert_sessions_survived();
}

#[test]
fn killed() {
    ended(Process::kill, "clip-search-server was terminated by signal 9");
}

#[test]
fn crashed() {
    let crash = |server: Process| kill_process(Pid::from_raw(server.0).unwrap(), Signal::SEGV).unwrap();
    ended(crash, "clip-search-server was terminated by signal 11");
}

/// The fetches reach the second server, which is lost as well.
#[test]
fn killed_twice() {
    let silence = Silence::start();
    let cluster = Silence::cluster()
        .set("clip_search.url_connections", SESSIONS)
        .set("clip_search.url_connections_per_host", SESSIONS)
        .start();
    embed_text(&mut cluster.connect(), "warm").unwrap();
    let requests: Vec<_> = (0..SESSIONS).map(|_| silence.fetch(cluster.connect())).collect();
    silence.wait_for(SESSIONS, 1);
    let first = cluster.server();
    first.kill();
    silence.wait_for(SESSIONS, 2);
    cluster.server_after(first).kill();
    for request in requests {
        let (mut client, result) = request.join();
        let error = refusal(result);
        assert_eq!(error.code().code(), "08006", "{error:?}");
        assert!(error.hint().is_some(), "{error:?}");
        assert_eq!(embed_text(&mut client, "the next").unwrap().len(), DIMENSION);
    }
    cluster.assert_sessions_survived();
}

#[test]
fn frozen() {
    let cluster = Cluster::on_demand();
    let mut witness = cluster.connect();
    let gate = gate(&cluster, &mut witness);
    let at_rest = Load::of(&mut witness);
    let server = cluster.server();
    let requests = all_in_flight(&cluster, &mut witness, "SET clip_search.request_timeout = '20s'");
    server.freeze();
    let mut clients = Vec::new();
    for request in requests {
        let (client, result) = request.join();
        let error = refusal(result);
        assert_eq!(error.code().code(), "53000", "{error:?}");
        clients.push(client);
    }
    server.thaw();
    // Though the model is still being loaded.
    Load::wait_for(&mut witness, "nothing is left of requests that were given up", |load| load == at_rest);
    gate.open();
    for client in &mut clients {
        assert_eq!(embed_text(client, "the next").unwrap().len(), DIMENSION);
    }
    Load::wait_for(&mut witness, "nothing is left of requests that were answered", |load| load == at_rest);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

#[test]
fn at_rest_there_is_nothing_in_the_queue() {
    let cluster = Cluster::on_demand();
    let mut witness = cluster.connect();
    embed_text(&mut witness, "x").unwrap();
    let nothing = Load { in_flight: 0, queue_items: 0, queue_bytes: 0, waiting: 0 };
    assert_eq!(Load::of(&mut witness), nothing);
}

/// Servers of the same program, below different data directories.
#[test]
fn two_clusters() {
    let (cluster, other) = (Cluster::on_demand(), Cluster::preloaded());
    let (mut client, mut witness, asks) = (cluster.connect(), other.connect(), other.connect());
    embed_text(&mut client, "before").unwrap();
    let gate = gate(&other, &mut witness);
    let (mut server, theirs) = (cluster.server(), other.server());
    assert_ne!(server, theirs);
    let backend = backend_pid(&mut client);
    let request = Request::waiting(&other, asks, "under way");
    Load::wait_for(&mut witness, "the request is under way", |load| load.in_flight == 1);
    for round in 0..3 {
        server.kill();
        server = cluster.server_after(server);
        assert_eq!(embed_text(&mut client, &format!("after {round}")).unwrap().len(), DIMENSION);
    }
    assert_eq!(Load::of(&mut witness).in_flight, 1);
    gate.open();
    assert_eq!(request.join().1.expect("its server was never touched").len(), DIMENSION);
    assert_eq!((other.server(), counters(&mut witness).pid), (theirs, theirs.0));
    assert!(!other.log().contains("; starting it again in"));
    assert_eq!(backend_pid(&mut client), backend);
    cluster.assert_sessions_survived();
    other.assert_sessions_survived();
}

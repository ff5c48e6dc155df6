//! How much the server takes in: connections, and bytes of requests. Who has to wait can give up, and small requests pass.

use cluster_tests::{
    Cluster, DIMENSION, Gate, Load, MODEL, Request, Silence, backend_pid, bits, embed_image, embed_text, refusal,
    report, wait_out_cancel, wait_until,
};
use postgres::{Client, NoTls};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The generous bound of what should be immediate.
const SOON: Duration = Duration::from_secs(20);

fn connections(client: &mut Client) -> (i64, i64) {
    let row = client.query_one("SELECT connections, connections_refused FROM clip_stat_server", &[]).unwrap();
    (row.get(0), row.get(1))
}

#[test]
fn sessions_that_rest_make_way() {
    let cluster = Cluster::builder().set("clip_search.max_connections_server", 3).start();
    let mut clients: Vec<Client> = (0..10).map(|_| cluster.connect()).collect();
    for round in 0..3 {
        for (session, client) in clients.iter_mut().enumerate() {
            let text = format!("round {round}, session {session}");
            assert_eq!(embed_text(client, &text).unwrap().len(), DIMENSION, "{text}");
        }
    }
    let mut seen = (0, 0);
    wait_until("those that made way are gone", Duration::from_secs(10), || {
        seen = connections(&mut clients[0]);
        seen.0 == 3
    });
    assert_eq!(seen.1, 0, "nobody was refused");
    cluster.assert_sessions_survived();
}

/// Ten sessions at once have ten requests under way one after another, with a place for three: whoever finds no place is
/// told so, and nobody waits for ever.
#[test]
fn sessions_at_once() {
    let cluster = Cluster::builder().set("clip_search.max_connections_server", 3).start();
    embed_text(&mut cluster.connect(), "warm").unwrap();
    let server = cluster.server();
    let sessions: Vec<JoinHandle<usize>> = (0..10)
        .map(|session| {
            let mut client = cluster.connect();
            thread::spawn(move || {
                let answered = |step| match embed_text(&mut client, &format!("{session} {step}")) {
                    Ok(vector) => vector.len() == DIMENSION,
                    Err(error) => {
                        // The second is of one that had to make way twice.
                        let code = error.code().map(|code| code.code());
                        assert!(matches!(code, Some("53300" | "08006")), "{error:?}");
                        false
                    }
                };
                (0..30).map(answered).filter(|answered| *answered).count()
            })
        })
        .collect();
    let answered: usize = sessions.into_iter().map(|session| session.join().unwrap()).sum();
    assert!(answered > 0);
    assert_eq!(cluster.server(), server);
    assert_eq!(embed_text(&mut cluster.connect(), "after").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

#[test]
fn all_connections_are_in_use() {
    let silence = Silence::start();
    let cluster = Silence::cluster().set("clip_search.max_connections_server", 3).start();
    let clients: Vec<Client> = (0..3).map(|_| cluster.connect()).collect();
    let tokens: Vec<_> = clients.iter().map(Client::cancel_token).collect();
    let requests: Vec<_> = clients.into_iter().map(|client| silence.fetch(client)).collect();
    silence.wait_for(3, 1);
    let server = cluster.server();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.0)).unwrap().count();
    let before = descriptors();
    let mut late = cluster.connect();
    for _ in 0..3 {
        assert_eq!(
            report(embed_text(&mut late, "one too many")),
            "53300: clip-search-server has no connection free\n\
             DETAIL: clip_search.max_connections_server is 3, and all are in use.\n\
             HINT: Try again later, or raise clip_search.max_connections_server."
        );
    }
    assert_eq!(silence.held(), 3, "nobody's request was ended for it");
    wait_until("what was refused holds no descriptor of the server", SOON, || descriptors() <= before);
    tokens[0].cancel_query(NoTls).unwrap();
    wait_until("a place is free", Duration::from_secs(10), || embed_text(&mut late, "now it works").is_ok());
    tokens[1..].iter().for_each(|token| token.cancel_query(NoTls).unwrap());
    for request in requests {
        let (mut client, result) = request.join();
        assert_eq!(refusal(result).code().code(), "57014");
        wait_out_cancel(&mut client);
        assert_eq!(embed_text(&mut client, "the same session").unwrap().len(), DIMENSION);
    }
    cluster.assert_sessions_survived();
}

/// Also where the request is longer than what a socket holds, so that it is not all sent when it is refused.
#[test]
fn large_request_where_all_connections_are_in_use() {
    let silence = Silence::start();
    let cluster = Silence::cluster().set("clip_search.max_connections_server", 1).start();
    let _under_way = silence.fetch(cluster.connect());
    silence.wait_for(1, 1);
    assert_eq!(
        report(embed_image(&mut cluster.connect(), &vec![0; 8 << 20])),
        "53300: clip-search-server has no connection free\n\
         DETAIL: clip_search.max_connections_server is 1, and all are in use.\n\
         HINT: Try again later, or raise clip_search.max_connections_server."
    );
    cluster.assert_sessions_survived();
}

/// More bytes than the part of the queue that is for large requests.
fn large(seed: u8) -> Vec<u8> {
    bits(1000, 1000, seed)
}

#[test]
fn bytes_of_requests() {
    let cluster = Cluster::builder().set("clip_search.max_queue_bytes", "64kB").start();
    let mut witness = cluster.connect();
    embed_text(&mut witness, "warm").unwrap();
    let gate = Gate::before(&cluster.models().join(MODEL).join("onnx/vision_model.onnx"));
    let at_rest = Load::of(&mut witness);
    let first = Request::image(cluster.connect(), large(1));
    Load::wait_for(&mut witness, "the first is taken in", |load| load.in_flight == 1 && load.queue_bytes > 40_000);
    let (second, third) = (cluster.connect(), cluster.connect());
    let token = second.cancel_token();
    let second = Request::image(second, large(2));
    Load::wait_for(&mut witness, "the second waits", |load| load.waiting == 1);
    let third = Request::image(third, large(3));
    Load::wait_for(&mut witness, "the third waits", |load| load.waiting == 2);
    assert_eq!(Load::of(&mut witness).in_flight, 1, "only one is under way");

    // Small ones pass, also several kilobytes of them.
    let mut other = cluster.connect();
    for text in ["a red apple".to_owned(), "apple ".repeat(500)] {
        assert_eq!(embed_text(&mut other, &text).unwrap().len(), DIMENSION);
    }

    let since = Instant::now();
    token.cancel_query(NoTls).unwrap();
    let (mut client, result) = second.join();
    assert_eq!(refusal(result).code().code(), "57014");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    wait_out_cancel(&mut client);
    Load::wait_for(&mut witness, "one waits less", |load| load.waiting == 1 && load.in_flight == 1);
    assert_eq!(embed_text(&mut client, "the same session").unwrap().len(), DIMENSION);

    gate.open();
    for request in [first, third] {
        assert_eq!(request.join().1.expect("in turn").len(), DIMENSION);
    }
    Load::wait_for(&mut witness, "nothing is left of any request", |load| load == at_rest);
    cluster.assert_sessions_survived();
}

/// Waiting for room counts for the time-outs, and ends with the session.
#[test]
fn bytes_of_requests_waiting_ends() {
    let cluster = Cluster::builder().set("clip_search.max_queue_bytes", "64kB").start();
    let mut witness = cluster.connect();
    embed_text(&mut witness, "warm").unwrap();
    let gate = Gate::before(&cluster.models().join(MODEL).join("onnx/vision_model.onnx"));
    let at_rest = Load::of(&mut witness);
    let first = Request::image(cluster.connect(), large(1));
    Load::wait_for(&mut witness, "the first is taken in", |load| load.in_flight == 1);
    for (setting, sqlstate) in [("clip_search.request_timeout", "53000"), ("statement_timeout", "57014")] {
        let mut client = cluster.connect();
        client.batch_execute(&format!("SET {setting} = '300ms'")).unwrap();
        let error = refusal(embed_image(&mut client, &large(2)));
        assert_eq!(error.code().code(), sqlstate, "{error:?}");
        Load::wait_for(&mut witness, "nobody waits", |load| load.waiting == 0);
    }
    let mut client = cluster.connect();
    let backend = backend_pid(&mut client);
    let second = Request::image(client, large(3));
    Load::wait_for(&mut witness, "the second waits", |load| load.waiting == 1);
    witness.execute("SELECT pg_terminate_backend($1)", &[&backend]).unwrap();
    assert!(second.join().1.is_err());
    Load::wait_for(&mut witness, "nobody waits", |load| load.waiting == 0 && load.in_flight == 1);
    gate.open();
    assert_eq!(first.join().1.unwrap().len(), DIMENSION);
    Load::wait_for(&mut witness, "nothing is left of any request", |load| load == at_rest);
    cluster.assert_sessions_survived();
}

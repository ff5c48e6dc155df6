//! The client against a played server that misbehaves.

use played_oip::{Behaviour, Fault, Server};
use remote::{Client, Config, Datatype, Error, Infer, Kind, Metadata, Probe, Tensor};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DIMENSION: usize = 4;
/// What a row is made of.
const WIDTH: usize = 8;

fn batch(rows: &[u8]) -> Infer {
    let bytes: Vec<u8> = rows.iter().flat_map(|row| [*row; WIDTH]).collect();
    let inputs = vec![Tensor {
        name: "x".into(),
        datatype: Datatype::Uint8,
        shape: vec![rows.len(), WIDTH],
        bytes: bytes.into(),
    }];
    Infer { inputs, output: None, known: &["image_embeds"], rows: rows.len(), dimension: DIMENSION }
}

fn vector(row: u8) -> [f32; DIMENSION] {
    [f32::from(row), 1.0, 2.0, 3.0]
}

/// Row 9 is the probe.
struct Nine;

impl Probe for Nine {
    fn batch(&self, metadata: &Metadata) -> Result<Infer, String> {
        match metadata.inputs.first() {
            Some(input) if input.datatype != "UINT8" => Err(format!("input {} is {}", input.name, input.datatype)),
            _ => Ok(batch(&[9])),
        }
    }

    fn check(&self, values: &[f32]) -> Result<(), String> {
        if values == vector(9) { Ok(()) } else { Err("its vectors are not this model's".to_owned()) }
    }
}

type Answered = Result<(String, usize, Vec<f32>), (u32, String)>;

fn embed(request: &remote::wire::InferRequest) -> Answered {
    let rows = request.raw_input_contents[0].chunks(WIDTH);
    Ok(("image_embeds".to_owned(), DIMENSION, rows.flat_map(|row| vector(row[0])).collect()))
}

/// Nobody listens there; a port that somebody had may be another test's by now.
const NOBODY: [&str; 2] = ["http://127.0.0.1:1", "http://127.0.0.1:2"];

fn server() -> Server {
    Server::start(embed)
}

fn client_in(folder: &Path, endpoints: &[String], more: &str) -> Client {
    let endpoints: Vec<String> = endpoints.iter().map(|url| format!("\"{url}\"")).collect();
    let text = format!(r#"{{"image": {{"endpoints": [{}], "model": "m" {more}}}}}"#, endpoints.join(", "));
    let config = Config::parse(text.as_bytes()).unwrap().image.unwrap();
    Client::new(config, folder.to_owned(), Arc::new(Nine))
}

fn client(servers: &[&Server], more: &str) -> Client {
    let endpoints: Vec<String> = servers.iter().map(|server| server.url()).collect();
    client_in(Path::new("/nonexistent"), &endpoints, more)
}

async fn infer(client: &Client, rows: &[u8]) -> Result<Vec<f32>, Error> {
    client.infer(&batch(rows)).await
}

async fn until(mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(30), "it never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn states(client: &Client) -> Vec<&'static str> {
    client.endpoints().iter().map(|endpoint| endpoint.state).collect()
}

#[tokio::test]
async fn a_batch_becomes_vectors() {
    let server = server();
    let client = client(&[&server], r#", "version": "7""#);
    client.ready().await.unwrap();
    let methods: Vec<String> = server.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["ServerReady", "ModelReady", "ModelMetadata", "ModelInfer"]);
    assert_eq!(infer(&client, &[1, 2]).await.unwrap(), [vector(1), vector(2)].concat());
    let seen = server.seen().pop().unwrap();
    let sent = seen.batch.unwrap();
    assert_eq!((sent.model_name.as_str(), sent.model_version.as_str()), ("m", "7"));
    assert_eq!((sent.inputs[0].datatype.as_str(), &sent.inputs[0].shape[..]), ("UINT8", &[2, 8][..]));
    let endpoint = client.endpoints().remove(0);
    assert_eq!((endpoint.name, endpoint.state), (server.url(), "healthy"));
    assert_eq!((endpoint.requests, endpoint.failures, endpoint.in_flight), (1, 0, 0));
    assert_eq!(endpoint.version.as_deref(), Some("7"));
    assert!(endpoint.latency.is_some());
}

/// What a probe finds is never used, and said.
#[tokio::test]
async fn a_server_that_fails_the_probe_is_refused() {
    for (fault, said) in [
        (Fault::Empty, "output image_embeds has 0 bytes for 4 values"),
        (Fault::Dimension(5), "output image_embeds has the shape [1, 5], not [1, 4]"),
        (Fault::NotANumber, "its vectors are not this model's"),
        (Fault::OtherModel, "its vectors are not this model's"),
        (Fault::Status(3, "unexpected shape".to_owned()), "unexpected shape"),
    ] {
        let server = server();
        server.fault(fault.clone());
        let client = client(&[&server], "");
        let error = client.ready().await.unwrap_err();
        assert_eq!((error.kind, error.reason.as_str()), (Kind::Refused, said), "{fault:?}");
        assert_eq!(error.endpoint, server.url());
        assert_eq!(infer(&client, &[1]).await.unwrap_err().kind, Kind::Refused);
        assert!(client.endpoints()[0].failures > 0);
        // It is looked at again, and used once it answers as it should.
        server.fault(None);
        until(|| states(&client) == ["healthy"]).await;
        infer(&client, &[1]).await.unwrap();
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_or_takes_something_else() {
    let server = server();
    server.behave(|behaviour| behaviour.missing = vec!["m".to_owned()]);
    let error = client(&[&server], "").ready().await.unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::Refused, "no model m"));
    let input = remote::wire::TensorMetadata { name: "x".into(), datatype: "FP32".into(), shape: vec![-1, 8] };
    server.behave(|behaviour| {
        behaviour.missing.clear();
        behaviour.metadata.inputs = vec![input];
    });
    let error = client(&[&server], "").ready().await.unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::Refused, "input x is FP32"));
}

#[tokio::test]
async fn an_answer_that_is_wrong_later_ends_the_use_of_an_endpoint() {
    let (good, bad) = (server(), server());
    let client = client(&[&good, &bad], "");
    until(|| states(&client) == ["healthy", "healthy"]).await;
    bad.fault(Fault::Empty);
    let of_bad = || client.endpoints().into_iter().find(|endpoint| endpoint.name == bad.url()).unwrap();
    good.fault(Fault::Slow(Duration::from_millis(100)));
    // Two at a time, one on each: those on the bad one are asked once more, on the other.
    for _ in 0..4 {
        let (one, other) = tokio::join!(infer(&client, &[1]), infer(&client, &[2]));
        assert_eq!((one.unwrap(), other.unwrap()), (vector(1).to_vec(), vector(2).to_vec()));
    }
    assert_ne!(of_bad().state, "healthy");
    assert!(of_bad().requests > 0 && of_bad().last_error.unwrap().contains("0 bytes"));
}

#[tokio::test]
async fn the_least_busy_of_the_healthy() {
    let servers = [server(), server(), server()];
    let client = client(&servers.each_ref(), "");
    until(|| states(&client) == ["healthy"; 3]).await;
    assert_eq!(client.capacity(), 12);
    servers.iter().for_each(|server| {
        server.fault(Fault::Slow(Duration::from_millis(300)));
        server.seen();
    });
    let rows: Vec<u8> = (0..12).collect();
    let batches: Vec<[u8; 1]> = rows.iter().map(|row| [*row]).collect();
    let mut calls = tokio::task::JoinSet::new();
    let client = Arc::new(client);
    for row in batches {
        let client = Arc::clone(&client);
        calls.spawn(async move { infer(&client, &row).await.unwrap() });
    }
    calls.join_all().await;
    for server in &servers {
        assert_eq!(server.seen().len(), 4);
    }
}

#[tokio::test]
async fn one_dead_endpoint_of_two() {
    let alive = server();
    let client = client_in(Path::new("/"), &[NOBODY[0].to_owned(), alive.url()], "");
    for row in 0..20 {
        assert_eq!(infer(&client, &[row]).await.unwrap(), vector(row));
    }
    let dead = || client.endpoints().into_iter().find(|endpoint| endpoint.name != alive.url()).unwrap();
    until(|| dead().last_error.is_some_and(|error| error.contains("refused"))).await;
    assert_eq!((dead().state, dead().requests), ("down", 0));
}

#[tokio::test]
async fn an_endpoint_that_dies_under_load_costs_nothing() {
    // The first has an address that no other test listens on, since it comes back.
    let (first, second) = (Server::start_at("127.0.0.78:0".parse().unwrap(), None, embed), server());
    let client = Arc::new(client(&[&first, &second], ""));
    until(|| states(&client) == ["healthy", "healthy"]).await;
    for server in [&first, &second] {
        server.fault(Fault::Slow(Duration::from_millis(20)));
    }
    let mut calls = tokio::task::JoinSet::new();
    for row in 0..4 {
        let client = Arc::clone(&client);
        calls.spawn(async move {
            for _ in 0..30 {
                assert_eq!(infer(&client, &[row]).await.unwrap(), vector(row));
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    let (address, began) = (first.address(), Instant::now());
    drop(first);
    calls.join_all().await;
    assert!(client.endpoints().iter().any(|endpoint| endpoint.state == "down" && endpoint.failures > 0));
    assert!(began.elapsed() < Duration::from_secs(20));
    // It comes back.
    let again = Server::start_at(address, None, embed);
    until(|| states(&client) == ["healthy", "healthy"]).await;
    drop(again);
}

#[tokio::test]
async fn all_endpoints_down_is_known_at_once() {
    let dead = NOBODY.map(str::to_owned);
    let client = client_in(Path::new("/"), &dead, "");
    let error = client.ready().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    assert_eq!(error.endpoint, "2 endpoints");
    assert!(dead.iter().all(|url| error.reason.contains(&format!("{url}: Connection refused"))), "{error}");
    let error = infer(&client, &[1]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
}

#[tokio::test]
async fn a_connection_that_was_cut_is_made_anew() {
    let server = server();
    let client = client(&[&server], "");
    client.ready().await.unwrap();
    server.behave(|behaviour| (behaviour.fault, behaviour.times) = (Some(Fault::Cut), Some(1)));
    assert_eq!(infer(&client, &[3]).await.unwrap(), vector(3));
    assert_eq!(client.endpoints()[0].failures, 1);
}

#[tokio::test]
async fn names_that_are_unknown_and_names_with_several_addresses() {
    let error = client_in(Path::new("/"), &["http://no-such-host.invalid:1".into()], "").ready().await.unwrap_err();
    assert_eq!((error.kind, error.endpoint.as_str()), (Kind::Unreachable, "http://no-such-host.invalid:1"));
    let server = server();
    let url = format!("http://localhost:{}", server.address().port());
    let client = client_in(Path::new("/"), std::slice::from_ref(&url), "");
    client.ready().await.unwrap();
    assert!(client.endpoints().iter().any(|endpoint| endpoint.name == format!("{url} (127.0.0.1)")));
    infer(&client, &[1]).await.unwrap();
    assert_eq!(server.seen().pop().unwrap().authority, url.trim_start_matches("http://"));
}

#[tokio::test]
async fn the_deadline_holds_and_another_endpoint_is_tried_before_it() {
    let slow = server();
    let client_of_one = client(&[&slow], r#", "timeout_ms": 300"#);
    until(|| states(&client_of_one) == ["healthy"]).await;
    slow.fault(Fault::Slow(Duration::from_secs(60)));
    let error = infer(&client_of_one, &[1]).await.unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::Timeout, "no answer within 300 ms"));
    slow.fault(None);
    let fast = server();
    let client = client(&[&slow, &fast], r#", "timeout_ms": 6000"#);
    until(|| states(&client) == ["healthy", "healthy"]).await;
    slow.fault(Fault::Slow(Duration::from_secs(60)));
    for row in 0..3 {
        infer(&client, &[row]).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_dropped() {
    let server = server();
    let client = client(&[&server], "");
    client.ready().await.unwrap();
    server.fault(Fault::Slow(Duration::from_secs(60)));
    let call = tokio::time::timeout(Duration::from_millis(200), infer(&client, &[1])).await;
    assert!(call.is_err());
    until(|| server.given_up() == 1).await;
    assert_eq!(client.endpoints()[0].in_flight, 0);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_no_fault_of_the_endpoint() {
    let server = server();
    let client = client(&[&server], r#", "max_message_bytes": 70000"#);
    client.ready().await.unwrap();
    assert_eq!(client.items_per_request(1000), 65);
    assert_eq!(client.items_per_request(100_000), 0);
    server.behave(|behaviour| behaviour.max_message = Some(100));
    let error = infer(&client, &[1; 20]).await.unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::TooLarge, "Received message larger than max"));
    assert_eq!(states(&client), ["healthy"]);
    infer(&client, &[1]).await.unwrap();
}

#[tokio::test]
async fn credentials_come_from_a_file_that_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, "authorization: Bearer old\n\nx-tenant: search\n").unwrap();
    for (code, words) in [(16, "unauthenticated"), (7, "permission denied"), (14, "restricted")] {
        let server = server();
        let header = ("authorization".to_owned(), "Bearer new".to_owned(), code);
        server.behave(|behaviour| behaviour.header = Some(header));
        std::fs::write(&file, "authorization: Bearer old\n\nx-tenant: search\n").unwrap();
        let client = client_in(folder.path(), &[server.url()], r#", "headers": "headers""#);
        let error = client.ready().await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{words}: {error}");
        std::fs::write(&file, "authorization: Bearer new\nx-tenant: search\n").unwrap();
        until(|| states(&client) == ["healthy"]).await;
        infer(&client, &[1]).await.unwrap();
        assert_eq!(server.seen().pop().unwrap().headers["x-tenant"], "search");
    }
    std::fs::write(&file, "secret-without-a-colon").unwrap();
    let error = client_in(folder.path(), &[server().url()], r#", "headers": "headers""#).ready().await.unwrap_err();
    assert_eq!((error.kind, error.reason.as_str()), (Kind::Refused, "headers: line 1 is not \"name: value\""));
}

#[tokio::test]
async fn a_server_of_something_else() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                use tokio::io::AsyncWriteExt;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            });
        }
    });
    let error = client_in(Path::new("/"), &[url], r#", "timeout_ms": 5000"#).ready().await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
}

#[tokio::test]
async fn what_a_server_declares_is_told() {
    let server = server();
    server.behave(|behaviour: &mut Behaviour| {
        behaviour.metadata.inputs =
            vec![remote::wire::TensorMetadata { name: "x".into(), datatype: "UINT8".into(), shape: vec![-1, 8] }];
    });
    let client = client(&[&server], "");
    client.ready().await.unwrap();
}

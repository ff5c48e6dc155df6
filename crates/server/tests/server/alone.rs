//! What single clients are answered, and how the server ends.

use crate::common::{MODEL, Server, ask, config, receive, texts, until, workspace};
use protocol::{Config, EmbedRequest, ErrorClass, Items, Kind, Request, Response, encode};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

#[test]
fn a_text_has_the_references_vector() {
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(workspace().join("tests/golden/golden.json")).unwrap()).unwrap();
    let entry = golden["texts"].as_array().unwrap().iter().find(|entry| entry["text"] == "a dog").unwrap();
    let expected: Vec<f64> =
        entry["embedding"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
    let server = Server::start(&config());
    let Response::Embeddings { results: found, .. } = ask(&mut server.connect(), &texts(&["a dog"])) else {
        panic!("no embeddings")
    };
    let found = found[0].as_ref().unwrap();
    let cosine: f64 = found.iter().zip(&expected).map(|(a, b)| f64::from(*a) * b).sum();
    assert!(cosine >= 0.99999, "{cosine}");
}

#[test]
fn one_bad_item_fails_alone() {
    let server = Server::start(&config());
    let image = std::fs::read(workspace().join("tests/golden/images/exact.png")).unwrap();
    let images = [&b"no image"[..], &image, b""].map(|bytes| bytes.to_vec().into()).to_vec();
    let request = Request::Embed(EmbedRequest {
        model: MODEL.to_owned(),
        items: Items::Images(images),
        scope: protocol::Scope::default(),
    });
    let Response::Embeddings { results, .. } = ask(&mut server.connect(), &request) else { panic!("no embeddings") };
    let class = |index: usize| results[index].as_ref().map(Vec::len).map_err(|failure| failure.class);
    assert_eq!([class(0), class(1), class(2)], [Err(ErrorClass::BadImage), Ok(32), Err(ErrorClass::BadImage)]);
}

#[test]
fn many_clients_get_their_own_answers() {
    let server = Server::start(&config());
    let words: Vec<String> = (0..8).map(|number| format!("image number {number}")).collect();
    let mut alone = server.connect();
    let single = |stream: &mut UnixStream, word: &str| {
        let Response::Embeddings { results: mut found, .. } = ask(stream, &texts(&[word])) else {
            panic!("no embeddings")
        };
        found.remove(0).unwrap()
    };
    let expected: Vec<Vec<f32>> = words.iter().map(|word| single(&mut alone, word)).collect();
    std::thread::scope(|scope| {
        for (word, expected) in words.iter().zip(&expected) {
            let mut stream = server.connect();
            scope.spawn(move || {
                for _ in 0..20 {
                    let found = single(&mut stream, word);
                    let cosine: f32 = found.iter().zip(expected).map(|(a, b)| a * b).sum();
                    assert!(cosine > 0.99999, "{word}: {cosine}");
                }
            });
        }
    });
}

#[test]
fn a_malformed_frame_closes_that_connection_only() {
    let server = Server::start(&config());
    let (mut good, mut bad) = (server.connect(), server.connect());
    bad.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let Response::Failed(failure) = receive(&mut bad, Kind::Response) else { panic!("no failure") };
    assert_eq!(failure.class, ErrorClass::Protocol);
    // A reset where the server did not read all that was sent.
    assert!(matches!(bad.read(&mut [0]), Ok(0) | Err(_)), "the connection is closed");
    assert!(matches!(ask(&mut good, &Request::Models), Response::Models(models) if models.len() == 1));
}

#[test]
fn it_leaves_when_standard_input_ends() {
    let mut server = Server::start(&config());
    let _connection = server.connect();
    server.end_input();
    assert_eq!(server.exit_status(), Some(0));
}

#[test]
fn it_leaves_when_nobody_asks() {
    let mut server = Server::start(&Config { idle_timeout_s: 1, ..config() });
    assert_eq!(server.exit_status(), Some(3));
}

#[test]
fn malformed_settings_are_refused() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_clip-search-server"))
        .args(["--socket", "never-made"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{]\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("malformed settings"));
}

#[test]
fn a_load_goes_on_without_its_request() {
    // Otherwise a model that loads for longer than people wait would never be there.
    let server = Server::start(&config());
    let mut other = server.connect();
    until(|| {
        // Given up at once; whether the server has begun with it by then is a matter of luck, hence again and again.
        let mut gone = server.connect();
        gone.write_all(&encode(Kind::Request, &texts(&["a dog"])).unwrap()).unwrap();
        drop(gone);
        let Response::Models(models) = ask(&mut other, &Request::Models) else { panic!("no models") };
        models[0].loaded.contains(&"text".to_owned()).then_some(())
    });
}

//! Many clients, one device: who is served when, what is done once, and what is bounded.

use crate::common::{
    MODEL, Server, ask, config, embeddings, image_files, images, receive, send, statistics, texts, until, workspace,
};
use protocol::{Config, ErrorClass, Kind, Request, Response, Statistics};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::process::Stdio;
use std::time::Duration;

#[test]
fn equal_texts_are_run_once() {
    let server = Server::start(&config());
    let mut client = server.connect();
    let first = embeddings(ask(&mut client, &texts(&["A  Dog on a beach", "a dog on a BEACH "])));
    assert_eq!(first[0], first[1], "the same tokens");
    let after = statistics(&mut client);
    assert_eq!((after.batches, after.batch_items, after.shared, after.cache_hits), (1, 1, 1, 0));
    assert_eq!(embeddings(ask(&mut server.connect(), &texts(&["a dog on a beach"])))[0], first[0]);
    let after = statistics(&mut client);
    assert_eq!((after.batches, after.cache_hits), (1, 1), "from memory, for another client");
    assert!(after.cache_bytes > 0);
}

#[test]
fn a_cache_of_no_size_is_none() {
    let server = Server::start(&Config { text_cache_bytes: 0, ..config() });
    let mut client = server.connect();
    let (one, two) = (ask(&mut client, &texts(&["a dog"])), ask(&mut client, &texts(&["a dog"])));
    assert_eq!(embeddings(one), embeddings(two));
    let after = statistics(&mut client);
    assert_eq!((after.batches, after.cache_hits, after.cache_bytes), (2, 0, 0));
}

#[test]
fn equal_images_are_run_once() {
    let server = Server::start(&config());
    let mut client = server.connect();
    let one = image_files(1).remove(0);
    let found = embeddings(ask(&mut client, &images(vec![one; 8])));
    assert!(found.iter().all(|vector| *vector == found[0]));
    let after = statistics(&mut client);
    assert_eq!((after.batch_items, after.shared), (1, 7));
}

/// A text that comes when thousands of images wait is answered before them.
#[test]
fn a_search_passes_bulk() {
    let server = Server::start(&Config { bulk_step_ms: 5, ..config() });
    let (mut bulk, mut search) = (server.connect(), server.connect());
    embeddings(ask(&mut search, &texts(&["warm"])));
    send(&mut bulk, &images(image_files(3000)));
    until(|| (statistics(&mut search).batch_items > 50).then_some(()));
    for number in 0..10 {
        embeddings(ask(&mut search, &texts(&[&format!("a search, number {number}")])));
    }
    let then = statistics(&mut search);
    assert!(then.batch_items < 2500 && then.in_flight == 1, "bulk is not done: {then:?}");
    assert_eq!(embeddings(receive(&mut bulk, Kind::Response)).len(), 3000, "and gets its answer all the same");
    assert!(statistics(&mut search).batches > 100, "in many steps");
}

/// Searches that never end leave something of the device to bulk.
#[test]
fn bulk_is_not_starved() {
    let server = Server::start(&Config { bulk_step_ms: 5, text_cache_bytes: 0, ..config() });
    let (mut bulk, done) = (server.connect(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (mut stream, done) = (server.connect(), &done);
            scope.spawn(move || {
                let mut number = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    number += 1;
                    embeddings(ask(&mut stream, &texts(&[&format!("client {client} asks for {number}")])));
                }
            });
        }
        let found = embeddings(ask(&mut bulk, &images(image_files(500))));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(found.len(), 500);
    });
}

/// A client that sends its next request before it reads the last response, which is more than a socket holds, does not wait
/// for itself.
#[test]
fn an_answer_that_nobody_reads_yet_takes_no_room() {
    let server = Server::start(&Config { max_queue_bytes: 64 << 10, ..config() });
    let (mut one, mut two) = (server.connect(), server.connect());
    send(&mut one, &texts(&["a dog"; 10_000]));
    assert_eq!(embeddings(ask(&mut two, &texts(&["a cat"; 2_000]))).len(), 2_000);
    // Where there are many cores, the second request may be the first that is taken in.
    until(|| (statistics(&mut two).queue_bytes == 0).then_some(()));
    assert_eq!(embeddings(receive(&mut one, Kind::Response)).len(), 10_000, "it was not given up");
}

/// More jobs than fit into what may be decoded at a time, which they share.
#[test]
fn many_large_jobs_at_once_all_end() {
    let server = Server::start(&Config { max_batch: 8, ..config() });
    std::thread::scope(|scope| {
        for client in 0..12 {
            let mut stream = server.connect();
            scope.spawn(move || {
                let own = image_files(300).into_iter().map(|image| [&image[..], &[client]].concat());
                assert_eq!(embeddings(ask(&mut stream, &images(own))).len(), 300);
            });
        }
    });
    let after = statistics(&mut server.connect());
    assert_eq!((after.images_of(MODEL), after.queue_items, after.in_flight), (3600, 0, 0));
}

#[test]
fn who_leaves_takes_his_items_along() {
    let server = Server::start(&config());
    let mut witness = server.connect();
    let mut leaver = server.connect();
    send(&mut leaver, &images(image_files(5000)));
    until(|| (statistics(&mut witness).batches > 0).then_some(()));
    drop(leaver);
    // Each counter is read by itself.
    let is_empty = |s: &Statistics| (s.in_flight, s.queue_items, s.queue_bytes) == (0, 0, 0);
    let after = until(|| Some(statistics(&mut witness)).filter(is_empty));
    assert!(after.batch_items < 5000);
}

#[test]
fn connections_are_bounded() {
    let server = Server::start(&Config { max_connections: 2, ..config() });
    let (mut first, mut second) = (server.connect(), server.connect());
    embeddings(ask(&mut first, &texts(&["one"])));
    embeddings(ask(&mut second, &texts(&["two"])));
    // The first has rested longest.
    let mut third = server.connect();
    embeddings(ask(&mut third, &texts(&["three"])));
    assert!(
        first.write_all(b"x").is_err()
            || match std::io::Read::read(&mut first, &mut [0]) {
                Ok(read) => read == 0,
                Err(error) => error.kind() == ErrorKind::ConnectionReset,
            }
    );
    assert_eq!(statistics(&mut third).connections_refused, 0);
    // Both at work.
    send(&mut second, &images(image_files(3000)));
    send(&mut third, &images(image_files(3000)));
    let refused = until(|| match ask(&mut server.connect(), &Request::Models) {
        Response::Failed(failure) => Some(failure),
        // They had not begun, and one of them has made way.
        _ => panic!("a place was taken from who works"),
    });
    assert_eq!(refused.class, ErrorClass::TooManyConnections);
    assert!(
        refused.detail.unwrap().contains("max_connections_server is 2")
            && refused.hint.unwrap().contains("max_connections_server")
    );
    assert_eq!(embeddings(receive(&mut second, Kind::Response)).len(), 3000);
}

#[test]
fn bytes_in_the_queue_are_bounded() {
    let server = Server::start(&Config { max_queue_bytes: 1 << 20, ..config() });
    let mut witness = server.connect();
    let [first, large] = [2000, 2000].map(|count| images(image_files(count)));
    let (mut one, mut two) = (server.connect(), server.connect());
    send(&mut one, &first);
    until(|| (statistics(&mut witness).in_flight == 1).then_some(()));
    let waiter = std::thread::spawn(move || {
        // More than the socket holds: this blocks until it is taken in.
        send(&mut two, &large);
        embeddings(receive(&mut two, Kind::Response)).len()
    });
    let then = until(|| Some(statistics(&mut witness)).filter(|s| s.waiting == 1));
    assert_eq!((then.in_flight, then.queue_bytes > 0), (1, true));
    embeddings(ask(&mut witness, &texts(&["small requests pass"])));
    assert_eq!(embeddings(receive(&mut one, Kind::Response)).len(), 2000);
    assert_eq!(waiter.join().unwrap(), 2000);
    until(|| (statistics(&mut witness).queue_bytes == 0).then_some(()));
}

/// Two models; loading one of them seems to take 4 GiB.
fn two_models() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let golden = workspace().join("tests/golden/models/golden/small");
    for name in ["small", "large"] {
        let model = folder.path().join("golden").join(name);
        std::fs::create_dir_all(model.join("onnx")).unwrap();
        for file in ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(golden.join(file), model.join(file)).unwrap();
        }
        for file in ["text_model.onnx", "vision_model.onnx"] {
            std::fs::copy(golden.join("onnx").join(file), model.join("onnx").join(file)).unwrap();
        }
    }
    let weights = std::fs::File::create(folder.path().join("golden/large/onnx/text_model.onnx_data")).unwrap();
    weights.set_len(2 << 30).unwrap();
    folder
}

#[test]
fn memory_is_bounded() {
    let models = two_models();
    let server =
        Server::start(&Config { model_roots: vec![models.path().to_owned()], max_server_memory: 3 << 30, ..config() });
    let mut client = server.connect();
    embeddings(ask(&mut client, &texts(&["a dog"])));
    let large = |request| match request {
        Request::Embed(request) => {
            Request::Embed(protocol::EmbedRequest { model: "golden/large".to_owned(), ..request })
        }
        other => other,
    };
    let Response::Failed(failure) = ask(&mut client, &large(texts(&["a dog"]))) else { panic!("it was loaded") };
    assert_eq!(failure.class, ErrorClass::OutOfMemory);
    let said = failure.message;
    assert!(
        said.contains("needs about 4097 MiB") && said.contains("clip_search.max_server_memory is 3072 MiB"),
        "{said}"
    );
    let rows = statistics(&mut client).models;
    assert_eq!((rows.len(), &*rows[0].model, rows[0].loaded), (1, MODEL, true), "nobody makes way for what never fits");
}

#[test]
fn statistics_begin_anew() {
    let server = Server::start(&config());
    let mut client = server.connect();
    embeddings(ask(&mut client, &images(image_files(10))));
    let before = statistics(&mut client);
    assert_eq!((before.bulk, before.interactive, before.images_of(MODEL)), (1, 0, 10));
    assert_eq!((before.prepare.total.count, before.queue.total.count), (10, 10));
    assert!(before.inference.minute.p99 >= before.inference.minute.p50 && before.inference.minute.p50 > 0.0);
    assert!(matches!(ask(&mut client, &Request::ResetStatistics), Response::Statistics(_)));
    let after = statistics(&mut client);
    assert_eq!((after.bulk, after.batches, after.images_of(MODEL)), (0, 0, 0));
    assert_eq!(after.inference, protocol::Latency::default());
    assert!(after.since_reset_s < after.uptime_s && after.models[0].loaded);
}

trait ImagesOf {
    fn images_of(&self, model: &str) -> u64;
}

impl ImagesOf for Statistics {
    fn images_of(&self, model: &str) -> u64 {
        self.models.iter().filter(|row| row.model == model && row.encoder == "image").map(|row| row.items).sum()
    }
}

#[test]
fn slow_requests_are_logged() {
    let config = Config { log_min_duration_ms: Some(0), ..config() };
    let mut server = Server::start_with_log(&config, Stdio::piped());
    let lines = BufReader::new(server.logged()).lines();
    embeddings(ask(&mut server.connect(), &texts(&["nobody's business", "b"])));
    let line = lines.map(Result::unwrap).find(|line| line.contains("duration:")).unwrap();
    assert!(
        line.starts_with("LOG: duration: ") && line.ends_with("ms  embed 2 texts with model \"golden/small\""),
        "{line}"
    );
}

/// Processor time is counted in ticks of 10 ms: a server that spins has hundreds of them.
#[test]
fn an_idle_server_takes_no_processor_time() {
    let server = Server::start(&config());
    let mut client = server.connect();
    embeddings(ask(&mut client, &images(image_files(10))));
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(3));
    assert!(ticks() - before <= 3, "{} ticks in three seconds", ticks() - before);
}

/// Clients that begin a request and never end it hold up nobody.
#[test]
fn silent_clients_hold_nothing_up() {
    let server = Server::start(&config());
    let frame = protocol::encode(Kind::Request, &texts(&["never sent as a whole"])).unwrap();
    let silent: Vec<_> = (0..100)
        .map(|length| {
            let mut stream = server.connect();
            stream.write_all(&frame[..length % frame.len()]).unwrap();
            stream
        })
        .collect();
    for number in 0..20 {
        embeddings(ask(&mut server.connect(), &texts(&[&format!("text {number}")])));
    }
    drop(silent);
}

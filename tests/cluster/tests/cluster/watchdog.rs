//! A server that stands still is ended, by whoever asks for it and by itself; one that is busy is not.

use cluster_tests::{
    Cluster, DIMENSION, Gate, Load, MODEL, Request, embed_image, embed_text, image, refusal, wait_until,
};
use std::thread;
use std::time::Duration;

const KILLED: &str = "clip-search-server did not answer for";

#[test]
fn a_restart_does_not_ask_the_server() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "before").unwrap();
    let old = cluster.server();
    old.freeze();
    client.batch_execute("SET statement_timeout = '20s'").unwrap();
    assert!(client.query_one("SELECT clip_restart_server()", &[]).unwrap().get::<_, bool>(0));
    assert_ne!(cluster.server(), old);
    assert_eq!(embed_text(&mut client, "after").unwrap().len(), DIMENSION);
    // One that answers is replaced as well.
    let old = cluster.server();
    assert!(client.query_one("SELECT clip_restart_server()", &[]).unwrap().get::<_, bool>(0));
    assert_ne!(cluster.server(), old);
    cluster.assert_sessions_survived();
}

/// Whoever waits for it is answered by the next.
#[test]
fn a_server_that_stands_still_is_replaced() {
    for preload in [true, false] {
        let cluster = Cluster::builder().preload(preload).set("clip_search.watchdog_timeout", "2s").start();
        let mut client = cluster.connect();
        embed_text(&mut client, "before").unwrap();
        let old = cluster.server();
        old.freeze();
        let request = Request::text(client, "meanwhile");
        let (mut client, result) = request.join();
        assert_eq!(result.unwrap().len(), DIMENSION);
        assert_ne!(cluster.server(), old);
        assert!(!old.runs());
        cluster.wait_for_log(&format!("{KILLED} 2000 ms and was killed; starting it again in 50 ms"));
        assert_eq!(embed_text(&mut client, "after").unwrap().len(), DIMENSION);
        cluster.assert_sessions_survived();
    }
}

#[test]
fn a_server_that_loads_a_model_or_is_busy_is_left_alone() {
    let cluster = Cluster::builder()
        .set("clip_search.watchdog_timeout", "3s")
        .set("clip_search.text_cache_size", 0)
        .set("clip_search.bulk_step_ms", "60s")
        .set("clip_search.max_batch", 4096)
        .start();
    let mut client = cluster.connect();
    embed_text(&mut client, "warm").unwrap();
    let server = cluster.server();
    let gate = Gate::before(&cluster.models().join(MODEL).join("onnx/vision_model.onnx"));
    let request = Request::image(cluster.connect(), image("exact.png"));
    Load::wait_for(&mut client, "the model is being loaded", |load| load.in_flight == 1);
    thread::sleep(Duration::from_secs(4));
    gate.open();
    request.join().1.unwrap();
    // More than its cores can do, for some seconds.
    let crowd: Vec<_> = (0..8)
        .map(|session| {
            let mut client = cluster.connect();
            client.batch_execute("SET statement_timeout = '4s'").unwrap();
            let texts = format!(
                "SELECT count(clip_embed_texts(ARRAY(SELECT '{session} ' || i || ' ' || j FROM generate_series(1, 2000) i)))
                 FROM generate_series(1, 100000) j"
            );
            thread::spawn(move || refusal(client.query(&texts, &[])).code().code().to_owned())
        })
        .collect();
    for member in crowd {
        assert_eq!(member.join().unwrap(), "57014");
    }
    embed_image(&mut client, &image("exact.png")).unwrap();
    assert_eq!(cluster.server(), server);
    assert!(!cluster.log().contains(KILLED));
    cluster.assert_sessions_survived();
}

/// Neither is one that has no descriptor left, and it does not fill the log.
#[test]
fn a_server_without_descriptors_says_so_once() {
    let cluster = Cluster::builder().set("clip_search.watchdog_timeout", "1s").start();
    let mut first = cluster.connect();
    embed_text(&mut first, "warm").unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", cluster.server().0)).unwrap().count();
    let folder: String = first.query_one("SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'", &[]).unwrap().get(0);
    let script = format!("#!/bin/sh\nulimit -n {}\nexec {folder}/clip_search/clip-search-server \"$@\"\n", open + 3);
    let program = cluster.file("few-files", &script, 0o755);
    cluster.reconfigure(&[("clip_search.server_program", program.to_str().unwrap())]);
    wait_until("a server with few files", Duration::from_secs(20), || {
        first.batch_execute("SELECT clip_restart_server()").unwrap();
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", cluster.server().0)).unwrap_or_default();
        limits.lines().any(|line| line.starts_with("Max open files") && line.contains(&format!(" {} ", open + 3)))
    });
    embed_text(&mut first, "warm").unwrap();
    let server = cluster.server();
    let mut sessions = Vec::new();
    let refused = (0..12).find_map(|_| {
        let mut client = cluster.connect();
        client.batch_execute("SET statement_timeout = '10s'").unwrap();
        let answer = embed_text(&mut client, "one more");
        match answer {
            Ok(_) => {
                sessions.push(client);
                None
            }
            refused => Some(refusal(refused)),
        }
    });
    let refused = refused.expect("one is refused");
    assert_eq!(refused.code().code(), "53300", "{refused:?}");
    assert!(refused.detail().is_some_and(|detail| detail.contains("files")), "{refused:?}");
    for _ in 0..20 {
        let _ = embed_text(&mut cluster.connect(), "one more");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(cluster.log().matches("could not accept a connection").count(), 1);
    assert_eq!(cluster.server(), server);
    drop(sessions);
    wait_until("there is room again", Duration::from_secs(20), || embed_text(&mut cluster.connect(), "again").is_ok());
    assert_eq!(embed_text(&mut first, "again").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

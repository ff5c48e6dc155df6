//! What errors say in full, where the regression tests cannot see them: they need other settings, damaged files, or a
//! server in trouble. SQLSTATE, message, DETAIL and HINT, word by word.

use cluster_tests::{Answer, Cluster, MODEL, Silence, Web, embed_image, embed_text, report};
use postgres::{Client, Error};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Asks a new session until it is refused in just these words: settings take effect a moment after a reload.
fn comes_to_say<T: std::fmt::Debug>(
    cluster: &Cluster,
    mut ask: impl FnMut(&mut Client) -> Result<T, Error>,
    expected: &str,
) {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let result = ask(&mut cluster.connect());
        let said = if result.is_err() { report(result) } else { "no error".to_owned() };
        if said == expected {
            return;
        }
        assert!(Instant::now() < deadline, "expected: {expected}\nsaid last: {said}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn text(client: &mut Client) -> Result<Vec<f32>, Error> {
    embed_text(client, "a red apple on a white table")
}

#[test]
fn settings() {
    let cluster = Cluster::on_demand();
    text(&mut cluster.connect()).unwrap();
    cluster.reconfigure(&[("clip_search.on_long_text", "error")]);
    comes_to_say(
        &cluster,
        |client| embed_text(client, &"apple ".repeat(100)),
        "54000: text has 302 tokens, the model reads 77\n\
         HINT: Shorten the text, or set clip_search.on_long_text to truncate.",
    );
    cluster.reconfigure(&[("clip_search.precision", "int8")]);
    comes_to_say(
        &cluster,
        text,
        "55000: model \"golden/small\" has no int8 files, only fp32, fp16\n\
         HINT: Set clip_search.precision to one of them, or to auto.",
    );
    cluster.reconfigure(&[("clip_search.precision", "auto"), ("clip_search.device", "tpu")]);
    comes_to_say(
        &cluster,
        text,
        "58000: \"tpu\" is not a device (auto, cpu, cuda, cuda:N, cuda:N,cuda:M, cuda:all)\nHINT: Correct clip_search.device.",
    );
    cluster.reconfigure(&[("clip_search.device", "cpu"), ("clip_search.max_image_pixels", "100")]);
    comes_to_say(
        &cluster,
        |client| embed_image(client, &cluster_tests::image("exact.png")),
        "54000: image is 48 x 48, more than 100 pixels\n\
         HINT: Scale the image down, or raise clip_search.max_image_pixels.",
    );
    cluster.reconfigure(&[("clip_search.url_allow", "10.0.0.0/99"), ("clip_search.url_fetch", "on")]);
    comes_to_say(
        &cluster,
        |client| client.query("SELECT clip_fetch_image('http://10.0.0.1/')", &[]),
        "22023: clip_search.url_allow has an entry that is not valid\nHINT: The server log says what is wrong.",
    );
    cluster.reconfigure(&[("clip_search.onnxruntime_library", "/nonexistent/libonnxruntime.so")]);
    comes_to_say(
        &cluster,
        text,
        "58000: ONNX Runtime library /nonexistent/libonnxruntime.so cannot be used: there is no such file\n\
         HINT: Run make install, or set clip_search.onnxruntime_library to the path of libonnxruntime.so.",
    );
}

#[test]
fn model_files() {
    let cluster = Cluster::on_demand();
    let folder = cluster.models().join(MODEL);
    let (model, config) = (folder.join("onnx/text_model.onnx"), folder.join("config.json"));
    let (whole, settings) = (fs::read(&model).unwrap(), fs::read(&config).unwrap());
    fs::write(&config, "{").unwrap();
    comes_to_say(
        &cluster,
        text,
        "55000: config.json of model \"golden/small\" cannot be used: EOF while parsing an object at line 1 column 1\n\
         HINT: Download the model again, with all of its files.",
    );
    fs::write(&config, settings).unwrap();
    fs::write(&model, &whole[..1000]).unwrap();
    // Not where the model lies on the disk.
    comes_to_say(
        &cluster,
        text,
        "55000: onnx/text_model.onnx of model \"golden/small\" cannot be used: \
         Load model from onnx/text_model.onnx failed:Protobuf parsing failed.\n\
         HINT: Download the model again, with all of its files.",
    );
    fs::remove_file(&model).unwrap();
    comes_to_say(
        &cluster,
        text,
        "55000: onnx/text_model.onnx of model \"golden/small\" cannot be used: \
         No such file or directory (os error 2)\n\
         HINT: Download the model again, with all of its files.",
    );
}

#[test]
fn program() {
    let cluster = Cluster::builder().set("clip_search.server_program", "/nonexistent").start();
    comes_to_say(
        &cluster,
        |client| client.query("SELECT clip_restart_server()", &[]),
        "55000: no supervisor of clip-search-server is running\nHINT: The next call of clip_embed_text starts it.",
    );
    comes_to_say(
        &cluster,
        text,
        "58000: could not start \"/nonexistent\": No such file or directory (os error 2)\n\
         HINT: Run make install for this PostgreSQL, or correct clip_search.server_program.",
    );
    let asleep = cluster.file("asleep", "#!/bin/sh\nexec sleep 1000 # $*\n", 0o755);
    cluster.reconfigure(&[
        ("clip_search.server_program", asleep.to_str().unwrap()),
        ("clip_search.start_timeout", "200ms"),
    ]);
    comes_to_say(
        &cluster,
        text,
        "08006: clip-search-server did not start within 200 ms\n\
         DETAIL: Connecting failed: No such file or directory (os error 2).\n\
         HINT: See the server log, and raise clip_search.start_timeout if the machine is slow.",
    );
}

#[test]
fn no_worker_slot() {
    let cluster = Cluster::builder().set("max_worker_processes", 0).start();
    assert_eq!(
        report(text(&mut cluster.connect())),
        "53400: no background worker slot is free for the supervisor of clip-search-server\n\
         HINT: Raise max_worker_processes, or add clip_search to shared_preload_libraries."
    );
}

#[test]
fn server_that_does_not_answer() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    text(&mut client).unwrap();
    cluster.server().freeze();
    client.batch_execute("SET clip_search.request_timeout = '200ms'").unwrap();
    assert_eq!(
        report(embed_text(&mut client, "another")),
        "53000: clip-search-server did not answer within 200 ms\n\
         HINT: Try again when there is less to do, ask for fewer items, or raise clip_search.request_timeout."
    );
}

/// Both servers that a request is sent to die with it.
#[test]
fn server_lost_twice() {
    let silence = Silence::start();
    let cluster = Silence::cluster().start();
    let request = silence.fetch(cluster.connect());
    silence.wait_for(1, 1);
    let first = cluster.server();
    first.kill();
    silence.wait_for(1, 2);
    cluster.server_after(first).kill();
    assert_eq!(
        report(request.join().1),
        "08006: lost the connection to clip-search-server\n\
         DETAIL: The server closed the connection.\n\
         HINT: The server is being restarted; run the statement again. The server log says why it ended."
    );
}

#[test]
fn fetching() {
    let web = Web::start([
        ("/silent", Answer::Silence),
        ("/round", Answer::Redirect("/round".to_owned())),
        ("/broken", Answer::Status(503)),
        ("/page", Answer::Page("<html>")),
    ]);
    let cluster = Cluster::builder()
        .set("clip_search.url_fetch", "on")
        .set("clip_search.url_allow", "127.0.0.1")
        .set("clip_search.url_timeout", "3s")
        .set("clip_search.url_retries", "0")
        .start();
    let mut client = cluster.connect();
    let mut says = |path: &str, expected: &str| {
        let url = web.url(path);
        let said = report(client.query("SELECT clip_fetch_image($1)", &[&url]));
        assert_eq!(said.replace(&url, "URL"), expected);
    };
    says(
        "/silent",
        "58030: \"URL\" was not fetched within 3000 ms\nHINT: Try again, or raise clip_search.url_timeout.",
    );
    says("/round", "58030: \"URL\" redirects more than 5 times\nHINT: Pass the URL that the image has now.");
    says("/broken", "58030: \"URL\" answered 503 Service Unavailable");
    says("/page", "58030: \"URL\" is not an image\nDETAIL: The answer has 6 bytes, text/html.");
    says("/gone", "58030: \"URL\" answered 404 Not Found");
}

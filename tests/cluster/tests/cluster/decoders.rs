//! Images that are made to harm, and whoever owns a decoder or the server.

use cluster_tests::{
    Cluster, DIMENSION, MODEL, Process, Request, StopMode, bits, embed_image, embed_text, embed_text_with, image,
    refusal, report, wait_out_cancel, wait_until,
};
use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// An image that takes some hundred milliseconds, if nobody ends it.
fn slow(seed: u8) -> Vec<u8> {
    bits(9_400, 9_400, seed)
}

fn field(process: Process, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", process.0)).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Whether a decoder has begun an image: opening its libraries takes it less.
fn is_at_work(decoder: Process) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", decoder.0)).unwrap_or_default();
    let times = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    // Hundredths of a second.
    times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() >= 6
}

/// Sends a signal to each decoder that is at work, until it is dropped.
struct Signals(std::sync::Arc<std::sync::atomic::AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Signals {
    fn start(server: Process, signal: Signal) -> Self {
        let done = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let flag = std::sync::Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            while !flag.load(std::sync::atomic::Ordering::Relaxed) {
                for decoder in Cluster::decoders_of(server).into_iter().filter(|decoder| is_at_work(*decoder)) {
                    let _ = kill_process(Pid::from_raw(decoder.0).unwrap(), signal);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self(done, Some(thread))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = self.1.take().unwrap().join();
    }
}

#[test]
fn an_image_that_takes_too_long() {
    let cluster = Cluster::builder().set("clip_search.image_timeout", "150ms").start();
    let mut client = cluster.connect();
    embed_image(&mut client, &image("black.png")).unwrap();
    let server = cluster.server();
    let said = "54000: decoding the image takes more than 150 ms\n\
                HINT: Scale the image down, or raise clip_search.image_timeout.";
    assert_eq!(report(embed_image(&mut client, &slow(1))), said);
    assert_eq!(report(client.query_one("SELECT clip_thumbnail($1)", &[&slow(1)])), said);
    let info = client.query_one("SELECT (clip_image_info($1)).error", &[&slow(1)]).unwrap();
    assert_eq!(info.get::<_, String>(0), "decoding the image takes more than 150 ms");
    let tried = client.query_one("SELECT clip_try_embed_image($1) IS NULL", &[&slow(1)]).unwrap();
    assert!(tried.get::<_, bool>(0));
    // The others of a statement are answered.
    let images = [image("black.png"), slow(2), image("photo_444.jpg")];
    let made = client
        .query_one("SELECT array_agg(v IS NULL) FROM unnest(clip_try_embed_images($1)) v", &[&images.as_slice()])
        .unwrap();
    assert_eq!(made.get::<_, Vec<bool>>(0), [false, true, false]);
    assert_eq!(cluster.server(), server);
    cluster.reconfigure(&[("clip_search.image_timeout", "60s")]);
    wait_until("the setting takes effect", LIMIT, || embed_image(&mut client, &slow(1)).is_ok());
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

/// In the queue it is given up as other bad images are, and does not come back.
#[test]
fn an_image_that_takes_too_long_in_the_queue() {
    let cluster = Cluster::builder().set("clip_search.image_timeout", "150ms").start();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE photos (id integer PRIMARY KEY, image bytea, embedding vector);
             SELECT clip_sync('photos', 'image', mode => 'queued')",
        )
        .unwrap();
    let small = image("gradient.png");
    client.execute("INSERT INTO photos VALUES (1, $1), (2, $2), (3, $1)", &[&small, &slow(1)]).unwrap();
    let count = |client: &mut Client, of: &str| -> i64 {
        client.query_one(&format!("SELECT count(*) FROM {of}"), &[]).unwrap().get(0)
    };
    wait_until("the others", LIMIT, || count(&mut client, "photos WHERE embedding IS NOT NULL") == 2);
    wait_until("the end of it", LIMIT, || {
        client
            .batch_execute(
                "UPDATE clip_search_internal.clip_embed_queue SET attempts = 9, due_at = now() WHERE attempts > 0",
            )
            .unwrap();
        count(&mut client, "clip_embed_errors WHERE sqlstate = '54000'") == 1
    });
    drop(client);
    cluster.stop(StopMode::Fast);
    cluster.start();
    let mut client = cluster.connect();
    client.execute("INSERT INTO photos VALUES (4, $1)", &[&small]).unwrap();
    wait_until("the next", LIMIT, || count(&mut client, "photos WHERE embedding IS NOT NULL") == 3);
    assert_eq!(count(&mut client, "clip_search_internal.clip_embed_queue"), 0, "it does not come back");
    cluster.assert_sessions_survived();
}

/// Before, the server ended, and again with each try.
#[test]
fn a_crash_is_an_error_of_one_image() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_image(&mut client, &image("black.png")).unwrap();
    let server = cluster.server();
    let crasher = Signals::start(server, Signal::SEGV);
    let error = refusal(embed_image(&mut client, &slow(1)));
    assert_eq!(error.code().code(), "22P03", "{error:?}");
    assert_eq!(error.message(), "the decoder crashed on the image: it was terminated by signal 11");
    assert!(error.hint().is_some());
    assert_eq!(embed_text(&mut client, "texts need no decoder").unwrap().len(), DIMENSION);
    drop(crasher);
    assert_eq!(embed_image(&mut client, &slow(1)).unwrap().len(), DIMENSION);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

/// By the kernel, say, which has no memory left: no image is at fault.
#[test]
fn killed_from_outside() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_image(&mut client, &image("black.png")).unwrap();
    let server = cluster.server();
    for decoder in Cluster::decoders_of(server) {
        decoder.kill();
    }
    assert_eq!(embed_image(&mut client, &image("black.png")).unwrap().len(), DIMENSION, "by another one");
    let crasher = Signals::start(server, Signal::KILL);
    assert_eq!(refusal(embed_image(&mut client, &slow(1))).code().code(), "53200");
    drop(crasher);
    assert_eq!(embed_image(&mut client, &slow(1)).unwrap().len(), DIMENSION);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

/// A query that is cancelled frees its decoder at once, also one that stands still.
#[test]
fn cancelled_while_decoding() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_image(&mut client, &image("black.png")).unwrap();
    let server = cluster.server();
    let freezer = Signals::start(server, Signal::STOP);
    let token = client.cancel_token();
    let request = Request::image(client, slow(1));
    let mut decoders = Vec::new();
    wait_until("a decoder stands still", LIMIT, || {
        decoders = Cluster::decoders_of(server);
        decoders.iter().any(|decoder| field(*decoder, "State").starts_with('T'))
    });
    let since = Instant::now();
    token.cancel_query(NoTls).unwrap();
    let (mut client, result) = request.join();
    assert_eq!(refusal(result).code().code(), "57014");
    wait_until("the decoder is ended", LIMIT, || decoders.iter().any(|decoder| !decoder.runs()));
    assert!(since.elapsed() < LIMIT);
    wait_out_cancel(&mut client);
    drop(freezer);
    Cluster::decoders_of(server).into_iter().for_each(Process::kill);
    assert_eq!(embed_image(&mut client, &slow(1)).unwrap().len(), DIMENSION);
    assert_eq!(cluster.server(), server);
    cluster.assert_sessions_survived();
}

/// However the server ends, its decoders do, too.
#[test]
fn decoders_end_with_their_server() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    for end in [Process::kill, Process::terminate] {
        embed_image(&mut client, &image("black.png")).unwrap();
        let server = cluster.server();
        let decoders = Cluster::decoders_of(server);
        assert!(!decoders.is_empty());
        end(server);
        wait_until("they end", LIMIT, || decoders.iter().all(|decoder| !decoder.runs()));
        cluster.server_after(server);
    }
    cluster.assert_sessions_survived();
}

#[test]
fn server_and_decoders_have_given_up_their_rights() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_image(&mut client, &image("black.png")).unwrap();
    let server = cluster.server();
    for process in Cluster::decoders_of(server).into_iter().chain([server]) {
        assert_eq!((&*field(process, "NoNewPrivs"), &*field(process, "Seccomp")), ("1", "2"));
    }
    cluster.reconfigure(&[("clip_search.sandbox", "off")]);
    let server = cluster.server_after(server);
    assert_eq!(embed_image(&mut client, &image("black.png")).unwrap().len(), DIMENSION);
    for process in Cluster::decoders_of(server).into_iter().chain([server]) {
        assert_eq!((&*field(process, "NoNewPrivs"), &*field(process, "Seccomp")), ("0", "0"));
    }
    cluster.assert_sessions_survived();
}

/// The server cannot be led to files of the data directory, as by a link in a folder of models.
#[test]
fn the_server_reads_nothing_of_the_data_directory() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "before").unwrap();
    let (hidden, link) = (cluster.data().join("hidden"), cluster.models().join("golden/linked"));
    let copy = Command::new("cp").arg("--archive").arg(cluster.models().join(MODEL)).arg(&hidden).status();
    assert!(copy.unwrap().success());
    std::os::unix::fs::symlink(&hidden, &link).unwrap();
    let error = refusal(embed_text_with(&mut client, "x", "golden/linked"));
    assert_eq!(error.code().code(), "55000", "{error:?}");
    assert!(error.message().contains("ermission denied"), "{error:?}");
    let server = cluster.server();
    cluster.reconfigure(&[("clip_search.sandbox", "off")]);
    cluster.server_after(server);
    assert_eq!(embed_text_with(&mut client, "x", "golden/linked").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

/// Models may lie elsewhere: the server knows links that were there when it started, and folders that it is told of.
#[test]
fn models_in_other_places() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    embed_text(&mut client, "before").unwrap();
    let other = cluster.models().with_file_name("elsewhere");
    let copy = Command::new("cp").arg("--recursive").arg(cluster.models()).arg(&other).status();
    assert!(copy.unwrap().success());
    std::os::unix::fs::symlink(other.join(MODEL), cluster.models().join("golden/linked")).unwrap();
    assert!(embed_text_with(&mut client, "x", "golden/linked").is_err());
    client.query("SELECT clip_restart_server()", &[]).unwrap();
    assert_eq!(embed_text_with(&mut client, "x", "golden/linked").unwrap().len(), DIMENSION);
    let server = cluster.server();
    cluster.reconfigure(&[("clip_search.model_dir", other.to_str().unwrap())]);
    cluster.server_after(server);
    assert_eq!(embed_text(&mut client, "after").unwrap().len(), DIMENSION);
    cluster.assert_sessions_survived();
}

/// libheif and its decoders are opened before the sandbox is shut, and start threads within it.
#[test]
fn heic_and_avif_in_the_sandbox() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let original = embed_image(&mut client, &image("exact.png")).unwrap();
    for file in ["../heif/exact.heic", "../heif/exact.avif"] {
        match embed_image(&mut client, &image(file)) {
            Ok(found) => {
                let cosine = cluster_tests::cosine(&found, &original);
                assert!(cosine > 0.99, "{file}: {cosine}");
            }
            Err(error) => {
                let said = report(Err::<(), _>(error));
                assert!(said.contains("libheif (libheif.so.1) is not installed"), "{file}: {said}");
                assert!(std::env::var_os("CI").is_none(), "make setup-tests installs libheif");
            }
        }
    }
    cluster.assert_sessions_survived();
}

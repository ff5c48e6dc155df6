//! Encoders on real model servers, which `scripts/setup --tests` installs: Triton and MLServer. What a machine cannot have is left
//! out, and the test says why.

mod fixture;

use cluster_tests::{Cluster, MODEL, Process, embed_text_with, image, refusal, wait_until};
use fixture::{Certificates, export, install};
use model_servers::{ModelServer, free_port, mlserver, triton};
use postgres::Client;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);
const REMOTE: &str = "golden/remote";

/// The least cosine of the vectors of images, and of texts, by model servers and here.
fn least_cosine(client: &mut Client, images: i32) -> (f64, f64) {
    let texts = "SELECT min(1 - (clip_embed_text(t, 'golden/remote') <=> clip_embed_text(t, 'golden/small')))
                   FROM unnest(ARRAY['a dog', 'x', 'two people ride bicycles along the beach at sunset', 'blue']) AS t";
    let images_query = format!(
        "WITH files AS MATERIALIZED (SELECT array_agg($1 || int4send(n)) AS files FROM generate_series(1, {images}) AS n)
         SELECT min(1 - (here <=> there)) FROM files,
                unnest(clip_embed_images(files, 'golden/remote'), clip_embed_images(files, 'golden/small')) AS v(there, here)"
    );
    let of_texts: f64 = client.query_one(texts, &[]).unwrap().get(0);
    let of_images: f64 = client.query_one(&images_query, &[&image("exact.png")]).unwrap().get(0);
    (of_texts, of_images)
}

/// Embeds images that nobody has embedded before, so many.
fn embed_new(client: &mut Client, from: i32, count: i32) -> Result<i64, postgres::Error> {
    let query = "SELECT count(v) FROM unnest(clip_embed_images((SELECT array_agg($1 || int4send(n))
                   FROM generate_series($2::integer, $2 + $3::integer - 1) AS n), 'golden/remote')) AS v";
    client.query_one(query, &[&image("exact.png"), &from, &count]).map(|row| row.get(0))
}

#[test]
fn parity_through_triton() {
    for images in ["uint8", "fp32"] {
        let cluster = Cluster::on_demand();
        let (repository, remote) = export(&["--backend", "python", "--images", images]);
        let Some(server) = triton(repository.path(), &[]) else { return };
        install(&cluster, &[], &remote.to_string().replace("HOST:8001", &server.address()));
        let mut client = cluster.connect();
        let (texts, images) = least_cosine(&mut client, 60);
        assert!(texts > 0.99999 && images > 0.99999, "{texts} {images}");
        let plan: String =
            client.query_one("SELECT precision FROM clip_models() WHERE name = 'golden/remote'", &[]).unwrap().get(0);
        assert_eq!(plan, "remote");
    }
}

#[test]
fn parity_through_mlserver_and_its_limit_on_messages() {
    let cluster = Cluster::on_demand();
    let (repository, remote) = export(&["--images", "fp32"]);
    // Three images of 48 x 48 in float32.
    let Some(server) = mlserver(repository.path(), 90_000) else { return };
    install(&cluster, &[], &remote.to_string().replace("HOST:8001", &server.address()));
    let mut client = cluster.connect();
    let (texts, images) = least_cosine(&mut client, 60);
    assert!(texts > 0.99999 && images > 0.99999, "{texts} {images}");
    cluster.wait_for_log("are too many for the model server");
}

/// Four sessions embed while something happens to one of two Triton servers; no statement fails.
fn under_load(happens: impl FnOnce(ModelServer)) {
    let (repository, remote) = export(&["--backend", "python", "--encoders", "image"]);
    let (Some(first), Some(second)) = (triton(repository.path(), &[]), triton(repository.path(), &[])) else { return };
    let cluster = Cluster::on_demand();
    // One that was never there, too.
    let dead = free_port();
    let endpoints = format!("http://{}\", \"http://{}\", \"http://127.0.0.1:{dead}", first.address(), second.address());
    install(&cluster, &["text"], &remote.to_string().replace("http://HOST:8001", &endpoints));
    embed_new(&mut cluster.connect(), 0, 1).unwrap();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let sessions: Vec<_> = (1..5)
            .map(|session| {
                let mut client = cluster.connect();
                scope.spawn(move || {
                    let (mut statements, mut next) = (0, session * 1_000_000);
                    while began.elapsed() < Duration::from_secs(6) {
                        assert_eq!(embed_new(&mut client, next, 40).expect("no statement fails"), 40);
                        (statements, next) = (statements + 1, next + 40);
                    }
                    statements
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(2));
        happens(first);
        for session in sessions {
            assert!(session.join().unwrap() > 0);
        }
    });
    drop(second);
    wait_until("all are known to be down", LIMIT, || {
        let error = refusal(embed_new(&mut cluster.connect(), 100, 1));
        error.code().code() == "08006" && error.message().contains("3 endpoints")
    });
}

#[test]
fn triton_is_killed_under_load() {
    under_load(|server| server.kill());
}

#[test]
fn triton_is_stopped_under_load() {
    under_load(ModelServer::terminate);
}

#[test]
fn triton_with_certificates_of_both_sides() {
    let certificates = Certificates::new();
    let (repository, remote) = export(&["--backend", "python", "--encoders", "text"]);
    let Some(server) = triton(repository.path(), &certificates.of_triton()) else { return };
    let port = server.port;
    let cluster = Cluster::on_demand();
    let json = remote.to_string().replace("http://HOST:8001", &format!("https://localhost:{port}"));
    let with = |more: &str| json.replace("\"datatype\"", &format!("{more}, \"datatype\""));
    let folder =
        install(&cluster, &["vision"], &with(r#""ca": "ca.pem", "certificate": "client.pem", "key": "client.key""#));
    certificates.copy_to(&folder);
    let mut client = cluster.connect();
    assert_eq!(embed_text_with(&mut client, "a dog", REMOTE).unwrap().len(), 32);
    // Without the client's, Triton answers nobody.
    install(&cluster, &["vision"], &with(r#""ca": "ca.pem""#));
    certificates.copy_to(&folder);
    client.batch_execute("SELECT clip_restart_server()").unwrap();
    let error = refusal(embed_text_with(&mut client, "a dog", REMOTE));
    assert_eq!(error.code().code(), "08006", "{error}");
}

#[test]
fn triton_with_a_protocol_that_is_restricted() {
    let (repository, remote) = export(&["--backend", "python", "--encoders", "text"]);
    let restricted = ["--grpc-restricted-protocol", "inference:secret=open"].map(str::to_owned);
    let Some(server) = triton(repository.path(), &restricted) else { return };
    let cluster = Cluster::on_demand();
    let json = remote.to_string().replace("HOST:8001", &server.address());
    let json = json.replace("\"datatype\"", "\"headers\": \"headers\", \"datatype\"");
    let folder = install(&cluster, &["vision"], &json);
    std::fs::write(folder.join("headers"), "triton-grpc-protocol-secret: wrong\n").unwrap();
    let mut client = cluster.connect();
    let error = refusal(embed_text_with(&mut client, "a dog", REMOTE));
    assert_eq!(error.code().code(), "42501", "{error}");
    assert!(error.message().contains("restricted"), "{error}");
    // The file is read again.
    std::fs::write(folder.join("headers"), "triton-grpc-protocol-secret: open\n").unwrap();
    wait_until("the header is right", LIMIT, || embed_text_with(&mut client, "a dog", REMOTE).is_ok());
}

#[test]
fn triton_that_hangs() {
    let (repository, remote) = export(&["--backend", "python", "--encoders", "text"]);
    let Some(server) = triton(repository.path(), &[]) else { return };
    let cluster = Cluster::on_demand();
    let json = remote.to_string().replace("HOST:8001", &server.address());
    install(&cluster, &["vision"], &json.replace("\"datatype\"", "\"timeout_ms\": 5000, \"datatype\""));
    let mut client = cluster.connect();
    embed_text_with(&mut client, "a dog", REMOTE).unwrap();
    Process(server.id() as i32).freeze();
    client.batch_execute("SET statement_timeout = '300ms'").unwrap();
    let error = refusal(embed_text_with(&mut client, "one", REMOTE));
    assert_eq!(error.code().code(), "57014", "{error}");
    client.batch_execute("RESET statement_timeout").unwrap();
    let error = refusal(embed_text_with(&mut client, "two", REMOTE));
    assert_eq!(error.code().code(), "53000", "{error}");
    // Texts of another model, and what runs here, do not wait.
    assert_eq!(embed_text_with(&mut client, "three", MODEL).unwrap().len(), 32);
    Process(server.id() as i32).thaw();
    wait_until("it answers again", LIMIT, || embed_text_with(&mut client, "four", REMOTE).is_ok());
}

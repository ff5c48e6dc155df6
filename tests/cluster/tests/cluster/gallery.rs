//! The gallery as psql writes it, in a browser.

use browser::{DESKTOP, PHONE};
use cluster_tests::{Cluster, image, refusal};
use std::path::Path;
use std::time::Instant;

#[test]
fn the_page_that_psql_writes() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute("CREATE TABLE photos (id serial PRIMARY KEY, image bytea, caption text, similarity real)")
        .unwrap();
    let images =
        ["photo_420.jpg", "alpha.png", "photo.gif", "photo.webp", "photo.tiff", "photo.bmp", "tall.png", "wide.png"];
    let captions =
        ["<script>document.title = 'changed'</script>", "\"><img src=x onerror=alert(1)>", "Jürgen 猫 🐈", "plain"];
    for (number, name) in images.iter().enumerate() {
        let caption = captions[number % captions.len()];
        let similarity = 1.0 - number as f32 / 10.0;
        let statement = "INSERT INTO photos (image, caption, similarity) VALUES ($1, $2, $3)";
        client.execute(statement, &[&image(name), &caption, &similarity]).unwrap();
    }
    client
        .batch_execute("INSERT INTO photos (image, caption) VALUES (NULL, 'no image'), ('a text', 'no image either')")
        .unwrap();
    let page = cluster.file("gallery.html", "", 0o666);
    // What docs/guide.md says; the client's encoding must not matter.
    let script = format!(
        "\\encoding LATIN1\n\\pset format unaligned\n\\pset tuples_only on\n\\o {}\n\
         SELECT clip_gallery(image, caption, similarity, 'Cats & <dogs>' ORDER BY similarity DESC NULLS LAST) FROM photos;\n\\o\n",
        page.display()
    );
    let file = cluster.file("gallery.sql", &script, 0o644);
    assert!(cluster.psql().args(["--quiet", "--set=ON_ERROR_STOP=1", "--file"]).arg(&file).status().unwrap().success());

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let report = browser::open(&page, &target.join("gallery"), &[PHONE, DESKTOP]);
    assert_eq!(report.console, [""; 0]);
    assert_eq!(report.requests.len(), 1, "the page itself: {:?}", report.requests);
    assert_eq!(report.title, "Cats & <dogs>");
    assert_eq!(report.undrawn, [""; 0]);
    assert_eq!(report.dom.matches("<img").count(), images.len());
    assert_eq!(report.dom.matches("<figure").count(), images.len() + 2);
    assert!(!report.dom.contains("<script") && report.dom.contains("Jürgen 猫 🐈"));
    for screenshot in &report.screenshots {
        assert!(screenshot.overflow <= 0, "{screenshot:?}");
    }
}

/// What is written under the images counts as well, as it is on the page: a character may become ten.
#[test]
fn captions_are_bounded() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let gallery = |caption: &str, title: &str, images: i32| {
        format!("SELECT length(clip_gallery(NULL, {caption}, 0, {title})) FROM generate_series(1, {images})")
    };
    for query in [
        gallery("repeat('x', 1000000)", "'t'", 60),
        gallery("repeat('&', 100000)", "'t'", 100),
        gallery("repeat('é', 1000000)", "'t'", 6),
        gallery("'c'", "repeat('x', 60000000)", 1),
    ] {
        let error = refusal(client.query_one(&query, &[]));
        assert_eq!(error.code().code(), "54000", "{query} {error:?}");
    }
    let page: i32 = client.query_one(&gallery("repeat('é', 100000)", "'t'", 50), &[]).unwrap().get(0);
    assert!(page > 50 * 100_000 * 6 && page < 110 << 20, "{page}");
    cluster.assert_sessions_survived();
}

/// A page that takes long is given up in the middle.
#[test]
fn a_page_can_be_cancelled() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let query = "SELECT length(clip_gallery(NULL, caption, 0)) FROM captions";
    client
        .batch_execute(
            "CREATE TABLE captions AS SELECT repeat('\u{1f408}', 500) AS caption FROM generate_series(1, 10000)",
        )
        .unwrap();
    let began = Instant::now();
    client.query_one(query, &[]).unwrap();
    let whole = began.elapsed();
    // What else the machine does makes one run longer and another shorter: one of some has to end before its time.
    let ended_early = (1..=5).any(|attempt| {
        let limit = (whole.as_millis() >> attempt).max(1);
        client.batch_execute(&format!("SET statement_timeout = '{limit}ms'")).unwrap();
        let began = Instant::now();
        let outcome = client.query_one(query, &[]);
        let took = began.elapsed();
        outcome.is_err() && refusal(outcome).code().code() == "57014" && took < whole * 9 / 10
    });
    assert!(ended_early, "none ended before {whole:?}");
    cluster.assert_sessions_survived();
}

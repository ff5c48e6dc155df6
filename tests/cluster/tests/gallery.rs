//! The gallery as psql writes it, in a browser.

use browser::{DESKTOP, PHONE};
use cluster_tests::{Cluster, image};
use std::path::Path;

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

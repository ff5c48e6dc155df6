//! What is answered, also to what no browser asks.

use super::{Explore, form, photos};
use cluster_tests::{Cluster, image, wait_until};
use std::time::Duration;

#[test]
fn without_a_database_or_the_extension() {
    let nowhere = Explore::start("host=/nowhere user=x dbname=y");
    let answer = nowhere.get("/");
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert!(answer.body.contains("does not answer"), "{}", answer.body);

    let cluster = Cluster::on_demand();
    let missing = Explore::start(&cluster.dsn("postgres").replace("dbname=postgres", "dbname=template1"));
    let answer = missing.get("/");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("CREATE EXTENSION clip_search CASCADE"), "{}", answer.body);
    let nobody = Explore::start(&cluster.dsn("nobody_of_this_name"));
    assert_eq!(nobody.get("/").status, 502);
    // What was wrong is looked at anew.
    let explore = Explore::start(&cluster.dsn("postgres"));
    assert!(explore.get("/").body.contains("There is no table with embeddings"));
    cluster.connect().batch_execute("CREATE TABLE one (id int PRIMARY KEY, embedding vector(128))").unwrap();
    assert!(explore.get("/").head.contains("location: /search?table=one&column=embedding"));
    cluster.connect().batch_execute("CREATE TABLE two (embedding halfvec(128), other vector)").unwrap();
    let listed = explore.get("/").body;
    for column in ["one.embedding", "two.embedding", "two.other"] {
        assert!(listed.contains(column), "{listed}");
    }
}

#[test]
fn what_is_wrong_with_a_search() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    cluster
        .connect()
        .batch_execute(
            "CREATE TABLE \"No key\" (\"the name\" text, embedding vector(128));
             INSERT INTO \"No key\" SELECT name, embedding FROM photos;
             CREATE TABLE wide (id int PRIMARY KEY, embedding vector(7));
             CREATE TABLE plain (id int)",
        )
        .unwrap();
    let explore = Explore::start(&cluster.dsn("postgres"));
    for (path, status, words) in [
        ("/nowhere", 404, "no such page"),
        ("/search", 404, "there is no table"),
        ("/search?table=nowhere", 404, "there is no table nowhere"),
        ("/search?table=a+b", 400, "invalid name syntax"),
        ("/search?table=plain", 404, "no column of type vector"),
        ("/search?table=photos&column=name", 404, "no column &quot;name&quot;"),
        ("/search?table=photos&k=0", 400, "k is a number from 1"),
        ("/search?table=wide", 404, "no installed model gives embeddings of 7 dimensions"),
        ("/histogram?table=photos", 400, "nothing to compare"),
        ("/thumbnail?table=photos", 400, "row is missing"),
        ("/thumbnail?table=photos&row=1000", 404, "no image"),
        ("/thumbnail?table=photos&row=%7B", 400, "no id"),
        ("/thumbnail?table=photos&row=%5B1%5D", 400, "no id of a row"),
        ("/uploaded?table=photos&image=00", 404, "no longer there"),
        // On the page of the search, which can be changed there.
        ("/search?table=photos&q=x&sort=nothing", 200, "no column &quot;nothing&quot;"),
        ("/search?table=photos&q=x&filter=nothing&is=1", 200, "SQLSTATE"),
        ("/search?table=photos&filter=id&is=x", 200, "SQLSTATE 22P02"),
        ("/search?table=photos&q=x&model=no%2Fmodel", 200, "no/model"),
        ("/search?table=photos&image=00", 200, "Drop it on the page once more"),
        ("/search?table=photos&like=x", 200, "x is no id"),
        ("/search?table=%22No+key%22&q=x", 200, "Choose the column that tells rows apart"),
        ("/search?table=%22No+key%22&q=x&id=the+name", 200, "10 rows"),
    ] {
        let answer = explore.get(path);
        assert!(answer.status == status && answer.body.contains(words), "{path}: {} {}", answer.status, answer.body);
        assert!(answer.head.contains("content-security-policy: default-src 'none'"), "{path}: {}", answer.head);
        assert!(answer.head.contains("nosniff"), "{path}");
    }
    cluster.assert_sessions_survived();
}

/// Bytes of all kinds as the image to search by.
#[test]
fn uploads() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    let explore = Explore::start(&cluster.dsn("postgres"));
    let post = |image: &[u8]| {
        let (kind, body) = form("table=photos&q=words&min=0.1", image);
        explore.ask("POST", "/image", kind, &body)
    };
    assert_eq!(post(b"").status, 400);
    assert_eq!(explore.ask("POST", "/image", "Content-Type: text/plain\r\n", b"x").status, 400);
    let too_large = post(&vec![0; 65 << 20]);
    assert_eq!(too_large.status, 413, "{}", too_large.head);
    let found = |image: &[u8]| {
        let answer = post(image);
        assert_eq!(answer.status, 303, "{}", answer.body);
        let to = answer.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().to_owned();
        // The words make way, the threshold stays.
        assert!(to.contains("image=") && !to.contains("words") && to.contains("min=0.1"), "{to}");
        (explore.get(&to), explore.get(&to.replace("/search", "/uploaded")))
    };
    let (page, thumbnail) = found(&image("photo_444.jpg"));
    assert!(page.body.contains("data-similarity=\"1\""), "{}", page.body);
    assert!((thumbnail.status, thumbnail.head.contains("content-type: image/jpeg")) == (200, true));
    let (page, thumbnail) = found(b"<script>alert(1)</script>");
    assert!(page.body.contains("SQLSTATE 22P03") && !page.body.contains("<script>alert"), "{}", page.body);
    assert_eq!(thumbnail.status, 400);
}

/// The rights are those of the role: other tables are neither listed nor found, and rows are those that it sees.
#[test]
fn rights_are_those_of_the_role() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE ROLE reader LOGIN; CREATE ROLE visitor LOGIN;
             GRANT SELECT (id, name, embedding) ON photos TO reader; GRANT SELECT ON photos TO visitor;
             ALTER TABLE photos ENABLE ROW LEVEL SECURITY;
             CREATE POLICY of_reader ON photos TO reader USING (true);
             CREATE POLICY of_visitor ON photos TO visitor USING (id <= 3);
             CREATE TABLE secret (id int PRIMARY KEY, embedding vector(128))",
        )
        .unwrap();
    let visitor = Explore::start(&cluster.dsn("visitor"));
    assert!(visitor.get("/").head.contains("location: /search?table=photos"));
    assert!(visitor.get("/search?table=photos&q=cat").body.contains("3 rows"));
    assert_eq!(visitor.get("/thumbnail?table=photos&row=3").status, 200);
    assert_eq!(visitor.get("/thumbnail?table=photos&row=4").status, 404);
    let answer = visitor.get("/search?table=secret&q=cat");
    assert!(answer.body.contains("permission denied"), "{}", answer.body);

    let reader = Explore::start(&cluster.dsn("reader"));
    let page = reader.get("/search?table=photos&q=cat").body;
    assert!(page.contains("10 rows") && !page.contains("Ulm") && !page.contains("<img"), "{page}");
    assert!(reader.get("/search?table=photos&q=cat&sort=place").body.contains("that you may read"));
    assert_eq!(reader.get("/thumbnail?table=photos&row=3&picture=image").status, 404);
}

/// Not even what a view's functions would do.
#[test]
fn nothing_is_written() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    cluster
        .connect()
        .batch_execute(
            "CREATE TABLE seen (at timestamptz);
             CREATE FUNCTION note() RETURNS boolean LANGUAGE sql AS 'INSERT INTO seen VALUES (now()) RETURNING true';
             CREATE VIEW watched AS SELECT id, name, embedding FROM photos WHERE note()",
        )
        .unwrap();
    let explore = Explore::start(&cluster.dsn("postgres"));
    let answer = explore.get("/search?table=watched&q=cat");
    assert!(answer.body.contains("SQLSTATE 25006"), "{}", answer.body);
    assert!(explore.get("/search?table=photos&q=cat").body.contains("10 rows"));
}

#[test]
fn a_statement_ends_in_time_and_with_its_browser() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE FUNCTION slow() RETURNS boolean LANGUAGE sql AS 'SELECT true FROM pg_sleep(30)';
             CREATE VIEW lazy AS SELECT id, name, embedding FROM photos WHERE slow()",
        )
        .unwrap();
    let explore = Explore::with(&cluster.dsn("postgres"), None, Duration::from_secs(2));
    let answer = explore.get("/search?table=lazy");
    assert!(answer.body.contains("SQLSTATE 57014"), "{}", answer.body);

    // Both connections are busy for those who do not wait for the answer.
    let explore = Explore::start(&cluster.dsn("postgres"));
    let given_up = [(); 2].map(|()| explore.send("GET", "/search?table=lazy", "", b""));
    let mut sleeping = || -> i64 {
        let statement = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        client.query_one(statement, &[]).unwrap().get(0)
    };
    wait_until("both search", Duration::from_secs(20), || sleeping() == 2);
    drop(given_up);
    wait_until("both are cancelled", Duration::from_secs(10), || sleeping() == 0);
    assert!(explore.get("/search?table=photos&q=cat").body.contains("10 rows"));
}

/// The database goes and comes back under it.
#[test]
fn after_a_restart() {
    let cluster = Cluster::on_demand();
    photos(&cluster);
    let explore = Explore::start(&cluster.dsn("postgres"));
    let search = "/search?table=photos&q=cat";
    assert_eq!(explore.get(search).status, 200);
    cluster.stop(cluster_tests::StopMode::Fast);
    assert_eq!(explore.get(search).status, 502);
    cluster.start();
    assert!(explore.get(search).body.contains("10 rows"));
}

#[test]
fn whoever_listens_for_others_asks_for_the_token() {
    let cluster = Cluster::on_demand();
    let explore = Explore::with(&cluster.dsn("postgres"), Some("0123456789abcdef"), Duration::from_secs(5));
    for path in ["/", "/search?table=x", "/explore.js", "/?token=wrong"] {
        assert_eq!(explore.get(path).status, 401, "{path}");
    }
    let answer = explore.get("/?token=0123456789abcdef");
    assert_eq!(answer.status, 303);
    assert!(
        answer.head.contains("set-cookie: clip_search_explore=0123456789abcdef; httponly; samesite=strict"),
        "{}",
        answer.head
    );
    let with = |lines: &str| explore.ask("GET", "/", lines, b"").status;
    assert_eq!(with("Cookie: clip_search_explore=0123456789abcdef\r\n"), 200);
    // Whatever name leads here.
    assert_eq!(with("Host: db.example\r\nCookie: clip_search_explore=0123456789abcdef\r\n"), 200);

    let here = Explore::start(&cluster.dsn("postgres"));
    assert_eq!(here.ask("GET", "/", "Host: rebound.example\r\n", b"").status, 421);
    let (kind, body) = form("table=x", b"x");
    assert_eq!(here.ask("POST", "/image", &format!("{kind}Origin: http://other.example\r\n"), &body).status, 403);
}

//! Databases in other encodings than UTF8: a text means the same everywhere, or the error says why it cannot.

use cluster_tests::{Cluster, cosine, embed_text, image, refusal, report};
use postgres::Client;

/// A database in this encoding, with the extension. The client speaks UTF-8 to each.
fn database(cluster: &Cluster, encoding: &str) -> Client {
    let create = format!("CREATE DATABASE {encoding} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'");
    cluster.connect().batch_execute(&create).unwrap();
    let mut client = cluster.connect_to(&encoding.to_lowercase(), "postgres");
    client
        .batch_execute("CREATE EXTENSION clip_search CASCADE")
        .unwrap_or_else(|error| panic!("{encoding}: {error:?}"));
    client
}

/// A table with names that are not ASCII, and three rows.
fn make_table(client: &mut Client) {
    client
        .batch_execute(
            r#"CREATE TABLE "café" ("clé" int PRIMARY KEY, "Größe" text, "naïf?é" jsonb, "vecteur é" vector(32));
               INSERT INTO "café" SELECT i, 'größer ' || i, '{"à": "é"}', clip_embed_text('été ' || i, 'golden/small')
                   FROM generate_series(1, 3) AS i"#,
        )
        .unwrap();
}

/// What `clip_search` finds for the text of row 2: id, title, jsonb and similarity, in JSON.
fn search(client: &mut Client) -> String {
    let query = r#"SELECT clip_search_json('"café"', 'été 2', 1, embedding_column => 'vecteur é', id_column => 'clé',
                       columns => ARRAY['Größe', 'naïf?é'], filter => '{"Größe": ["größer 2", "é"]}', exclude => '3')::text"#;
    client.query_one(query, &[]).unwrap().get(0)
}

fn labels(client: &mut Client) -> Vec<(String, f32)> {
    let query =
        "SELECT label, probability FROM clip_classify(clip_embed_text('ein süßer Käse'), ARRAY['Käse', 'Öl', 'cafe'],
                     'Das ist {}, natürlich')";
    client.query(query, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn gallery(client: &mut Client) -> String {
    let query = "SELECT clip_gallery($1, 'Jürgen & é', 0.5, 'Übersicht')";
    client.query_one(query, &[&image("tall.png")]).unwrap().get(0)
}

/// What a function answers in a UTF8 database, it answers here.
fn assert_like_utf8(cluster: &Cluster, client: &mut Client) {
    let mut utf8 = cluster.connect();
    for text in ["é", "ein süßer Käse", "ÀÉÎÕÜ ß ÿ", "plain"] {
        assert_eq!(embed_text(client, text).unwrap(), embed_text(&mut utf8, text).unwrap(), "{text}");
    }
    let many = "SELECT v::real[] FROM unnest(clip_embed_texts(ARRAY['é', NULL, 'è'])) AS v";
    let vectors = |client: &mut Client| -> Vec<Option<Vec<f32>>> {
        client.query(many, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(vectors(client), vectors(&mut utf8));
    make_table(client);
    make_table(&mut utf8);
    let found = search(client);
    assert!(found.contains("größer 2") && found.contains(r#"{"à": "é"}"#), "{found}");
    assert_eq!(found, search(&mut utf8));
    let found = labels(client);
    assert_eq!(found, labels(&mut utf8));
    assert!(found.iter().any(|(label, _)| label == "Käse"), "{found:?}");
    let page = gallery(client);
    assert!(page.contains("J&#252;rgen &amp; &#233;") && page.contains("&#220;bersicht"));
    assert_eq!(page, gallery(&mut utf8));
}

/// `E'\xe9'`, é in LATIN1, is no UTF-8: what an SQL_ASCII database says to a statement with it.
fn assert_not_utf8(client: &mut Client, statement: &str) {
    assert_eq!(
        report(client.query(statement, &[])),
        "22021: text is not UTF-8: invalid byte 0xe9 at position 4\n\
         HINT: The database's encoding, SQL_ASCII, does not say what bytes mean, and clip_search takes them for UTF-8. \
         Convert them, as in convert_from(convert(convert_to(the_text, 'SQL_ASCII'), 'LATIN1', 'UTF8'), 'UTF8').",
        "{statement}"
    );
}

#[test]
fn latin1() {
    let cluster = Cluster::on_demand();
    let mut client = database(&cluster, "LATIN1");
    let stored: Vec<u8> = client.query_one("SELECT convert_to('é', 'LATIN1')", &[]).unwrap().get(0);
    assert_eq!(stored, [0xe9], "one byte here");
    assert_like_utf8(&cluster, &mut client);
    // Typed by a client that speaks LATIN1 itself.
    let script = cluster.file("latin1.sql", "", 0o644);
    std::fs::write(&script, b"SELECT clip_embed_text('\xe9') = clip_embed_text(chr(233));\n").unwrap();
    let mut psql = cluster.psql();
    psql.env("PGDATABASE", "latin1").env("PGCLIENTENCODING", "LATIN1").args(["--tuples-only", "--no-align", "--file"]);
    assert_eq!(String::from_utf8_lossy(&psql.arg(&script).output().unwrap().stdout), "t\n");
    cluster.assert_sessions_survived();
}

#[test]
fn sql_ascii_with_utf8_in_it() {
    let cluster = Cluster::on_demand();
    let mut client = database(&cluster, "SQL_ASCII");
    let stored: i32 = client.query_one("SELECT length('é')", &[]).unwrap().get(0);
    assert_eq!(stored, 2, "bytes, not characters");
    assert_like_utf8(&cluster, &mut client);
    cluster.assert_sessions_survived();
}

#[test]
fn sql_ascii_with_something_else_in_it() {
    let cluster = Cluster::on_demand();
    let mut client = database(&cluster, "SQL_ASCII");
    client
        .batch_execute(
            r"CREATE TABLE t (id int PRIMARY KEY, words text, embedding vector(32));
              INSERT INTO t VALUES (1, E'caf\xe9', clip_embed_text('coffee', 'golden/small'))",
        )
        .unwrap();
    for statement in [
        r"SELECT clip_embed_text(E'caf\xe9 au lait')",
        r"SELECT clip_embed_text('x', E'caf\xe9/model')",
        "SELECT clip_embed_text(words) FROM t",
        r"SELECT clip_embed_texts(ARRAY['coffee', E'caf\xe9'])",
        r"SELECT * FROM clip_classify(clip_embed_text('x'), ARRAY['tea', E'caf\xe9'])",
        r"SELECT * FROM clip_classify(clip_embed_text('x'), ARRAY['tea'], E'caf\xe9 {}')",
        r"SELECT clip_best_label(clip_embed_text('x'), ARRAY[E'caf\xe9'])",
        "SELECT clip_gallery(NULL, words, 0.5) FROM t",
        r"SELECT clip_gallery(NULL, 'x', 0.5, E'caf\xe9')",
        r"SELECT * FROM clip_search('t', E'caf\xe9')",
        r"SELECT * FROM clip_search('t', 'x', columns => ARRAY[E'caf\xe9'])",
        r"SELECT * FROM clip_search('t', 'x', embedding_column => E'caf\xe9')",
    ] {
        assert_not_utf8(&mut client, statement);
    }
    // The hint's own words.
    let row = client
        .query_one(
            "SELECT clip_embed_text(convert_from(convert(convert_to(words, 'SQL_ASCII'), 'LATIN1', 'UTF8'), 'UTF8'))::real[]
                 FROM t",
            &[],
        )
        .unwrap();
    let expected = embed_text(&mut client, "café").unwrap();
    assert!(cosine(&row.get::<_, Vec<f32>>(0), &expected) > 0.99999);
    // What no name is taken from does not matter: the column's content is neither read nor returned.
    let ids = client.query("SELECT id FROM clip_search('t', 'coffee', columns => ARRAY['id'])", &[]).unwrap();
    assert_eq!(ids.len(), 1);
    // A name that is no UTF-8 cannot be shown.
    client.batch_execute(r"DO $$ BEGIN EXECUTE E'ALTER TABLE t RENAME words TO \x22caf\xe9\x22'; END $$").unwrap();
    assert_not_utf8(&mut client, "SELECT id FROM clip_search('t', 'coffee')");
    cluster.assert_sessions_survived();
}

/// Encodings of several bytes to a character check all that gets into the database, the extension's own script too.
#[test]
fn east_asian_encodings() {
    let cluster = Cluster::on_demand();
    for (encoding, text) in [("EUC_JP", "猫の写真"), ("EUC_CN", "猫照片"), ("EUC_KR", "고양이 사진")] {
        let mut client = database(&cluster, encoding);
        let expected = embed_text(&mut cluster.connect(), text).unwrap();
        assert_eq!(embed_text(&mut client, text).unwrap(), expected, "{encoding}");
        let error = refusal(client.query(&format!("SELECT clip_embed_text('x', '{text}/x')"), &[]));
        assert_eq!(error.code().code(), "22023", "{encoding}: {error:?}");
    }
    cluster.assert_sessions_survived();
}

/// Messages name things as the user typed them where the encoding is UTF8; elsewhere in ASCII, spelled as in SQL's `E'…'`.
#[test]
fn names_in_messages() {
    let cluster = Cluster::on_demand();
    for (encoding, name, shown) in [
        ("UTF8", "é", "é"),
        ("LATIN1", "é", r"\u00e9"),
        ("KOI8R", "я", r"\u044f"),
        ("EUC_JP", "猫", r"\u732b"),
        ("SQL_ASCII", "🐈", r"\U0001f408"),
    ] {
        let mut client = database(&cluster, encoding);
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, embedding vector(32))").unwrap();
        let statement = format!("SELECT * FROM clip_search('t', 'x', embedding_column => '{name}')");
        let error = refusal(client.query(&statement, &[]));
        assert_eq!(error.message(), format!("public.t has no column \"{shown}\""), "{encoding}");
        client.batch_execute("ALTER TABLE t DROP embedding").unwrap();
        let hint = refusal(client.query("SELECT * FROM clip_search('t', 'x')", &[])).hint().unwrap().to_owned();
        assert!(hint.contains(if encoding == "UTF8" { "TABLE … ADD" } else { "TABLE ... ADD" }), "{encoding}: {hint}");
    }
}

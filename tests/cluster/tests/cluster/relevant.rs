//! Thresholds of `clip_calibrate`: what they keep and leave out, and that they survive a dump and are used on a standby.

use clip_search_demo::emoji::{Emoji, EmojiSource, FONT};
use cluster_tests::Cluster;
use postgres::Client;
use std::path::Path;

/// A table of emoji, `emoji` in the database at hand.
pub fn load_emoji(client: &mut Client, source: &EmojiSource, wanted: impl Fn(&Emoji) -> bool) {
    client
        .batch_execute(
            "CREATE TABLE emoji (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, subgroup text,
                                 image bytea, embedding vector(128))",
        )
        .unwrap();
    let emoji: Vec<&Emoji> = source.emoji().iter().filter(|emoji| wanted(emoji)).collect();
    for part in emoji.chunks(100) {
        let names: Vec<&str> = part.iter().map(|emoji| emoji.name).collect();
        let subgroups: Vec<&str> = part.iter().map(|emoji| emoji.subgroup).collect();
        let images: Vec<Vec<u8>> = part.iter().map(|emoji| source.image(emoji).unwrap()).collect();
        client
            .execute(
                "INSERT INTO emoji (name, subgroup, image, embedding)
                     SELECT name, subgroup, image, clip_embed_image(image, 'clip-search/emoji')
                     FROM unnest($1::text[], $2::text[], $3::bytea[]) AS part (name, subgroup, image)",
                &[&names, &subgroups, &images],
            )
            .unwrap();
    }
}

/// Nothing in the table is one of these.
const ABSENT: [&str; 5] = ["musical-instrument", "transport-water", "food-fruit", "animal-bird", "clothing"];

/// For each query: how many rows a page has, and whether the emoji of that name is among them.
fn pages(client: &mut Client, queries: &[&str]) -> Vec<(i64, bool)> {
    let statement = "SELECT count(*), coalesce(bool_or(metadata ->> 'name' = $1), false)
        FROM clip_search_relevant('emoji', $1, 1000, columns => '{name}', model => 'clip-search/emoji')";
    let page = |query: &&str| {
        let row = client.query_one(statement, &[query]).unwrap();
        (row.get(0), row.get(1))
    };
    queries.iter().map(page).collect()
}

#[test]
fn a_page_has_what_matches_and_little_noise() {
    let source = EmojiSource::open(Path::new(FONT)).expect("the emoji; run `make setup`");
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    let is_absent = |emoji: &&Emoji| ABSENT.contains(&emoji.subgroup);
    load_emoji(&mut client, &source, |emoji| !is_absent(&emoji));
    client.batch_execute("ANALYZE emoji").unwrap();
    let names = |absent: bool| -> Vec<&str> {
        source.emoji().iter().filter(|emoji| is_absent(emoji) == absent).map(|emoji| emoji.name).collect()
    };
    let mean = |of: &[(i64, bool)]| of.iter().map(|(rows, _)| *rows as f64).sum::<f64>() / of.len() as f64;
    let (present, absent) = (names(false), names(true));
    let mut last = f64::MAX;
    for rate in ["0.003", "NULL", "0.0001"] {
        let calibrate = "SELECT clip_calibrate('emoji', model => 'clip-search/emoji', false_positive_rate =>";
        client.batch_execute(&format!("{calibrate} {rate})")).unwrap();
        // A name in the table has one answer that is known for sure.
        let found = pages(&mut client, &present);
        let recall = found.iter().filter(|(_, own)| *own).count() as f64 / found.len() as f64;
        // One that is not in the table has none.
        let noise = pages(&mut client, &absent);
        let empty = noise.iter().filter(|(rows, _)| *rows == 0).count() as f64 / noise.len() as f64;
        println!(
            "rate {rate}: {} names in the table: own image found {recall:.3}, {:.1} rows a page; \
             {} that are not: {empty:.3} of the pages empty, {:.1} rows a page",
            present.len(),
            mean(&found),
            absent.len(),
            mean(&noise)
        );
        assert!(mean(&noise) < mean(&found) && mean(&found) < last);
        last = mean(&found);
        if rate == "NULL" {
            assert!(recall > 0.9 && last < 15.0 && empty > 0.05, "{recall} {last} {empty}");
        }
    }
}

#[test]
fn a_threshold_is_dumped_and_used_on_a_standby() {
    let primary = Cluster::on_demand();
    let mut client = primary.connect();
    client
        .batch_execute(
            "CREATE TABLE \"Odd table\" (id int PRIMARY KEY, embedding vector(128));
             INSERT INTO \"Odd table\" SELECT i, clip_embed_text('number ' || i, 'clip-search/emoji') FROM generate_series(1, 50) i;
             ANALYZE \"Odd table\";
             SELECT clip_calibrate('\"Odd table\"', model => 'clip-search/emoji')",
        )
        .unwrap();
    const KEPT: &str =
        "SELECT string_agg(format('%s %s %s', \"table\", query_kind, threshold), ',' ORDER BY query_kind)
        FROM clip_thresholds";
    let kept: String = client.query_one(KEPT, &[]).unwrap().get(0);
    assert!(kept.contains("\"Odd table\" image "), "{kept}");

    const SEARCH: &str =
        "SELECT count(*) FROM clip_search_relevant('\"Odd table\"', 'number 7', model => 'clip-search/emoji')";
    let found: i64 = client.query_one(SEARCH, &[]).unwrap().get(0);
    let standby = Cluster::builder().start_standby_of(&primary);
    let mut reader = standby.connect();
    assert_eq!(reader.query_one(SEARCH, &[]).unwrap().get::<_, i64>(0), found);
    let error = reader.query("SELECT clip_calibrate('\"Odd table\"', model => 'clip-search/emoji')", &[]).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006");

    client.batch_execute("CREATE DATABASE restored").unwrap();
    let dump = primary.client("pg_dump").arg("postgres").output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let file = primary.file("dump.sql", &String::from_utf8(dump.stdout).unwrap(), 0o644);
    let restored =
        primary.client("psql").args(["-X", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file).arg("restored").output().unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let mut copy = primary.connect_to("restored", "postgres");
    assert_eq!(copy.query_one(KEPT, &[]).unwrap().get::<_, String>(0), kept);
    assert_eq!(copy.query_one(SEARCH, &[]).unwrap().get::<_, i64>(0), found);
}

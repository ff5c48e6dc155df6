//! ALTER EXTENSION UPDATE, from the SQL scripts of each earlier release, with this library. `make matrix` upgrades the packages.

use cluster_tests::{Cluster, DIMENSION, MODEL, wait_until};
use postgres::Client;
use std::fs;
use std::path::Path;
use std::time::Duration;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The releases before this one.
fn earlier() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql");
    let version = |name: &str| name.strip_prefix("clip_search--")?.strip_suffix(".sql").map(str::to_owned);
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let versions = names.filter_map(|name| version(&name));
    let mut versions: Vec<String> = versions.filter(|found| !found.contains("--") && found != VERSION).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

/// A database with the extension alone, at a version.
fn database(cluster: &Cluster, name: &str, version: &str) -> Client {
    cluster.connect().batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
    let mut client = cluster.connect_to(name, "postgres");
    client
        .batch_execute(&format!("CREATE EXTENSION clip_search VERSION '{version}' CASCADE"))
        .unwrap_or_else(|error| panic!("{version}: {error:?}"));
    client
}

fn update(client: &mut Client) {
    client.batch_execute("ALTER EXTENSION clip_search UPDATE").unwrap_or_else(|error| panic!("{error:?}"));
}

/// All objects of a database's extensions with definition, owner, comment and privileges, first and present: as pg_dump writes
/// them for pg_upgrade. What differs between any two databases is left out: OIDs, transactions, pg_dump's key.
fn catalog(cluster: &Cluster, database: &str) -> Vec<String> {
    const OWN: [&str; 5] =
        ["binary_upgrade_set_next_", "binary_upgrade_create_empty_", "relfrozenxid", "WHERE oid = ", "restrict "];
    let dump = cluster.client("pg_dump").args(["--binary-upgrade", "--schema-only", database]).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8(dump.stdout).unwrap();
    let lines = dump.lines().filter(|line| !OWN.iter().any(|own| line.contains(own)));
    // That of the extension itself has OIDs.
    let extension: String = one(
        &mut cluster.connect_to(database, "postgres"),
        "SELECT concat_ws(' ', extversion, extnamespace::regnamespace, extowner::regrole, extrelocatable,
                          extconfig::regclass[], extcondition) FROM pg_extension WHERE extname = 'clip_search'",
    );
    lines.map(str::to_owned).chain([extension]).collect()
}

#[test]
fn the_catalog_is_that_of_a_fresh_one() {
    let cluster = Cluster::on_demand();
    drop(database(&cluster, "fresh", VERSION));
    let fresh = catalog(&cluster, "fresh");
    assert!(fresh.iter().any(|line| line.starts_with("CREATE FUNCTION public.clip_embed_text(text, model text)")));
    for version in earlier() {
        let name = format!("from_{}", version.replace('.', "_"));
        update(&mut database(&cluster, &name, &version));
        let upgraded = catalog(&cluster, &name);
        let only = |these: &[String], others: &[String]| -> Vec<String> {
            these.iter().filter(|line| !others.contains(line)).cloned().collect()
        };
        let (missing, surplus) = (only(&fresh, &upgraded), only(&upgraded, &fresh));
        assert!(
            upgraded == fresh,
            "{version}: only in a fresh one:\n{}\nonly in an upgraded one:\n{}",
            missing.join("\n"),
            surplus.join("\n")
        );
    }
    // It would notice each of these.
    for change in [
        "ALTER FUNCTION clip_similarity(vector, vector) VOLATILE",
        "ALTER FUNCTION clip_similarity(vector, vector) COST 2",
        "COMMENT ON FUNCTION clip_similarity(vector, vector) IS 'other'",
        "GRANT EXECUTE ON FUNCTION clip_fetch_image(text) TO PUBLIC",
        "ALTER TABLE clip_search_internal.clip_embed_queue ALTER COLUMN attempts SET DEFAULT 1",
        "ALTER EXTENSION clip_search DROP FUNCTION clip_similarity(vector, vector)",
    ] {
        let mut client = cluster.connect_to("postgres", "postgres");
        client.batch_execute("CREATE DATABASE changed TEMPLATE fresh").unwrap();
        cluster
            .connect_to("changed", "postgres")
            .batch_execute(change)
            .unwrap_or_else(|error| panic!("{change}: {error:?}"));
        assert!(catalog(&cluster, "changed") != fresh, "{change}");
        client.batch_execute("DROP DATABASE changed WITH (FORCE)").unwrap();
    }
}

fn one<T: for<'a> postgres::types::FromSql<'a>>(client: &mut Client, query: &str) -> T {
    client.query_one(query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

fn count(client: &mut Client, rows: &str) -> i64 {
    one(client, &format!("SELECT count(*) FROM {rows}"))
}

fn wait_for(client: &mut Client, rows: &str, expected: i64) {
    wait_until(rows, Duration::from_secs(20), || count(client, rows) == expected);
}

#[test]
fn data_and_what_keeps_it_up_to_date_stay() {
    const CONTENT: &str = r#"SELECT jsonb_build_object(
        'photos', (SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id) FROM photos AS p),
        'triggers', (SELECT jsonb_agg(to_jsonb(s) - 'worker' ORDER BY s.embedding_column) FROM clip_sync_status() AS s),
        'errors', (SELECT jsonb_agg(to_jsonb(e)) FROM clip_embed_errors AS e),
        'queue', (SELECT jsonb_agg(q.id ORDER BY q.id) FROM clip_search_internal.clip_embed_queue AS q),
        'found', (SELECT jsonb_agg(to_jsonb(f)) FROM found AS f),
        'granted', has_function_privilege('fetcher', 'clip_fetch_image(text)', 'EXECUTE'))::text"#;
    let cluster = Cluster::on_demand();
    cluster.connect().batch_execute("CREATE ROLE fetcher").unwrap();
    for version in earlier() {
        let mut client = database(&cluster, &format!("from_{}", version.replace('.', "_")), &version);
        client
            .batch_execute(&format!(
                "CREATE TABLE photos (id int PRIMARY KEY, name text,
                     generated vector({DIMENSION}) GENERATED ALWAYS AS (clip_embed_text(name, '{MODEL}')) STORED,
                     immediate vector({DIMENSION}), queued vector({DIMENSION}), waiting vector({DIMENSION}));
                 CREATE INDEX ON photos USING hnsw (generated vector_cosine_ops);
                 SELECT clip_sync('photos', 'name', 'immediate', model => '{MODEL}');
                 SELECT clip_sync('photos', 'name', 'queued', model => '{MODEL}', mode => 'queued');
                 CREATE TRIGGER waiting AFTER INSERT ON photos FOR EACH ROW
                     EXECUTE FUNCTION clip_enqueue_trigger('name', 'waiting', 'golden/missing');
                 CREATE VIEW found AS SELECT id FROM clip_search('photos', 'a dog', 1, filter => '{{\"id\": 2}}',
                     embedding_column => 'generated', columns => '{{}}');
                 GRANT EXECUTE ON FUNCTION clip_fetch_image(text) TO fetcher;
                 CREATE TABLE broken (id int PRIMARY KEY, image bytea, embedding vector({DIMENSION}));
                 INSERT INTO broken VALUES (1, 'no image');
                 INSERT INTO photos SELECT i, 'photo ' || i FROM generate_series(1, 3) AS i"
            ))
            .unwrap_or_else(|error| panic!("{error:?}"));
        client.batch_execute(&format!("CALL clip_embed_table('broken', 'image', model => '{MODEL}')")).unwrap();
        wait_for(&mut client, "photos WHERE queued IS NOT NULL", 3);
        // Each was tried, and waits for its next attempt.
        wait_for(&mut client, "clip_search_internal.clip_embed_queue WHERE last_error LIKE '%golden/missing%'", 3);
        let before: String = one(&mut client, CONTENT);
        let prepared = client
            .prepare("SELECT id::int FROM clip_search('photos', $1, 1, embedding_column => 'generated')")
            .unwrap();
        assert_eq!(client.query(&prepared, &[&"photo 2"]).unwrap()[0].get::<_, i32>(0), 2);
        update(&mut client);
        let after: String = one(&mut client, CONTENT);
        assert_eq!(after, before);
        for part in ["not an image", "golden/missing", "\"found\": [{\"id\": 2}]", "\"granted\": true"] {
            assert!(after.contains(part), "{part} in {after}");
        }
        assert_eq!(client.query(&prepared, &[&"photo 2"]).unwrap()[0].get::<_, i32>(0), 2);
        client.batch_execute("INSERT INTO photos VALUES (4, 'photo 4')").unwrap();
        assert_eq!(count(&mut client, "photos WHERE generated IS NOT NULL AND immediate IS NOT NULL"), 4);
        wait_for(&mut client, "photos WHERE queued IS NOT NULL", 4);
        assert_eq!(
            one::<String>(&mut client, "SELECT extversion FROM pg_extension WHERE extname = 'clip_search'"),
            VERSION
        );
    }
    cluster.assert_sessions_survived();
}

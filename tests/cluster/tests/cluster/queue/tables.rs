//! Tables of all kinds, and the ways in which rows come into them.

use super::{LIMIT, number, number_of, one, table, upload, wait_for};
use cluster_tests::{Cluster, image, wait_until};
use std::io::Write;

#[test]
fn copy_into_partitions() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            r#"CREATE TABLE captions (region text, id integer, caption text, embedding vector, PRIMARY KEY (region, id))
                   PARTITION BY LIST (region);
               CREATE TABLE "captions ""of"" Asia" PARTITION OF captions FOR VALUES IN ('Asia');
               -- Columns in another order.
               CREATE TABLE rest (embedding vector, caption text, gone integer, id integer NOT NULL, region text NOT NULL);
               ALTER TABLE rest DROP COLUMN gone;
               ALTER TABLE captions ATTACH PARTITION rest DEFAULT;
               SELECT clip_sync('captions', 'caption', mode => 'queued')"#,
        )
        .unwrap();
    let mut copy = client.copy_in("COPY captions (region, id, caption) FROM STDIN").unwrap();
    for id in 0..100 {
        let region = ["Asia", "Europe", "it's \"quoted\""][id % 3];
        writeln!(copy, "{region}\t{id}\tcaption {id}").unwrap();
    }
    copy.finish().unwrap();
    wait_for(&mut client, 100);
    // A row that moves, and one more table.
    client
        .batch_execute(
            "UPDATE captions SET region = 'Asia', caption = 'moved' WHERE id = 1;
             CREATE TABLE africa PARTITION OF captions FOR VALUES IN ('Africa');
             INSERT INTO captions VALUES ('Africa', 100, 'a new one')",
        )
        .unwrap();
    wait_for(&mut client, 101);
    assert_eq!(one::<i64>(&mut client, "SELECT queued FROM clip_sync_status()"), 0);
    cluster.assert_sessions_survived();
}

/// Keys of every kind find their rows.
#[test]
fn keys_of_many_types() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("CREATE DOMAIN sku AS varchar(20); CREATE TYPE pair AS (a integer, b text)").unwrap();
    let keys = [
        ("bigint", "9007199254740993"),
        ("numeric", "0.10000000000000000001"),
        ("float8", "'NaN'"),
        ("float8", "0.1::float4"),
        ("text", "'a \"quoted\" \\ ''key'''"),
        ("char(5)", "'ab'"),
        ("sku", "'sku'"),
        ("uuid", "gen_random_uuid()"),
        ("bytea", r"'\x0001ff'"),
        ("timestamptz", "'2026-01-02 03:04:05.678901+00'"),
        ("interval", "'-1 year 2 days'"),
        ("boolean", "true"),
        ("int4range", "'[1,5)'"),
        ("integer[]", "'{1,NULL,3}'"),
        ("pair", "'(1,\"a b\")'"),
        ("inet", "'::1'"),
    ];
    for (number, (type_name, value)) in keys.iter().enumerate() {
        client
            .batch_execute(&format!(
                "CREATE TABLE captions_{number} (id {type_name} PRIMARY KEY, caption text, embedding vector);
                 SELECT clip_sync('captions_{number}', 'caption', mode => 'queued');
                 SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'; SET extra_float_digits = 0;
                 INSERT INTO captions_{number} VALUES ({value}, 'a caption');"
            ))
            .unwrap();
    }
    wait_until("an empty queue", LIMIT, || number_of(&mut client, "clip_search_internal.clip_embed_queue") == 0);
    for (number, (type_name, value)) in keys.iter().enumerate() {
        let done: i64 = one(&mut client, &format!("SELECT count(embedding) FROM captions_{number}"));
        assert_eq!(done, 1, "{type_name} {value}: {:?}", cluster.log());
    }
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

/// An image that is none: nothing is tried again, what the embedding was made of is no longer there, and the next good
/// image mends it.
#[test]
fn a_bad_image_is_noted() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE photos (id integer PRIMARY KEY, image bytea, embedding vector);
             SELECT clip_sync('photos', 'image', mode => 'queued')",
        )
        .unwrap();
    let good = image("gradient.png");
    client.execute("INSERT INTO photos VALUES (1, $1), (2, $1)", &[&good]).unwrap();
    let embedded = "SELECT count(*) FROM photos WHERE embedding = clip_embed_image(image)";
    wait_until("both", LIMIT, || number(&mut client, embedded) == 2);
    client.batch_execute("UPDATE photos SET image = 'no image' WHERE id = 2").unwrap();
    wait_until("the failure", LIMIT, || number_of(&mut client, "clip_embed_errors") == 1);
    assert_eq!(number_of(&mut client, "photos WHERE embedding IS NULL"), 1);
    let row = client.query_one("SELECT key::text, sqlstate, attempts, message FROM clip_embed_errors", &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "{\"id\": 2}");
    assert_eq!(row.get::<_, String>(1), "22P03", "{}", row.get::<_, String>(3));
    assert_eq!(row.get::<_, i32>(2), 1);
    assert_eq!(number_of(&mut client, "clip_search_internal.clip_embed_queue"), 0);
    client.execute("UPDATE photos SET image = $1 WHERE id = 2", &[&good]).unwrap();
    wait_until("both", LIMIT, || number(&mut client, embedded) == 2);
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

/// What fails for another reason is tried ten times, and shown then.
#[test]
fn given_up_after_ten_attempts() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE 'not this one' USING HINT = 'Ask the owner.', ERRCODE = 'OWN01'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON captions FOR EACH ROW EXECUTE FUNCTION refuse(); ALTER TABLE captions ENABLE ALWAYS TRIGGER refuse",
        )
        .unwrap();
    upload(&mut client, 7..8);
    wait_until("an attempt", LIMIT, || {
        number_of(&mut client, "clip_search_internal.clip_embed_queue WHERE attempts > 0") == 1
    });
    // The last but one, without the wait for it.
    wait_until("the last attempt", LIMIT, || {
        client
            .batch_execute(
                "UPDATE clip_search_internal.clip_embed_queue SET attempts = 9, due_at = now() WHERE attempts < 9",
            )
            .unwrap();
        number_of(&mut client, "clip_search_internal.clip_embed_queue") == 0
    });
    let row = client.query_one("SELECT sqlstate, message, hint, attempts FROM clip_embed_errors", &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "OWN01");
    assert_eq!(row.get::<_, String>(1), "not this one");
    assert_eq!(row.get::<_, String>(2), "Ask the owner.");
    assert_eq!(row.get::<_, i32>(3), 10);
    // Whoever has mended it asks for the rest.
    client.batch_execute("DROP TRIGGER refuse ON captions").unwrap();
    client.batch_execute("CALL clip_embed_table('captions', 'caption')").unwrap();
    wait_for(&mut client, 1);
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

/// Nobody may embed what a policy hides from the owner: that is said, not passed over.
#[test]
fn forced_policies_are_an_error() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE ROLE owner; GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner;
             CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('captions', 'caption', mode => 'queued');
             ALTER TABLE captions ENABLE ROW LEVEL SECURITY; ALTER TABLE captions FORCE ROW LEVEL SECURITY;
             RESET ROLE",
        )
        .unwrap();
    upload(&mut client, 1..2);
    cluster
        .wait_for_log("was not embedded: query would be affected by row-level security policy for table \"captions\"");
    wait_until("what it says", LIMIT, || {
        number_of(
            &mut client,
            "clip_search_internal.clip_embed_queue WHERE attempts = 0 AND last_error LIKE '%row-level security%'",
        ) == 1
    });
    client.batch_execute("ALTER TABLE captions NO FORCE ROW LEVEL SECURITY").unwrap();
    wait_until("the row", LIMIT, || {
        client.batch_execute("UPDATE clip_search_internal.clip_embed_queue SET due_at = now()").unwrap();
        number(&mut client, super::DONE) == 1
    });
    cluster.assert_sessions_survived();
}

/// `clip_unsync` and DROP TABLE beside a worker that is at work on the table.
#[test]
fn taken_out_of_step_while_the_worker_is_at_it() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    for round in 0..10 {
        table(&mut client);
        upload(&mut client, 0..60);
        if round % 2 == 0 {
            client.batch_execute("SELECT clip_unsync('captions')").unwrap();
            assert_eq!(
                number_of(&mut client, "clip_search_internal.clip_embed_queue WHERE relid = 'captions'::regclass"),
                0
            );
        }
        client.batch_execute("DROP TABLE captions").unwrap();
    }
    wait_until("an empty queue", LIMIT, || number_of(&mut client, "clip_search_internal.clip_embed_queue") == 0);
    cluster.assert_sessions_survived();
    assert!(!cluster.log().contains("deadlock"), "{}", cluster.log());
}

/// A table that somebody has locked is not in the way of others.
#[test]
fn a_locked_table_is_not_in_the_way() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    table(&mut client);
    client
        .batch_execute(
            "CREATE TABLE other (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('other', 'caption', mode => 'queued')",
        )
        .unwrap();
    let mut holder = cluster.connect();
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute("INSERT INTO other VALUES (1, 'held'); LOCK TABLE captions IN SHARE ROW EXCLUSIVE MODE")
        .unwrap();
    client.batch_execute("INSERT INTO other VALUES (2, 'free')").unwrap();
    let free = "other WHERE embedding = clip_embed_text(caption)";
    wait_until("the other table's row", LIMIT, || number_of(&mut client, free) == 1);
    lock.commit().unwrap();
    upload(&mut client, 0..20);
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute("LOCK TABLE captions IN SHARE MODE").unwrap();
    client.batch_execute("INSERT INTO other VALUES (3, 'free, too')").unwrap();
    wait_until("the other table's rows", LIMIT, || number_of(&mut client, free) == 3);
    lock.rollback().unwrap();
    wait_for(&mut client, 20);
    assert_eq!(number_of(&mut client, "clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

/// An entry whose key is of another type by now, or of other columns, is given up; others are not.
#[test]
fn keys_that_are_none_any_more() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            r#"CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
               SELECT clip_sync('captions', 'caption', mode => 'queued');
               BEGIN;
               INSERT INTO captions VALUES (1, 'one'), (2, 'two'), (3, 'three');
               UPDATE clip_search_internal.clip_embed_queue SET key = '{"id": "none"}' WHERE key = '{"id": 2}';
               UPDATE clip_search_internal.clip_embed_queue SET key = '{"number": 3}' WHERE key = '{"id": 3}';
               COMMIT"#,
        )
        .unwrap();
    wait_until("the first", LIMIT, || number(&mut client, super::DONE) == 1);
    wait_until("the end of the second", LIMIT, || {
        client
            .batch_execute("UPDATE clip_search_internal.clip_embed_queue SET attempts = 9, due_at = now() WHERE attempts BETWEEN 1 AND 8")
            .unwrap();
        number_of(&mut client, "clip_search_internal.clip_embed_queue") == 0
    });
    let rows =
        client.query("SELECT key::text, sqlstate, message FROM clip_embed_errors ORDER BY sqlstate", &[]).unwrap();
    let rows: Vec<[String; 3]> = rows.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect();
    assert_eq!(rows[0][..2], [r#"{"id": "none"}"#, "22P02"]);
    assert_eq!(rows[1][..2], [r#"{"number": 3}"#, "55000"]);
    assert!(rows[1][2].contains("has other columns than when the row was queued"));
    assert_eq!(rows.len(), 2);
    cluster.assert_sessions_survived();
}

//! The owner of a schema renames it while somebody's table in it is at work, and lays another of the same name in its
//! place.

use super::{LIMIT, assert_nothing_gained, number};
use cluster_tests::{Cluster, Gate, MODEL, backend_pid, embed_image, embed_text, image, wait_until};
use postgres::Client;
use std::thread;

/// A table of alice's in a schema of mallory's.
const SHARED: &str =
    "CREATE ROLE alice LOGIN; CREATE SCHEMA shared; GRANT ALL ON SCHEMA shared TO alice; SET ROLE alice;
    CREATE TABLE shared.captions (id integer PRIMARY KEY, caption text, embedding public.vector);
    SELECT clip_sync('shared.captions', 'caption', mode => 'queued');
    INSERT INTO shared.captions VALUES (0, 'before'); RESET ROLE;
    ALTER SCHEMA shared OWNER TO mallory; GRANT USAGE ON SCHEMA shared TO alice";

const SWAP: &str = "ALTER SCHEMA shared RENAME TO moved; CREATE SCHEMA shared; GRANT USAGE ON SCHEMA shared TO PUBLIC;
    CREATE TABLE shared.captions (id integer PRIMARY KEY, caption text, embedding public.vector);
    INSERT INTO shared.captions VALUES (1, 'caption');
    CREATE TRIGGER note AFTER UPDATE ON shared.captions EXECUTE FUNCTION own.note();
    ALTER TABLE shared.captions ENABLE ALWAYS TRIGGER note;
    GRANT ALL ON shared.captions TO PUBLIC";

fn cluster() -> (Cluster, Client, Client) {
    let (cluster, mut client, mallory) = super::cluster();
    client.batch_execute(SHARED).unwrap();
    wait_until("the embedding", LIMIT, || number(&mut client, "SELECT count(embedding) FROM shared.captions") == 1);
    (cluster, client, mallory)
}

#[test]
fn while_the_worker_waits_for_the_server() {
    let (cluster, mut client, mut mallory) = cluster();
    client.batch_execute("SELECT clip_restart_server()").unwrap();
    embed_image(&mut client, &image("exact.png")).unwrap();
    // The worker has read the row when the encoder is loaded for it.
    let mut gate = Gate::before(&cluster.models().join(MODEL).join("onnx/text_model.onnx"));
    client.batch_execute("INSERT INTO shared.captions VALUES (1, 'caption')").unwrap();
    gate.wait();
    mallory.batch_execute(SWAP).unwrap();
    gate.open();
    wait_until("the embedding", LIMIT, || number(&mut client, "SELECT count(embedding) FROM moved.captions") == 2);
    assert_nothing_gained(&mut client);
    cluster.assert_sessions_survived();
}

#[test]
fn while_a_backfill_waits_for_the_server() {
    let (cluster, mut client, mut mallory) = cluster();
    client.batch_execute("ALTER TABLE shared.captions DISABLE TRIGGER ALL").unwrap();
    client.batch_execute("INSERT INTO shared.captions VALUES (1, 'caption')").unwrap();
    let (mut caller, mut locker) = (cluster.connect(), cluster.connect());
    let backend = backend_pid(&mut caller);
    // The model is checked before the table is locked, and its rows are embedded after that.
    locker.batch_execute("BEGIN; LOCK TABLE shared.captions IN ACCESS EXCLUSIVE MODE").unwrap();
    let call = thread::spawn(move || {
        let result = caller.batch_execute("CALL clip_embed_table('shared.captions', 'caption')");
        (caller, result)
    });
    wait_until("the call waits for the table", LIMIT, || {
        number(&mut client, &format!("SELECT count(*) FROM pg_locks WHERE pid = {backend} AND NOT granted")) == 1
    });
    let server = cluster.server();
    server.freeze();
    locker.batch_execute("COMMIT").unwrap();
    cluster.wait_for_waiting(backend);
    mallory.batch_execute(SWAP).unwrap();
    server.thaw();
    let (mut caller, _) = call.join().unwrap();
    assert_nothing_gained(&mut client);
    // It is the table that counts, not its name.
    caller.batch_execute("CALL clip_embed_table('moved.captions', 'caption')").unwrap();
    assert_eq!(number(&mut client, "SELECT count(embedding) FROM moved.captions"), 2);
    cluster.assert_sessions_survived();
}

/// A view in the place of a table runs what its owner likes, as whoever searches.
#[test]
fn while_a_search_waits_for_the_server() {
    let (cluster, mut client, mut mallory) = cluster();
    let mut caller = cluster.connect();
    let backend = backend_pid(&mut caller);
    let server = cluster.server();
    server.freeze();
    let call = thread::spawn(move || {
        caller.batch_execute("SELECT * FROM clip_search('shared.captions', 'something', id_column => 'id')")
    });
    cluster.wait_for_waiting(backend);
    mallory
        .batch_execute(
            "ALTER SCHEMA shared RENAME TO moved; CREATE SCHEMA shared; GRANT USAGE ON SCHEMA shared TO PUBLIC;
             CREATE FUNCTION shared.note() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO own.calls VALUES (current_user, 'view'); RETURN 1;
             END $$;
             CREATE VIEW shared.captions AS SELECT shared.note() AS id, 'caption' AS caption, e.embedding
                 FROM (SELECT public.clip_embed_text('x') AS embedding OFFSET 0) AS e;
             GRANT ALL ON shared.captions TO PUBLIC",
        )
        .unwrap_or_else(|error| panic!("{error:?}"));
    server.thaw();
    let _ = call.join().unwrap();
    assert_nothing_gained(&mut client);
    assert!(embed_text(&mut client, "x").is_ok());
    cluster.assert_sessions_survived();
}

/// An operator of pgvector's name in the place of pgvector's.
#[test]
fn an_operator_while_a_search_waits_for_the_server() {
    let (cluster, mut client, mut mallory) = cluster();
    client
        .batch_execute(
            "CREATE SCHEMA vectors; ALTER EXTENSION vector SET SCHEMA vectors; ALTER SCHEMA vectors OWNER TO mallory",
        )
        .unwrap();
    let mut caller = cluster.connect();
    let backend = backend_pid(&mut caller);
    let server = cluster.server();
    server.freeze();
    let call =
        thread::spawn(move || caller.batch_execute("SELECT * FROM clip_search('shared.captions', 'something else')"));
    cluster.wait_for_waiting(backend);
    mallory
        .batch_execute(
            "ALTER SCHEMA vectors RENAME TO original; CREATE SCHEMA vectors; GRANT USAGE ON SCHEMA vectors TO PUBLIC;
             CREATE DOMAIN vectors.vector AS original.vector;
             CREATE FUNCTION vectors.note(original.vector, original.vector) RETURNS double precision LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO own.calls VALUES (current_user, 'operator'); RETURN 1;
             END $$;
             CREATE OPERATOR vectors.<=> (LEFTARG = original.vector, RIGHTARG = original.vector, FUNCTION = vectors.note)",
        )
        .unwrap_or_else(|error| panic!("{error:?}"));
    server.thaw();
    let _ = call.join().unwrap();
    assert_nothing_gained(&mut client);
    cluster.assert_sessions_survived();
}

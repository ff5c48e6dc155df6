//! What others may make of a worker that acts for the owners of tables.

use super::{DONE, LIMIT, number, upload, wait_for, worker};
use cluster_tests::{Cluster, Gate, MODEL, embed_text, image, wait_until};

/// A role that owns a table whose rows are queued, and one that may write it and create triggers.
const OWNED: &str = "CREATE ROLE owner; CREATE ROLE app;
    CREATE SCHEMA app AUTHORIZATION app; GRANT CREATE ON SCHEMA public TO owner; SET ROLE owner;
    CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector, note text);
    SELECT clip_sync('captions', 'caption', mode => 'queued');
    GRANT ALL ON captions TO app; RESET ROLE";

/// Triggers of whoever may create some are not fired, nor are their conditions looked at; those that the owner wants are.
#[test]
fn the_owner_runs_nobodys_function() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute(OWNED).unwrap();
    client
        .batch_execute(
            "SET ROLE app;
             CREATE TABLE app.calls (who text); GRANT INSERT ON app.calls TO PUBLIC; GRANT USAGE ON SCHEMA app TO PUBLIC;
             CREATE FUNCTION app.condition() RETURNS boolean LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO app.calls VALUES (current_user); RETURN true; END $$;
             CREATE FUNCTION app.mine() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN NEW.note := concat(NEW.note, ' mine'); RETURN NEW; END $$;
             CREATE TRIGGER mine BEFORE UPDATE ON captions FOR EACH ROW WHEN (app.condition()) EXECUTE FUNCTION app.mine();
             CREATE TRIGGER condition BEFORE UPDATE ON captions FOR EACH ROW WHEN (app.condition())
                 EXECUTE FUNCTION suppress_redundant_updates_trigger();
             SET ROLE owner;
             CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN NEW.note := concat(NEW.note, ' ', TG_NAME); RETURN NEW; END $$;
             CREATE TRIGGER origin BEFORE UPDATE ON captions FOR EACH ROW EXECUTE FUNCTION noted();
             CREATE TRIGGER wanted BEFORE UPDATE ON captions FOR EACH ROW EXECUTE FUNCTION noted();
             ALTER TABLE captions ENABLE ALWAYS TRIGGER wanted;
             RESET ROLE",
        )
        .unwrap();
    upload(&mut client, 1..2);
    wait_for(&mut client, 1);
    let note: String = client.query_one("SELECT note FROM captions", &[]).unwrap().get(0);
    assert_eq!(note, " wanted");
    assert_eq!(number(&mut client, "SELECT count(*) FROM app.calls"), 0);
    cluster.assert_sessions_survived();
}

/// What one table's trigger does to the worker's session is not there for the next.
#[test]
fn a_trigger_cannot_change_the_worker() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute(OWNED).unwrap();
    client
        .batch_execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM set_config('default_transaction_read_only', 'on', false);
                 PERFORM set_config('default_transaction_isolation', 'serializable', false);
                 PERFORM set_config('lock_timeout', '1', false);
                 PERFORM set_config('mine.tenant', 'spoiled', false);
                 PERFORM pg_advisory_unlock_all();
                 RETURN NEW;
             END $$;
             CREATE TRIGGER spoil BEFORE UPDATE ON captions FOR EACH ROW EXECUTE FUNCTION spoil(); ALTER TABLE captions ENABLE ALWAYS TRIGGER spoil;
             CREATE TABLE other (id integer PRIMARY KEY, caption text, embedding vector, settings text);
             CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 NEW.settings := concat_ws(' ', current_setting('default_transaction_read_only'),
                     current_setting('default_transaction_isolation'), current_setting('lock_timeout'),
                     nullif(current_setting('mine.tenant', true), ''));
                 RETURN NEW;
             END $$;
             CREATE TRIGGER tell BEFORE UPDATE ON other FOR EACH ROW EXECUTE FUNCTION tell(); ALTER TABLE other ENABLE ALWAYS TRIGGER tell;
             SELECT clip_sync('other', 'caption', mode => 'queued')",
        )
        .unwrap();
    // While somebody may write to the queue, the worker stays.
    let mut other = cluster.connect();
    let mut stays = other.transaction().unwrap();
    stays.batch_execute("LOCK TABLE clip_search_internal.clip_embed_queue IN ROW EXCLUSIVE MODE").unwrap();
    upload(&mut client, 0..5);
    wait_for(&mut client, 5);
    let before = worker(&mut client).expect("a worker");
    client.batch_execute("INSERT INTO other VALUES (1, 'another')").unwrap();
    wait_until("the other table's row", LIMIT, || number(&mut client, "SELECT count(embedding) FROM other") == 1);
    let settings: String = client.query_one("SELECT settings FROM other", &[]).unwrap().get(0);
    assert_eq!(settings, "off read committed 10s");
    assert_eq!(worker(&mut client).expect("the worker"), before);
    stays.rollback().unwrap();
    cluster.assert_sessions_survived();
}

/// However often a row fails, one worker is there, and others' rows are embedded.
#[test]
fn one_worker_whatever_fails() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute(OWNED).unwrap();
    client
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 -- As if there were no server for anybody.
                 IF NEW.id % 3 = 0 THEN RAISE 'no' USING ERRCODE = 'connection_failure'; END IF;
                 IF NEW.id % 3 = 1 THEN RAISE 'no' USING ERRCODE = 'insufficient_resources'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON captions FOR EACH ROW EXECUTE FUNCTION refuse(); ALTER TABLE captions ENABLE ALWAYS TRIGGER refuse;
             -- A task that cannot be done at all.
             CREATE TABLE renamed (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('renamed', 'caption', mode => 'queued');
             INSERT INTO renamed SELECT n, 'caption' FROM generate_series(1, 100) AS n;
             ALTER TABLE renamed RENAME caption TO title",
        )
        .unwrap();
    for id in 0..30 {
        upload(&mut client, id..id + 1);
        let workers =
            number(&mut client, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'clip_search worker'");
        assert!(workers <= 1, "{workers} workers");
    }
    wait_until("the others", LIMIT, || number(&mut client, DONE) == 10);
    assert_eq!(
        number(
            &mut client,
            "SELECT count(*) FROM clip_search_internal.clip_embed_queue WHERE relid = 'renamed'::regclass"
        ),
        100
    );
    assert_eq!(
        number(
            &mut client,
            "SELECT max(attempts)::bigint FROM clip_search_internal.clip_embed_queue WHERE relid = 'renamed'::regclass"
        ),
        0
    );
    client.batch_execute("ALTER TABLE renamed RENAME title TO caption").unwrap();
    let renamed = "SELECT count(*) FROM renamed WHERE embedding = clip_embed_text(caption)";
    wait_until("what can be done again", LIMIT, || {
        client
            .batch_execute(
                "UPDATE clip_search_internal.clip_embed_queue SET due_at = now() WHERE relid = 'renamed'::regclass",
            )
            .unwrap();
        number(&mut client, renamed) == 100
    });
    cluster.assert_sessions_survived();
}

/// What was embedded meanwhile is of a row as it was: one that was changed is looked at again, and nobody waits.
#[test]
fn changed_while_it_is_embedded() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE photos (id integer PRIMARY KEY, image bytea, note text, embedding vector);
             SELECT clip_sync('photos', 'image', mode => 'queued')",
        )
        .unwrap();
    embed_text(&mut client, "the model is read").unwrap();
    // The worker has read the row when the encoder is loaded for it.
    let mut gate = Gate::before(&cluster.models().join(MODEL).join("onnx/vision_model.onnx"));
    client.execute("INSERT INTO photos VALUES (0, $1)", &[&image("gradient.png")]).unwrap();
    gate.wait();
    // Neither the source nor anything else of the row is locked.
    client.batch_execute("SET lock_timeout = '20s'; UPDATE photos SET note = 'changed'").unwrap();
    client.execute("UPDATE photos SET image = $1", &[&image("black.png")]).unwrap();
    client.batch_execute("UPDATE photos SET note = 'again'").unwrap();
    gate.open();
    wait_until("it is that of the row as it is", LIMIT, || {
        number(&mut client, "SELECT count(*) FROM photos WHERE embedding = clip_embed_image(image)") == 1
    });
    wait_until("an empty queue", LIMIT, || {
        number(&mut client, "SELECT count(*) FROM clip_search_internal.clip_embed_queue") == 0
    });
    assert_eq!(number(&mut client, "SELECT count(*) FROM clip_embed_errors"), 0);
    cluster.assert_sessions_survived();
}

/// Another type for a column than it had: an error at most.
#[test]
fn a_table_that_changes_meanwhile() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute(OWNED).unwrap();
    upload(&mut client, 0..2);
    wait_for(&mut client, 2);
    let mut other = cluster.connect();
    let mut transaction = other.transaction().unwrap();
    transaction
        .batch_execute(
            "ALTER TABLE captions ALTER caption TYPE bigint USING 4711;
             ALTER TABLE captions ALTER id TYPE name USING id::text",
        )
        .unwrap();
    client
        .batch_execute(
            "INSERT INTO clip_search_internal.clip_embed_queue (relid, key, source_column, embedding_column, model)
             VALUES ('captions', '{\"id\": 0}', 'caption', 'embedding', current_setting('clip_search.model'))",
        )
        .unwrap();
    // Starts a worker.
    let mut third = cluster.connect();
    third
        .batch_execute(
            "CREATE TABLE other (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('other', 'caption', mode => 'queued'); INSERT INTO other VALUES (1, 'another')",
        )
        .unwrap();
    wait_until("the other table's row", LIMIT, || number(&mut third, "SELECT count(embedding) FROM other") == 1);
    transaction.commit().unwrap();
    cluster.wait_for_log("was not embedded: column \"caption\" is of type bigint, not bytea or text");
    // The same in the middle of a CALL: the first batch is written when the second is read.
    client
        .batch_execute(
            "DROP TABLE captions; CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
         INSERT INTO captions SELECT n, 'caption ' || n FROM generate_series(1, 3000) AS n",
        )
        .unwrap();
    let mut caller = cluster.connect();
    let call = std::thread::spawn(move || {
        caller.batch_execute("CALL clip_embed_table('captions', 'caption', batch_size => 1)")
    });
    wait_until("a row", LIMIT, || number(&mut client, "SELECT count(embedding) FROM captions") > 0);
    client.batch_execute("ALTER TABLE captions ALTER caption TYPE bigint USING 4711").unwrap();
    call.join().unwrap().unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM captions WHERE embedding IS NULL"), 0);
    cluster.assert_sessions_survived();
}

/// DROP DATABASE waits for a worker that has nothing to do, and DROP EXTENSION does not.
#[test]
fn the_worker_is_not_in_the_way() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("CREATE DATABASE passing").unwrap();
    let mut passing = cluster.connect_to("passing", "postgres");
    passing.batch_execute("CREATE EXTENSION vector; CREATE EXTENSION clip_search").unwrap();
    super::table(&mut passing);
    upload(&mut passing, 0..5);
    wait_for(&mut passing, 5);
    passing
        .batch_execute(
            "DROP EXTENSION clip_search CASCADE; CREATE EXTENSION clip_search;
             SELECT clip_sync('captions', 'caption', mode => 'queued')",
        )
        .unwrap();
    upload(&mut passing, 5..10);
    wait_for(&mut passing, 10);
    drop(passing);
    client.batch_execute("DROP DATABASE passing").unwrap();
    cluster.assert_sessions_survived();
}

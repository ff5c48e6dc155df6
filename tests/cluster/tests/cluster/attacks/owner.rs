//! The owner of the database, and a role that was superuser for a moment, want what the extension's own tables give.

use super::{LIMIT, MALLORY, assert_nothing_gained, cluster, number, one};
use cluster_tests::{Cluster, refusal, wait_until};
use postgres::error::SqlState;

/// Renames the extension's schema and lays tables in its place that run functions of mallory's, when a row is written.
const SWAP: &str = "CREATE FUNCTION own.swap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF to_regnamespace('moved') IS NULL THEN
            ALTER SCHEMA public RENAME TO moved;
            CREATE SCHEMA public;
            GRANT USAGE ON SCHEMA public TO PUBLIC;
            CREATE TABLE public.clip_embed_queue (id uuid, relid regclass, key jsonb, source_column name,
                embedding_column name, model text, due_at timestamptz, deferrals integer, attempts integer,
                last_error text);
            CREATE TABLE public.clip_embed_progress_data (pid integer, phase text, rows_total bigint, rows_done bigint,
                rows_failed bigint, rows_skipped bigint, updated_at timestamptz);
            CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON public.clip_embed_queue EXECUTE FUNCTION own.note();
            CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON public.clip_embed_progress_data
                EXECUTE FUNCTION own.note();
            ALTER TABLE public.clip_embed_queue ENABLE ALWAYS TRIGGER note;
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER swap BEFORE UPDATE ON own.captions FOR EACH ROW EXECUTE FUNCTION own.swap();
    ALTER TABLE own.captions ENABLE ALWAYS TRIGGER swap";

const TABLE: &str = "CREATE TABLE own.captions (id integer PRIMARY KEY, caption text, embedding public.vector)";
const EMBEDDED: &str = "SELECT count(embedding) FROM own.captions";

#[test]
fn a_trigger_swaps_the_tables_of_a_backfill() {
    let (cluster, mut client, mut mallory) = cluster();
    mallory.batch_execute(TABLE).unwrap();
    mallory
        .batch_execute("INSERT INTO own.captions SELECT n, 'caption ' || n FROM generate_series(1, 20) AS n")
        .unwrap();
    mallory.batch_execute(SWAP).unwrap();
    mallory.batch_execute("CALL clip_embed_table('own.captions', 'caption', batch_size => 5)").unwrap();
    assert_nothing_gained(&mut client);
    assert_eq!(number(&mut client, EMBEDDED), 20);
    cluster.assert_sessions_survived();
}

#[test]
fn a_trigger_swaps_the_tables_of_the_worker() {
    let (cluster, mut client, mut mallory) = cluster();
    mallory.batch_execute(TABLE).unwrap();
    mallory.batch_execute(SWAP).unwrap();
    mallory
        .batch_execute(
            "SELECT clip_sync('own.captions', 'caption', mode => 'queued'); INSERT INTO own.captions VALUES (1, 'caption')",
        )
        .unwrap();
    wait_until("an attempt", LIMIT, || {
        number(&mut client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'moved'") == 1
            && number(&mut client, EMBEDDED) == 1
    });
    wait_until("an empty queue", LIMIT, || one::<i64>(&mut client, "SELECT queued FROM moved.clip_sync_status()") == 0);
    assert_nothing_gained(&mut client);
    cluster.assert_sessions_survived();
}

/// Nor can the database's owner get at the tables where they are.
#[test]
fn the_extensions_schema_is_the_superusers() {
    let (_cluster, mut client, mut mallory) = cluster();
    let schema: String = one(
        &mut client,
        "SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relname = 'clip_embed_queue'",
    );
    for statement in [
        format!("ALTER SCHEMA {schema} RENAME TO moved"),
        format!("ALTER SCHEMA {schema} OWNER TO mallory"),
        format!("DROP SCHEMA {schema} CASCADE"),
        format!("CREATE TABLE {schema}.another ()"),
        format!("CREATE TRIGGER note AFTER INSERT ON {schema}.clip_embed_queue EXECUTE FUNCTION own.note()"),
        format!("ALTER TABLE {schema}.clip_embed_queue SET SCHEMA own"),
        format!(
            "INSERT INTO {schema}.clip_embed_queue (relid, key, source_column, embedding_column, model) \
                 VALUES ('own.calls', '{{}}', 'who', 'what', 'x/y')"
        ),
        format!("DELETE FROM {schema}.clip_embed_errors_data"),
        format!("UPDATE {schema}.clip_embed_progress_data SET phase = ''"),
    ] {
        let error = refusal(mallory.batch_execute(&statement));
        assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE, "{statement}");
    }
    // While the tables move, nobody knows where they are: they do not.
    let error = refusal(client.batch_execute("CREATE SCHEMA other; ALTER EXTENSION clip_search SET SCHEMA other"));
    assert_eq!(error.code(), &SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn the_schema_is_taken_before_installation() {
    let (_cluster, mut client, mut mallory) = cluster();
    client.batch_execute("DROP EXTENSION clip_search").unwrap();
    mallory.batch_execute("CREATE SCHEMA clip_search_internal").unwrap();
    let error = refusal(client.batch_execute("CREATE EXTENSION clip_search"));
    assert_eq!(error.code(), &SqlState::DUPLICATE_SCHEMA);
}

/// The extension was created by a role that is no superuser any more: nothing is done with its tables.
#[test]
fn superuser_for_a_moment() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute(MALLORY).unwrap();
    client.batch_execute("DROP EXTENSION clip_search; ALTER ROLE mallory SUPERUSER").unwrap();
    let mut mallory = cluster.connect_to("postgres", "mallory");
    mallory.batch_execute("CREATE EXTENSION clip_search").unwrap();
    client.batch_execute("ALTER ROLE mallory NOSUPERUSER").unwrap();
    mallory
        .batch_execute(
            "DO $$ DECLARE tbl regclass; BEGIN
                 FOR tbl IN SELECT c.oid FROM pg_class AS c WHERE c.relname IN ('clip_embed_queue', 'clip_embed_errors_data',
                         'clip_embed_progress_data') LOOP
                     EXECUTE format('CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON %s EXECUTE FUNCTION own.note()',
                         tbl);
                     EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER note', tbl);
                 END LOOP;
             END $$",
        )
        .unwrap();
    client.batch_execute("CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector)").unwrap();
    for statement in [
        "SELECT clip_sync('captions', 'caption', mode => 'queued')",
        "CALL clip_embed_table('captions', 'caption')",
        "CREATE TRIGGER queue AFTER INSERT ON captions FOR EACH ROW
             EXECUTE FUNCTION clip_enqueue_trigger('caption', 'embedding'); INSERT INTO captions VALUES (1, 'caption')",
    ] {
        let error = refusal(client.batch_execute(statement));
        assert_eq!(error.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{statement}: {error:?}");
        assert!(error.detail().is_some_and(|detail| detail.contains("\"mallory\"")), "{error:?}");
    }
    assert_nothing_gained(&mut client);
    cluster.assert_sessions_survived();
}

/// A superuser's tables, but somebody was there before: what is on them is not run.
#[test]
fn what_was_put_on_the_tables_is_not_run() {
    let (cluster, mut client, _) = cluster();
    client
        .batch_execute(
            "CREATE TABLE captions (id integer PRIMARY KEY, caption text, embedding vector);
             SELECT clip_sync('captions', 'caption', mode => 'queued');
             CREATE FUNCTION own.condition(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
                 $$ BEGIN RAISE 'condition was run'; END $$",
        )
        .unwrap();
    let schema: String = one(
        &mut client,
        "SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relname = 'clip_embed_queue'",
    );
    let queue = format!("{schema}.clip_embed_queue");
    for (add, drop) in [
        (
            format!("CREATE TRIGGER note AFTER INSERT ON {queue} EXECUTE FUNCTION own.note()"),
            format!("DROP TRIGGER note ON {queue}"),
        ),
        (
            format!(
                "CREATE RULE note AS ON INSERT TO {queue} DO ALSO INSERT INTO own.calls VALUES (current_user, 'rule')"
            ),
            format!("DROP RULE note ON {queue}"),
        ),
        (
            format!("ALTER TABLE {queue} ENABLE ROW LEVEL SECURITY"),
            format!("ALTER TABLE {queue} DISABLE ROW LEVEL SECURITY"),
        ),
        (
            format!("ALTER TABLE {queue} ADD CONSTRAINT note CHECK (own.condition(model))"),
            format!("ALTER TABLE {queue} DROP CONSTRAINT note"),
        ),
        (format!("CREATE INDEX note ON {queue} (own.condition(model))"), format!("DROP INDEX {schema}.note")),
        (
            format!("CREATE INDEX note ON {queue} (model) WHERE own.condition(model)"),
            format!("DROP INDEX {schema}.note"),
        ),
        (format!("ALTER TABLE {queue} OWNER TO mallory"), format!("ALTER TABLE {queue} OWNER TO postgres")),
        (format!("ALTER SCHEMA {schema} OWNER TO mallory"), format!("ALTER SCHEMA {schema} OWNER TO postgres")),
    ] {
        client.batch_execute(&add).unwrap();
        let error = refusal(client.batch_execute("INSERT INTO captions VALUES (1, 'caption')"));
        assert_eq!(error.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{add}: {error:?}");
        client.batch_execute(&drop).unwrap();
    }
    client.batch_execute("INSERT INTO captions VALUES (1, 'caption')").unwrap();
    wait_until("the embedding", LIMIT, || number(&mut client, "SELECT count(embedding) FROM captions") == 1);
    cluster.assert_sessions_survived();
}

/// The database's owner may read the tables, and so dump the database.
#[test]
fn the_owner_dumps() {
    let (cluster, mut client, mut mallory) = cluster();
    mallory
        .batch_execute(&format!(
            "{TABLE}; SELECT clip_sync('own.captions', 'caption', mode => 'queued'); INSERT INTO own.captions VALUES (1, 'x')"
        ))
        .unwrap();
    let dump = cluster.client("pg_dump").env("PGUSER", "mallory").output().unwrap();
    let errors = String::from_utf8_lossy(&dump.stderr);
    assert!(dump.status.success(), "{errors}");
    assert!(String::from_utf8_lossy(&dump.stdout).contains("COPY clip_search_internal.clip_embed_queue"));
    client.batch_execute("CREATE ROLE other").unwrap();
    let other = refusal(client.batch_execute("SET ROLE other; SELECT * FROM clip_search_internal.clip_embed_queue"));
    assert_eq!(other.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
}

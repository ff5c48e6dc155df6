//! Types that are called as pgvector's, and are none.

use super::MALLORY;
use cluster_tests::{Cluster, refusal};
use postgres::error::SqlState;

/// Members of the extension "vector", by its owner.
#[test]
fn types_of_pgvectors_names() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("DROP EXTENSION clip_search, vector").unwrap();
    client.batch_execute(MALLORY).unwrap();
    client.batch_execute("ALTER ROLE mallory SUPERUSER").unwrap();
    cluster.connect_to("postgres", "mallory").batch_execute("CREATE EXTENSION vector").unwrap();
    client.batch_execute("CREATE EXTENSION clip_search; ALTER ROLE mallory NOSUPERUSER").unwrap();
    let mut mallory = cluster.connect_to("postgres", "mallory");
    for (kind, create) in [
        ("TYPE", "CREATE TYPE own.vector AS (a bigint, b bigint)"),
        ("TYPE", "CREATE TYPE own.vector AS ENUM ('a')"),
        ("DOMAIN", "CREATE DOMAIN own.vector AS bytea"),
        ("DOMAIN", "CREATE DOMAIN own.vector AS public.vector"),
    ] {
        for name in ["vector", "halfvec"] {
            let create = create.replace("own.vector", &format!("own.{name}"));
            mallory
                .batch_execute(&format!(
                    "{create}; ALTER EXTENSION vector ADD {kind} own.{name};
                     CREATE TABLE own.captions (id integer PRIMARY KEY, caption text, embedding own.{name})"
                ))
                .unwrap();
            for statement in [
                "SELECT clip_search('own.captions', 'text')",
                "SELECT clip_search('own.captions', 'text', embedding_column => 'embedding')",
                "SELECT clip_search_json('own.captions', 'text')",
                "SELECT clip_index_stats('own.captions')",
                "SELECT clip_suggest_threshold('own.captions')",
                "CALL clip_embed_table('own.captions', 'caption')",
                "SELECT clip_sync('own.captions', 'caption')",
                "SELECT clip_sync('own.captions', 'caption', mode => 'queued')",
                "CREATE TRIGGER t BEFORE INSERT ON own.captions FOR EACH ROW
                     EXECUTE FUNCTION clip_embed_trigger('caption', 'embedding');
                 INSERT INTO own.captions VALUES (1, 'text')",
                "CREATE TRIGGER t AFTER INSERT ON own.captions FOR EACH ROW
                     EXECUTE FUNCTION clip_enqueue_trigger('caption', 'embedding');
                 INSERT INTO own.captions VALUES (1, 'text')",
            ] {
                let error = refusal(mallory.batch_execute(statement));
                let expected = [&SqlState::DATATYPE_MISMATCH, &SqlState::UNDEFINED_COLUMN];
                assert!(expected.contains(&error.code()), "{create}: {statement}: {error:?}");
            }
            mallory
                .batch_execute(&format!(
                    "DROP TABLE own.captions; ALTER EXTENSION vector DROP {kind} own.{name}; DROP {kind} own.{name}"
                ))
                .unwrap();
        }
    }
    cluster.assert_sessions_survived();
}

/// The type itself was taken out of the extension's schema, and another laid in its place before installation.
#[test]
fn a_type_in_the_place_of_pgvectors() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client.batch_execute("DROP EXTENSION clip_search, vector").unwrap();
    client.batch_execute(MALLORY).unwrap();
    client.batch_execute("ALTER ROLE mallory SUPERUSER").unwrap();
    cluster.connect_to("postgres", "mallory").batch_execute("CREATE EXTENSION vector").unwrap();
    client.batch_execute("ALTER ROLE mallory NOSUPERUSER").unwrap();
    cluster
        .connect_to("postgres", "mallory")
        .batch_execute("ALTER TYPE public.vector SET SCHEMA own; CREATE TYPE public.vector AS (a bigint, b bigint)")
        .unwrap();
    client.batch_execute("CREATE EXTENSION clip_search").unwrap_or_else(|error| panic!("{error:?}"));
    let result: String = super::one(
        &mut client,
        "SELECT p.prorettype::regtype::text FROM pg_proc AS p WHERE p.oid = 'clip_embed_text(text)'::regprocedure",
    );
    assert_eq!(result, "own.vector");
    assert!(client.batch_execute("SELECT clip_embed_text('x') OPERATOR(public.<=>) clip_embed_text('y')").is_ok());
    cluster.assert_sessions_survived();
}

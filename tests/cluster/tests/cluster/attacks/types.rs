//! Types of the caller's in the place of PostgreSQL's, for a function that runs as its owner.

use super::{assert_nothing_gained, one};
use cluster_tests::embed_text;

#[test]
fn domains_of_the_caller() {
    let (cluster, mut client, mut mallory) = super::cluster();
    embed_text(&mut client, "x").unwrap();
    client
        .batch_execute(
            "CREATE TABLE documents (id uuid PRIMARY KEY, name text, tags text[], size integer, day date, embedding vector);
             INSERT INTO documents SELECT gen_random_uuid(), 'name', '{a}', 1, '2020-01-01', clip_embed_text('x');
             CREATE FUNCTION find(filter jsonb, exclude jsonb) RETURNS bigint SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
                 RETURN (SELECT count(*) FROM clip_search('documents', 'x', filter => $1, exclude => $2))
                      + (SELECT jsonb_array_length(clip_search_json('documents', 'x', filter => $1, exclude => $2) -> 'matches'));
             END $$;
             CREATE FUNCTION look() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM clip_index_stats('documents'), clip_index_stats('documents', exact => false);
                 PERFORM clip_sync('documents', 'name');
                 PERFORM clip_sync('documents', 'name', mode => 'queued');
                 PERFORM clip_unsync('documents');
             END $$",
        )
        .unwrap();
    mallory
        .batch_execute(
            "CREATE FUNCTION pg_temp.note() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO own.calls VALUES (current_user, 'domain'); RETURN true;
             END $$;
             DO $$ DECLARE name text; BEGIN
                 FOREACH name IN ARRAY ARRAY['text', 'uuid', 'int4', 'date', 'jsonb', 'oid', 'name', 'vector', 'float4',
                         'float8', 'regclass', 'bool', 'int8', 'bytea'] LOOP
                     EXECUTE format('CREATE DOMAIN pg_temp.%I AS %s CHECK (pg_temp.note())', name,
                         CASE name WHEN 'vector' THEN 'public.vector' ELSE 'pg_catalog.' || name END);
                 END LOOP;
             END $$",
        )
        .unwrap_or_else(|error| panic!("{error:?}"));
    let found: i64 = one(
        &mut mallory,
        r#"SELECT public.find('{"name": ["name", "other"], "size": [1, 2], "day": "2020-01-01"}'::pg_catalog.jsonb,
                  pg_catalog.to_jsonb(pg_catalog.gen_random_uuid()))"#,
    );
    assert_eq!(found, 2);
    let found: i64 = one(
        &mut mallory,
        r#"SELECT public.find('{"name": "name", "size": 1, "day": ["2020-01-01"]}'::pg_catalog.jsonb, NULL)"#,
    );
    assert_eq!(found, 2);
    let found: i64 = one(
        &mut mallory,
        r#"SELECT public.find('{"tags": "a"}'::pg_catalog.jsonb, NULL)
                                  + public.find('{"tags": ["a"]}'::pg_catalog.jsonb, NULL)"#,
    );
    assert_eq!(found, 4);
    mallory.batch_execute("SELECT public.look()").unwrap_or_else(|error| panic!("{error:?}"));
    assert_nothing_gained(&mut client);
    cluster.assert_sessions_survived();
}

-- What clip_search keeps of a table in a backend: each change shows in the next search of the same session.
\pset format unaligned
\pset tuples_only on
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE cached (id int PRIMARY KEY, name text, shop int, embedding vector(128));
INSERT INTO cached SELECT i, n, i % 2, clip_embed_text(n)
    FROM unnest(ARRAY['red apple', 'tomato', 'happy cat', 'dog', 'ship']) WITH ORDINALITY AS u(n, i);
SELECT id, metadata FROM clip_search('cached', 'dog', 1);
SELECT id, metadata FROM clip_search('cached', 'dog', 1);

-- Columns: renamed, added, of another type, dropped
ALTER TABLE cached RENAME name TO title;
SELECT metadata FROM clip_search('cached', 'dog', 1);
ALTER TABLE cached ADD price numeric DEFAULT 1.5;
SELECT metadata FROM clip_search('cached', 'dog', 1, filter => '{"price": 1.5}');
ALTER TABLE cached ALTER price TYPE text USING 'cheap';
SELECT metadata FROM clip_search('cached', 'dog', 1, filter => '{"price": "cheap"}');
ALTER TABLE cached DROP price;
SELECT metadata FROM clip_search('cached', 'dog', 1);
SELECT message FROM report($$SELECT * FROM clip_search('cached', 'dog', 1, filter => '{"price": "cheap"}')$$);
ALTER TABLE cached RENAME embedding TO vectors;
SELECT id FROM clip_search('cached', 'dog', 1, embedding_column => 'vectors');
ALTER TABLE cached ALTER vectors TYPE halfvec(128);
SELECT id FROM clip_search('cached', 'dog', 1);
ALTER TABLE cached ALTER vectors TYPE vector(128);
SELECT id FROM clip_search('cached', 'dog', 1);

-- The key
ALTER TABLE cached DROP CONSTRAINT cached_pkey;
SELECT message FROM report($$SELECT * FROM clip_search('cached', 'dog', 1)$$);
ALTER TABLE cached ADD PRIMARY KEY (shop, id);
SELECT id FROM clip_search('cached', 'dog', 1);
ALTER TABLE cached DROP CONSTRAINT cached_pkey, ADD PRIMARY KEY (id);

-- Rolled back, of a transaction and of a savepoint
BEGIN;
ALTER TABLE cached RENAME title TO other;
SELECT metadata FROM clip_search('cached', 'dog', 1);
ROLLBACK;
SELECT metadata FROM clip_search('cached', 'dog', 1);
BEGIN;
SAVEPOINT before;
ALTER TABLE cached ADD flag bool;
SELECT metadata FROM clip_search('cached', 'dog', 1);
ROLLBACK TO before;
SELECT metadata FROM clip_search('cached', 'dog', 1);
COMMIT;

-- An error in the midst, also of a statement that is kept
SELECT count(*) FROM clip_search('cached', 'dog', filter => '{"shop": 1}');
SELECT state FROM report($$SELECT * FROM clip_search('cached', 'dog', filter => '{"shop": "many"}')$$);
SELECT count(*) FROM clip_search('cached', 'dog', filter => '{"shop": 1}');
SELECT count(*) FROM clip_search('cached', 'dog', filter => '{"shop": "1"}');

-- An index is used when it is there, and not when it is gone. All in one transaction, which counts its scans.
SET enable_seqscan = off;
BEGIN;
SELECT id FROM clip_search('cached', 'dog', 1);
CREATE INDEX cached_hnsw ON cached USING hnsw (vectors vector_cosine_ops);
SELECT id FROM clip_search('cached', 'dog', 1);
SELECT pg_stat_get_xact_numscans('cached_hnsw'::regclass) AS scans;
-- The caller's settings hold for statements that are kept, too.
SET LOCAL enable_indexscan = off;
SET LOCAL enable_seqscan = on;
SELECT id FROM clip_search('cached', 'dog', 1);
SELECT pg_stat_get_xact_numscans('cached_hnsw'::regclass) AS scans;
SET LOCAL enable_indexscan = on;
SET LOCAL enable_seqscan = off;
SELECT id FROM clip_search('cached', 'dog', 1);
SELECT pg_stat_get_xact_numscans('cached_hnsw'::regclass) AS scans;
DROP INDEX cached_hnsw;
SELECT id FROM clip_search('cached', 'dog', 1);
-- One that selects by another metric, and one that cosine is preferred to
CREATE INDEX cached_l2 ON cached USING hnsw (vectors vector_l2_ops);
SELECT id FROM clip_search('cached', 'dog', 1);
SELECT pg_stat_get_xact_numscans('cached_l2'::regclass) AS scans;
CREATE INDEX cached_hnsw ON cached USING hnsw (vectors vector_cosine_ops);
SELECT id FROM clip_search('cached', 'dog', 1);
SELECT pg_stat_get_xact_numscans('cached_l2'::regclass) AS l2, pg_stat_get_xact_numscans('cached_hnsw'::regclass) AS cosine;
COMMIT;
-- Where an index finds too few, all rows are read, whatever the plan cache is told.
SET plan_cache_mode = force_generic_plan;
SET hnsw.max_scan_tuples = 1;
SET hnsw.iterative_scan = strict_order;
SELECT count(*) FROM clip_search('cached', 'dog', 5, filter => '{"shop": [0, 1]}');
SELECT count(*) FROM clip_search('cached', 'dog', 5, filter => '{"shop": [0, 1]}');
RESET plan_cache_mode;
RESET hnsw.max_scan_tuples;
RESET hnsw.iterative_scan;
RESET enable_seqscan;

-- Dropped and made anew, renamed, moved; a view that is replaced; a table that takes the place of another
CREATE TABLE passing (id int PRIMARY KEY, old text DEFAULT 'old', embedding vector(128));
INSERT INTO passing (id, embedding) SELECT id, vectors FROM cached;
SELECT id, metadata FROM clip_search('passing', 'dog', 1);
DROP TABLE passing;
CREATE TABLE passing (id text PRIMARY KEY, new text DEFAULT 'new', embedding halfvec(128));
INSERT INTO passing (id, embedding) SELECT 'id ' || id, vectors FROM cached;
SELECT id, metadata FROM clip_search('passing', 'dog', 1);
CREATE SCHEMA attic;
ALTER TABLE passing SET SCHEMA attic;
SELECT id, metadata FROM clip_search('attic.passing', 'dog', 1);
ALTER SCHEMA attic RENAME TO cellar;
CREATE SCHEMA attic;
CREATE TABLE attic.passing (id text PRIMARY KEY, embedding halfvec(128));
SELECT id, metadata FROM clip_search('cellar.passing', 'dog', 1);
ALTER TABLE cellar.passing RENAME TO passed;
SELECT id, metadata FROM clip_search('cellar.passed', 'dog', 1);
CREATE VIEW seen AS SELECT id, embedding FROM cellar.passed;
SELECT id, metadata FROM clip_search('seen', 'dog', 1, id_column => 'id');
CREATE OR REPLACE VIEW seen AS SELECT id, embedding, 'more' AS word FROM cellar.passed;
SELECT id, metadata FROM clip_search('seen', 'dog', 1, id_column => 'id');
DROP VIEW seen;
-- Types that are renamed or moved
CREATE TYPE mood AS ENUM ('good', 'bad');
ALTER TABLE cached ADD mood mood DEFAULT 'good';
SELECT count(*) FROM clip_search('cached', 'dog', filter => '{"mood": "good"}');
ALTER TYPE mood RENAME TO temper;
SELECT count(*) FROM clip_search('cached', 'dog', filter => '{"mood": "good"}');
ALTER TYPE temper SET SCHEMA attic;
SELECT count(*) FROM clip_search('cached', 'dog', filter => '{"mood": ["good"]}');

-- Row security and privileges are those of who asks, in one session and for one statement.
CREATE ROLE clip_search_one;
CREATE ROLE clip_search_two;
ALTER TABLE cached ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON cached USING (shop = CASE current_user WHEN 'clip_search_one' THEN 1 ELSE 0 END);
GRANT SELECT ON cached TO clip_search_one, clip_search_two;
SELECT array_agg(id ORDER BY id::int) FROM clip_search('cached', 'dog');
SET ROLE clip_search_one;
SELECT array_agg(id ORDER BY id::int) FROM clip_search('cached', 'dog');
SET ROLE clip_search_two;
SELECT array_agg(id ORDER BY id::int) FROM clip_search('cached', 'dog');
RESET ROLE;
SELECT array_agg(id ORDER BY id::int) FROM clip_search('cached', 'dog');
REVOKE SELECT ON cached FROM clip_search_one;
GRANT SELECT (id, title, vectors, shop) ON cached TO clip_search_one;
SET ROLE clip_search_one;
SELECT metadata FROM clip_search('cached', 'dog', 1);
SET ROLE clip_search_two;
SELECT metadata FROM clip_search('cached', 'dog', 1);
RESET ROLE;
REVOKE SELECT ON cached FROM clip_search_two;
SET ROLE clip_search_two;
SELECT message FROM report($$SELECT * FROM clip_search('cached', 'dog', 1)$$);
RESET ROLE;
-- A policy whose function is found by the search path
CREATE FUNCTION attic.allowed_shop() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION cellar.allowed_shop() RETURNS int LANGUAGE sql AS 'SELECT 0';
CREATE FUNCTION is_allowed(shop int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN shop = allowed_shop(); END $$;
ALTER POLICY mine ON cached USING (is_allowed(shop));
GRANT USAGE ON SCHEMA attic, cellar TO clip_search_one;
SET ROLE clip_search_one;
SET search_path = public, attic;
SELECT array_agg(id ORDER BY id::int) FROM clip_search('cached', 'dog', columns => '{title}');
SET search_path = public, cellar;
SELECT array_agg(id ORDER BY id::int) FROM clip_search('cached', 'dog', columns => '{title}');
SET search_path = attic, public;
SELECT array_agg(id ORDER BY id::int) FROM clip_search('cached', 'dog', columns => '{title}');
RESET search_path;
RESET ROLE;

-- Many tables: not more is kept than has its place.
DO $$
BEGIN
    FOR i IN 1..150 LOOP
        EXECUTE format('CREATE TEMPORARY TABLE many_%s (id int PRIMARY KEY, embedding vector(128))', i);
        EXECUTE format('INSERT INTO many_%s SELECT id, vectors FROM cached', i);
    END LOOP;
    FOR i IN 1..150 LOOP
        EXECUTE format('SELECT FROM clip_search(%L, %L, 1)', 'many_' || i, 'dog');
    END LOOP;
END $$;
DO $$
DECLARE plans int := 64;
BEGIN
    -- PostgreSQL 13 does not tell.
    IF to_regclass('pg_catalog.pg_backend_memory_contexts') IS NOT NULL THEN
        EXECUTE $q$SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'CachedPlanQuery'$q$ INTO plans;
    END IF;
    RAISE NOTICE 'some plans are kept, and not all: %', plans BETWEEN 10 AND 100;
END $$;
SELECT id FROM clip_search('many_1', 'dog', 1);
SET client_min_messages = warning;
DROP TABLE cached, attic.passing, cellar.passed;
DROP SCHEMA attic, cellar CASCADE;
DROP FUNCTION is_allowed;
DROP ROLE clip_search_one, clip_search_two;
-- Settings of the server are known in a session that has loaded the library itself, however it asks.
\c -
SELECT clip_similarity('[1,0]', '[1,0]');
SHOW clip_search.image_timeout;
\c -
SELECT clip_similarity('[1,0]', '[1,0]'), current_setting('clip_search.image_timeout');
\c -
SELECT clip_similarity('[1,0]', '[1,0]') OFFSET 0;
SELECT name, boot_val FROM pg_settings WHERE name = 'clip_search.image_timeout';
\c -
SELECT clip_similarity('[1,0]', '[1,0]') OFFSET 0;
DO $$ BEGIN PERFORM set_config('clip_search.image_timeout', '5', false); EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END $$;

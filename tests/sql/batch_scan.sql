-- Plain SQL that batches by itself. What is compared is the same statement with clip_search.enable_batch_scan off.
\c -
-- The first statement of a session, which loads the library while it is planned
EXPLAIN (COSTS OFF) SELECT clip_embed_text(relname::text, 'clip-search/emoji') FROM pg_class;
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE uploads (id int PRIMARY KEY, caption text, image bytea, "the ""picture""" bytea);
INSERT INTO uploads SELECT i, CASE WHEN i % 9 <> 0 THEN 'number ' || i END, CASE WHEN i % 10 <> 0 THEN image END, image FROM pixel, generate_series(1, 300) i;
ANALYZE uploads;
CREATE TABLE photos (id int PRIMARY KEY, embedding vector(128), note int);
CREATE SEQUENCE counter;
-- A plan without what a machine decides
CREATE FUNCTION plan(statement text, options text DEFAULT 'COSTS OFF') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, statement) LOOP
        RETURN NEXT regexp_replace(line, '\d+\.\d+', 'N', 'g');
    END LOOP;
END $$;
-- How many rows two runs of a query do not have in common; the last digits of floats do not matter.
CREATE FUNCTION same(a text, b text) RETURNS boolean LANGUAGE sql AS $$
    SELECT a = b OR regexp_replace(a, '-?[0-9.]+(e-[0-9]+)?', '#', 'g') = regexp_replace(b, '-?[0-9.]+(e-[0-9]+)?', '#', 'g')
        AND (SELECT bool_and(abs(x[1]::float8 - y[1]::float8) < 1e-4) FROM ROWS FROM (
            regexp_matches(a, '(-?[0-9.]+(?:e-[0-9]+)?)', 'g'), regexp_matches(b, '(-?[0-9.]+(?:e-[0-9]+)?)', 'g')) n(x, y)) $$;
CREATE FUNCTION differ(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    SET LOCAL clip_search.enable_batch_scan = off;
    EXECUTE 'CREATE TEMP TABLE one_by_one AS ' || query;
    SET LOCAL clip_search.enable_batch_scan = on;
    EXECUTE 'CREATE TEMP TABLE batched AS ' || query;
    SELECT count(*) INTO n FROM (SELECT row_number() OVER () AS row, b FROM batched b) b
        FULL JOIN (SELECT row_number() OVER () AS row, o FROM one_by_one o) o USING (row)
        WHERE same(b::text, o::text) IS NOT TRUE;
    DROP TABLE one_by_one, batched;
    RETURN n;
END $$;

-- Where the node is
SELECT plan('SELECT id, clip_embed_image(image) FROM uploads');
SELECT plan('INSERT INTO photos SELECT id, clip_embed_image(image) FROM uploads');
SELECT plan('UPDATE photos SET embedding = clip_embed_image(image) FROM uploads WHERE uploads.id = photos.id AND photos.note > 3');
SELECT plan('CREATE TABLE x AS SELECT clip_try_embed_image(image), clip_embed_text(caption, ''clip-search/emoji'') FROM uploads');
SELECT plan('SELECT id, clip_embed_text(caption) FROM uploads ORDER BY id DESC LIMIT 20');
SELECT plan('SELECT clip_embed_text(lower(caption)) <=> clip_embed_image("the ""picture""") FROM uploads', 'COSTS OFF, VERBOSE');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads', 'COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads', 'COSTS OFF, ANALYZE, SUMMARY OFF');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads LIMIT 50', 'COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON');
-- Where it is not: few rows, one text for all rows, a model for each row, what is evaluated for some rows only, ...
SELECT plan('SELECT clip_embed_image(image) FROM uploads WHERE id < 4');
SELECT plan('SELECT clip_embed_image(image) FROM uploads LIMIT 4');
SELECT plan('SELECT clip_embed_text(''a dog'') FROM uploads');
SELECT plan('SELECT clip_embed_image(image, caption) FROM uploads');
SELECT plan('SELECT CASE WHEN id % 2 = 0 THEN clip_embed_image(image) END FROM uploads');
SELECT plan('SELECT coalesce(NULL::vector, clip_embed_image(image)) FROM uploads WHERE id > 1 OR clip_embed_image(image) IS NULL');
-- ... and what must not be evaluated before its turn: errors and effects
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE 10 / id < 5');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE random() < 2');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE id * id < 5 OR caption::int = 1 OR caption LIKE caption');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE id / 10 < 500 AND caption LIKE ''n%'' AND now() - ''1 day''::interval < now()');
SELECT plan('SELECT clip_embed_text(substr(caption, id)) FROM uploads');
SELECT plan('SELECT clip_embed_text(caption) FROM (SELECT * FROM uploads FOR UPDATE) s');
SELECT plan('WITH d AS (DELETE FROM uploads RETURNING caption) SELECT clip_embed_text(caption) FROM d');
-- After a sort, all of that is done.
SELECT plan('SELECT clip_embed_text(caption) FROM (SELECT * FROM uploads WHERE 10 / id < 5 ORDER BY caption OFFSET 0) s');
-- Somebody else's function of this name
CREATE SCHEMA other;
CREATE FUNCTION other.clip_embed_text(text) RETURNS vector LANGUAGE sql STABLE AS $$ SELECT '[1,2]'::vector OFFSET 0 $$;
SELECT plan('SELECT other.clip_embed_text(caption) FROM uploads');
SELECT DISTINCT other.clip_embed_text(caption) FROM uploads;
-- One with settings of its own has to be called.
ALTER FUNCTION clip_embed_text(text) SET work_mem = '8MB';
SELECT plan('SELECT clip_embed_text(caption) FROM uploads');
ALTER FUNCTION clip_embed_text(text) RESET work_mem;

-- The same rows
SELECT differ('SELECT id, clip_embed_image(image), clip_embed_text(caption) FROM uploads');
SELECT differ('SELECT id, clip_embed_text(caption) FROM uploads ORDER BY id LIMIT 40 OFFSET 30');
SELECT differ('SELECT u.id, v.v FROM uploads u, LATERAL (SELECT clip_embed_text(w.caption || u.id) v FROM uploads w WHERE w.id < u.id AND w.id > 280 OFFSET 0) v WHERE u.id > 285');
SELECT differ('SELECT id, (SELECT max(clip_embed_text(w.caption)::text) FROM uploads w WHERE w.id BETWEEN u.id AND u.id + 9) FROM uploads u WHERE id % 30 = 0');
SELECT differ('SELECT id, ctid AS place, tableoid AS oid, u, clip_embed_text(caption) IS NULL AS n, clip_embed_text(caption) FROM uploads u');
SELECT differ('SELECT clip_embed_text(caption) FROM uploads UNION SELECT clip_embed_image(image) FROM uploads ORDER BY 1');
SELECT differ('SELECT caption, clip_embed_text(caption) FROM (SELECT DISTINCT left(caption, 8) AS caption FROM uploads) s ORDER BY caption');

-- Inserts, updates, triggers, RETURNING
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := nextval('counter'); RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE ON photos FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO photos SELECT id, clip_embed_image(image) FROM uploads;
INSERT INTO photos SELECT id, clip_embed_text(caption) FROM uploads ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding;
SELECT count(*), count(embedding), min(note), max(note), count(*) FILTER (WHERE embedding <=> clip_embed_text(caption) < 0.001) FROM photos JOIN uploads USING (id);
UPDATE photos SET embedding = clip_embed_image(image) FROM uploads WHERE uploads.id = photos.id AND caption LIKE '%99'
    RETURNING photos.id, similarity(embedding, clip_embed_image(image)), note;
MERGE INTO photos USING (SELECT id, clip_embed_text(caption) AS e FROM uploads OFFSET 0) s ON s.id = photos.id
    WHEN MATCHED AND s.id < 200 THEN UPDATE SET embedding = s.e WHEN MATCHED THEN DELETE;
SELECT count(*), count(embedding) FROM photos;
-- Neighbours are evaluated when their row's turn comes, in order, and not for rows that are not asked for.
SELECT setval('counter', 1, false);
SELECT id, nextval('counter'), similarity(clip_embed_text(caption), clip_embed_text('number ' || id)), nextval('counter') FROM uploads LIMIT 6;
SELECT nextval('counter');

-- A picture that is none: its error when its turn comes, after what stands before it
UPDATE uploads SET image = 'no picture' WHERE id IN (50, 60);
SELECT count(clip_embed_image(image)) FROM (SELECT * FROM uploads ORDER BY id LIMIT 49) s;
SELECT id, clip_embed_image(image) FROM uploads ORDER BY id;
SELECT setval('counter', 1, false);
SELECT count(v) FROM (SELECT nextval('counter'), clip_embed_image(image) v FROM uploads ORDER BY id OFFSET 0) s;
SELECT nextval('counter');
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id, clip_embed_image(image) IS NOT NULL FROM uploads WHERE id > 45 ORDER BY id;
FETCH 4 FROM c;
FETCH 1 FROM c;
ROLLBACK;
\set VERBOSITY default
SELECT count(*), count(v) FROM (SELECT clip_try_embed_image(image) v FROM uploads WHERE id <= 100 OFFSET 0) s;
\set VERBOSITY terse
SELECT id, clip_embed_text(caption, 'no/such') FROM uploads;
-- Too long for clip_search: where the call itself would say so
SELECT id, clip_embed_text(repeat(caption, 200000)) FROM uploads WHERE id = 299;
CREATE TABLE long AS SELECT id, repeat(caption, CASE WHEN id = 150 THEN 200000 ELSE 1 END) AS caption FROM uploads;
ANALYZE long;
SELECT plan('SELECT clip_embed_text(caption) FROM long');
SELECT count(clip_embed_text) FROM (SELECT clip_embed_text(caption) FROM (SELECT * FROM long ORDER BY id OFFSET 0) l LIMIT 149) s;
SELECT id, clip_embed_text(caption) FROM long ORDER BY id;

-- Cursors: forth and back, and the row that they are at
BEGIN;
DECLARE c CURSOR FOR SELECT id, similarity(clip_embed_text(caption), clip_embed_text('number ' || id)) FROM uploads;
FETCH 20 FROM c \g /dev/null
FETCH BACKWARD 2 FROM c;
FETCH 3 FROM c;
UPDATE uploads SET caption = 'changed' WHERE CURRENT OF c RETURNING id;
FETCH ABSOLUTE 299 FROM c;
FETCH 5 FROM c;
FETCH BACKWARD 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT u.id, clip_embed_text(caption) IS NULL FROM uploads u JOIN photos p USING (id) ORDER BY id;
FETCH LAST FROM c;
FETCH FIRST FROM c;
FETCH RELATIVE 8 FROM c;
COMMIT;
-- The model is the one that the session has when a row's turn comes.
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id, clip_embed_text(caption) IS NULL FROM uploads;
FETCH 4 FROM c \g /dev/null
SET clip_search.model = 'no/such';
FETCH 1 FROM c;
ROLLBACK;
-- A loop that is left early
DO $$ DECLARE r record; BEGIN
    FOR r IN SELECT id, clip_embed_text(caption) FROM uploads ORDER BY id LOOP EXIT WHEN r.id = 7; END LOOP;
    RAISE NOTICE 'left at %', r.id;
END $$;

-- Prepared statements, with the model and the limit as parameters
PREPARE few(int, text) AS SELECT count(e), count(*) FROM (SELECT clip_embed_text(caption, $2) e FROM uploads ORDER BY id LIMIT $1) s;
EXECUTE few(10, 'clip-search/emoji');
EXECUTE few(20, 'clip-search/emoji');
EXECUTE few(30, 'clip-search/emoji');
EXECUTE few(40, 'clip-search/emoji');
EXECUTE few(50, 'clip-search/emoji');
EXECUTE few(60, 'clip-search/emoji');
EXECUTE few(70, NULL);
EXPLAIN (COSTS OFF) EXECUTE few(10, 'clip-search/emoji');

-- Partitions, a view, pictures out of line, little memory
CREATE TABLE parts (id int, image bytea, embedding vector(128)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (1000);
ALTER TABLE parts ALTER image SET STORAGE EXTERNAL;
INSERT INTO parts SELECT id, "the ""picture""" || decode(repeat('00', 20000), 'hex') || int4send(id) FROM uploads;
ANALYZE parts;
SET clip_search.batch_memory = '256kB';
SELECT plan('UPDATE parts SET embedding = clip_embed_image(image)', 'COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF');
SELECT count(*), min(similarity(embedding, clip_embed_image(pixel.image))) FROM parts, pixel;
RESET clip_search.batch_memory;
SET max_parallel_workers_per_gather = 0;
CREATE VIEW shown WITH (security_barrier) AS SELECT id, image FROM parts WHERE id > 50;
SELECT plan('SELECT id, clip_embed_image(image) FROM shown');
SELECT differ('SELECT id, clip_embed_image(image) FROM shown');
-- Whoever may not call the function may not have it called for them.
BEGIN;
CREATE ROLE clip_search_nobody;
GRANT SELECT ON uploads TO clip_search_nobody;
REVOKE EXECUTE ON FUNCTION clip_embed_text(text) FROM PUBLIC;
SET LOCAL ROLE clip_search_nobody;
SELECT clip_embed_text(caption) FROM uploads;
ROLLBACK;

-- Parallel plans
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET max_parallel_workers_per_gather = 2;
ALTER TABLE uploads SET (parallel_workers = 2);
SELECT plan('SELECT id, clip_embed_text(caption) FROM uploads');
SELECT differ('SELECT * FROM (SELECT id, clip_embed_text(caption) FROM uploads OFFSET 0) s ORDER BY id');
RESET min_parallel_table_scan_size; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET max_parallel_workers_per_gather;

DROP VIEW shown;
DROP TABLE uploads, photos, long, parts;
DROP SCHEMA other CASCADE;
DROP SEQUENCE counter;
DROP FUNCTION plan, differ, same, note;

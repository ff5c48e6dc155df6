-- Plain SQL that batches by itself: what statements do, which is the same with clip_search.enable_batch_scan off.
-- scripts/test runs this file with both. The plans are in batch_scan_plan.
\c -
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE uploads (id int PRIMARY KEY, caption text, image bytea, "the ""image""" bytea);
INSERT INTO uploads SELECT i, CASE WHEN i % 9 <> 0 THEN 'number ' || i END, CASE WHEN i % 10 <> 0 THEN image END, image FROM pixel, generate_series(1, 300) i;
ANALYZE uploads;
CREATE TABLE photos (id int PRIMARY KEY, embedding vector(128), note int);
CREATE SEQUENCE counter;
CREATE TABLE words AS SELECT 'word ' || i AS word FROM generate_series(1, 3) i;
ANALYZE words;
-- How many rows two runs of a query do not have in common; the last digits of floats do not matter.
CREATE FUNCTION same(a text, b text) RETURNS boolean LANGUAGE sql AS $$
    SELECT a = b OR regexp_replace(a, '-?[0-9.]+(e-[0-9]+)?', '#', 'g') = regexp_replace(b, '-?[0-9.]+(e-[0-9]+)?', '#', 'g')
        AND (SELECT bool_and(abs(x[1]::float8 - y[1]::float8) < 1e-4) FROM ROWS FROM (
            regexp_matches(a, '(-?[0-9.]+(?:e-[0-9]+)?)', 'g'), regexp_matches(b, '(-?[0-9.]+(?:e-[0-9]+)?)', 'g')) n(x, y)) $$;
CREATE FUNCTION differ(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    -- First, for the session remembers what it was told.
    SET LOCAL clip_search.enable_batch_scan = on;
    EXECUTE 'CREATE TEMP TABLE batched AS ' || query;
    SET LOCAL clip_search.enable_batch_scan = off;
    EXECUTE 'CREATE TEMP TABLE one_by_one AS ' || query;
    SELECT count(*) INTO n FROM (SELECT row_number() OVER () AS row, b FROM batched b) b
        FULL JOIN (SELECT row_number() OVER () AS row, o FROM one_by_one o) o USING (row)
        WHERE same(b::text, o::text) IS NOT TRUE;
    DROP TABLE one_by_one, batched;
    RETURN n;
END $$;

-- The same rows
SELECT differ('SELECT id, clip_embed_image(image), clip_embed_text(caption) FROM uploads');
SELECT differ('SELECT id, clip_embed_text(caption || '' once more'') FROM uploads ORDER BY id LIMIT 40 OFFSET 30');
SELECT differ('SELECT u.id, v.v FROM uploads u, LATERAL (SELECT clip_embed_text(w.caption || u.id) v FROM uploads w WHERE w.id < u.id AND w.id > 280 OFFSET 0) v WHERE u.id > 285');
SELECT differ('SELECT id, (SELECT max(clip_embed_text(w.caption)::text) FROM uploads w WHERE w.id BETWEEN u.id AND u.id + 9) FROM uploads u WHERE id % 30 = 0');
SELECT differ('SELECT id, ctid AS place, tableoid AS oid, u, clip_embed_text(caption) IS NULL AS n, clip_embed_text(caption) FROM uploads u');
SELECT differ('SELECT clip_embed_text(caption) FROM uploads UNION SELECT clip_embed_image(image) FROM uploads ORDER BY 1');
SELECT differ('SELECT caption, clip_embed_text(caption) FROM (SELECT DISTINCT left(caption, 8) AS caption FROM uploads) s ORDER BY caption');
-- A LIMIT that is another each time: what a sort below keeps must be enough.
SELECT u.id, (SELECT count(e) FROM (SELECT clip_embed_text(w.caption) e FROM uploads w WHERE w.caption IS NOT NULL ORDER BY w.caption LIMIT nullif(u.id, 7)) s)
  FROM uploads u WHERE u.id IN (6, 7, 8) ORDER BY 1;
SET enable_material = off; SET enable_memoize = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SELECT u.id, n FROM uploads u, LATERAL (SELECT count(e) n FROM words w LEFT JOIN (
    SELECT clip_embed_text(x.caption) e FROM uploads x WHERE x.caption IS NOT NULL ORDER BY x.caption LIMIT u.id) s ON true) x WHERE u.id IN (6, 8) ORDER BY 1;
RESET enable_material; RESET enable_memoize; RESET enable_hashjoin; RESET enable_mergejoin;

-- Two tables that have more columns than a row may have
DO $$ BEGIN
    EXECUTE (SELECT 'CREATE TABLE wide AS SELECT i AS id, ''cap '' || i AS caption, ' || string_agg('i AS c' || n, ', ') || ' FROM generate_series(1, 50) i' FROM generate_series(1, 900) n);
END $$;
CREATE TABLE wider AS SELECT * FROM wide;
SELECT count(*), bool_or(e IS NULL OR a IS NULL OR b IS NULL) FROM (SELECT ROW(a.*) a, ROW(b.*) b, clip_embed_text(a.caption) e FROM wide a JOIN wider b ON a.id = b.id OFFSET 0) s;
SELECT count(*), bool_or(e IS NULL OR a IS NULL) FROM (SELECT ROW(a.*) a, clip_embed_text(a.caption) e FROM wide a JOIN wider b ON a.id = b.id OFFSET 0) s;
DROP TABLE wide, wider;

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

-- Some rows of a query, whose number is not known before
CREATE FUNCTION first(n int, query text) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE found int[];
BEGIN
    EXECUTE format('SELECT array_agg(s.id) FROM (%s LIMIT (SELECT %s)) s WHERE s::text <> $1', query, n) INTO found USING '';
    RETURN found;
END $$;
CREATE TABLE starts AS SELECT i AS id FROM generate_series(1, 60) i;
ANALYZE starts;
SELECT first(5, 'SELECT id, clip_embed_text(caption) FROM uploads');

-- An image that is none: its error when its turn comes, after what stands before it
UPDATE uploads SET image = 'no image' WHERE id IN (50, 60);
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
-- ... also where it is the row itself that changes it, before the call or after it,
CREATE FUNCTION choose(name text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config('clip_search.model', name, false); END $$;
CREATE FUNCTION fifth(id int) RETURNS text LANGUAGE sql AS $$ SELECT CASE id WHEN 5 THEN 'no/such' ELSE 'clip-search/emoji' END $$;
SELECT id, set_config('clip_search.model', fifth(id), false), clip_embed_text(caption) FROM uploads WHERE id < 20;
SELECT first(4, 'SELECT id, choose(fifth(id)), clip_embed_text(caption) FROM uploads');
SELECT first(5, 'SELECT id, choose(fifth(id)), clip_embed_text(caption) FROM uploads');
SELECT first(5, 'SELECT id, clip_embed_text(caption), choose(fifth(id)) FROM uploads');
SET clip_search.model = 'clip-search/emoji';
SELECT first(6, 'SELECT id, clip_embed_text(caption), choose(fifth(id)) FROM uploads');
SELECT first(20, 'SELECT id, choose(fifth(id)), clip_embed_text(caption, ''clip-search/emoji'') FROM uploads');
SET clip_search.model = 'clip-search/emoji';
SELECT first(5, 'SELECT id, vector_dims(clip_embed_text(caption)), choose(fifth(id)), clip_embed_text(caption) FROM uploads');
SET clip_search.model = 'clip-search/emoji';
-- ... and where it changes it back,
SELECT first(20, 'SELECT id, choose(fifth(id)), choose(''clip-search/emoji''), clip_embed_text(caption) FROM uploads');
CREATE FUNCTION withdraw(name text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    PERFORM choose(name); RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN RETURN current_setting('clip_search.model'); END $$;
SELECT differ('SELECT id, withdraw(''no/such'') AS model, clip_embed_text(caption || '' withdrawn'') FROM uploads');
CREATE FUNCTION keep(name text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    BEGIN PERFORM choose('no/such'); RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN RETURN choose(name); END; END $$;
SELECT first(5, 'SELECT id, keep(fifth(id)), clip_embed_text(caption) FROM uploads');
-- ... and where it is the row of a query within, which may have failed before,
CREATE FUNCTION within(at int, name text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(e) FROM (
    SELECT choose(CASE id WHEN at THEN name ELSE 'clip-search/emoji' END), clip_embed_text('within ' || id) e FROM starts LIMIT 8) s); END $$;
CREATE FUNCTION try_within(at int, name text) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
    RETURN within(at, name); EXCEPTION WHEN OTHERS THEN RETURN -1; END $$;
SELECT first(4, 'SELECT id, within(8, fifth(id)), clip_embed_text(caption) FROM uploads');
SELECT first(5, 'SELECT id, within(7, fifth(id)), clip_embed_text(caption) FROM uploads');
SELECT first(5, 'SELECT id, try_within(7, fifth(id)), clip_embed_text(caption) FROM uploads');
SELECT first(5, 'SELECT id, try_within(7, fifth(id)), choose(fifth(id)), clip_embed_text(caption) FROM uploads');
SET clip_search.model = 'clip-search/emoji';
SELECT id, try_within(id, fifth(id)), clip_embed_text(caption) IS NULL AS e FROM uploads LIMIT 8;
-- ... and where it takes back what was set,
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET clip_search.model = %L', current_database(), 'no/such'); END $$;
\c -
\set VERBOSITY terse
SET clip_search.model = 'clip-search/emoji';
CREATE FUNCTION reset(id int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF id = 5 THEN RESET clip_search.model; END IF; END $$;
SELECT first(4, 'SELECT id, reset(id), clip_embed_text(caption) FROM uploads');
SELECT first(5, 'SELECT id, reset(id), clip_embed_text(caption) FROM uploads');
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET clip_search.model', current_database()); END $$;
\c -
\set VERBOSITY terse
SET clip_search.model = 'clip-search/emoji';
-- ... also in code that was compiled
SET jit_above_cost = 0; SET jit_optimize_above_cost = 0; SET jit_inline_above_cost = 0;
SELECT first(5, 'SELECT id, choose(fifth(id)), clip_embed_text(caption) FROM uploads');
RESET jit_above_cost; RESET jit_optimize_above_cost; RESET jit_inline_above_cost;
SET clip_search.model = 'clip-search/emoji';
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

-- Partitions, a view, images out of line, little memory
CREATE TABLE parts (id int, image bytea, embedding vector(128)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (1000);
ALTER TABLE parts ALTER image SET STORAGE EXTERNAL;
INSERT INTO parts SELECT id, "the ""image""" || decode(repeat('00', 20000), 'hex') || int4send(id) FROM uploads;
ANALYZE parts;
SET clip_search.batch_memory = '256kB';
UPDATE parts SET embedding = clip_embed_image(image);
SELECT count(*), min(similarity(embedding, clip_embed_image(pixel.image))) FROM parts, pixel;
RESET clip_search.batch_memory;
SET max_parallel_workers_per_gather = 0;
CREATE VIEW shown WITH (security_barrier) AS SELECT id, image FROM parts WHERE id > 50;
SELECT differ('SELECT id, clip_embed_image(image) FROM shown');
-- The row that a cursor is at may be in any partition.
BEGIN;
DECLARE c CURSOR FOR SELECT id, clip_embed_image(image) IS NOT NULL FROM shown;
FETCH 1 FROM c;
UPDATE parts SET embedding = NULL WHERE CURRENT OF c RETURNING id;
MOVE 60 FROM c;
FETCH 1 FROM c;
UPDATE parts SET embedding = NULL WHERE CURRENT OF c RETURNING id;
ROLLBACK;
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
SELECT differ('SELECT * FROM (SELECT id, clip_embed_text(caption || '' at last'') FROM uploads OFFSET 0) s ORDER BY id');
RESET min_parallel_table_scan_size; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET max_parallel_workers_per_gather;

DROP VIEW shown;
DROP TABLE uploads, photos, long, parts, words, starts;
DROP SEQUENCE counter;
DROP FUNCTION differ, same, note, first, choose, fifth, withdraw, keep, within, try_within, reset;

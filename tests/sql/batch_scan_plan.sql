-- Plain SQL that batches by itself: where plans have the node, and what EXPLAIN tells of it.
\c -
-- The first statement of a session, which loads the library while it is planned
EXPLAIN (COSTS OFF) SELECT clip_embed_text(relname::text, 'clip-search/emoji') FROM pg_class;
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE uploads (id int PRIMARY KEY, caption text, image bytea, "the ""image""" bytea);
INSERT INTO uploads SELECT i, CASE WHEN i % 9 <> 0 THEN 'number ' || i END, CASE WHEN i % 10 <> 0 THEN image END, image FROM pixel, generate_series(1, 300) i;
ANALYZE uploads;
CREATE TABLE photos (id int PRIMARY KEY, embedding vector(128), note int);
-- A plan without what a machine decides
CREATE FUNCTION plan(statement text, options text DEFAULT 'COSTS OFF') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, statement) LOOP
        RETURN NEXT regexp_replace(line, '\d+\.\d+', 'N', 'g');
    END LOOP;
END $$;

-- Where the node is
SELECT plan('SELECT id, clip_embed_image(image) FROM uploads');
SELECT plan('INSERT INTO photos SELECT id, clip_embed_image(image) FROM uploads');
SELECT plan('UPDATE photos SET embedding = clip_embed_image(image) FROM uploads WHERE uploads.id = photos.id AND photos.note > 3');
SELECT plan('CREATE TABLE x AS SELECT clip_try_embed_image(image), clip_embed_text(caption, ''clip-search/emoji'') FROM uploads');
SELECT plan('SELECT id, clip_embed_text(caption) FROM uploads ORDER BY id DESC LIMIT 20');
SELECT plan('SELECT clip_embed_text(lower(caption)) <=> clip_embed_image("the ""image""") FROM uploads', 'COSTS OFF, VERBOSE');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads', 'COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF');
SELECT plan('SELECT clip_embed_text(caption || ''?'') FROM uploads', 'COSTS OFF, ANALYZE, SUMMARY OFF');
SELECT plan('SELECT clip_embed_text(caption || ''&'') FROM uploads LIMIT 50', 'COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON');
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
-- ... also where it is for later rows only that it is evaluated
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE id < 5 OR caption <> (SELECT ''x'' || now())');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE caption <> (SELECT ''x'' || now())');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE id < 5 OR EXISTS (SELECT FROM photos)');
SELECT plan('SELECT clip_embed_text(caption || n) FROM (SELECT caption, generate_series(1, 3, id) n FROM uploads) s');
SELECT plan('SELECT clip_embed_text(caption || n) FROM (SELECT caption, generate_series(1, id) n FROM uploads) s');
-- ... and what may be an error for a value, a collation or a type that a later row has
CREATE FUNCTION falling(int) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT 1 / ($1 - i) FROM generate_series(0, $1) i';
SELECT plan('SELECT clip_embed_text(caption || n) FROM (SELECT caption, falling(300) n FROM uploads OFFSET 0) s');
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE TABLE odd AS SELECT id, caption COLLATE blind AS blind, caption COLLATE "C" AS plain, ARRAY[id] AS ids, ARRAY[u] AS pairs FROM uploads u;
ANALYZE odd;
SELECT plan('SELECT clip_embed_text(plain) FROM odd WHERE id < 50 OR strpos(blind, ''n'') > 0');
SELECT plan('SELECT clip_embed_text(plain) FROM odd WHERE id < 50 OR starts_with(blind, plain)');
SELECT plan('SELECT clip_embed_text(plain) FROM odd WHERE id < 50 OR plain LIKE ''n%'' AND strpos(plain, ''n'') > 0 AND plain ^@ ''n''');
SELECT plan('SELECT clip_embed_text(plain) FROM odd WHERE id < 50 OR plain LIKE ANY (ARRAY[''n%'', ''a\''])');
SELECT plan('SELECT clip_embed_text(plain) FROM odd WHERE id < 50 OR lower(plain || blind) = ''n''');
SELECT plan('SELECT clip_embed_text(plain) FROM odd WHERE id < 50 OR pairs = pairs');
SELECT plan('SELECT clip_embed_text(plain) FROM odd WHERE id < 50 OR ids = ids AND ARRAY[plain] && ARRAY[''n'']');
-- ... and what a node evaluates when it starts again, or compares while it gives rows
CREATE FUNCTION each(words text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT plan(format('SELECT clip_embed_text(o.plain || w.word) FROM odd o, LATERAL (%s) w', words)) $$;
SET max_parallel_workers_per_gather = 0;
SELECT each('SELECT relname AS word FROM pg_class LIMIT o.id');
SELECT each('SELECT relname AS word FROM pg_class LIMIT 3 OFFSET 2');
SELECT each('SELECT caption AS word FROM uploads TABLESAMPLE system (o.id)');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads TABLESAMPLE system (100) REPEATABLE (1)');
SELECT each('SELECT caption AS word FROM (SELECT caption, rank() OVER (ORDER BY id ROWS o.id PRECEDING) r FROM uploads OFFSET 0) s WHERE r > 0');
SELECT each('SELECT caption AS word FROM (SELECT caption, rank() OVER (ORDER BY id ROWS 2 PRECEDING) r FROM uploads OFFSET 0) s WHERE r > 0');
SELECT each('SELECT caption AS word FROM (SELECT caption, rank() OVER (ORDER BY id RANGE 2 PRECEDING) r FROM uploads OFFSET 0) s WHERE r > 0');
SELECT plan('SELECT clip_embed_text(plain) FROM (SELECT DISTINCT plain, pairs FROM odd) s');
SELECT plan('SELECT clip_embed_text(plain) FROM (SELECT DISTINCT plain, blind FROM odd) s');
SELECT plan('SELECT clip_embed_text(plain) FROM (SELECT * FROM odd ORDER BY pairs OFFSET 0) s');
SELECT plan('SELECT clip_embed_text(plain) FROM (SELECT plain, rank() OVER (PARTITION BY pairs) r FROM odd OFFSET 0) s WHERE r > 0');
RESET max_parallel_workers_per_gather;
-- A LIMIT that may be another when it is looked at later
SELECT plan('SELECT clip_embed_text(caption) FROM uploads LIMIT current_setting(''geqo_threshold'')::int');
-- A LIMIT within a LIMIT, and one that is not read to its end
SELECT plan('SELECT * FROM (SELECT clip_embed_text(caption || ''!'') FROM uploads LIMIT 200) s LIMIT 5 OFFSET 2', 'COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF');
-- Parameters
PREPARE few(int, text) AS SELECT count(e), count(*) FROM (SELECT clip_embed_text(caption, $2) e FROM uploads ORDER BY id LIMIT $1) s;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE few(10, 'clip-search/emoji');
RESET plan_cache_mode;

-- Partitions, a view, images out of line, little memory
CREATE TABLE parts (id int, image bytea, embedding vector(128)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (1000);
ALTER TABLE parts ALTER image SET STORAGE EXTERNAL;
INSERT INTO parts SELECT id, "the ""image""" || decode(repeat('00', 20000), 'hex') || int4send(id) FROM uploads;
ANALYZE parts;
SET clip_search.batch_memory = '256kB';
SELECT plan('UPDATE parts SET embedding = clip_embed_image(image)', 'COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF');
RESET clip_search.batch_memory;
SET max_parallel_workers_per_gather = 0;
CREATE VIEW shown WITH (security_barrier) AS SELECT id, image FROM parts WHERE id > 50;
SELECT plan('SELECT id, clip_embed_image(image) FROM shown');

-- Parallel plans
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET max_parallel_workers_per_gather = 2;
ALTER TABLE uploads SET (parallel_workers = 2);
SELECT plan('SELECT id, clip_embed_text(caption) FROM uploads');
RESET min_parallel_table_scan_size; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET max_parallel_workers_per_gather;

DROP VIEW shown;
DROP TABLE uploads, photos, parts, odd;
DROP COLLATION blind;
DROP SCHEMA other CASCADE;
DROP FUNCTION plan, falling, each;

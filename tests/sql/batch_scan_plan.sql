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
        -- From PostgreSQL 17 on, the result of an InitPlan is called after it.
        line := regexp_replace(line, ' \(returns \$\d+\)', '');
        line := regexp_replace(line, '\$\d+|\(InitPlan \d+\)\.col\d+', '(InitPlan)', 'g');
        -- PostgreSQL 18 counts rows with decimals, and says whether a node is disabled.
        line := regexp_replace(line, '(rows=|Rows": )(\d+)\.00', '\1\2', 'g');
        line := regexp_replace(line, ',\n *"Disabled": false', '', 'g');
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
SELECT plan('SELECT clip_embed_text(caption) FROM uploads', 'COSTS OFF, ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF');
SELECT plan('SELECT clip_embed_text(caption || ''?'') FROM uploads', 'COSTS OFF, ANALYZE, BUFFERS OFF, SUMMARY OFF');
SELECT plan('SELECT clip_embed_text(caption || ''&'') FROM uploads LIMIT 50', 'COSTS OFF, ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON');
-- Where it is not: few rows, one text for all rows, a model for each row, what is evaluated for some rows only, ...
SELECT plan('SELECT clip_embed_image(image) FROM uploads WHERE id < 4');
SELECT plan('SELECT clip_embed_image(image) FROM uploads LIMIT 4');
SELECT plan('SELECT clip_embed_text(''a dog'') FROM uploads');
SELECT plan('SELECT clip_embed_image(image, caption) FROM uploads');
SELECT plan('SELECT CASE WHEN id % 2 = 0 THEN clip_embed_image(image) END FROM uploads');
SELECT plan('SELECT coalesce(NULL::vector, clip_embed_image(image)) FROM uploads WHERE id > 1 OR clip_embed_image(image) IS NULL');
-- ... and where what is below has effects
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE random() < 2');
SELECT plan('SELECT clip_embed_text(caption || random()) FROM uploads');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads WHERE id < 5 OR id > (SELECT random() * 300)');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads u WHERE id < 5 OR id > (SELECT count(*) FROM photos p WHERE random() < u.id)');
SELECT plan('SELECT clip_embed_text(caption) FROM (SELECT * FROM uploads FOR UPDATE) s');
SELECT plan('WITH d AS (DELETE FROM uploads RETURNING caption) SELECT clip_embed_text(caption) FROM d');
SELECT plan('SELECT clip_embed_text(v.caption) FROM (VALUES (random()::text), (''b''), (''c''), (''d''), (''e'')) v(caption)');
SELECT plan('SELECT clip_embed_text(w) FROM regexp_split_to_table(''a b'', '' '') w WHERE random() < 2');
SELECT plan('SELECT clip_embed_text(w) FROM (SELECT * FROM uploads ORDER BY random() OFFSET 0) u, LATERAL (SELECT caption || u.id AS w FROM uploads LIMIT (2 + random())::int) v');
SELECT plan('SELECT clip_embed_text(u.caption || f.n) FROM uploads u, LATERAL generate_series(1, (u.id * random())::int) f(n)');
-- What is complete before its first row may have some; and so may what stands beside a call.
SELECT plan('SELECT clip_embed_text(caption) FROM (SELECT * FROM uploads ORDER BY random() OFFSET 0) s');
SELECT plan('SELECT clip_embed_text(line) FROM regexp_split_to_table(''a b c'', '' '') line, random() r');
SELECT plan('SELECT random(), clip_embed_text(caption) FROM uploads');
SELECT plan('SELECT clip_embed_text(caption) FROM uploads FOR UPDATE');
-- Somebody else's function of this name
CREATE SCHEMA other;
CREATE FUNCTION other.clip_embed_text(text) RETURNS vector LANGUAGE sql STABLE AS $$ SELECT '[1,2]'::vector OFFSET 0 $$;
SELECT plan('SELECT other.clip_embed_text(caption) FROM uploads');
SELECT DISTINCT other.clip_embed_text(caption) FROM uploads;
-- One with settings of its own has to be called.
ALTER FUNCTION clip_embed_text(text) SET work_mem = '8MB';
SELECT plan('SELECT clip_embed_text(caption) FROM uploads');
ALTER FUNCTION clip_embed_text(text) RESET work_mem;
-- A LIMIT that is not known before
SELECT plan('SELECT clip_embed_text(caption) FROM uploads LIMIT current_setting(''geqo_threshold'')::int');
-- A LIMIT within a LIMIT, and one that is not read to its end
SELECT plan('SELECT * FROM (SELECT clip_embed_text(caption || ''!'') FROM uploads LIMIT 200) s LIMIT 5 OFFSET 2', 'COSTS OFF, ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF');
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
SELECT plan('UPDATE parts SET embedding = clip_embed_image(image)', 'COSTS OFF, ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF');
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
DROP TABLE uploads, photos, parts;
DROP SCHEMA other CASCADE;
DROP FUNCTION plan;

-- Embeddings in step with their images and texts. What the trigger cannot be created or fired with first.
SET clip_search.model = 'clip-search/emoji';
\x on
\pset format unaligned
CREATE TABLE watched (id integer PRIMARY KEY, image bytea, "the ""caption""" text, embedding vector(128), other vector, number integer,
    copy bytea GENERATED ALWAYS AS (image) STORED, made vector(128) GENERATED ALWAYS AS (clip_embed_image(image, 'clip-search/emoji')) STORED);
CREATE FUNCTION refused(arguments text, trigger text DEFAULT 'BEFORE INSERT OR UPDATE ON watched FOR EACH ROW',
                        statement text DEFAULT 'INSERT INTO watched SELECT 1, image FROM pixel')
    RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER t %s EXECUTE FUNCTION clip_embed_trigger(%s)', trigger, arguments);
    RETURN QUERY SELECT * FROM report(statement);
    DROP TRIGGER t ON watched;
END $$;
SELECT * FROM report('SELECT clip_embed_trigger()');
SELECT * FROM refused($$'image', 'embedding'$$, 'AFTER INSERT ON watched FOR EACH ROW') AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image', 'embedding'$$, 'BEFORE INSERT ON watched') AS r(state text, message text, detail text, hint text);
INSERT INTO watched VALUES (0);
SELECT * FROM refused($$'image', 'embedding'$$, 'BEFORE DELETE ON watched FOR EACH ROW', 'DELETE FROM watched') AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image', 'embedding', 'clip-search/emoji', 'more'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image', 'embedding', 'on_error=ignore'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'photo', 'embedding'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'ctid', 'embedding'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image', 'vector'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'number', 'embedding'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image', 'number'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'copy', 'embedding'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image', 'made'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image', 'embedding', 'no/such'$$) AS r(state text, message text, detail text, hint text);
ALTER TABLE watched ADD COLUMN small vector(3);
SELECT * FROM refused($$'image', 'small'$$) AS r(state text, message text, detail text, hint text);
ALTER TABLE watched DROP COLUMN small;
SELECT * FROM refused($$'image', 'small'$$) AS r(state text, message text, detail text, hint text);
SELECT * FROM refused($$'image', 'embedding'$$, statement => $$INSERT INTO watched VALUES (1, 'no image')$$) AS r(state text, message text, detail text, hint text);
-- A type that is called vector and is none
CREATE SCHEMA clip_search_false;
CREATE DOMAIN clip_search_false.vector AS polygon;
ALTER TABLE watched ADD COLUMN false_one clip_search_false.vector;
SELECT * FROM refused($$'image', 'false_one'$$) AS r(state text, message text, detail text, hint text);
DROP TABLE watched;
DROP SCHEMA clip_search_false CASCADE;
\x off
\pset format aligned

-- Images and texts
CREATE TABLE watched (id integer PRIMARY KEY, image bytea, "the ""caption""" text, embedding vector(128), by_caption vector, note text);
CREATE TRIGGER image BEFORE INSERT OR UPDATE OF image ON watched FOR EACH ROW EXECUTE FUNCTION clip_embed_trigger('image', 'embedding');
CREATE TRIGGER caption BEFORE INSERT OR UPDATE ON watched FOR EACH ROW
    EXECUTE FUNCTION clip_embed_trigger('the "caption"', 'by_caption', 'clip-search/emoji', 'on_error=error');
INSERT INTO watched SELECT 1, image, 'a dog' FROM pixel;
INSERT INTO watched VALUES (2, NULL, NULL), (3, NULL, '');
CREATE VIEW state AS SELECT id, embedding = clip_embed_image(image) AS image, by_caption = clip_embed_text("the ""caption""") AS caption FROM watched ORDER BY id;
SELECT * FROM state;
-- Only what has changed is embedded: an embedding that somebody has changed by hand stays as long as its source does.
UPDATE watched SET embedding = array_fill(1, ARRAY[128])::vector WHERE id = 1;
UPDATE watched SET image = image || '', "the ""caption""" = "the ""caption""" || '' WHERE id = 1;
SELECT * FROM state WHERE id = 1;
-- Where there is none, it takes an update of the source, even to what it is.
UPDATE watched SET embedding = NULL, by_caption = NULL;
UPDATE watched SET note = 'x';
SELECT id, embedding IS NULL AS image, by_caption IS NULL AS caption FROM watched ORDER BY id;
UPDATE watched SET image = image, "the ""caption""" = "the ""caption""" WHERE id = 1;
SELECT * FROM state WHERE id = 1;
UPDATE watched SET image = image || '\x00', "the ""caption""" = 'a cat' WHERE id = 1;
SELECT * FROM state;
UPDATE watched SET image = NULL, "the ""caption""" = NULL WHERE id = 1;
SELECT id, embedding IS NULL AS image, by_caption IS NULL AS caption FROM watched WHERE id = 1;
-- Upserts, COPY, rows that are moved out of line
INSERT INTO watched SELECT 1, image, 'a tree' FROM pixel ON CONFLICT (id) DO UPDATE SET image = excluded.image, "the ""caption""" = excluded."the ""caption""";
COPY watched (id, "the ""caption""") FROM stdin;
4	a boat
5	\N
\.
ALTER TABLE watched ALTER image SET STORAGE EXTERNAL;
INSERT INTO watched (id, image) SELECT 6, image || decode(repeat('00', 100000), 'hex') FROM pixel;
UPDATE watched SET embedding = array_fill(1, ARRAY[128])::vector WHERE id = 6;
UPDATE watched SET note = 'y', image = image WHERE id = 6;
SELECT id, embedding = array_fill(1, ARRAY[128])::vector AS untouched FROM watched WHERE id = 6;
SELECT * FROM state WHERE id <> 6;
-- Images that are none, and a partitioned table
CREATE TABLE lenient (id integer, image bytea, embedding vector(128)) PARTITION BY RANGE (id);
CREATE TABLE lenient_1 PARTITION OF lenient FOR VALUES FROM (0) TO (10);
CREATE TRIGGER image BEFORE INSERT OR UPDATE ON lenient FOR EACH ROW EXECUTE FUNCTION clip_embed_trigger('image', 'embedding', 'on_error=null');
INSERT INTO lenient SELECT 1, image FROM pixel;
INSERT INTO lenient VALUES (2, 'no image');
SELECT id, embedding IS NULL AS bad FROM lenient ORDER BY 1;
UPDATE lenient SET image = 'still none' WHERE id = 1;
SELECT id, embedding IS NULL AS bad FROM lenient ORDER BY 1;
DROP TABLE lenient;
DROP VIEW state;
DROP TABLE watched;
DROP FUNCTION refused;

-- Filling a table. What it refuses first; it commits, so it is called by itself, and its SQLSTATE is psql's.
SET clip_search.model = 'clip-search/emoji';
\set VERBOSITY default
\set state '\\echo :LAST_ERROR_SQLSTATE'
CREATE TABLE stock (id integer PRIMARY KEY, image bytea, "the ""caption""" text, url text, embedding vector(128), small vector(3),
    free vector, half halfvec(128), copy vector(128) GENERATED ALWAYS AS (embedding) STORED, made_of text, number integer);
BEGIN;
CALL clip_embed_table('stock', 'image');
:state
ROLLBACK;
DO $$ BEGIN BEGIN CALL clip_embed_table('stock', 'image'); EXCEPTION WHEN division_by_zero THEN END; END $$;
:state
CALL clip_embed_table('no_such_table', 'image');
:state
CALL clip_embed_table(NULL, 'image');
:state
CALL clip_embed_table('stock', NULL);
:state
CALL clip_embed_table('stock', 'photo');
:state
CALL clip_embed_table('stock', 'number');
:state
ALTER TABLE stock ADD gone bytea;
ALTER TABLE stock DROP gone;
CALL clip_embed_table('stock', 'gone');
:state
CALL clip_embed_table('stock', 'image', 'vectors');
:state
CALL clip_embed_table('stock', 'image', 'number');
:state
CALL clip_embed_table('stock', 'image', 'copy');
:state
CALL clip_embed_table('stock', 'image', 'small');
:state
CALL clip_embed_table('stock', 'image', model => 'no/such');
:state
CALL clip_embed_table('stock', 'image', source_kind => 'photo');
:state
CALL clip_embed_table('stock', 'image', source_kind => 'text');
:state
CALL clip_embed_table('stock', 'url', source_kind => 'image');
:state
CALL clip_embed_table('stock', 'url', source_kind => 'url');
:state
CALL clip_embed_table('stock', 'image', image_column => 'image');
:state
CALL clip_embed_table('stock', 'image', provenance_column => 'number');
:state
-- No column is two things at once, and none that is written is in the key.
CALL clip_embed_table('stock', 'url', provenance_column => 'url');
:state
CREATE TABLE coded (code text, digest bytea, embedding vector(128), PRIMARY KEY (code, digest, embedding));
CALL clip_embed_table('coded', 'code');
:state
ALTER TABLE coded DROP CONSTRAINT coded_pkey, ADD PRIMARY KEY (code, digest);
ALTER TABLE coded ALTER embedding DROP NOT NULL;
CALL clip_embed_table('coded', 'code', provenance_column => 'code');
CALL clip_embed_table('coded', 'digest', provenance_column => 'code');
SET clip_search.url_fetch = on;
CALL clip_embed_table('coded', 'code', source_kind => 'url', image_column => 'digest');
RESET clip_search.url_fetch;
INSERT INTO coded VALUES ('a source may be in the key', '');
CALL clip_embed_table('coded', 'code');
DROP TABLE coded;
CALL clip_embed_table('stock', 'image', batch_size => 0);
:state
CREATE VIEW stock_view AS SELECT * FROM stock;
CALL clip_embed_table('stock_view', 'image');
:state
CREATE MATERIALIZED VIEW stock_copy AS SELECT id, image, embedding FROM stock;
CALL clip_embed_table('stock_copy', 'image');
:state
CALL clip_embed_table('stock_pkey', 'image');
:state
CREATE TABLE keyless (image bytea, embedding vector(128));
CALL clip_embed_table('keyless', 'image');
:state
SET default_transaction_read_only = on;
CALL clip_embed_table('stock', 'image');
:state
RESET default_transaction_read_only;
CREATE ROLE clip_search_filler;
GRANT SELECT (id, image, embedding), UPDATE (free) ON stock TO clip_search_filler;
SET ROLE clip_search_filler;
CALL clip_embed_table('stock', 'image');
:state
CALL clip_embed_table('stock', 'url');
:state
SELECT count(*) FROM clip_search_internal.clip_embed_errors_data;
:state
RESET ROLE;

-- Nothing to do, then images and what is none
CALL clip_embed_table('stock', 'image');
INSERT INTO stock (id, image) SELECT n, CASE WHEN n % 10 = 3 THEN '\x00' WHEN n % 10 <> 4 THEN image END FROM pixel, generate_series(1, 40) AS n;
CALL clip_embed_table('stock', 'image', batch_size => 7);
SELECT count(*), count(image), count(embedding), bool_and(embedding = (SELECT clip_embed_image(image) FROM pixel)) AS same FROM stock;
SELECT "table", key, source_column, embedding_column, sqlstate, message, hint, attempts, occurred_at > now() - interval '1 hour' AS recent FROM clip_embed_errors ORDER BY key;
SELECT * FROM clip_stat_progress_embed;
-- Again: those that failed are left out, unless they have changed or one asks for it.
CALL clip_embed_table('stock', 'image');
CALL clip_embed_table('stock', 'image', retry_errors => true);
UPDATE stock SET image = pixel.image FROM pixel WHERE id IN (3, 13);
UPDATE stock SET image = '\x01' WHERE id = 23;
CALL clip_embed_table('stock', 'image');
SELECT key, message, attempts FROM clip_embed_errors ORDER BY key;
-- One may see those of the tables that one may read.
SET ROLE clip_search_filler;
SELECT count(*) FROM clip_embed_errors;
RESET ROLE;
GRANT SELECT ON stock TO clip_search_filler;
SET ROLE clip_search_filler;
SELECT count(*) FROM clip_embed_errors;
-- With the privileges that are needed, and no more
CALL clip_embed_table('stock', 'image', 'free');
RESET ROLE;
SELECT count(free), bool_and(free = embedding) AS same FROM stock WHERE embedding IS NOT NULL;
-- Texts, names with quotes, and halfvec
UPDATE stock SET embedding = NULL, "the ""caption""" = 'caption ' || id WHERE id <= 20;
CALL clip_embed_table('stock', 'the "caption"');
CALL clip_embed_table('stock', 'the "caption"', 'half', model => 'clip-search/emoji');
SELECT count(*), bool_and(embedding = clip_embed_text("the ""caption""")) AS same, bool_and(half = clip_embed_text("the ""caption""")::halfvec) AS half_too FROM stock WHERE id <= 20;
-- Where provenance is kept, those are embedded again whose source or model has changed.
CALL clip_embed_table('stock', 'the "caption"', provenance_column => 'made_of');
SELECT made_of ~ '^clip-search/emoji fp32 [0-9a-f]{16} [0-9a-f]{64}$' AS made_of, split_part(made_of, ' ', 4) = encode(sha256("the ""caption"""::bytea), 'hex') AS hash FROM stock WHERE id = 1;
CALL clip_embed_table('stock', 'the "caption"', provenance_column => 'made_of');
UPDATE stock SET "the ""caption""" = 'another' WHERE id = 5;
UPDATE stock SET made_of = replace(made_of, 'fp32', 'int8') WHERE id = 6;
UPDATE stock SET made_of = replace(made_of, 'fp32', 'text fp16, image int8') WHERE id = 8;
CALL clip_embed_table('stock', 'the "caption"', provenance_column => 'made_of');
SELECT embedding = clip_embed_text('another') AS same FROM stock WHERE id = 5;
-- What is no provenance is somebody's, and nothing is written beside it. An empty text is nothing.
UPDATE stock SET made_of = 'My caption', "the ""caption""" = 'one more' WHERE id = 5;
CALL clip_embed_table('stock', 'the "caption"', provenance_column => 'made_of', batch_size => 1);
:state
SELECT id, made_of FROM stock WHERE made_of !~ '^clip-search/emoji fp32 ' ORDER BY id;
UPDATE stock SET made_of = '' WHERE id = 5;
CALL clip_embed_table('stock', 'the "caption"', provenance_column => 'made_of');
-- Nor that of a row that somebody else has written since.
CREATE TABLE titles (id integer PRIMARY KEY, caption text, title text, embedding vector(128));
INSERT INTO titles SELECT n, 'caption ' || n FROM generate_series(1, 4) AS n;
CREATE FUNCTION entitle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE titles SET title = 'My title' WHERE id = 4 AND title IS NULL; RETURN NULL; END $$;
CREATE TRIGGER entitle AFTER UPDATE ON titles FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION entitle();
CALL clip_embed_table('titles', 'caption', provenance_column => 'title', batch_size => 2);
:state
SELECT id, left(title, 11) AS title, embedding IS NOT NULL AS filled FROM titles ORDER BY id;
DROP TABLE titles;
DROP FUNCTION entitle();
-- What was embedded and is no image any more has no embedding.
CALL clip_embed_table('stock', 'image', provenance_column => 'made_of');
UPDATE stock SET image = '\x02' WHERE id = 7;
CALL clip_embed_table('stock', 'image', provenance_column => 'made_of');
SELECT embedding, made_of FROM stock WHERE id = 7;
-- URLs, with the image kept
SET clip_search.url_fetch = on;
UPDATE stock SET url = CASE id WHEN 1 THEN 'data:image/png;base64,' || encode(pixel.image, 'base64') WHEN 2 THEN 'data:text/plain,none' ELSE 'no url' END, image = NULL, embedding = NULL FROM pixel WHERE id <= 3;
CALL clip_embed_table('stock', 'url', source_kind => 'url', image_column => 'image');
SELECT id, stock.image = pixel.image AS kept, embedding = clip_embed_image(pixel.image) AS same FROM stock, pixel WHERE id <= 3 ORDER BY id;
SELECT key, sqlstate, message FROM clip_embed_errors WHERE source_column = 'url' ORDER BY key;
-- What is no URL may be a text.
CALL clip_embed_table('stock', 'url', source_kind => 'url');
CALL clip_embed_table('stock', 'url');
SELECT id, embedding = clip_embed_text(url) AS same FROM stock WHERE id IN (2, 3) ORDER BY id;
SELECT count(*) FROM clip_embed_errors WHERE source_column = 'url';
SET ROLE clip_search_filler;
CALL clip_embed_table('stock', 'url', 'free', source_kind => 'url');
:state
RESET ROLE;
RESET clip_search.url_fetch;
-- A partitioned table, with a key of two columns, one of them in another order than ASCII; triggers are fired
CREATE TABLE parts (shop text COLLATE "C", id integer, image bytea, embedding vector(128), changes integer DEFAULT 0, PRIMARY KEY (shop, id)) PARTITION BY LIST (shop);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b', 'Ö''');
CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END $$;
CREATE TRIGGER count_changes BEFORE UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION count_changes();
INSERT INTO parts SELECT shop, n, CASE WHEN n = 9 AND shop = 'b' THEN '' ELSE image END FROM pixel, unnest(ARRAY['a', 'b', 'Ö''']) AS shop, generate_series(1, 20) AS n;
CALL clip_embed_table('parts', 'image', batch_size => 3);
SELECT tableoid::regclass, count(*), count(embedding), sum(changes) FROM parts GROUP BY 1 ORDER BY 1;
SELECT "table", key FROM clip_embed_errors WHERE "table" = 'parts_b'::regclass;
-- Tables that inherit have each their own rows with the same keys.
CREATE TABLE ancestor (id integer PRIMARY KEY, image bytea, embedding vector(128));
CREATE TABLE heir (PRIMARY KEY (id)) INHERITS (ancestor);
INSERT INTO ancestor VALUES (1, 'no image'), (2, NULL);
INSERT INTO heir SELECT n, image FROM pixel, generate_series(1, 2) AS n;
CALL clip_embed_table('ancestor', 'image', batch_size => 1);
SELECT "table", key FROM clip_embed_errors WHERE "table" = 'ancestor'::regclass;
SELECT count(embedding) FROM heir;
DROP TABLE ancestor CASCADE;
-- Operators of somebody else in the search path
CREATE SCHEMA clip_search_own;
CREATE FUNCTION clip_search_own.never(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR clip_search_own.> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = clip_search_own.never);
CREATE OPERATOR clip_search_own.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = clip_search_own.never);
SET search_path = clip_search_own, pg_catalog, public;
UPDATE public.stock SET embedding = NULL WHERE "the ""caption""" IS NOT NULL;
CALL public.clip_embed_table('public.stock', 'the "caption"', batch_size => 3);
RESET search_path;
-- Rows that others' triggers do not let be: the rest is filled, and the CALL ends.
CREATE TABLE guarded (id integer PRIMARY KEY, caption text, embedding vector);
INSERT INTO guarded SELECT n, 'caption ' || n FROM generate_series(1, 30) AS n;
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = 5 THEN RETURN NULL; END IF;
    IF NEW.id = 6 THEN NEW.embedding := OLD.embedding; END IF;
    IF NEW.id = 7 THEN RAISE 'row % is not to be touched', NEW.id USING HINT = 'Leave it.', ERRCODE = 'SH007'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION guard();
CALL clip_embed_table('guarded', 'caption');
SELECT key, sqlstate, message, hint, attempts FROM clip_embed_errors WHERE "table" = 'guarded'::regclass ORDER BY key;
SELECT count(embedding) FROM guarded;
CALL clip_embed_table('guarded', 'caption');
DROP TRIGGER guard ON guarded;
CALL clip_embed_table('guarded', 'caption');
SELECT count(*) FROM clip_embed_errors WHERE "table" = 'guarded'::regclass;
-- Constraints that are deferred are those of a row, too; and others are gone on with, whatever a session's isolation.
CREATE TABLE checked (id integer PRIMARY KEY, caption text, embedding vector, isolation text);
INSERT INTO checked SELECT n, 'caption ' || n FROM generate_series(1, 30) AS n;
CREATE FUNCTION check_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.id = 7 THEN RAISE 'row % is not to be touched', NEW.id; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER check_later AFTER UPDATE ON checked DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_later();
CREATE FUNCTION note_isolation() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.isolation := current_setting('transaction_isolation'); RETURN NEW; END $$;
CREATE TRIGGER note_isolation BEFORE UPDATE ON checked FOR EACH ROW EXECUTE FUNCTION note_isolation();
SET default_transaction_isolation = serializable;
CALL clip_embed_table('checked', 'caption', batch_size => 5);
UPDATE checked SET embedding = NULL WHERE id = 1;
DO $$ BEGIN CALL clip_embed_table('checked', 'caption', retry_errors => true); RAISE NOTICE 'then %', current_setting('transaction_isolation'); END $$;
RESET default_transaction_isolation;
SELECT isolation, count(embedding) FROM checked GROUP BY isolation ORDER BY isolation;
SELECT key, sqlstate, message FROM clip_embed_errors WHERE "table" = 'checked'::regclass;
DROP TABLE checked;
DROP FUNCTION check_later(), note_isolation();
-- What failed is forgotten where its row is gone, or has another key, an embedding, or nothing to embed any more; not where
-- it stands, nor what is known of another source.
CREATE TABLE bad (shop text, id integer, image bytea, url text, embedding vector(128), PRIMARY KEY (shop, id)) PARTITION BY LIST (shop);
CREATE TABLE bad_a PARTITION OF bad FOR VALUES IN ('a');
CREATE TABLE bad_b PARTITION OF bad FOR VALUES IN ('b');
INSERT INTO bad SELECT shop, n, 'no image', 'no URL' FROM unnest(ARRAY['a', 'b']) AS shop, generate_series(1, 6) AS n;
CALL clip_embed_table('bad', 'image');
UPDATE bad SET image = NULL WHERE id = 6;
SET clip_search.url_fetch = on;
UPDATE bad SET url = NULL WHERE id < 6;
CALL clip_embed_table('bad', 'url', source_kind => 'url');
RESET clip_search.url_fetch;
DELETE FROM bad WHERE id = 1;
UPDATE bad SET id = 20 WHERE id = 2;
UPDATE bad SET embedding = (SELECT clip_embed_image(image) FROM pixel) WHERE id = 3;
UPDATE bad SET image = NULL WHERE id = 4;
UPDATE bad SET shop = 'b', id = 50 WHERE shop = 'a' AND id = 5;
CALL clip_embed_table('bad', 'image');
SELECT "table", key, source_column, attempts FROM clip_embed_errors WHERE "table" IN ('bad_a'::regclass, 'bad_b'::regclass) ORDER BY key;
-- Whoever does not see all rows forgets none that he does not see; but of those that he sees.
CREATE POLICY few ON bad USING (id = 20);
ALTER TABLE bad ENABLE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON bad TO clip_search_filler;
DELETE FROM bad WHERE shop = 'b' AND id = 5;
UPDATE bad SET embedding = (SELECT clip_embed_image(image) FROM pixel) WHERE shop = 'b' AND id = 20;
SET ROLE clip_search_filler;
CALL clip_embed_table('bad', 'image');
RESET ROLE;
SELECT key, source_column FROM clip_search_internal.clip_embed_errors_data WHERE relid IN ('bad_a'::regclass, 'bad_b'::regclass) ORDER BY key;
CALL clip_embed_table('bad', 'image');
SELECT key, source_column FROM clip_search_internal.clip_embed_errors_data WHERE relid IN ('bad_a'::regclass, 'bad_b'::regclass) ORDER BY key;
-- Not what the queue has given up while its row is there: it may have kept the embedding of what it was.
INSERT INTO clip_search_internal.clip_embed_errors_data SELECT relid, embedding_column, sha256(convert_to(key, 'UTF8')), key::jsonb, 'image', 'P0001', 'not to be touched', NULL, decode(repeat('00', 32), 'hex'), false
    FROM (VALUES ('bad_a'::regclass, name 'embedding', '{"id": 3, "shop": "a"}'), ('bad_a', 'embedding', '{"id": 4, "shop": "none"}')) AS given_up (relid, embedding_column, key);
CALL clip_embed_table('bad', 'image');
SELECT key, message FROM clip_embed_errors WHERE sqlstate = 'P0001' ORDER BY key;
-- Keys of other columns, or of a type that does not take them any more
CREATE TABLE many (id text PRIMARY KEY, image bytea, embedding vector(128));
INSERT INTO many SELECT n, 'no image' FROM generate_series(1, 2500) AS n;
SET client_min_messages = warning;
CALL clip_embed_table('many', 'image');
TRUNCATE many;
INSERT INTO many SELECT n, 'no image' FROM generate_series(1, 2500, 2) AS n;
CALL clip_embed_table('many', 'image');
SELECT count(*), min(attempts), max(attempts) FROM clip_embed_errors WHERE "table" = 'many'::regclass;
UPDATE clip_search_internal.clip_embed_errors_data SET key = jsonb_build_object('id', 'no number') WHERE relid = 'many'::regclass AND key_hash IN (SELECT key_hash FROM clip_search_internal.clip_embed_errors_data WHERE relid = 'many'::regclass LIMIT 10);
UPDATE clip_search_internal.clip_embed_errors_data SET key = jsonb_build_object('number', 1) WHERE relid = 'many'::regclass AND key_hash IN (SELECT key_hash FROM clip_search_internal.clip_embed_errors_data WHERE relid = 'many'::regclass AND key ->> 'id' <> 'no number' LIMIT 10);
ALTER TABLE many ALTER id TYPE integer USING id::integer;
UPDATE many SET embedding = (SELECT clip_embed_image(image) FROM pixel) WHERE id % 4 = 1;
CALL clip_embed_table('many', 'image');
SELECT count(*), count(*) FILTER (WHERE (key ->> 'id')::integer % 4 = 1) AS mended, count(*) FILTER (WHERE jsonb_typeof(key -> 'id') = 'number') AS numbers FROM clip_embed_errors WHERE "table" = 'many'::regclass;
RESET client_min_messages;
DROP TABLE bad, many;
-- Whoever is shown only some of the rows is shown no failures of others.
ALTER TABLE stock ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON stock USING (id < 3);
SELECT count(*) > 0 AS "some" FROM clip_embed_errors WHERE "table" = 'stock'::regclass;
SET ROLE clip_search_filler;
SELECT count(*) FROM clip_embed_errors WHERE "table" = 'stock'::regclass;
RESET ROLE;
ALTER TABLE stock DISABLE ROW LEVEL SECURITY;
-- A domain as the source; a key of two columns; more rows than one statement looks at, of which the last have none
CREATE DOMAIN jpeg AS bytea;
CREATE TABLE large (part integer, id text, image jpeg, embedding vector, made_of text, PRIMARY KEY (part, id));
INSERT INTO large SELECT n / 1000, n, pixel.image, CASE WHEN n < 44990 THEN vector '[1]' END FROM generate_series(1, 45000) AS n, pixel;
CALL clip_embed_table('large', 'image');
SELECT count(*), count(embedding), count(*) FILTER (WHERE vector_dims(embedding) > 1) AS filled FROM large;
DELETE FROM large WHERE part > 0 OR id >= '2';
CALL clip_embed_table('large', 'image', provenance_column => 'made_of');
CALL clip_embed_table('large', 'image', provenance_column => 'made_of');
DROP TABLE guarded, large;
DROP DOMAIN jpeg;
DROP FUNCTION guard();
-- A temporary table, and one that is gone leaves no errors behind
CREATE TEMP TABLE passing (id uuid PRIMARY KEY, image bytea, embedding vector(128));
INSERT INTO passing VALUES ('00000000-0000-0000-0000-000000000001', 'no image');
SET client_min_messages = warning;
CALL clip_embed_table('passing', 'image');
RESET client_min_messages;
SELECT key FROM clip_embed_errors WHERE "table" = 'passing'::regclass;
DROP TABLE passing;
CALL clip_embed_table('stock', 'the "caption"');
SELECT count(*) FROM clip_search_internal.clip_embed_errors_data AS e WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = e.relid);
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA clip_search_own CASCADE;
RESET client_min_messages;
DROP VIEW stock_view;
DROP MATERIALIZED VIEW stock_copy;
DROP TABLE stock, keyless, parts;
DROP FUNCTION count_changes;
DROP ROLE clip_search_filler;

-- Embeddings kept in step by clip_sync: what it refuses first.
SET clip_search.model = 'clip-search/emoji';
\x on
\pset format unaligned
CREATE TABLE shop (id integer PRIMARY KEY, image bytea, "the ""caption""" text, embedding vector(128), "the ""vector""" vector(128), small vector(3));
CREATE TABLE nokey (image bytea, embedding vector(128));
CREATE VIEW shop_view AS SELECT * FROM shop;
CREATE TEMP TABLE passing (id integer PRIMARY KEY, image bytea, embedding vector(128));
SELECT * FROM report($$SELECT clip_sync(NULL, 'image')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'photo')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', 'vectors')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', mode => 'later')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', on_error => 'ignore')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', mode => 'queued', on_error => 'null')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', 'small', mode => 'queued')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', mode => 'queued', model => 'no/such')$$);
SELECT * FROM report($$SELECT clip_sync('nokey', 'image', mode => 'queued')$$);
SELECT * FROM report($$SELECT clip_sync('shop_view', 'image', mode => 'queued')$$);
-- What a trigger would refuse at the first upload
CREATE TABLE odd (id integer PRIMARY KEY DEFERRABLE, image bytea, half halfvec(128), embedding vector(128), title text, number integer,
    caption text GENERATED ALWAYS AS ('a ' || title) STORED, copy vector(128) GENERATED ALWAYS AS (embedding) STORED);
SELECT * FROM report($$SELECT clip_sync('odd', 'image', mode => 'queued')$$);
ALTER TABLE odd DROP CONSTRAINT odd_pkey, ADD PRIMARY KEY (id);
SELECT * FROM report($$SELECT clip_sync('odd', 'image', 'half')$$);
SELECT * FROM report($$SELECT clip_sync('odd', 'caption')$$);
SELECT * FROM report($$SELECT clip_sync('odd', 'image', 'copy')$$);
SELECT * FROM report($$SELECT clip_sync('odd', 'number')$$);
ALTER TABLE odd ADD gone bytea;
ALTER TABLE odd DROP gone;
SELECT * FROM report($$SELECT clip_sync('odd', 'gone', mode => 'queued')$$);
SELECT state, message FROM report($$SELECT clip_sync('odd', (SELECT attname FROM pg_attribute WHERE attrelid = 'odd'::regclass AND attisdropped))$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', 'small')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', model => 'no/such')$$);
SELECT state, replace(message, pg_my_temp_schema()::regnamespace::text, 'pg_temp') AS message, hint FROM report($$SELECT clip_sync('passing', 'image', mode => 'queued')$$);
SELECT * FROM report($$SELECT clip_unsync('shop')$$);
CREATE ROLE clip_search_other;
GRANT SELECT ON shop TO clip_search_other;
SET ROLE clip_search_other;
SELECT * FROM report($$SELECT clip_sync('shop', 'image')$$);
SELECT * FROM report($$SELECT * FROM clip_search_internal.clip_embed_queue$$);
RESET ROLE;
BEGIN READ ONLY;
SELECT clip_sync('shop', 'image');
ROLLBACK;
-- The trigger by itself
SELECT * FROM report('SELECT clip_enqueue_trigger()');
CREATE TRIGGER t BEFORE INSERT ON shop FOR EACH ROW EXECUTE FUNCTION clip_enqueue_trigger('image', 'embedding');
SELECT * FROM report('INSERT INTO shop VALUES (0)');
DROP TRIGGER t ON shop;
CREATE TRIGGER t AFTER INSERT ON shop FOR EACH ROW EXECUTE FUNCTION clip_enqueue_trigger('image');
SELECT * FROM report('INSERT INTO shop VALUES (0)');
DROP TRIGGER t ON shop;
CREATE TRIGGER t AFTER INSERT ON nokey FOR EACH ROW EXECUTE FUNCTION clip_enqueue_trigger('image', 'embedding');
SELECT * FROM report($$INSERT INTO nokey VALUES ('')$$);
CREATE TRIGGER t AFTER INSERT ON passing FOR EACH ROW EXECUTE FUNCTION clip_enqueue_trigger('image', 'embedding');
SELECT * FROM report($$INSERT INTO passing VALUES (1, '')$$);
\x off
\pset format aligned
-- Immediate
SELECT clip_sync('shop', 'image');
INSERT INTO shop SELECT 1, image FROM pixel;
SELECT embedding = clip_embed_image(image) AS same FROM shop;
SELECT clip_sync('shop', 'the "caption"', 'the "vector"', on_error => 'null', always => true);
SELECT "table", trigger, source_column, embedding_column, mode, enabled, queued, oldest, last_error FROM clip_sync_status() ORDER BY trigger, "table"::text;
-- Queued, in the place of what was there. Nothing of a transaction that is rolled back is left.
SELECT clip_sync('shop', 'image', mode => 'queued');
DROP TRIGGER t ON passing;
SELECT clip_sync('passing', 'image');
BEGIN;
INSERT INTO shop SELECT 2, image FROM pixel;
UPDATE shop SET small = '[1,2,3]' WHERE id = 2;
UPDATE shop SET image = image || '\x00' WHERE id = 2;
SAVEPOINT before;
INSERT INTO shop SELECT 22, image FROM pixel;
ROLLBACK TO before;
SELECT relid, key, source_column, embedding_column, model, attempts FROM clip_search_internal.clip_embed_queue ORDER BY due_at;
SELECT trigger, mode, queued, oldest IS NOT NULL AS waits FROM clip_sync_status() WHERE "table" = 'shop'::regclass ORDER BY trigger;
ROLLBACK;
SELECT count(*) FROM clip_search_internal.clip_embed_queue;
-- Whoever writes may not see the queue, and need not.
GRANT INSERT, UPDATE ON shop TO clip_search_other;
SET ROLE clip_search_other;
BEGIN;
INSERT INTO shop VALUES (3, 'no image');
SELECT trigger, queued FROM clip_sync_status() WHERE mode = 'queued';
ROLLBACK;
RESET ROLE;
-- Dropped, with what it has queued
BEGIN;
INSERT INTO shop SELECT 4, image FROM pixel;
SELECT clip_unsync('shop');
SELECT count(*) FROM clip_search_internal.clip_embed_queue;
COMMIT;
SELECT clip_unsync('shop', 'the "vector"');
SELECT count(*) FROM clip_sync_status() WHERE "table" = 'shop'::regclass;
-- Halfvec, and a generated caption
BEGIN;
SELECT clip_sync('odd', 'caption', 'half', mode => 'queued');
INSERT INTO odd (id, title) VALUES (1, 'dog');
SELECT key, source_column, embedding_column FROM clip_search_internal.clip_embed_queue;
-- Said again, what waits is kept, for what is asked for now.
UPDATE clip_search_internal.clip_embed_queue SET model = 'another/model';
SELECT clip_sync('odd', 'caption', 'half', mode => 'queued', always => true);
SELECT key, model FROM clip_search_internal.clip_embed_queue;
SELECT clip_sync('odd', 'title', 'half', mode => 'queued');
SELECT key, source_column, embedding_column FROM clip_search_internal.clip_embed_queue;
-- Also where columns were renamed meanwhile; no upload gets past the old trigger.
ALTER TABLE odd RENAME title TO heading;
SAVEPOINT renamed;
INSERT INTO odd (id, heading) VALUES (5, 'bird');
ROLLBACK TO renamed;
SELECT clip_sync('odd', 'heading', 'half', mode => 'queued');
SELECT key, source_column, embedding_column FROM clip_search_internal.clip_embed_queue;
ALTER TABLE odd RENAME half TO short;
ALTER TABLE odd RENAME heading TO title;
SELECT clip_sync('odd', 'title', 'short', mode => 'queued');
SELECT key, source_column, embedding_column FROM clip_search_internal.clip_embed_queue;
ALTER TABLE odd RENAME short TO half;
SELECT clip_sync('odd', 'title', 'half', mode => 'queued');
SELECT trigger, source_column, embedding_column, queued FROM clip_sync_status() WHERE "table" = 'odd'::regclass;
-- Another key, and what changes neither
INSERT INTO odd (id, title) VALUES (2, 'cat');
DELETE FROM clip_search_internal.clip_embed_queue;
UPDATE odd SET id = 3 WHERE id = 2;
UPDATE odd SET number = 1 WHERE id = 1;
SELECT key FROM clip_search_internal.clip_embed_queue;
-- Arguments of all kinds
CREATE TRIGGER backslash BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION clip_embed_trigger('a\000b', 'embedding', 'é\\', 'x');
SELECT source_column, embedding_column FROM clip_sync_status() WHERE trigger = 'backslash';
-- Where all tables are published, entries have to be found by a key.
SET LOCAL client_min_messages = error;
CREATE PUBLICATION clip_search_all FOR ALL TABLES;
RESET client_min_messages;
UPDATE clip_search_internal.clip_embed_queue SET due_at = now();
DELETE FROM clip_search_internal.clip_embed_queue;
ROLLBACK;
-- A partition with a trigger of its own, and a table that the caller may not read
BEGIN;
CREATE TABLE whole (id int PRIMARY KEY, caption text, "its vector" vector) PARTITION BY RANGE (id);
CREATE TABLE "the part" PARTITION OF whole DEFAULT;
SELECT clip_sync('"the part"', 'caption', 'its vector');
SAVEPOINT in_step;
SELECT clip_sync('whole', 'caption', 'its vector');
ROLLBACK TO in_step;
GRANT CREATE ON SCHEMA public TO clip_search_other;
ALTER TABLE whole OWNER TO clip_search_other;
SELECT clip_unsync('"the part"', 'its vector');
SELECT clip_sync('whole', 'caption', 'its vector');
REVOKE ALL ON whole FROM clip_search_other;
SET LOCAL ROLE clip_search_other;
SELECT clip_unsync('whole', 'its vector');
SAVEPOINT out_of_step;
SELECT clip_unsync('shop');
ROLLBACK TO out_of_step;
RESET ROLE;
SELECT clip_sync('shop', 'image');
SET LOCAL ROLE clip_search_other;
SELECT clip_unsync('shop');
ROLLBACK;
DROP VIEW shop_view;
DROP TABLE shop, nokey, passing, odd;
DROP ROLE clip_search_other;
-- Triggers made by hand: one is replaced, which is said; one with a condition or a list of columns is not.
BEGIN;
CREATE TABLE byhand (id integer PRIMARY KEY, caption text, embedding vector);
CREATE TRIGGER mine BEFORE INSERT OR UPDATE ON byhand FOR EACH ROW EXECUTE FUNCTION clip_embed_trigger('caption', 'embedding');
SELECT clip_sync('byhand', 'caption');
SELECT clip_sync('byhand', 'caption');
CREATE TRIGGER "Mine" BEFORE INSERT ON byhand FOR EACH ROW WHEN (new.id > 0) EXECUTE FUNCTION clip_embed_trigger('caption', 'embedding');
SELECT * FROM report($$SELECT clip_sync('byhand', 'caption')$$);
SELECT clip_unsync('byhand');
CREATE TRIGGER columns BEFORE UPDATE OF caption ON byhand FOR EACH ROW EXECUTE FUNCTION clip_embed_trigger('caption', 'embedding');
SELECT * FROM report($$SELECT clip_sync('byhand', 'caption')$$);
ROLLBACK;
-- Text of another name
BEGIN;
CREATE EXTENSION citext;
CREATE DOMAIN folded AS citext;
CREATE TABLE captions (id integer PRIMARY KEY, caption folded, embedding vector);
SELECT clip_sync('captions', 'caption');
INSERT INTO captions VALUES (1, 'A Dog');
SELECT embedding = clip_embed_text('A Dog') AS same FROM captions;
SELECT clip_sync('captions', 'caption', mode => 'queued');
ROLLBACK;

-- Embeddings kept in step by clip_sync: what it refuses first.
SET clip_search.model = 'clip-search/emoji';
\x on
\pset format unaligned
CREATE TABLE shop (id integer PRIMARY KEY, image bytea, "the ""caption""" text, embedding vector(128), "the ""vector""" vector(128), small vector(3));
CREATE TABLE nokey (image bytea, embedding vector(128));
CREATE VIEW shop_view AS SELECT * FROM shop;
CREATE TEMP TABLE passing (id integer PRIMARY KEY, image bytea, embedding vector(128));
SELECT * FROM report($$SELECT clip_sync(NULL, 'image')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'picture')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', 'vectors')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', mode => 'later')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', on_error => 'ignore')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', mode => 'queued', on_error => 'null')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', 'small', mode => 'queued')$$);
SELECT * FROM report($$SELECT clip_sync('shop', 'image', mode => 'queued', model => 'no/such')$$);
SELECT * FROM report($$SELECT clip_sync('nokey', 'image', mode => 'queued')$$);
SELECT * FROM report($$SELECT clip_sync('shop_view', 'image', mode => 'queued')$$);
SELECT state, replace(message, pg_my_temp_schema()::regnamespace::text, 'pg_temp') AS message, hint FROM report($$SELECT clip_sync('passing', 'image', mode => 'queued')$$);
SELECT * FROM report($$SELECT clip_unsync('shop')$$);
CREATE ROLE clip_search_other;
GRANT SELECT ON shop TO clip_search_other;
SET ROLE clip_search_other;
SELECT * FROM report($$SELECT clip_sync('shop', 'image')$$);
SELECT * FROM report($$SELECT * FROM clip_embed_queue$$);
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
SELECT * FROM clip_sync_status() ORDER BY trigger, "table"::text;
-- Queued, in the place of what was there. Nothing of a transaction that is rolled back is left.
SELECT clip_sync('shop', 'image', mode => 'queued');
SELECT clip_sync('passing', 'image');
BEGIN;
INSERT INTO shop SELECT 2, image FROM pixel;
UPDATE shop SET small = '[1,2,3]' WHERE id = 2;
UPDATE shop SET image = image || '\x00' WHERE id = 2;
SELECT relid, key, source_column, embedding_column, model, attempts FROM clip_embed_queue ORDER BY due_at;
SELECT trigger, mode, queued, oldest IS NOT NULL AS waits FROM clip_sync_status() WHERE "table" = 'shop'::regclass ORDER BY trigger;
ROLLBACK;
SELECT count(*) FROM clip_embed_queue;
-- Whoever writes may not see the queue, and need not.
GRANT INSERT, UPDATE ON shop TO clip_search_other;
SET ROLE clip_search_other;
BEGIN;
INSERT INTO shop VALUES (3, 'no picture');
SELECT trigger, queued FROM clip_sync_status() WHERE mode = 'queued';
ROLLBACK;
RESET ROLE;
-- Dropped, with what it has queued
BEGIN;
INSERT INTO shop SELECT 4, image FROM pixel;
SELECT clip_unsync('shop');
SELECT count(*) FROM clip_embed_queue;
COMMIT;
SELECT clip_unsync('shop', 'the "vector"');
SELECT count(*) FROM clip_sync_status() WHERE "table" = 'shop'::regclass;
DROP VIEW shop_view;
DROP TABLE shop, nokey, passing;
DROP ROLE clip_search_other;

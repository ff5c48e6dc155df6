-- Malformed input first: each error with its SQLSTATE, message, detail and hint.
SET clip_search.model = 'clip-search/emoji';
\x on
\pset format unaligned

-- Model names
SELECT name, (report(format('SELECT clip_embed_text(''a'', %L)', name))).* FROM unnest(ARRAY[
    '', ' ', 'small', '../../etc', '/etc/passwd', 'clip-search/../clip-search', 'a/b/c', E'a/b\n', 'clip-search/emoji/', './clip-search/emoji']) name;
SELECT * FROM report($$SELECT clip_embed_text('a', repeat('a', 300) || '/b')$$);
SELECT * FROM report($$SELECT clip_embed_text('a', 'no/such')$$);
SELECT * FROM report($$SELECT clip_embed_image('a', 'no/such')$$);
SELECT * FROM report($$SELECT clip_embed_texts(ARRAY['a'], 'no/such')$$);
SELECT * FROM report($$SELECT clip_embed_images(ARRAY['a'::bytea], 'no/such')$$);
SET clip_search.model = 'no/such';
SELECT * FROM report($$SELECT clip_embed_text('a')$$);
SET clip_search.model = '';
SELECT * FROM report($$SELECT clip_embed_text('a')$$);
SET clip_search.model = 'clip-search/emoji';

-- A text of more than 1 MiB
SELECT * FROM report($$SELECT clip_embed_text(repeat('a dog ', 200000))$$);

-- Images
SELECT * FROM report($$SELECT clip_embed_image('')$$);
SELECT * FROM report($$SELECT clip_embed_image('x')$$);
SELECT * FROM report($$SELECT clip_embed_image('This is a text, not an image.')$$);
SELECT * FROM report($$SELECT clip_embed_image(substr(image, 1, 40)) FROM pixel$$);
SELECT * FROM report($$SELECT clip_embed_image(substr(image, 1, 8)) FROM pixel$$);
-- A known format that no build decodes: OpenEXR
SELECT * FROM report($$SELECT clip_embed_image('\x762f310102000000')$$);
-- A PNG whose header says 60,000 x 60,000 pixels
SELECT * FROM report($$SELECT clip_embed_image('\x89504e470d0a1a0a0000000d494844520000ea600000ea6008020000000fb0e2150000000a494441540000000000000000000000000000')$$);
-- An image over clip_search.max_image_bytes
SELECT * FROM report($$SELECT clip_embed_image(convert_to(repeat('x', 67108865), 'UTF8'))$$);
-- The element at fault is named; NULL elements count.
SELECT * FROM report($$SELECT clip_embed_images(ARRAY[image, NULL, 'x']) FROM pixel$$);
SELECT * FROM report($$SELECT clip_embed_images(ARRAY[image, decode(repeat('00', 67108865), 'hex')]) FROM pixel$$);
SELECT * FROM report($$SELECT clip_embed_images(ARRAY[[image, image]]) FROM pixel$$);
SELECT * FROM report($$SELECT clip_embed_texts(ARRAY[['a'], ['b']])$$);

-- Settings: what changes a vector is not for a session to change.
SELECT * FROM report($$SET clip_search.device = 'cpu'$$);
SELECT * FROM report($$SET clip_search.precision = 'fp16'$$);
SELECT * FROM report($$SET clip_search.on_long_text = 'error'$$);
SELECT * FROM report($$SET clip_search.max_image_bytes = 10$$);
SELECT * FROM report($$SET clip_search.model_dir = '/'$$);
-- From PostgreSQL 17 on, each number has its unit.
SELECT state, replace(message, ' ms', '') AS message FROM report($$SET clip_search.request_timeout = -1$$);
SELECT * FROM report($$SET clip_search.max_queue_bytes = '1GB'$$);
SELECT * FROM report($$SET clip_search.max_server_memory = 0$$);
SELECT * FROM report($$SET clip_search.no_such_setting = 1$$);

-- Privileges
CREATE ROLE clip_search_nobody;
GRANT EXECUTE ON FUNCTION report TO clip_search_nobody;
SET ROLE clip_search_nobody;
SELECT * FROM report($$SELECT clip_restart_server()$$);
SELECT * FROM report($$SELECT * FROM clip_stat_server$$);
SELECT * FROM report($$SELECT * FROM clip_stat_models$$);
SELECT * FROM report($$SELECT * FROM clip_stat_get_server()$$);
SELECT * FROM report($$SELECT clip_stat_reset()$$);
-- The message is another one from PostgreSQL 16 on.
SELECT state FROM report($$SHOW clip_search.model_dir$$);
SELECT vector_dims(clip_embed_text('allowed'));
SELECT count(*) > 0 AS allowed FROM clip_models();
RESET ROLE;
GRANT pg_monitor TO clip_search_nobody;
SET ROLE clip_search_nobody;
SELECT count(*) AS allowed FROM clip_stat_server;
SELECT count(*) > 0 AS allowed FROM clip_stat_models;
SELECT * FROM report($$SELECT clip_stat_reset()$$);
RESET ROLE;
DROP OWNED BY clip_search_nobody;
DROP ROLE clip_search_nobody;

-- The frames of animations and the pages of files.
-- A GIF of 4 x 3 pixels, of which one changes twice, and a TIFF with a page of 2 x 1 and one of 1 x 2 pixels
CREATE TABLE animations (name text PRIMARY KEY, image bytea);
INSERT INTO animations VALUES
    ('gif', decode('R0lGODlhBAADAIEAAP8AAAD/AAAAAAAAACH/C05FVFNDQVBFMi4wAwEAAAAh+QQEBQAAACwAAAAABAADAAAICQADABhIsCCAgAAh+QQFBwACACwAAAAAAgABAIH/AAAAAP8AAAAAAAAIBQABBAgIACH5BAUJAAIALAEAAAACAAEAgf8AAAD/AAAAAAAAAAgFAAEECAgAOw==', 'base64')),
    ('tiff', decode('SUkqAAgAAAAJAAABBAABAAAAAgAAAAEBBAABAAAAAQAAAAIBAwABAAAACAAAAAMBAwABAAAAAQAAAAYBAwABAAAAAQAAABEBBAABAAAAegAAABYBBAABAAAAAQAAABcBBAABAAAAAgAAABwBAwABAAAAAQAAAIgAAAAJCQAAAABJSSoACAAAAAoAAAEEAAEAAAABAAAAAQEEAAEAAAACAAAAAgEDAAMAAAAGAQAAAwEDAAEAAAABAAAABgEDAAEAAAACAAAAEQEEAAEAAAAMAQAAFQEDAAEAAAADAAAAFgEEAAEAAAACAAAAFwEEAAEAAAAGAAAAHAEDAAEAAAABAAAAAAAAAAgACAAIAAECAwECAwAAAAAAAAAAAAAAAAAA', 'base64'));
SELECT name, frame, delay_ms, substr(f.image, 1, 4) AS png, i.width, i.height, i.frames
FROM animations a, clip_image_frames(a.image) f, clip_image_info(f.image) i ORDER BY name, frame;
-- The first is what is embedded of the file.
SELECT name, frame, clip_embed_image(f.image, 'clip-search/emoji') = clip_embed_image(a.image, 'clip-search/emoji') AS same
FROM animations a, clip_image_frames(a.image) f ORDER BY name, frame;
-- A still image is its own frame; no image has none.
SELECT frame, delay_ms, f.image = p.image AS same FROM pixel p, clip_image_frames(p.image) f;
SELECT count(*) FROM clip_image_frames(NULL);

-- Some of many: the first, or each nth
SELECT array_agg(frame) FROM animations a, clip_image_frames(a.image, max_frames => 2) WHERE name = 'gif';
SELECT array_agg(frame) FROM animations a, clip_image_frames(a.image, every => 2) WHERE name = 'gif';
SELECT array_agg(frame) FROM animations a, clip_image_frames(a.image, every => 100000) WHERE name = 'gif';
-- 20,000 frames in 300 kilobytes
CREATE TABLE bomb AS SELECT decode('47494638396102000200800000' || 'ff000000ff00' || repeat('2c00000000010001000002024c0100', 20000) || '3b', 'hex') AS image;
SELECT i.frames, count(*), max(frame) FROM bomb b, clip_image_info(b.image) i, clip_image_frames(b.image) GROUP BY 1;
SELECT count(*), max(frame) FROM bomb b, clip_image_frames(b.image, every => 100);
SELECT count(*), count(DISTINCT frame), max(frame) FROM bomb b, clip_image_frames(b.image, 2500, every => 2);
-- Frames of 72 million pixels that PNG takes 200 kilobytes for: one is made
SELECT count(*) FROM clip_image_frames(decode('474946383961401f401f800000' || 'ff000000ff00' || repeat('2c00000000010001000002024c0100', 20000) || '3b', 'hex'), 1);

-- They are embedded in batches.
CREATE TABLE embedded (name text, frame int, embedding vector(128), PRIMARY KEY (name, frame));
SET clip_search.enable_batch_scan = on;
EXPLAIN (COSTS OFF) INSERT INTO embedded SELECT name, frame, clip_embed_image(f.image, 'clip-search/emoji') FROM animations a, clip_image_frames(a.image) f;
RESET clip_search.enable_batch_scan;
INSERT INTO embedded SELECT name, frame, clip_embed_image(f.image, 'clip-search/emoji') FROM animations a, clip_image_frames(a.image) f;
SELECT e.name, count(*), bool_and(e.embedding = clip_embed_image(f.image, 'clip-search/emoji')) AS same
FROM animations a, clip_image_frames(a.image) f, embedded e WHERE (e.name, e.frame) = (a.name, f.frame) GROUP BY 1 ORDER BY 1;
-- Each animation by its most similar frame
SELECT id ->> 'name' AS name, round(max(similarity)::numeric, 4) = 1 AS found
FROM clip_search_image('embedded', (SELECT image FROM animations WHERE name = 'gif'), k => 50, columns => '{}', model => 'clip-search/emoji') GROUP BY 1 ORDER BY max(similarity) DESC;
DROP TABLE embedded;

\x on
\pset format unaligned
SELECT * FROM report($$SELECT clip_image_frames(image, 0) FROM pixel$$);
SELECT * FROM report($$SELECT clip_image_frames(image, 100001) FROM pixel$$);
SELECT * FROM report($$SELECT clip_image_frames(image, NULL) FROM pixel$$);
SELECT * FROM report($$SELECT clip_image_frames(image, every => 0) FROM pixel$$);
SELECT * FROM report($$SELECT clip_image_frames(image, every => NULL) FROM pixel$$);
SELECT * FROM report($$SELECT clip_image_frames('')$$);
SELECT * FROM report($$SELECT clip_image_frames('no image')$$);
-- Cut in the second frame
SELECT * FROM report($$SELECT clip_image_frames(substr(image, 1, 108)) FROM animations WHERE name = 'gif'$$);
\x off
\pset format aligned
SELECT frame FROM animations a, clip_image_frames(substr(image, 1, 108), 1) WHERE name = 'gif';
DROP TABLE animations, bomb;

-- What is there to look at: thumbnails and the gallery page.
-- An image of 3 x 2 pixels: opaque, half transparent, and transparent columns
CREATE TABLE columns AS SELECT decode(
    'iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAYAAACddGYaAAAAFElEQVR42mP4z8DwHwgbQBQDMgcAeyoI+TISVZgAAAAASUVORK5CYII=', 'base64') AS image;
SELECT substr(clip_thumbnail(image), 1, 4) AS png FROM columns;
SELECT substr(clip_thumbnail(image), 1, 3) AS jpeg FROM pixel;
SELECT clip_thumbnail(NULL) IS NULL;
SELECT length(clip_thumbnail(image, 1)) > 0 FROM pixel;

-- Captions and titles are anybody's text.
SELECT page LIKE '<!DOCTYPE html>%' AS html, page LIKE '%&lt;script&gt;alert(1)&lt;/script&gt;%' AS escaped, page LIKE '%<script%' AS script,
       page LIKE '%<img src=x%' AS injected, page LIKE '%similarity 0.312%' AS similarity, page ~ 'https?:' AS outside,
       page ~ '[^\x01-\x7f]' AS beyond_ascii, page LIKE '%J&#252;rgen%' AS references
FROM (SELECT clip_gallery(image, caption, s) AS page FROM pixel, (VALUES
    ('<script>alert(1)</script>', 0.312::real), ('"><img src=x onerror=alert(1)>', 1), ('Jürgen', 'NaN'), (NULL, NULL)) AS v(caption, s)) AS p;
SELECT page LIKE '%<title>Cats &amp; dogs</title>%' AS title, page LIKE '%no image%' AS missing, page LIKE '%are not an image in a known format%' AS broken
FROM (SELECT clip_gallery(image, 'x', 0.5, 'Cats & dogs') AS page FROM (VALUES (NULL::bytea), ('This is a text.'), ('')) AS v(image)) AS p;
SELECT page LIKE '%There are no images in this gallery.%' AS says_so FROM (SELECT clip_gallery(image, 'x', 0.5) AS page FROM pixel WHERE false) AS p;
-- In the query's order, whatever the size of the batches
SELECT (SELECT count(*) FROM regexp_matches(page, '<img', 'g')) AS images, position('number 1<' IN page) < position('number 99<' IN page) AS ordered
FROM (SELECT clip_gallery(image, 'number ' || i, i ORDER BY i) AS page FROM pixel, generate_series(1, 100) i) AS p;
SELECT count(DISTINCT clip_gallery) FROM (SELECT clip_gallery(image, 'x', 0) FROM pixel, generate_series(1, 5) GROUP BY generate_series) AS p;

\x on
\pset format unaligned
SELECT * FROM report($$SELECT clip_thumbnail(image, 0) FROM pixel$$);
SELECT * FROM report($$SELECT clip_thumbnail(image, 1000000) FROM pixel$$);
SELECT * FROM report($$SELECT clip_thumbnail(image, NULL) FROM pixel$$);
SELECT * FROM report($$SELECT clip_thumbnail('no image')$$);
SELECT * FROM report($$SELECT clip_gallery(image, 'x', 0) FROM pixel, generate_series(1, 10001)$$);
\x off
\pset format aligned
DROP TABLE columns;

-- What an image is like: never an error.
SELECT i.* FROM pixel, clip_image_info(image) i;
SELECT format, width, height, has_alpha, bytes = length(image) AS bytes, error FROM (SELECT '\x89504e470d0a1a0a0000000d494844520000ea600000ea6008020000000fb0e2150000000a494441540000000000000000000000000000'::bytea AS image) b, clip_image_info(image);
SELECT format, frames, error FROM unnest(ARRAY['', 'text', '\xffd8ffe000104a4649']::bytea[]) image, clip_image_info(image);
-- With libheif it is damaged, and without it cannot be decoded.
SELECT format, frames, error LIKE 'HEIC image is %' AS error FROM clip_image_info('\x000000186674797068656963000000006d69663168656963');
SELECT count(*) FROM clip_image_info(NULL);

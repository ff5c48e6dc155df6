-- Images by URL, as far as no network is needed. Off by default, and not for everybody.
\x on
\pset format unaligned
SELECT * FROM report($$SELECT clip_fetch_image('data:,x')$$);
SELECT * FROM report($$SELECT clip_fetch_images('{}')$$);
CREATE ROLE clip_search_fetcher;
GRANT EXECUTE ON FUNCTION report TO clip_search_fetcher;
SET ROLE clip_search_fetcher;
SELECT * FROM report($$SET clip_search.url_fetch = on$$);
SELECT * FROM report($$SELECT clip_fetch_image('data:,x')$$);
SELECT * FROM report($$SELECT clip_fetch_images('{}')$$);
SELECT state FROM report($$SHOW clip_search.url_allow$$);
RESET ROLE;
SELECT * FROM report($$SET clip_search.url_allow = '0.0.0.0/0'$$);
SET clip_search.url_fetch = on;

-- What leads to no public address is not connected to.
SELECT url, (report(format('SELECT clip_fetch_image(%L)', url))).* FROM unnest(ARRAY[
    'http://127.0.0.1:1/x.png', 'http://[::1]/', 'http://[::ffff:127.0.0.1]/', 'http://2130706433/', 'http://0x7f.1/', 'http://localhost:1/x.png', 'http://localhost/x.png',
    'http://10.0.0.1/', 'http://192.168.1.1/', 'http://172.16.0.1/', 'http://169.254.169.254/latest/meta-data/', 'http://0.0.0.0/', 'http://224.0.0.1/',
    'http://[fd00:ec2::254]/', 'http://[fe80::1]/']) AS url;
-- What is no URL, or not one for images
SELECT url, (report(format('SELECT clip_fetch_image(%L)', url))).* FROM unnest(ARRAY[
    '', ' ', 'image.png', '//example.com/x', 'ftp://example.com/x', 'file:///etc/passwd', 'javascript:alert(1)', 'http://', 'http://user:secret@127.0.0.1/x',
    'data:', 'data:image/png;base64,&&&', 'data:text/html,<h1>gone</h1>', 'http://exa mple.com/', E'http://127.0.0.1/\nHost: x']) AS url;
SELECT * FROM report($$SELECT clip_fetch_image('data:image/png;base64,' || repeat('AAAA', 23000000))$$);
SELECT * FROM report($$SELECT clip_fetch_images(NULL)$$);
SELECT * FROM report($$SELECT clip_fetch_images(ARRAY[['a'], ['b']])$$);
SELECT * FROM report($$SELECT clip_fetch_images('{}', NULL)$$);
\x off
\pset format aligned

-- data: URLs, in order; what is no image has a reason.
SELECT clip_fetch_image('data:image/png;base64,' || encode(image, 'base64')) = image FROM pixel;
SELECT clip_fetch_image(NULL) IS NULL;
SELECT ordinal, left(url, 30) AS url, f.image = pixel.image AS same, content_type, error
FROM pixel, clip_fetch_images(ARRAY[NULL, 'data:image/png;base64,' || encode(image, 'base64'), 'http://127.0.0.1:1/', NULL, 'data:,hello', 'no url']) AS f;
SELECT count(*), count(DISTINCT ordinal), count(error) FROM pixel,
    clip_fetch_images(array_fill('data:image/png;base64,' || encode(image, 'base64'), ARRAY[100]), in_order => false);
SELECT array_agg(ordinal) = ARRAY(SELECT generate_series(1, 100)) AS in_order FROM pixel,
    clip_fetch_images(array_fill('data:image/png;base64,' || encode(image, 'base64'), ARRAY[100]));
SELECT count(*) FROM clip_fetch_images('{}');
DROP OWNED BY clip_search_fetcher;
DROP ROLE clip_search_fetcher;
RESET clip_search.url_fetch;

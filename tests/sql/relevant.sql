-- clip_search_relevant: what is similar enough, sorted; the thresholds that clip_calibrate keeps.
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE shelf (
    id int PRIMARY KEY, name text, "Place ""no""" int, price numeric, info json, embedding vector(128));
INSERT INTO shelf
    SELECT i, n, i % 3, CASE WHEN i % 4 > 0 THEN i END, '{}', clip_embed_text(n)
    FROM (SELECT 'red apple ' || i, i FROM generate_series(1, 5) AS i
          UNION ALL SELECT 'number ' || i, i FROM generate_series(6, 300) AS i) AS u(n, i);
INSERT INTO shelf (id, name) VALUES (999, 'without embedding');
CREATE INDEX shelf_hnsw ON shelf USING hnsw (embedding vector_cosine_ops);
ANALYZE shelf;

-- No threshold yet
\x on
\pset format unaligned
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'red apple')$$);
SELECT * FROM report($$SELECT clip_threshold('shelf', 'image')$$);
SELECT * FROM report($$SELECT clip_threshold('shelf', 'sound')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', (SELECT embedding FROM shelf WHERE id = 1))$$);
\x off
\pset format aligned

-- Sorted in all ways
SELECT id, metadata ->> 'price' AS price FROM clip_search_relevant('shelf', 'red apple', min_similarity => 0.8, order_by => 'price DESC');
SELECT id, metadata ->> 'price' AS price FROM clip_search_relevant('shelf', 'red apple', min_similarity => 0.8, order_by => 'PRICE desc NULLS last');
SELECT array_agg(id) FROM clip_search_relevant('shelf', 'red apple', min_similarity => 0.8, order_by => '"Place ""no""" , name DESC', columns => '{}');
SELECT array_agg(id) FROM clip_search_relevant('shelf', 'red apple', min_similarity => 0.8, order_by => 'price nulls first', k => 2, skip => 1);
SELECT array_agg(id) = (SELECT array_agg(id) FROM clip_search('shelf', 'red apple', 5)) AS by_similarity
  FROM clip_search_relevant('shelf', 'red apple', 5, -1);
-- Only of the nearest
SELECT array_agg(id) = (SELECT array_agg(id ORDER BY id) FROM clip_search('shelf', 'number 7', 3)) AS of_the_nearest
  FROM clip_search_relevant('shelf', 'number 7', 10, -1, order_by => 'id', candidates => 3);
SELECT count(*) FROM clip_search_relevant('shelf', 'number 7', 1000, -1);
SELECT count(*) FROM clip_search_relevant('shelf', 'number 7', 1000, -1, filter => '{"Place \"no\"": 1}', exclude => ARRAY[7]);
SELECT count(*) FROM clip_search_relevant('shelf', 'number 7', min_similarity => 1.0);
SELECT count(*) FROM pixel, clip_search_relevant('shelf', image, min_similarity => 0.99);
PREPARE untyped AS SELECT count(*) FROM clip_search_relevant('shelf', $1, $2, $3, order_by => $4);
EXECUTE untyped('red apple', 3, 0.8, 'id');
DEALLOCATE untyped;

-- Thresholds
SELECT query_kind, threshold > center, round(rate::numeric, 3) AS rate, sampled, queries_used FROM clip_calibrate('shelf') ORDER BY 1 DESC;
SELECT query_kind, rate FROM clip_calibrate('shelf', 100, 0.0001, 'embedding', '{red apple,tomato}', 'clip-search/emoji') ORDER BY 1 DESC;
SELECT "table", embedding_column, query_kind, model, false_positive_rate, sampled FROM clip_thresholds ORDER BY query_kind DESC;
SELECT clip_threshold('shelf')::real = threshold AS kept FROM clip_thresholds WHERE query_kind = 'text';
SELECT count(*) > 0 AS found, count(*) < 100 AS few FROM clip_search_relevant('shelf', 'red apple', 1000);
SELECT count(*) FROM clip_search_relevant('shelf', 'a telephone');
SELECT count(*) > 0 FROM clip_search('shelf', 'red apple', min_similarity => clip_threshold('shelf'));
\set VERBOSITY terse
-- It is told once that the table has become another one.
INSERT INTO shelf SELECT id + 1000 * n, name, 0, 0, '{}', embedding FROM shelf, generate_series(1, 3) AS n WHERE id < 301;
SELECT clip_threshold('shelf') > 0, clip_threshold('shelf') > 0;
SELECT clip_threshold('shelf') > 0;

-- Bad input
\x on
\pset format unaligned
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => '')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => 'price,')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => 'price NULLS')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => 'price "desc"')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => 'price + 1')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => 'price; DROP TABLE shelf')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => '"price')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => '1')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => 'nothing')$$);
SELECT * FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', order_by => 'info')$$);
SELECT state, message FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', candidates => 0)$$);
SELECT state, message FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', 0)$$);
SELECT state, message FROM report($$SELECT * FROM clip_search_relevant('shelf', 'x', 1, 2)$$);
SELECT state, message FROM report($$SELECT * FROM clip_calibrate('shelf', 5)$$);
SELECT state, message FROM report($$SELECT * FROM clip_calibrate('shelf', false_positive_rate => 1)$$);
SELECT state, message FROM report($$SELECT * FROM clip_calibrate('shelf', queries => '{}')$$);
SELECT state, message FROM report($$SELECT * FROM clip_calibrate('shelf', embedding_column => 'name')$$);
CREATE TABLE empty (id int, embedding vector(128));
SELECT state, message FROM report($$SELECT * FROM clip_calibrate('empty')$$);
SELECT state, message FROM report($$SELECT * FROM clip_search_relevant('empty', 'x', min_similarity => 0)$$);
SELECT state, message FROM report($$SELECT * FROM clip_search_relevant('empty', 'x', min_similarity => 0, id_column => 'id')$$);
SELECT * FROM report($$SELECT clip_threshold('shelf', model => 'another/model')$$);
\x off
\pset format aligned

-- A view has a threshold of its own. Without an index
CREATE VIEW upper_shelf AS SELECT id AS number, name, embedding FROM shelf WHERE id < 200;
SELECT count(*) FROM clip_calibrate('upper_shelf');
SELECT array_agg(id) FROM clip_search_relevant('upper_shelf', 'red apple', min_similarity => 0.8, id_column => 'number', order_by => 'number');
SELECT count(*) FROM clip_search_relevant('upper_shelf', 'a telephone', id_column => 'number');

-- Privileges: only the owner keeps a threshold, and who may read the embeddings uses it. Row security is the caller's.
CREATE ROLE clip_search_visitor;
GRANT SELECT (id, embedding) ON shelf TO clip_search_visitor;
SET ROLE clip_search_visitor;
SELECT state, message FROM report($$SELECT * FROM clip_calibrate('shelf')$$);
SELECT clip_threshold('shelf') > 0 AS may_use;
SELECT count(*) FROM clip_thresholds;
SELECT count(*) FROM clip_search_relevant('shelf', 'red apple', min_similarity => 0.8, order_by => 'id');
SELECT state, message FROM report($$SELECT * FROM clip_search_relevant('shelf', 'red apple', min_similarity => 0.8, order_by => 'price')$$);
SELECT state, message FROM report($$SELECT clip_threshold('upper_shelf')$$);
SELECT state FROM report($$SELECT * FROM clip_search_internal.clip_thresholds_data$$);
SELECT state FROM report($$DELETE FROM clip_thresholds$$);
RESET ROLE;
ALTER TABLE shelf ENABLE ROW LEVEL SECURITY;
CREATE POLICY two ON shelf USING (id IN (2, 3));
SET ROLE clip_search_visitor;
SELECT array_agg(id) FROM clip_search_relevant('shelf', 'red apple', min_similarity => 0.8, order_by => 'id DESC');
RESET ROLE;
-- What is gone is forgotten.
DROP VIEW upper_shelf;
SELECT count(*) FROM clip_calibrate('shelf');
SELECT count(*) FROM clip_search_internal.clip_thresholds_data;
DROP TABLE shelf, empty;
DROP ROLE clip_search_visitor;

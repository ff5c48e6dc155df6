-- clip_search_hybrid: what a text describes and what has its words; clip_search by several texts, images or embeddings at
-- once; clip_evaluate_index.
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE goods (
    id int PRIMARY KEY, title text, body varchar(200), tags text[], "The ""words""" tsvector, price numeric, facts json,
    embedding vector(128));
INSERT INTO goods (id, title, body, tags, price, embedding) VALUES
    (1, 'Red apple', 'crisp and sweet', '{fruit,fresh}', 2, clip_embed_text('red apple')),
    (2, 'Apple pie', 'of red apples, with cinnamon', '{bakery}', 9, clip_embed_text('pie')),
    (3, 'Bicycle', 'AB-1234', '{sport}', 300, clip_embed_text('a red apple')),
    (4, 'Apples, red', 'not embedded yet', NULL, 3, NULL),
    (5, NULL, NULL, '{fruit}', NULL, clip_embed_text('green apple'));
INSERT INTO goods (id, title, body, embedding)
    SELECT i, 'number ' || i, 'sold out', clip_embed_text('number ' || i) FROM generate_series(6, 40) AS i;
UPDATE goods SET "The ""words""" = to_tsvector('english', concat_ws(' ', title, body));
CREATE INDEX goods_hnsw ON goods USING hnsw (embedding vector_cosine_ops);
CREATE INDEX goods_title ON goods USING gin (to_tsvector('english', title));
ANALYZE goods;

-- Each row says which rank it had where. Row 3 looks like an apple, row 4 has the words and no embedding.
SELECT id, similarity_rank, words_rank, trigrams_rank, metadata ->> 'title' AS title, similarity > 0.9 AS is_similar
  FROM clip_search_hybrid('goods', 'red apple', '{title}', 5, text_search_config => 'english') WHERE id::int < 5;
SELECT score = 1.0 / 61 + 1.0 / 61 AS score, similarity FROM clip_search_hybrid('goods', 'red apple', '{title}', 1, text_search_config => 'english');
SELECT id, words_rank FROM clip_search_hybrid('goods', 'red apple', '{title,body}', 40, text_search_config => 'english') WHERE words_rank > 0 ORDER BY 2;
SELECT id, words_rank FROM clip_search_hybrid('goods', 'red apple', '{"The \"words\""}', 40, columns => '{}', text_search_config => 'english') WHERE words_rank > 0 ORDER BY 2;
SELECT id, words_rank FROM clip_search_hybrid('goods', 'fruit', '{tags}', 40, text_search_config => 'english') WHERE words_rank > 0 ORDER BY 2;
SELECT id FROM clip_search_hybrid('goods', 'AB-1234', '{title,body}', 1, text_search_config => 'simple');
-- Words in the manner of search engines
SELECT id FROM clip_search_hybrid('goods', 'apple -pie', '{title}', 40, text_search_config => 'english') WHERE words_rank > 0 ORDER BY 1;
SELECT id FROM clip_search_hybrid('goods', 'bicycle or pie', '{title}', 40, text_search_config => 'english') WHERE words_rank > 0 ORDER BY 1;
SET default_text_search_config = 'pg_catalog.german';
SELECT count(*) FROM clip_search_hybrid('goods', 'red apples', '{title}', 40) WHERE words_rank > 0;
RESET default_text_search_config;
-- Weights, thresholds, filters, pages
SELECT id FROM clip_search_hybrid('goods', 'red apple', '{title}', 3, words_weight => 10, text_search_config => 'english');
SELECT count(words_rank) FROM clip_search_hybrid('goods', 'red apple', '{title}', 40, words_weight => 0, text_search_config => 'english');
SELECT array_agg(id ORDER BY id) FROM clip_search_hybrid('goods', 'red apple', '{title}', 40, min_similarity => 0.9, text_search_config => 'english');
SELECT id FROM clip_search_hybrid('goods', 'red apple', '{title,body}', 40, filter => '{"price": [2, 9]}', text_search_config => 'english');
SELECT id FROM clip_search_hybrid('goods', 'red apple', '{title}', 2, exclude => 1, text_search_config => 'english');
SELECT (SELECT array_agg(id) FROM clip_search_hybrid('goods', 'red apple', '{title}', 6))
     = (SELECT array_agg(id) FROM clip_search_hybrid('goods', 'red apple', '{title}', 3))
    || (SELECT array_agg(id) FROM clip_search_hybrid('goods', 'red apple', '{title}', 3, skip => 3)) AS pages_fit;
SELECT count(*) FROM clip_search_hybrid('goods', 'red apple', '{title}', 1000);
SELECT count(*) FROM clip_search_hybrid('goods', 'red apple', '{title}', 1000, candidates => 2);
-- Nothing but stop words, and a long text
SET client_min_messages = warning;
SELECT count(words_rank) FROM clip_search_hybrid('goods', 'the', '{title}', 40, text_search_config => 'english');
RESET client_min_messages;
SELECT count(words_rank) FROM clip_search_hybrid('goods', repeat('apple ', 8000), '{title}', 40, text_search_config => 'english');
PREPARE untyped AS SELECT id FROM clip_search_hybrid('goods', $1, $2, $3, text_search_config => $4);
EXECUTE untyped('red apple', '{title}', 1, 'english');
DEALLOCATE untyped;

-- With pg_trgm, words that are misspelled
SET client_min_messages = warning;
CREATE SCHEMA "Odd schema";
CREATE EXTENSION pg_trgm SCHEMA "Odd schema";
RESET client_min_messages;
SELECT id, words_rank, trigrams_rank FROM clip_search_hybrid('goods', 'bicycel', '{title,tags}', 40, text_search_config => 'english') WHERE trigrams_rank > 0;
SELECT id, words_rank, trigrams_rank FROM clip_search_hybrid('goods', 'red apple', '{title,body}', 4, text_search_config => 'english') WHERE id::int < 5;
SELECT count(trigrams_rank) FROM clip_search_hybrid('goods', 'bicycel', '{title}', 40, trigrams_weight => 0);
SELECT count(trigrams_rank) FROM clip_search_hybrid('goods', 'bicycel', '{"The \"words\""}', 40);

-- A view, a key of two columns, no index
CREATE VIEW cheap AS SELECT id AS number, title, embedding FROM goods WHERE price < 10 OR price IS NULL;
SELECT id, words_rank FROM clip_search_hybrid('cheap', 'red apple', '{title}', 2, id_column => 'number', text_search_config => 'english') ORDER BY 2;
CREATE TABLE two_keys (a int, b text, name text, embedding halfvec(128), PRIMARY KEY (b, a));
INSERT INTO two_keys SELECT id, 'x', title, embedding FROM goods;
SELECT id, words_rank FROM clip_search_hybrid('two_keys', 'red apple', '{name}', 1, text_search_config => 'english', trigrams_weight => 0);
CREATE TABLE nothing (id int PRIMARY KEY, name text, embedding vector(128));
SELECT * FROM clip_search_hybrid('nothing', 'red apple', '{name}');

-- Rights and row security are the caller's
CREATE ROLE clip_regress_hybrid;
GRANT SELECT ON goods, cheap TO clip_regress_hybrid;
ALTER TABLE goods ENABLE ROW LEVEL SECURITY;
CREATE POLICY later ON goods TO clip_regress_hybrid USING (id > 1);
SET ROLE clip_regress_hybrid;
-- pg_trgm's schema is not theirs.
SELECT id, words_rank, trigrams_rank FROM clip_search_hybrid('goods', 'red apple', '{title}', 1, words_weight => 5, text_search_config => 'english');
SELECT array_agg(id) FROM clip_search('goods', ARRAY['red apple', 'pie'], 2);
\x on
\pset format unaligned
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', trigrams_weight => 1)$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('nothing', 'x', '{name}')$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate_index('nothing', '{x}', '{1}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('nothing', '{x}'::text[])$$);
RESET ROLE;

-- Bad input
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{}')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', NULL)$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{NULL}')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', NULL, '{title}')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{price}')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{none}')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{"title); DROP TABLE goods"}')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', similarity_weight => 0)$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', words_weight => 'NaN')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', trigrams_weight => -1)$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{"The \"words\""}', trigrams_weight => 1)$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', candidates => 0)$$);
SELECT state, message FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', text_search_config => 'klingon')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', id_column => 'facts')$$);
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('cheap', 'x', '{title}')$$);
SELECT state, message FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', embedding_column => 'title')$$);
DROP EXTENSION pg_trgm;
SELECT * FROM report($$SELECT * FROM clip_search_hybrid('goods', 'x', '{title}', trigrams_weight => 1)$$);
\x off
\pset format aligned

-- Several texts at once, with weights, as clip_combine does it
SELECT array_agg(id) = (SELECT array_agg(id) FROM clip_search('goods', clip_combine(clip_embed_texts('{red apple,pie}')), 4)) AS together
  FROM clip_search('goods', ARRAY['red apple', 'pie'], 4);
SELECT array_agg(id) = (SELECT array_agg(id) FROM clip_search('goods', clip_combine(clip_embed_texts('{red apple,pie}'), '{1,-0.5}'), 4)) AS weighted
  FROM clip_search('goods', ARRAY['red apple', 'pie'], 4, weights => '{1,-0.5}', model => 'clip-search/emoji');
SELECT array_agg(id) = (SELECT array_agg(id) FROM clip_search('goods', clip_embed_image(image), 4)) AS twice_the_same
  FROM pixel, clip_search('goods', ARRAY[image, image], 4) GROUP BY image;
SELECT array_agg(id) FROM clip_search('goods', (SELECT array_agg(embedding) FROM goods WHERE id IN (1, 3)), 2, exclude => ARRAY[1]);
-- A parameter without a type is one text, as ever.
PREPARE untyped AS SELECT count(*) FROM clip_search('goods', $1, 2);
EXECUTE untyped('{red apple,pie}');
DEALLOCATE untyped;
\x on
\pset format unaligned
SELECT * FROM report($$SELECT * FROM clip_search('goods', '{}'::text[])$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', NULL::text[])$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', ARRAY['x', NULL])$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', ARRAY[['x'], ['y']])$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', ARRAY['x', 'y'], weights => '{1}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', ARRAY['x', 'y'], weights => '{1,Infinity}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', ARRAY['x', 'x'], weights => '{1,-1}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', ARRAY['x'::bytea, 'y'])$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', '{"[1,0]","[1,0,0]"}'::vector[])$$);
SELECT * FROM report($$SELECT * FROM clip_search('goods', '{"[1,0]"}'::vector[])$$);
\x off
\pset format aligned

-- Settings of the index
ALTER TABLE goods DISABLE ROW LEVEL SECURITY;
SELECT setting, pairs, recall_at_1, recall_at_5, recall_at_10, mean_reciprocal_rank, recall_of_exact, milliseconds > 0 AS is_timed
  FROM clip_evaluate_index('goods', '{red apple,red apple,number 7,number 7,pie}', ARRAY['1', '3', '7', '7', '40']::jsonb[],
       '{hnsw.ef_search=100,"HNSW.ef_search = 10, hnsw.ef_search=20"}');
SELECT setting, pairs, recall_at_1 FROM clip_evaluate_index('goods', '{pie}', '{2.0}');
SELECT setting, recall_of_exact FROM clip_evaluate_index('nothing', '{pie}', '{2}');
SHOW hnsw.ef_search;
\x on
\pset format unaligned
SELECT * FROM report($$SELECT * FROM clip_evaluate_index('goods', '{}', '{}')$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate_index('goods', NULL, '{1}')$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate_index('goods', '{x,y}', '{1}')$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate_index('goods', '{x}', '{NULL}')$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate_index('goods', '{x}', '{1}', '{work_mem=1}')$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate_index('goods', '{x}', '{1}', '{hnsw.ef_search}')$$);
SELECT state, message FROM report($$SELECT * FROM clip_evaluate_index('goods', '{x}', '{1}', '{hnsw.ef_search=0}')$$);
SELECT state, message FROM report($$SELECT * FROM clip_evaluate_index('goods', '{x}', '{1}', embedding_column => 'title')$$);
SELECT state, message FROM report($$SELECT * FROM clip_evaluate_index('cheap', '{x}', '{1}')$$);
\x off
\pset format aligned

DROP VIEW cheap;
DROP TABLE goods, two_keys, nothing;
DROP SCHEMA "Odd schema";
DROP ROLE clip_regress_hybrid;

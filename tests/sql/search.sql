-- clip_search and what belongs to it. The rows are texts here, so that what is close to what does not depend on images.
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE things (
    id bigint PRIMARY KEY, name text, shop int, price numeric, tags text[], info jsonb, code char(4), image bytea,
    embedding vector(128));
INSERT INTO things (id, name, shop, price, tags, info, code, image)
    SELECT i, n, i % 2, i * 1.10, ARRAY['tag' || i % 3, 'all'], jsonb_build_object('rank', i), 'c' || i, '\x00'
    FROM unnest(ARRAY['red apple', 'green apple', 'tomato', 'happy cat', 'sad cat', 'dog', 'sailing boat', 'ship',
                      'violin', 'guitar', 'rain', 'snow']) WITH ORDINALITY AS u(n, i);
UPDATE things SET embedding = clip_embed_text(name);
INSERT INTO things (id, name, shop) VALUES (99, 'without embedding', 0);

-- By text, image and vector
SELECT id, round(similarity::numeric, 2) AS similarity, metadata FROM clip_search('things', 'happy cat', 2);
SELECT id, metadata->>'name' AS name FROM clip_search('things', clip_embed_text('sailing boat'), k => 2);
SELECT count(*), count(similarity) FROM pixel, clip_search('things', image);
SELECT count(*) FROM clip_search('things', clip_embed_image((SELECT image FROM pixel)), 100);

-- Columns, threshold, paging, the row itself left out
SELECT id, metadata FROM clip_search('things', 'red apple', 1, columns => '{price,image,name}');
SELECT id, metadata FROM clip_search('things', 'red apple', 1, columns => '{}');
SELECT id, round(similarity::numeric, 2) FROM clip_search('things', 'red apple', min_similarity => 0.99);
SELECT count(*) FROM clip_search('things', 'red apple', min_similarity => 1.0) WHERE similarity < 0.9999;
SELECT (SELECT array_agg(id) FROM clip_search('things', 'dog', 12)) =
       (SELECT array_agg(id) FROM clip_search('things', 'dog', 5)) ||
       (SELECT array_agg(id) FROM clip_search('things', 'dog', 5, skip => 5)) ||
       (SELECT array_agg(id) FROM clip_search('things', 'dog', 5, skip => 10)) AS pages_are_the_whole;
SELECT id FROM clip_search('things', (SELECT embedding FROM things WHERE id = 1), 1);
SELECT id FROM clip_search('things', (SELECT embedding FROM things WHERE id = 1), 1, exclude => '1');
SELECT count(*) FROM clip_search('things', 'dog', 1, exclude => (SELECT jsonb_agg(id) FROM clip_search('things', 'dog', 4))) f
 WHERE f.id IN (SELECT id FROM clip_search('things', 'dog', 1, skip => 4));
-- The id in any form: of the key's type, JSON, text, or a list of these.
SELECT bool_and(forms = first) AS same, first <> '{}' AS some FROM (
    SELECT array(SELECT id FROM clip_search('things', 'dog', 100, exclude => 1)) AS first, unnest(ARRAY[
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => 1::bigint))::text,
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => 1::smallint))::text,
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => '1'))::text,
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => '1'::text))::text,
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => '1'::varchar))::text,
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => '[1]'))::text,
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => '1'::json))::text,
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => ARRAY[1]))::text,
        array(SELECT id FROM clip_search('things', 'dog', 100, exclude => '{1}'::bigint[]))::text])::jsonb[] AS forms) x GROUP BY first;
PREPARE without_types AS SELECT count(*) FROM clip_search('things', $1, k => 100, exclude => $2);
EXECUTE without_types('dog', 1);
DEALLOCATE without_types;
SELECT count(*) FROM clip_search('things', 'dog', 100, exclude => NULL) f, clip_search('things', 'dog', 100, exclude => NULL::bigint) g WHERE f.id = g.id;
CREATE TABLE words (word text PRIMARY KEY, embedding vector(128));
INSERT INTO words SELECT word, clip_embed_text('dog') FROM unnest('{cat,"null",5,1e5,"[1]","\"q\""}'::text[]) word;
SELECT excluded, array_agg(id ORDER BY id) FROM unnest('{cat,"null",5,1e5}'::text[]) excluded, clip_search('words', 'dog', exclude => excluded) GROUP BY 1 ORDER BY 1;
-- Of a text that is JSON, the JSON is meant.
SELECT array_agg(id ORDER BY id) FROM clip_search('words', 'dog', exclude => to_jsonb('[1]'::text));
SELECT array_agg(id ORDER BY id) FROM clip_search('words', 'dog', exclude => '["cat", "[1]", "\"q\""]');
SELECT array_agg(id ORDER BY id) FROM clip_search('words', 'dog', exclude => ARRAY['cat', '[1]']);
SELECT count(*) FROM clip_search('words', 'dog', exclude => '{cat,5}'::varchar[]);
SELECT count(*) FROM clip_search('words', 'dog', exclude => NULL::text[]);
-- A type's cast to json, which is code of the type's owner, is not run.
CREATE TYPE animal AS ENUM ('cat', 'dog');
CREATE FUNCTION to_json_of(animal) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE 'run'; END $$;
CREATE CAST (animal AS json) WITH FUNCTION to_json_of(animal);
SELECT count(*) FROM clip_search('words', 'dog', exclude => 'cat'::animal);
SELECT count(*) FROM clip_search('words', 'dog', exclude => ARRAY['cat', 'dog', NULL]::animal[]);
DROP TYPE animal CASCADE;
DROP TABLE words;
-- A parameter without a type is an image for these.
PREPARE image_search AS SELECT count(*) FROM clip_search_image('things', $1, 2);
EXECUTE image_search('\x00');
DEALLOCATE image_search;
SELECT count(*) FROM clip_search('things', 'dog', 100) f, clip_search('things', 'dog', 100, exclude => '[]') g WHERE f.id = g.id;

-- Filters
SELECT id, metadata->'name' AS name FROM clip_search('things', 'red apple', 3, filter => '{"shop": 0}');
SELECT id FROM clip_search('things', 'red apple', filter => '{"name": ["dog", "ship", "no such"]}') ORDER BY id;
SELECT id FROM clip_search('things', 'red apple', filter => '{"name": []}');
SELECT count(*) FROM clip_search('things', 'red apple', 100, filter => '{"price": null}');
SELECT id FROM clip_search('things', 'red apple', filter => '{"price": 1.1, "shop": "1"}');
SELECT id FROM clip_search('things', 'red apple', 100, filter => '{"tags": "tag1"}') ORDER BY id;
SELECT count(*) FROM clip_search('things', 'red apple', 100, filter => '{"tags": ["all", "tag1"]}');
SELECT id FROM clip_search('things', 'red apple', filter => '{"info": {"rank": 4}}');
SELECT id FROM clip_search('things', 'red apple', filter => '{"code": "c7"}');
SELECT id FROM clip_search('things', 'red apple', filter => $${"name": "x' OR true --"}$$);
SELECT count(*) FROM clip_search('things', 'red apple', 100, filter => '{}');
-- Of any type that has JSON, by name and by place.
SELECT bool_and(forms = first) AS same, first FROM (
    SELECT array(SELECT id FROM clip_search('things', 'dog', filter => '{"shop": 0}'))::text AS first, unnest(ARRAY[
        array(SELECT id FROM clip_search('things', 'dog', filter => '{"shop": 0}'::jsonb))::text,
        array(SELECT id FROM clip_search('things', 'dog', filter => '{"shop": 0}'::json))::text,
        array(SELECT id FROM clip_search('things', 'dog', filter => '{"shop": 0}'::text))::text,
        array(SELECT id FROM clip_search('things', 'dog', filter => '{"shop": 0}'::varchar))::text,
        array(SELECT id FROM clip_search('things', 'dog', 10, NULL, '{"shop": 0}'))::text,
        array(SELECT id FROM clip_search('things', 'dog', 10, NULL, '{"shop": 0}'::jsonb))::text,
        array(SELECT id FROM clip_search('things', 'dog', 10, NULL, '{"shop": 0}'::json))::text,
        array(SELECT id FROM clip_search('things', 'dog', 10, NULL, '{"shop": 0}'::text))::text,
        array(SELECT id FROM clip_search('things', 'dog', 10, NULL, '{"shop": 0}'::varchar))::text,
        array(SELECT id FROM clip_search('things', clip_embed_text('dog'), filter => '{"shop": 0}'::text))::text,
        array(SELECT id FROM clip_search('things', clip_embed_text('dog')::halfvec, filter => '{"shop": 0}'::json))::text,
        array(SELECT m->'id' FROM jsonb_array_elements(clip_search_json('things', 'dog', filter => '{"shop": 0}'::text)->'matches') m)::text,
        array(SELECT m->'id' FROM jsonb_array_elements(clip_search_json('things', clip_embed_text('dog'), 10, NULL, '{"shop": 0}'::json)->'matches') m)::text])
        AS forms) x GROUP BY first;
SELECT count(*) FROM pixel, clip_search_image('things', image, 100, filter => '{"shop": 0}'::text);
SELECT (SELECT count(*) FROM clip_search('things', 'dog', 100, filter => NULL)) AS untyped,
       (SELECT count(*) FROM clip_search('things', 'dog', 100, filter => NULL::jsonb)) AS jsonb,
       (SELECT count(*) FROM clip_search('things', 'dog', 100, filter => NULL::text)) AS text;
SELECT state, message FROM report($$SELECT id FROM clip_search('things', 'dog', filter => 'shop'::text)$$);
SELECT state, message FROM report($$SELECT id FROM clip_search('things', 'dog', filter => 'shop')$$);
SELECT state, message FROM report($$SELECT id FROM clip_search('things', 'dog', filter => '[1]'::json)$$);
-- Only casts to it are implicit, so that no call or operator becomes ambiguous.
SELECT castsource::regtype, casttarget::regtype, castcontext, castmethod FROM pg_cast
 WHERE 'clip_filter'::regtype IN (castsource, casttarget) ORDER BY castsource::regtype::text;
SELECT '{"a": 1}'::clip_filter::jsonb -> 'a' AS jsonb, '{"a": 1}'::text::clip_filter AS text;

-- Columns whose names are those of the statement inside, and types with an equality of their own
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE traps (id int PRIMARY KEY, e text, t text, j text, found text, value text, k0 text, m0 text, distance text, x varchar(10), mood mood, raw json, embedding vector(128));
INSERT INTO traps SELECT id, 'e' || id, 't', 'j', 'f', 'v', 'k', 'm', 'd', 'x' || id, CASE WHEN id % 2 = 0 THEN 'good' ELSE 'bad' END::mood, '{}', embedding FROM things WHERE id < 5;
SELECT id FROM clip_search('traps', 'dog', filter => '{"e": ["e1", "e3", null], "t": "t", "j": ["j"], "found": "f", "value": ["v", "w"], "k0": "k", "distance": "d"}') ORDER BY id;
SELECT id FROM clip_search('traps', 'dog', filter => '{"mood": ["good"], "x": ["x2", "x3"]}') ORDER BY id;
SELECT metadata FROM clip_search('traps', 'dog', 1, filter => '{"id": 2}', columns => '{value,k0,m0,distance,found}');
SELECT * FROM report($$SELECT id FROM clip_search('traps', 'dog', filter => '{"raw": "x"}')$$);
SELECT * FROM report($$SELECT id FROM clip_search('traps', 'dog', filter => '{"mood": "so so"}')$$);
-- A row's own similarity does not leave it out.
SELECT count(*) FROM things, clip_search('things', 'apple', 1, exclude => '1') f, clip_search('things', 'apple', 100, min_similarity => f.similarity) g WHERE things.id = 1 AND g.similarity = f.similarity;
-- A foreign table, a temporary one
CREATE EXTENSION postgres_fdw;
CREATE SERVER nowhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/nowhere');
CREATE USER MAPPING FOR CURRENT_USER SERVER nowhere OPTIONS (user 'x', password_required 'false');
CREATE FOREIGN TABLE far (id int, embedding vector(128)) SERVER nowhere;
SELECT (report($$SELECT id FROM clip_search('far', 'dog', id_column => 'id')$$)).state AS asked_there;
SELECT * FROM report($$SELECT id FROM clip_search('far', 'dog')$$);
CREATE TEMPORARY TABLE short_lived AS SELECT id, embedding FROM things WHERE id < 5;
SELECT count(*) FROM clip_search('short_lived', 'dog', id_column => 'id');

-- JSON for applications
SELECT jsonb_path_query_array(j, '$.matches[*].id'), jsonb_path_query_array(j, '$.matches[*].metadata.name'),
       (j #> '{matches,0,score}')::numeric > 0.99 AS first
FROM clip_search_json('things', 'dog', 1) j;
SELECT clip_search_json('things', 'dog', filter => '{"shop": 7}');
SELECT clip_search_json('things', clip_embed_text('dog'), 2) = clip_search_json('things', 'dog', 2) AS same;
SELECT jsonb_array_length(clip_search_json('things', image, 3) -> 'matches') FROM pixel;

-- With a vector index
CREATE INDEX things_hnsw ON things USING hnsw (embedding vector_cosine_ops);
INSERT INTO things (id, name, shop, embedding)
    SELECT 1000 + i, 'number ' || i, 2, e FROM unnest(clip_embed_texts(ARRAY(
        SELECT 'number ' || i FROM generate_series(1, 300) i))) WITH ORDINALITY AS u(e, i);
ANALYZE things;
SET enable_seqscan = off;
SELECT id, metadata FROM clip_search('things', 'dog', 1, columns => '{name}');

-- More rows than an HNSW index gives unasked, and a filter that takes nearly all of them away
SHOW hnsw.ef_search;
SELECT count(*) FROM clip_search('things', 'number 7', 200);
SELECT count(*) FROM clip_search('things', 'number 7', 10, filter => '{"shop": 1}');
SHOW hnsw.ef_search;
SHOW hnsw.iterative_scan;
RESET enable_seqscan;

-- Other metrics, half precision, a column without a dimension
CREATE TABLE halves (id int PRIMARY KEY, embedding halfvec(128));
INSERT INTO halves SELECT id, embedding FROM things WHERE id < 99;
CREATE INDEX ON halves USING hnsw (embedding halfvec_ip_ops);
SET enable_seqscan = off;
SELECT id, round(similarity::numeric, 2) FROM clip_search('halves', 'dog', 1);
SELECT id, round(similarity::numeric, 2) FROM clip_search('halves', (SELECT embedding FROM halves WHERE id = 3), 1);
SELECT id FROM clip_search('things', (SELECT embedding FROM halves WHERE id = 3), 1, exclude => '[1, 2]');
SELECT clip_search_json('halves', (SELECT embedding FROM halves WHERE id = 3), 1) -> 'matches' -> 0 -> 'id' AS id;
RESET enable_seqscan;
CREATE TABLE loose (id int PRIMARY KEY, embedding vector);
INSERT INTO loose SELECT id, embedding FROM things WHERE id < 99;
INSERT INTO loose VALUES (1000, array_fill(0, ARRAY[128])::vector);
SELECT id, round(similarity::numeric, 2) FROM clip_search('loose', 'dog', 100) WHERE id IN ('6', '1000');
SELECT count(*) FROM clip_search('loose', 'dog', 100, min_similarity => -1);

-- Any kind of table: a key of several columns, odd names, partitions, views
CREATE SCHEMA "Odd ""schema""";
CREATE TABLE "Odd ""schema"""."Tab'le" ("the ""key""" int, "B" text, "select" text, "em bedding" vector(128),
    PRIMARY KEY ("B", "the ""key"""));
INSERT INTO "Odd ""schema"""."Tab'le" SELECT id, 'b' || id, name, embedding FROM things WHERE id < 99;
SELECT id, metadata FROM clip_search('"Odd ""schema"""."Tab''le"', 'dog', 1);
SELECT id FROM clip_search('"Odd ""schema"""."Tab''le"', 'dog', 1, filter => '{"select": "ship"}');
SELECT id -> 'B' AS b FROM clip_search('"Odd ""schema"""."Tab''le"', 'dog', 1, exclude => '{"B": "b6", "the \"key\"": 6}');
SELECT count(*) FROM clip_search('"Odd ""schema"""."Tab''le"', 'dog', 1,
    exclude => (SELECT jsonb_agg(id) FROM clip_search('"Odd ""schema"""."Tab''le"', 'dog', 4))) f
 WHERE f.id IN (SELECT id FROM clip_search('"Odd ""schema"""."Tab''le"', 'dog', 1, skip => 4));
SELECT count(*) FROM clip_search('"Odd ""schema"""."Tab''le"', 'dog', 100, exclude => '[]');
CREATE TABLE parts (id int, region text, embedding vector(128), PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
CREATE INDEX ON parts USING hnsw (embedding vector_cosine_ops);
INSERT INTO parts SELECT id, CASE WHEN id % 2 = 0 THEN 'a' ELSE 'b' END, embedding FROM things WHERE id < 99;
SELECT id FROM clip_search('parts', 'dog', 1);
SELECT id FROM clip_search('parts', 'dog', 1, filter => '{"region": "b"}', columns => '{}') WHERE id ->> 'region' <> 'b';
CREATE VIEW apples AS SELECT id AS number, name, embedding FROM things WHERE name LIKE '%apple';
SELECT id, metadata FROM clip_search('apples', 'green apple', id_column => 'number');
CREATE MATERIALIZED VIEW kept AS SELECT * FROM apples;
SELECT count(*) FROM clip_search('kept', 'green apple', id_column => 'number');

-- Privileges and row security are the caller's.
CREATE ROLE clip_search_reader;
GRANT SELECT (id, name, embedding) ON things TO clip_search_reader;
CREATE TABLE owned (id int PRIMARY KEY, owner name DEFAULT current_user, embedding vector(128));
INSERT INTO owned SELECT id, CASE WHEN id < 4 THEN 'clip_search_reader' ELSE 'other' END, embedding FROM things WHERE id < 99;
ALTER TABLE owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON owned USING (owner = current_user);
GRANT SELECT ON owned TO clip_search_reader;
SET ROLE clip_search_reader;
SELECT id, metadata FROM clip_search('things', 'dog', 1);
SELECT id FROM clip_search('owned', 'dog', 100) ORDER BY id;
SELECT clip_index_stats('owned', exact => true) ->> 'rows' AS rows;
RESET ROLE;

-- Statistics
SELECT s - 'table_bytes' - 'indexes' AS stats, s -> 'indexes' -> 0 ->> 'name' AS index, s -> 'indexes' -> 0 ->> 'method' AS method,
       s -> 'indexes' -> 0 ->> 'operator_class' AS operator_class, (s -> 'indexes' -> 0 -> 'bytes')::int > 0 AS has_size,
       (s -> 'table_bytes')::int > 0 AS table_has_size
FROM clip_index_stats('things') s;
SELECT clip_index_stats('loose') -> 'dimension' AS dimension, clip_index_stats('halves') ->> 'metric' AS metric,
       clip_index_stats('parts') ->> 'rows' AS rows, (clip_index_stats('parts') -> 'table_bytes')::int > 0 AS has_size;
CREATE TABLE recorded (id int, t text, embedding vector(128) GENERATED ALWAYS AS (clip_embed_text(t, 'clip-search/emoji')) STORED);
SELECT clip_index_stats('recorded') ->> 'model' AS model;
SELECT clip_index_stats('things', exact => false) -> 'rows' AS rows, clip_index_stats('recorded', exact => false) -> 'rows' AS never_counted;

-- Similarity and combination
SELECT clip_similarity('[1,0]', '[1,0]'), clip_similarity('[1,0]', '[0,2]'), clip_similarity('[1,0]', '[-3,0]'), clip_similarity('[0,0]', '[1,0]'), clip_similarity(NULL, '[1]');
SELECT bool_and(abs(clip_similarity(a.embedding, b.embedding) - (1 - (a.embedding <=> b.embedding))) < 1e-6) FROM things a, things b WHERE a.id < 20 AND b.id < 20;
SELECT clip_combine(ARRAY['[3,0]', '[0,4]']::vector[]), clip_combine(ARRAY['[3,0]', '[0,4]']::vector[], '{1,-1}'), clip_combine(NULL);
SELECT id, metadata ->> 'name' AS name FROM clip_search('things', clip_combine(ARRAY[clip_embed_text('apple'), clip_embed_text('green')], '{1,0.5}'), 1);
SELECT id, metadata ->> 'name' AS name FROM clip_search('things', clip_combine(ARRAY[clip_embed_text('cat'), clip_embed_text('happy')], ARRAY[1, -0.7]), 1, filter => '{"shop": [0, 1]}');

-- A threshold, from all rows and from a query's own
SELECT round(threshold::numeric, 1) AS threshold, sampled, queries_used FROM clip_suggest_threshold('things', sample => 10000);
SELECT threshold > center, deviation > 0, sampled, observed_rate < 0.5 FROM clip_suggest_threshold('things', clip_embed_text('dog'), sample => 100);
SELECT queries_used FROM clip_suggest_threshold('things', queries => '{a dog,a cat}');
SELECT abs(a.threshold - b.threshold) < 1e-6 AS same FROM clip_suggest_threshold('things', 'dog', 10000) a, clip_suggest_threshold('things', clip_embed_text('dog'), 10000) b;
SELECT (SELECT threshold FROM clip_suggest_threshold('things', 10000, 0.0001)) > (SELECT threshold FROM clip_suggest_threshold('things', 10000, 0.1)) AS rarer_is_higher;

-- Searches whose results are known
SELECT e.* FROM (SELECT array_agg(name) AS queries, array_agg(to_jsonb(id)) AS ids FROM things WHERE id < 20) AS q, clip_evaluate('things', queries, ids, 1) AS e;
SELECT pairs, round(recall::numeric, 4) AS recall, mean_reciprocal_rank FROM clip_evaluate('things', '{red apple,dog,dog,dog}', ARRAY['1', '6', '2', '2']::jsonb[], 1);
SELECT pairs, recall, mean_reciprocal_rank <= 0.5 AS is_further_down FROM clip_evaluate('things', '{happy cat}', ARRAY['5']::jsonb[], 12);
SELECT * FROM clip_evaluate('things', '{dog,cat}', ARRAY['99', '"no such"']::jsonb[], model => 'clip-search/emoji');
SELECT * FROM clip_evaluate('things', '{}', '{}');

-- Bad input
\x on
\pset format unaligned
SELECT * FROM report($$SELECT * FROM clip_search(NULL::regclass, 'dog')$$);
SELECT * FROM report($$SELECT * FROM clip_search('no_such_table', 'dog')$$);
SELECT * FROM report($$SELECT * FROM clip_search(1, 'dog')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', NULL::text)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', NULL::vector)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'not an image'::bytea)$$);
SELECT count(*) FROM clip_search('things', 'dog', k => 2::bigint, skip => 1::bigint);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', 4294967297)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', 0)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', -3)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', 2000000000)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', NULL)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', skip => -1)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', min_similarity => 'NaN')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', min_similarity => 35)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', columns => '{name,colour}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', columns => '{name,NULL}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', embedding_column => 'vector')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', embedding_column => 'name')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', id_column => 'ident')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', '[1,2,3]'::vector)$$);
SELECT * FROM report($$SELECT * FROM clip_search('loose', '[1,2,3]'::vector)$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', model => 'no/such')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', filter => '[1]')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', filter => '{"colour": 1}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', filter => '{"shop": {"<": 5}}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', filter => '{"shop": "many"}')$$);
SELECT * FROM report($$SELECT * FROM clip_search('parts', 'dog', exclude => '7')$$);
SELECT * FROM report($$SELECT * FROM clip_search('parts', 'dog', exclude => '[{"id": 1, "region": "a"}, 7]')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', exclude => '[1, "seven"]')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog', exclude => '"seven"')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', (SELECT embedding::text FROM things WHERE id = 1))$$);
SELECT * FROM report($$SELECT * FROM clip_search('things', '\x89504e470d0a1a0a0000000d49484452')$$);
SELECT * FROM report($$SELECT clip_search_json('things', 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB')$$);
SELECT * FROM report($$SELECT clip_search_json('things', 'data:image/png;base64,iVBORw0KGgo=')$$);
SELECT count(*) FROM clip_search('things', '[1,2]');
CREATE TABLE keyless (embedding vector(128));
SELECT * FROM report($$SELECT * FROM clip_search('keyless', 'dog')$$);
SELECT * FROM report($$SELECT * FROM clip_search('apples', 'dog')$$);
CREATE TABLE plain (id int PRIMARY KEY);
SELECT * FROM report($$SELECT * FROM clip_search('plain', 'dog')$$);
CREATE TABLE two (id int PRIMARY KEY, a vector(128), b halfvec(64));
SELECT * FROM report($$SELECT * FROM clip_search('two', 'dog')$$);
SELECT * FROM report($$SELECT * FROM clip_search('things_hnsw', 'dog')$$);
SELECT * FROM report($$SELECT clip_search_json('two', 'dog', embedding_column => 'b')$$);
SELECT * FROM report($$SELECT clip_index_stats('plain')$$);
SELECT * FROM report($$SELECT clip_index_stats(NULL)$$);
SELECT * FROM report($$SELECT clip_index_stats('things', exact => NULL)$$);
SELECT * FROM report($$SELECT * FROM clip_suggest_threshold('two', embedding_column => 'a')$$);
SELECT * FROM report($$SELECT * FROM clip_suggest_threshold('things', 29)$$);
SELECT * FROM report($$SELECT * FROM clip_suggest_threshold('things', queries => array_fill('a'::text, ARRAY[1001]))$$);
SELECT * FROM report($$SELECT * FROM clip_suggest_threshold('things', false_positive_rate => 1)$$);
SELECT * FROM report($$SELECT * FROM clip_suggest_threshold('things', queries => '{}')$$);
SELECT * FROM report($$SELECT * FROM clip_suggest_threshold('things', NULL::vector)$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate('things', '{dog,cat}', ARRAY['1']::jsonb[])$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate('things', '{dog,NULL}', ARRAY['1', '2']::jsonb[])$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate('plain', '{dog}', ARRAY['1']::jsonb[])$$);
SELECT * FROM report($$SELECT * FROM clip_evaluate('things', '{dog}', ARRAY['1']::jsonb[], 0)$$);
SELECT * FROM report($$SELECT clip_similarity('[1,2]', '[1,2,3]')$$);
SELECT * FROM report($$SELECT clip_combine('{}')$$);
SELECT * FROM report($$SELECT clip_combine(ARRAY['[1]', NULL]::vector[])$$);
SELECT * FROM report($$SELECT clip_combine(ARRAY['[1]', '[1,2]']::vector[])$$);
SELECT * FROM report($$SELECT clip_combine(ARRAY['[1]']::vector[], '{1,2}')$$);
SELECT * FROM report($$SELECT clip_combine(ARRAY['[1]']::vector[], '{NaN}')$$);
SELECT * FROM report($$SELECT clip_combine(ARRAY['[1]']::vector[], '{NULL}')$$);
SELECT * FROM report($$SELECT clip_combine(ARRAY['[1,2]', '[-1,-2]']::vector[])$$);
CREATE ROLE clip_search_stranger;
GRANT EXECUTE ON FUNCTION report TO clip_search_stranger;
SET ROLE clip_search_stranger;
SELECT * FROM report($$SELECT * FROM clip_search('things', 'dog')$$);
SELECT * FROM report($$SELECT clip_index_stats('things')$$);
SELECT * FROM report($$SELECT * FROM clip_suggest_threshold('things')$$);
RESET ROLE;
\x off
\pset format aligned
-- With another model than the one that the column is filled with: said once in a backend
BEGIN;
CREATE TRIGGER t BEFORE INSERT ON loose FOR EACH ROW EXECUTE FUNCTION clip_embed_trigger('id', 'embedding', 'some/other');
SELECT count(*) FROM clip_search('loose', 'dog', 1);
SELECT count(*) FROM clip_search('loose', 'cat', 1);
SELECT count(*) FROM clip_search('loose', clip_embed_text('cat'), 1);
CREATE TABLE made (id int PRIMARY KEY, caption text,
    embedding vector(128) GENERATED ALWAYS AS (clip_embed_text(caption, 'some/other')) STORED);
SELECT count(*) FROM clip_search('made', 'dog', 1);
CREATE TABLE same (id int PRIMARY KEY, caption text,
    embedding vector(128) GENERATED ALWAYS AS (clip_embed_text(lower(caption), 'clip-search/emoji')) STORED);
SELECT count(*) FROM clip_search('same', 'dog', 1);
-- Or the one that its provenance names; and the same in another precision
CREATE TABLE made_with (id int PRIMARY KEY, caption text, made_of text, embedding vector(128));
INSERT INTO made_with SELECT n, repeat('long ', 1000), concat_ws(' ', 'some/other fp32', repeat('0', 16), repeat('1', 64)), clip_embed_text('a') FROM generate_series(1, 3) AS n;
SELECT count(*) FROM clip_search('made_with', 'dog', 1);
CREATE TABLE precise AS SELECT id, caption, replace(made_of, 'some/other fp32', 'clip-search/emoji text fp32, image int8') AS made_of, embedding FROM made_with;
ALTER TABLE precise ADD PRIMARY KEY (id);
SELECT count(*) FROM clip_search('precise', 'dog', 1);
SELECT count(*) FROM clip_search('precise', 'cat', 1);
CREATE TABLE alike (LIKE precise INCLUDING ALL);
INSERT INTO alike SELECT id, caption, replace(made_of, 'image int8', 'image fp32'), embedding FROM precise;
SELECT count(*) FROM clip_search('alike', 'dog', 1);
-- Who may not read it is told nothing.
CREATE TABLE partly (LIKE precise INCLUDING ALL);
INSERT INTO partly SELECT * FROM precise;
GRANT SELECT (id, embedding) ON partly TO clip_search_reader;
SET ROLE clip_search_reader;
SELECT count(*) FROM clip_search('partly', 'dog', 1, columns => '{}');
ROLLBACK;
SET client_min_messages = warning;
DROP SCHEMA "Odd ""schema""" CASCADE;
DROP EXTENSION postgres_fdw CASCADE;
DROP TABLE traps, short_lived;
DROP TYPE mood;
DROP TABLE things, halves, loose, parts, owned, recorded, keyless, plain, two CASCADE;
DROP OWNED BY clip_search_reader, clip_search_stranger;
DROP ROLE clip_search_reader, clip_search_stranger;

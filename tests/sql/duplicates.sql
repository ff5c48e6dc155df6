-- clip_duplicates: pairs and groups of rows that are nearly equal; clip_groups joins the pairs of several calls.
CREATE TABLE angles (id int PRIMARY KEY, shop text, "the code" text UNIQUE, embedding vector(2));
-- Degrees: cosines of 1, 2 and 3 degrees are 0.99985, 0.99939 and 0.99863.
INSERT INTO angles
    SELECT i, CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END, 'c' || i, ARRAY[cosd(d), sind(d)]::real[]::vector
    FROM (VALUES (1, 0), (2, 2), (3, 4), (4, 40), (5, 80), (6, 81), (9, 120), (10, 160)) AS v(i, d);
INSERT INTO angles VALUES (7, 'even', 'c7', NULL), (8, 'even', 'c8', '[0,0]');

-- A chain is one group, though its ends are no pair; each row without an index is compared with all.
SELECT group_number, id, other_id, round(similarity::numeric, 4) AS similarity FROM clip_duplicates('angles', 0.9993) ORDER BY 1, 2, 3;
CREATE INDEX angles_hnsw ON angles USING hnsw (embedding vector_cosine_ops);
SELECT group_number, id, other_id, round(similarity::numeric, 4) AS similarity FROM clip_duplicates('angles', 0.9993) ORDER BY 1, 2, 3;
SELECT group_number, id, other_id FROM clip_duplicates('angles', 0.9997) ORDER BY 1, 2, 3;
SELECT count(*) FROM clip_duplicates('angles', 1.0);
SELECT count(*) AS all_pairs FROM clip_duplicates('angles', -1, per_row => 100);
-- The nearest alone of each row
SELECT id, other_id FROM clip_duplicates('angles', -1, per_row => 1) ORDER BY 1, 2;
SELECT id, other_id FROM clip_duplicates('angles', 0.9, filter => '{"shop": "odd"}') ORDER BY 1, 2;
SELECT group_number, id, other_id FROM clip_duplicates('angles', 0.9993, id_column => 'the code') ORDER BY 1, 2, 3;
-- Range by range, and then as one
SELECT id, other_id FROM clip_duplicates('angles', 0.9993, key_range => ARRAY[1, 2]);
SELECT id, other_id FROM clip_duplicates('angles', 0.9993, key_range => ARRAY[NULL, 3]) ORDER BY 1, 2;
SELECT count(*) FROM clip_duplicates('angles', 0.9993, key_range => ARRAY[7, NULL]);
CREATE TABLE pairs AS
    SELECT d.* FROM generate_series(1, 10, 3) AS first, clip_duplicates('angles', 0.9993, key_range => ARRAY[first, first + 3]) AS d;
SELECT g.group_number, array_agg(g.id ORDER BY g.id) AS ids
  FROM clip_groups((SELECT array_agg(id) FROM pairs), (SELECT array_agg(other_id) FROM pairs)) AS g GROUP BY 1 ORDER BY 1;
SELECT * FROM clip_groups('{}', '{}');
SELECT * FROM clip_groups(ARRAY['{"a": 1}', '"x"']::jsonb[], ARRAY['{"a":1}', '"y"']::jsonb[]);

-- Other tables: of halves, with a key of two columns, empty, a view
CREATE TABLE halves (a int, b text, embedding halfvec(2), PRIMARY KEY (a, b));
INSERT INTO halves SELECT id, 'x"' || id, embedding::halfvec FROM angles WHERE embedding IS NOT NULL;
SET client_min_messages = warning;
SELECT group_number, id, other_id FROM clip_duplicates('halves', 0.9993) ORDER BY 1, 2, 3;
CREATE TABLE nothing (id int PRIMARY KEY, embedding vector(2));
SELECT * FROM clip_duplicates('nothing');
CREATE VIEW seen AS SELECT id, embedding FROM angles WHERE id < 3;
SELECT id, other_id FROM clip_duplicates('seen', 0.9993, id_column => 'id');
RESET client_min_messages;

-- Rights and row security are the caller's
CREATE ROLE clip_regress_finder;
GRANT SELECT ON angles TO clip_regress_finder;
ALTER TABLE angles ENABLE ROW LEVEL SECURITY;
CREATE POLICY later ON angles TO clip_regress_finder USING (id > 1);
SET ROLE clip_regress_finder;
SELECT id, other_id FROM clip_duplicates('angles', 0.9993) ORDER BY 1, 2;
\x on
\pset format unaligned
SELECT * FROM report($$SELECT * FROM clip_duplicates('nothing')$$);
RESET ROLE;

-- Bad input
SELECT * FROM report($$SELECT * FROM clip_duplicates('angles', 2)$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('angles', NULL)$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates(NULL)$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('angles', per_row => 0)$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('angles', key_range => ARRAY[1])$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('angles', key_range => ARRAY['x', 'y'])$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('halves', key_range => ARRAY[1, 2])$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('seen')$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('pairs')$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('angles', embedding_column => 'shop')$$);
SELECT * FROM report($$SELECT * FROM clip_duplicates('angles', filter => '{"none": 1}')$$);
SELECT * FROM report($$SELECT * FROM clip_groups('{1}', '{}')$$);
SELECT * FROM report($$SELECT * FROM clip_groups(NULL, '{}')$$);
SELECT * FROM report($$SELECT * FROM clip_groups('{NULL}', '{1}')$$);
\x off
\pset format aligned

DROP VIEW seen;
DROP TABLE angles, halves, nothing, pairs;
DROP ROLE clip_regress_finder;

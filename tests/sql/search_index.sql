-- Which index clip_search uses: on the vectors, on their halves, or on one bit of each number. Scans are counted in one
-- transaction.
\pset format unaligned
\pset tuples_only on
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE notes (id int PRIMARY KEY, body text, shelf int, embedding vector(128));
INSERT INTO notes SELECT i, 'note ' || i, i % 3, e
    FROM unnest(clip_embed_texts(ARRAY(SELECT 'note ' || i FROM generate_series(1, 600) i))) WITH ORDINALITY AS u(e, i);
CREATE TABLE exact AS SELECT id, rank() OVER (ORDER BY embedding <=> clip_embed_text('note 7')) AS rank,
    (1 - (embedding <=> clip_embed_text('note 7')))::real AS similarity FROM notes;
ANALYZE notes;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
-- Scans of an index by one search, whether most rows are the nearest, and whether similarities are exact.
CREATE FUNCTION checked(index regclass, k int, skip int DEFAULT 0, col name DEFAULT 'embedding', OUT scans bigint, OUT rows bigint, OUT near bool, OUT similarities bool)
    LANGUAGE plpgsql AS $$
DECLARE before bigint := pg_stat_get_xact_numscans(index);
BEGIN
    SELECT count(*), count(*) FILTER (WHERE x.rank <= checked.k + checked.skip) > checked.k / 2, bool_and(abs(x.similarity - f.similarity) < 1e-3)
      INTO rows, near, similarities
      FROM (SELECT s.* FROM clip_search('notes', 'note 7', k => checked.k, skip => checked.skip, embedding_column => col) AS s) AS f
      JOIN exact AS x ON x.id = f.id::int;
    scans := pg_stat_get_xact_numscans(index) - before;
END $$;

BEGIN;
CREATE INDEX notes_bits ON notes USING hnsw ((binary_quantize(embedding)::bit(128)) bit_hamming_ops);
SELECT * FROM checked('notes_bits', 10);
SELECT * FROM checked('notes_bits', 10, skip => 5);
SELECT count(*), max((metadata ->> 'shelf')::int) FROM clip_search('notes', 'note 7', 20, filter => '{"shelf": 1}');
SELECT id FROM clip_search('notes', 'note 7', 1, exclude => 7) WHERE id = '7';
SELECT count(*) FROM clip_search('notes', 'note 7', 50, min_similarity => 0.9999);
SELECT j -> 'matches' -> 0 ->> 'id', jsonb_array_length(j -> 'matches') FROM clip_search_json('notes', 'note 7', 15) j;
SELECT count(*) FROM clip_search('notes', 'note 7', 600);
SELECT s -> 'metric', jsonb_path_query_array(s, '$.indexes[*].name'), s #>> '{indexes,0,expression}' FROM clip_index_stats('notes') s;
CREATE INDEX notes_halves ON notes USING hnsw ((embedding::halfvec(128)) halfvec_cosine_ops);
SELECT * FROM checked('notes_halves', 10);
SELECT * FROM checked('notes_halves', 10, skip => 5);
SELECT count(*) FROM clip_search('notes', 'note 7', 600);
SELECT s -> 'metric', jsonb_path_query_array(s, '$.indexes[*].name'), s #>> '{indexes,0,expression}' FROM clip_index_stats('notes') s;
CREATE INDEX notes_whole ON notes USING hnsw (embedding vector_cosine_ops);
SELECT * FROM checked('notes_whole', 10);
SELECT scans AS scans_of_halves FROM checked('notes_halves', 10);
SELECT s -> 'metric', jsonb_path_query_array(s, '$.indexes[*].name'), s #>> '{indexes,0,expression}' FROM clip_index_stats('notes') s;
DROP INDEX notes_whole;
SELECT * FROM checked('notes_halves', 10);
-- Queries that half precision cannot hold
SELECT count(*), bool_and(similarity IS NOT NULL) FROM clip_search('notes', array_fill(1e6, ARRAY[128])::vector, 3);
SELECT array_agg(t.id::int ORDER BY t.similarity DESC) = (SELECT array_agg(id ORDER BY rank) FROM exact WHERE rank <= 3)
  FROM (SELECT (clip_embed_text('note 7')::real[]) AS e) q,
  clip_search('notes', (SELECT array_agg(v * 1e-9 ORDER BY n) FROM unnest(q.e) WITH ORDINALITY u(v, n))::vector, 3) t;
DROP INDEX notes_halves;
SELECT * FROM checked('notes_bits', 10);
-- Too few from an index: all rows are looked at, by the exact distance.
SET LOCAL hnsw.max_scan_tuples = 1;
SELECT * FROM checked('notes_bits', 600);
ROLLBACK;

-- Another metric of halves, a metric of bits that is none, and indexes that no search can use
BEGIN;
CREATE INDEX notes_halves ON notes USING hnsw ((embedding::halfvec(128)) halfvec_l2_ops);
SELECT * FROM checked('notes_halves', 10);
DROP INDEX notes_halves;
CREATE INDEX notes_jaccard ON notes USING hnsw ((binary_quantize(embedding)::bit(128)) bit_jaccard_ops);
CREATE INDEX notes_short ON notes USING hnsw ((binary_quantize(embedding)::bit(64)) bit_hamming_ops);
CREATE INDEX notes_partial ON notes USING hnsw (embedding vector_cosine_ops) WHERE shelf = 1;
CREATE INDEX notes_part ON notes USING hnsw ((subvector(embedding, 1, 64)::vector(64)) vector_cosine_ops);
CREATE INDEX notes_other ON notes ((body || 'x'));
SELECT clip_index_stats('notes') -> 'indexes';
SELECT * FROM checked('notes_short', 10);
SELECT pg_stat_get_xact_numscans('notes_jaccard'::regclass), pg_stat_get_xact_numscans('notes_part'::regclass);
ROLLBACK;

-- A column of halves, and one without a dimension, with indexes of two
BEGIN;
ALTER TABLE notes ADD halves halfvec(128), ADD loose vector;
UPDATE notes SET halves = embedding, loose = embedding;
CREATE INDEX notes_bits ON notes USING hnsw ((binary_quantize(halves)::bit(128)) bit_hamming_ops);
SELECT * FROM checked('notes_bits', 10, col => 'halves');
-- An index of another column serves this one not.
SELECT * FROM checked('notes_bits', 10);
SELECT clip_index_stats('notes', 'embedding') -> 'indexes';
CREATE INDEX notes_halves ON notes USING hnsw (halves halfvec_cosine_ops);
SELECT * FROM checked('notes_halves', 10, col => 'halves');
CREATE INDEX notes_loose ON notes USING hnsw ((loose::halfvec(128)) halfvec_cosine_ops);
SELECT * FROM checked('notes_loose', 10, col => 'loose');
ROLLBACK;

-- Odd names, partitions
BEGIN;
CREATE TABLE "Odd notes" (id int, "The ""embedding" vector(128), PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE odd_1 PARTITION OF "Odd notes" FOR VALUES FROM (1) TO (301);
CREATE TABLE odd_2 PARTITION OF "Odd notes" FOR VALUES FROM (301) TO (601);
INSERT INTO "Odd notes" SELECT id, embedding FROM notes;
CREATE INDEX odd_bits ON "Odd notes" USING hnsw ((binary_quantize("The ""embedding")::bit(128)) bit_hamming_ops);
SELECT id FROM clip_search('"Odd notes"', 'note 7', 1);
SELECT sum(pg_stat_get_xact_numscans(relid)) FROM pg_partition_tree('odd_bits') WHERE isleaf;
ROLLBACK;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP TABLE notes, exact;
DROP FUNCTION checked;

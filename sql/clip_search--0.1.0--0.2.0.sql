-- clip_search 0.1.0 to 0.2.0: what clip_search--0.2.0.sql has that clip_search--0.1.0.sql has not.

\echo Use "ALTER EXTENSION clip_search UPDATE" to load this file. \quit

-- Look up names in pg_catalog first: others may have created operators, functions and types in the schema of this
-- extension, or in pgvector's, that would match better than PostgreSQL's own.
SET LOCAL search_path = pg_catalog, pg_temp;
-- The declarations of functions also need pgvector's type. Find its schema by the input function of pgvector's library;
-- a schema has only one type of a name. If there is none, CREATE FUNCTION fails. (@extschema:vector@ needs PostgreSQL 16.)
SELECT set_config('search_path', format('pg_catalog, %I, pg_temp', n.nspname), true)
  FROM pg_type AS t
  JOIN pg_namespace AS n ON n.oid = t.typnamespace
  JOIN pg_proc AS i ON i.oid = t.typinput
  JOIN pg_language AS l ON l.oid = i.prolang
 WHERE t.typname = 'vector' AND l.lanname = 'c' AND i.prosrc = 'vector_in' AND i.probin IN ('$libdir/vector', 'vector');

-- It has one more column. This fails where a view of yours depends on it: drop that first, and create it again.
DROP FUNCTION @extschema@.clip_models();
CREATE FUNCTION @extschema@.clip_models(
        OUT name text,
        OUT is_default boolean,         -- clip_search.model names it
        OUT dimension integer,
        OUT image_size text,            -- input of the image encoder, width x height in pixels
        OUT context_length integer,     -- tokens, start and end included
        OUT logit_scale real,           -- factor on similarities in clip_classify; NULL: not stated, 100 is used
        OUT "precision" text,
        OUT device text,                -- as configured
        OUT execution_provider text,    -- in use: cpu or cuda:N; NULL before the model is loaded
        OUT loaded text[],              -- encoders in memory
        OUT size_bytes bigint,          -- on disk
        OUT fingerprint text,           -- hash of the files that determine the vectors
        OUT error text,                 -- why it cannot be used
        OUT w8a8 jsonb)                 -- lowest and median cosine to fp32, where clip_quantize_model made 8-bit graphs
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_models_wrapper'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 5;
COMMENT ON FUNCTION @extschema@.clip_models() IS
    'the installed models';

CREATE FUNCTION @extschema@.clip_quantize_model(
        name text,
        force boolean DEFAULT false,            -- also if a cosine is below 0.98
        OUT text_lowest double precision,       -- lowest cosine to the vectors of fp32, of texts that the calibration has not seen
        OUT text_median double precision,
        OUT image_lowest double precision,
        OUT image_median double precision)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_quantize_model'
    LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000000 ROWS 1;
COMMENT ON FUNCTION @extschema@.clip_quantize_model(text, boolean) IS
    'makes 8-bit graphs of an installed model, as its precision w8a8; for superusers, unless granted';
REVOKE ALL ON FUNCTION @extschema@.clip_quantize_model(text, boolean) FROM PUBLIC;

CREATE FUNCTION @extschema@.clip_image_frames(
        image bytea,
        max_frames bigint DEFAULT 1000,         -- of a longer animation, the first ones
        every bigint DEFAULT 1)                 -- takes each nth frame: 1, 1 + every, ...
    RETURNS TABLE (
        frame integer,                          -- counted from 1
        delay_ms integer,                       -- how long it is shown; NULL for pages and still images
        image bytea)                            -- PNG; a file with one image as it is
    AS 'MODULE_PATHNAME', 'clip_image_frames'
    LANGUAGE C STABLE PARALLEL SAFE COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_image_frames(bytea, bigint, bigint) IS
    'the frames of an animated GIF, PNG, WebP or JPEG XL, or the pages of a TIFF file, each as people see it; a still image is its own frame';

-- Relevant, then sorted: of the nearest rows those that are similar enough, in the order of columns of the table; none if
-- none is. Without min_similarity, the threshold that clip_calibrate has measured for this table and kept.
CREATE FUNCTION @extschema@.clip_search_relevant(
        tbl regclass,
        query text,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL, -- the kept threshold of searches by text
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        order_by text DEFAULT NULL,             -- columns: 'taken_at DESC NULLS LAST, id'; NULL: most similar first
        candidates bigint DEFAULT 1000,        -- the nearest rows, of which the relevant ones are sorted
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_relevant_text'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search_relevant(regclass, text, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, text, bigint, text) IS
    'the rows of a table that a text describes well enough, sorted by columns';

CREATE FUNCTION @extschema@.clip_search_relevant(
        tbl regclass,
        query bytea,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL, -- the kept threshold of searches by image
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        order_by text DEFAULT NULL,             -- columns: 'taken_at DESC NULLS LAST, id'; NULL: most similar first
        candidates bigint DEFAULT 1000,        -- the nearest rows, of which the relevant ones are sorted
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_relevant_image'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search_relevant(regclass, bytea, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, text, bigint, text) IS
    'the rows of a table that look enough like an image, sorted by columns';

CREATE FUNCTION @extschema@.clip_search_relevant(
        tbl regclass,
        query vector,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL, -- required: an embedding may be of anything
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        order_by text DEFAULT NULL,             -- columns: 'taken_at DESC NULLS LAST, id'; NULL: most similar first
        candidates bigint DEFAULT 1000)        -- the nearest rows, of which the relevant ones are sorted
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_relevant_vector'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search_relevant(regclass, vector, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, text, bigint) IS
    'the rows of a table that are close enough to an embedding, sorted by columns';

-- Several at once: the nearest to the sum of what is searched for, each of length 1 times its weight. A negative weight is for
-- what is not wanted.
CREATE FUNCTION @extschema@.clip_search(
        tbl regclass,
        query text[],
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        weights double precision[] DEFAULT NULL, -- 1 for each
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_texts'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search(regclass, text[], bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, double precision[], text) IS
    'the rows of a table that several texts describe together, most similar first';

CREATE FUNCTION @extschema@.clip_search(
        tbl regclass,
        query bytea[],
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        weights double precision[] DEFAULT NULL, -- 1 for each
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_images'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search(regclass, bytea[], bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, double precision[], text) IS
    'the rows of a table that look like several images together, most similar first';

CREATE FUNCTION @extschema@.clip_search(
        tbl regclass,
        query vector[],
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        weights double precision[] DEFAULT NULL) -- 1 for each
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_vectors'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search(regclass, vector[], bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, double precision[]) IS
    'the rows of a table that are close to several embeddings together, most similar first';

-- Words and vectors together: the candidates nearest to the text, those whose columns have its words (as websearch_to_tsquery
-- reads them) and, where pg_trgm is there, those with similar words; joined by reciprocal rank fusion: the rank r in one of
-- these lists counts weight / (60 + r).
CREATE FUNCTION @extschema@.clip_search_hybrid(
        tbl regclass,
        query text,
        text_columns text[],                    -- of type text, text[] or tsvector
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL, -- of the nearest rows; those with the words need none
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        similarity_weight double precision DEFAULT 1,
        words_weight double precision DEFAULT 1,     -- 0: no full text search
        trigrams_weight double precision DEFAULT NULL, -- 1 if pg_trgm is there; 0: none
        text_search_config regconfig DEFAULT NULL,   -- default_text_search_config
        candidates bigint DEFAULT 100,          -- rows of each list
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (id jsonb, score double precision, similarity real, similarity_rank bigint, words_rank bigint,
        trigrams_rank bigint, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_hybrid'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search_hybrid(regclass, text, text[], bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, double precision, double precision, double precision, regconfig, bigint, text) IS
    'the rows of a table that a text describes or that have its words, best first';

-- As clip_evaluate, for settings of the table's vector index: the first row is of an exact search.
CREATE FUNCTION @extschema@.clip_evaluate_index(
        tbl regclass,
        queries text[],
        ids jsonb[],                            -- for each query, the id of a row that it should find
        settings text[] DEFAULT NULL,           -- as 'hnsw.ef_search=100' or 'ivfflat.probes=10, ivfflat.iterative_scan=off'; NULL: the current ones
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (
        setting text,                           -- exact, then those asked for
        pairs bigint,                           -- distinct pairs of query and id
        recall_at_1 double precision,           -- share of the pairs whose row comes first
        recall_at_5 double precision,
        recall_at_10 double precision,
        mean_reciprocal_rank double precision,  -- mean over the queries of 1 / rank of the first row, 0 beyond 10
        recall_of_exact double precision,       -- share of the first 10 rows of the exact search that are found
        milliseconds double precision)          -- median of a search, without embedding the text
    AS 'MODULE_PATHNAME', 'clip_evaluate_index'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000000 ROWS 5;
COMMENT ON FUNCTION @extschema@.clip_evaluate_index(regclass, text[], jsonb[], text[], name, name, text) IS
    'recall, mean reciprocal rank and time of searches whose results are known, exact and with settings of the vector index';

-- Pairs of rows whose embeddings are nearly equal, each once: of each row the nearest per_row, by the vector index. What is
-- connected by pairs is a group; groups are numbered from 1, the largest first.
CREATE FUNCTION @extschema@.clip_duplicates(
        tbl regclass,
        threshold double precision DEFAULT 0.95,
        per_row bigint DEFAULT 5,
        key_range anycompatiblearray DEFAULT NULL::jsonb[], -- compares rows from the first key on, before the second, with all
        filter @extschema@.clip_filter DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL)            -- the primary key
    RETURNS TABLE (group_number bigint, id jsonb, other_id jsonb, similarity real)
    AS 'MODULE_PATHNAME', 'clip_duplicates'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000000 ROWS 1000;
COMMENT ON FUNCTION @extschema@.clip_duplicates(regclass, double precision, bigint, anycompatiblearray, @extschema@.clip_filter, name, name) IS
    'pairs and groups of rows of a table that are nearly equal';

CREATE FUNCTION @extschema@.clip_groups(ids jsonb[], other_ids jsonb[])
    RETURNS TABLE (id jsonb, group_number bigint)
    AS 'MODULE_PATHNAME', 'clip_groups'
    LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000 ROWS 1000;
COMMENT ON FUNCTION @extschema@.clip_groups(jsonb[], jsonb[]) IS
    'groups of what is connected by pairs, such as those of several calls of clip_duplicates';

-- Measures the thresholds of searches by text and by image, as clip_suggest_threshold does, and keeps them with the table:
-- one for each column, kind of query and model. For the table's owner.
CREATE FUNCTION @extschema@.clip_calibrate(
        tbl regclass,
        sample bigint DEFAULT 1000,
        false_positive_rate double precision DEFAULT NULL,  -- 1 / rows of the table, 0.001 at most
        embedding_column name DEFAULT NULL,
        queries text[] DEFAULT NULL,            -- texts that are searched for; default: 64 everyday ones
        model text DEFAULT NULL,                -- clip_search.model
        OUT query_kind text,                    -- text or image
        OUT threshold real,
        OUT rate double precision,              -- the false positive rate
        OUT sampled integer,
        OUT queries_used integer,
        OUT center real,
        OUT deviation real,
        OUT observed_rate real)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_calibrate'
    LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 2;
COMMENT ON FUNCTION @extschema@.clip_calibrate(regclass, bigint, double precision, name, text[], text) IS
    'measures from which similarity on a row is relevant, and keeps it with the table for clip_search_relevant and clip_threshold';

CREATE FUNCTION @extschema@.clip_threshold(
        tbl regclass,
        query_kind text DEFAULT 'text',         -- text or image
        embedding_column name DEFAULT NULL,
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS double precision
    AS 'MODULE_PATHNAME', 'clip_threshold'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION @extschema@.clip_threshold(regclass, text, name, text) IS
    'the threshold that clip_calibrate keeps, for min_similarity of clip_search';

------------------------------------------------------------------------------------------------------------------------
-- Thresholds that clip_calibrate keeps
------------------------------------------------------------------------------------------------------------------------

CREATE TABLE clip_search_internal.clip_thresholds_data (
    relid regclass NOT NULL,
    embedding_column name NOT NULL,
    query_kind text NOT NULL,                       -- text or image
    model text NOT NULL,
    threshold real NOT NULL,
    false_positive_rate double precision NOT NULL,
    sampled integer NOT NULL,
    table_bytes bigint NOT NULL,                    -- when it was measured: a table that has grown is another one
    measured_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (relid, embedding_column, query_kind, model));
COMMENT ON TABLE clip_search_internal.clip_thresholds_data IS
    'see the view clip_thresholds';
SELECT pg_catalog.pg_extension_config_dump('clip_search_internal.clip_thresholds_data',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relid AND c.relpersistence <> ''t'')');
CREATE TRIGGER skip_replicated BEFORE INSERT OR UPDATE OR DELETE ON clip_search_internal.clip_thresholds_data
    FOR EACH ROW EXECUTE FUNCTION clip_search_internal.clip_skip_replicated();
ALTER TABLE clip_search_internal.clip_thresholds_data ENABLE REPLICA TRIGGER skip_replicated;
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_database_owner') THEN
        GRANT SELECT ON clip_search_internal.clip_thresholds_data TO pg_database_owner;
    END IF;
END $$;

-- The library reads this one: nobody but a superuser can put another in its place.
CREATE VIEW clip_search_internal.clip_kept_thresholds WITH (security_barrier) AS
    SELECT k.relid AS "table", k.embedding_column, k.query_kind, k.model, k.threshold, k.false_positive_rate, k.sampled,
           k.table_bytes, k.measured_at
      FROM clip_search_internal.clip_thresholds_data AS k
     WHERE pg_catalog.has_any_column_privilege(CAST(k.relid AS pg_catalog.oid), 'SELECT');
COMMENT ON VIEW clip_search_internal.clip_kept_thresholds IS
    'see the view clip_thresholds';
GRANT SELECT ON clip_search_internal.clip_kept_thresholds TO PUBLIC;

CREATE VIEW @extschema@.clip_thresholds AS
    SELECT k."table", k.embedding_column, k.query_kind, k.model, k.threshold, k.false_positive_rate, k.sampled, k.measured_at
      FROM clip_search_internal.clip_kept_thresholds AS k;
COMMENT ON VIEW @extschema@.clip_thresholds IS
    'thresholds that clip_calibrate has measured, of tables that the current role may read';
GRANT SELECT ON @extschema@.clip_thresholds TO PUBLIC;

CREATE FUNCTION @extschema@.clip_stat_get_endpoints(
        OUT model text,
        OUT encoder text,
        OUT endpoint text,
        OUT state text,                             -- healthy, checking or down
        OUT version text,                           -- of the model, as the server says
        OUT in_flight bigint,
        OUT requests bigint,
        OUT failures bigint,                        -- of requests and checks
        OUT latency double precision,               -- milliseconds, mean
        OUT last_error text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_stat_get_endpoints'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_stat_get_endpoints() IS
    'endpoints of the encoders that model servers run; see the view clip_stat_endpoints';

CREATE VIEW @extschema@.clip_stat_endpoints AS
    SELECT e.model, e.encoder, e.endpoint, e.state, e.version, e.in_flight, e.requests, e.failures, e.latency, e.last_error
      FROM @extschema@.clip_stat_get_endpoints() AS e;
COMMENT ON VIEW @extschema@.clip_stat_endpoints IS
    'state, requests and latency of each endpoint of encoders that model servers run, since the server''s start; milliseconds';

REVOKE ALL ON FUNCTION @extschema@.clip_stat_get_endpoints() FROM PUBLIC;
REVOKE ALL ON @extschema@.clip_stat_endpoints FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.clip_stat_get_endpoints() TO pg_monitor;
GRANT SELECT ON @extschema@.clip_stat_endpoints TO pg_monitor;

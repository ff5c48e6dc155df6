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

-- clip_search 0.1.0: what SQL sees, in reading order.

\echo Use "CREATE EXTENSION clip_search CASCADE" to load this file. \quit

------------------------------------------------------------------------------------------------------------------------
-- Embeddings
--
-- All are STRICT (NULL in, NULL out) and L2-normalised. COST is per call: a call costs milliseconds, so the planner should
-- filter by everything else first, and take an index where there is one. A text is usually the same for all rows of a
-- query and then embedded once, which the planner cannot know: its COST is kept low enough that a search of some ten
-- thousand rows is not compiled (jit_above_cost).
--
-- The forms without a model use the setting clip_search.model and are STABLE. The forms with a model are IMMUTABLE, so
-- that generated columns and expression indexes can use them: the same bytes and the same model directory give the same
-- vector. Replacing a model's files, or changing clip_search.precision, is like changing an immutable function: embed
-- again.
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION clip_embed_text(text) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_embed_text'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION clip_embed_text(text) IS
    'embedding of a text with the model that clip_search.model names';

CREATE FUNCTION clip_embed_text(text, model text) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_embed_text'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION clip_embed_text(text, text) IS
    'embedding of a text with a model';

CREATE FUNCTION clip_embed_image(bytea) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_embed_image'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION clip_embed_image(bytea) IS
    'embedding of a picture (JPEG, PNG, …) with the model that clip_search.model names';

CREATE FUNCTION clip_embed_image(bytea, model text) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_embed_image'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION clip_embed_image(bytea, text) IS
    'embedding of a picture (JPEG, PNG, …) with a model';

CREATE FUNCTION clip_embed_texts(text[]) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_embed_texts'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION clip_embed_texts(text[]) IS
    'embeddings of many texts in one request; a NULL element gives NULL';

CREATE FUNCTION clip_embed_texts(text[], model text) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_embed_texts'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION clip_embed_texts(text[], text) IS
    'embeddings of many texts in one request with a model; a NULL element gives NULL';

CREATE FUNCTION clip_embed_images(bytea[]) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_embed_images'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 500000;
COMMENT ON FUNCTION clip_embed_images(bytea[]) IS
    'embeddings of many pictures in one request; a NULL element gives NULL';

CREATE FUNCTION clip_embed_images(bytea[], model text) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_embed_images'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 500000;
COMMENT ON FUNCTION clip_embed_images(bytea[], text) IS
    'embeddings of many pictures in one request with a model; a NULL element gives NULL';

------------------------------------------------------------------------------------------------------------------------
-- What answers
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION clip_models(
        OUT name text,
        OUT is_default boolean,         -- clip_search.model names it
        OUT dimension integer,
        OUT image_size text,            -- width x height that the vision tower sees, in pixels
        OUT context_length integer,     -- tokens, start and end included
        OUT "precision" text,
        OUT device text,                -- as configured
        OUT execution_provider text,    -- as obtained: cpu or cuda:N; NULL before the model is loaded
        OUT loaded text[],              -- towers in memory
        OUT size_bytes bigint,          -- on disk
        OUT fingerprint text,           -- of the files that determine the vectors
        OUT error text)                 -- why it cannot be used
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_models_wrapper'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 10000 ROWS 5;
COMMENT ON FUNCTION clip_models() IS
    'the installed models';

CREATE FUNCTION clip_server_status(
        OUT pid integer,
        OUT uptime interval,
        OUT version text,
        OUT onnxruntime_version text,   -- NULL before a model is loaded
        OUT resident_bytes bigint,
        OUT connections integer,
        OUT requests bigint,            -- embed requests since the start, failed ones included
        OUT texts bigint,
        OUT images bigint,
        OUT batches bigint,             -- runs of a model
        OUT errors bigint)              -- failed requests and items
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_server_status_wrapper'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 1;
COMMENT ON FUNCTION clip_server_status() IS
    'the inference server of this cluster';
-- Counters tell what other users do.
REVOKE ALL ON FUNCTION clip_server_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION clip_server_status() TO pg_monitor;

CREATE FUNCTION clip_restart_server() RETURNS boolean
    AS 'MODULE_PATHNAME', 'clip_restart_server'
    LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION clip_restart_server() IS
    'ends the inference server and starts it again, as after an upgrade; requests under way are sent again';
-- It interrupts everybody's requests.
REVOKE ALL ON FUNCTION clip_restart_server() FROM PUBLIC;

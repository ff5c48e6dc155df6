-- clip_search 0.2.0: the SQL API, in reading order.

\echo Use "CREATE EXTENSION clip_search CASCADE" to load this file. \quit

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

------------------------------------------------------------------------------------------------------------------------
-- Embeddings
--
-- All are STRICT (NULL in, NULL out) and L2-normalised. COST is per call: a call costs milliseconds, so the planner should
-- filter by everything else first, and use an index if there is one. A text is usually the same for all rows of a
-- query and then embedded once, which the planner cannot know: its COST is low enough that a search of some ten
-- thousand rows does not use JIT (jit_above_cost).
--
-- Without a model argument, the functions use the setting clip_search.model and are STABLE. With one they are IMMUTABLE, so
-- that generated columns and expression indexes can use them: the same bytes and the same model directory give the same
-- vector. Replacing a model's files, or changing clip_search.precision, is like changing an immutable function: embed
-- again.
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.clip_embed_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'clip_embed_support'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.clip_embed_support(internal) IS
    'planner support function: loads the library before a plan is executed, so that it can embed in batches';

CREATE FUNCTION @extschema@.clip_embed_text(text) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_embed_text'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 1000 SUPPORT @extschema@.clip_embed_support;
COMMENT ON FUNCTION @extschema@.clip_embed_text(text) IS
    'embedding of a text with the model that clip_search.model names';

CREATE FUNCTION @extschema@.clip_embed_text(text, model text) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_embed_text'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000 SUPPORT @extschema@.clip_embed_support;
COMMENT ON FUNCTION @extschema@.clip_embed_text(text, text) IS
    'embedding of a text with a model';

CREATE FUNCTION @extschema@.clip_embed_image(bytea) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_embed_image'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 50000 SUPPORT @extschema@.clip_embed_support;
COMMENT ON FUNCTION @extschema@.clip_embed_image(bytea) IS
    'embedding of an image (JPEG, PNG, ...) with the model that clip_search.model names';

CREATE FUNCTION @extschema@.clip_embed_image(bytea, model text) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_embed_image'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50000 SUPPORT @extschema@.clip_embed_support;
COMMENT ON FUNCTION @extschema@.clip_embed_image(bytea, text) IS
    'embedding of an image (JPEG, PNG, ...) with a model';

CREATE FUNCTION @extschema@.clip_embed_texts(text[]) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_embed_texts'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION @extschema@.clip_embed_texts(text[]) IS
    'embeddings of many texts in one request; a NULL element gives NULL';

CREATE FUNCTION @extschema@.clip_embed_texts(text[], model text) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_embed_texts'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION @extschema@.clip_embed_texts(text[], text) IS
    'embeddings of many texts in one request with a model; a NULL element gives NULL';

CREATE FUNCTION @extschema@.clip_embed_images(bytea[]) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_embed_images'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 500000;
COMMENT ON FUNCTION @extschema@.clip_embed_images(bytea[]) IS
    'embeddings of many images in one request; a NULL element gives NULL';

CREATE FUNCTION @extschema@.clip_embed_images(bytea[], model text) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_embed_images'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 500000;
COMMENT ON FUNCTION @extschema@.clip_embed_images(bytea[], text) IS
    'embeddings of many images in one request with a model; a NULL element gives NULL';

-- If an image cannot be embedded, these return NULL and raise a WARNING that says why. Other errors (no such model, no
-- server, no memory) are still raised: trying again may help.

CREATE FUNCTION @extschema@.clip_try_embed_image(bytea) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_try_embed_image'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 50000 SUPPORT @extschema@.clip_embed_support;
COMMENT ON FUNCTION @extschema@.clip_try_embed_image(bytea) IS
    'embedding of an image with the model that clip_search.model names; NULL and a WARNING if it cannot be embedded';

CREATE FUNCTION @extschema@.clip_try_embed_image(bytea, model text) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_try_embed_image'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 50000 SUPPORT @extschema@.clip_embed_support;
COMMENT ON FUNCTION @extschema@.clip_try_embed_image(bytea, text) IS
    'embedding of an image with a model; NULL and a WARNING if it cannot be embedded';

CREATE FUNCTION @extschema@.clip_try_embed_images(bytea[]) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_try_embed_images'
    LANGUAGE C STABLE STRICT PARALLEL SAFE COST 500000;
COMMENT ON FUNCTION @extschema@.clip_try_embed_images(bytea[]) IS
    'embeddings of many images in one request; NULL for an element that is NULL or, with a WARNING, cannot be embedded';

CREATE FUNCTION @extschema@.clip_try_embed_images(bytea[], model text) RETURNS vector[]
    AS 'MODULE_PATHNAME', 'clip_try_embed_images'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 500000;
COMMENT ON FUNCTION @extschema@.clip_try_embed_images(bytea[], text) IS
    'embeddings of many images in one request with a model; NULL for an element that is NULL or, with a WARNING, cannot be embedded';

CREATE FUNCTION @extschema@.clip_image_info(
        image bytea,
        OUT format text,                -- media type, also of formats that are not decoded
        OUT width integer,              -- as stored, before rotation
        OUT height integer,
        OUT orientation integer,        -- EXIF, 1 (upright) to 8
        OUT frames integer,             -- of an animation, or pages; the first is embedded
        OUT has_alpha boolean,
        OUT bytes integer,
        OUT error text)                 -- why it cannot be embedded
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_image_info'
    LANGUAGE C STABLE PARALLEL SAFE COST 20000 ROWS 1;
COMMENT ON FUNCTION @extschema@.clip_image_info(bytea) IS
    'format, size and other properties of an image; never fails, whatever the bytes. Decodes the image, and needs no model';

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

------------------------------------------------------------------------------------------------------------------------
-- Arithmetic on embeddings
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.clip_similarity(a vector, b vector) RETURNS real
    AS 'MODULE_PATHNAME', 'clip_similarity'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.clip_similarity(vector, vector) IS
    'cosine similarity, -1 to 1; the same as 1 - (a <=> b)';

CREATE FUNCTION @extschema@.clip_combine(vectors vector[]) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_combine'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.clip_combine(vector[]) IS
    'mean of several embeddings, normalised to length 1';

CREATE FUNCTION @extschema@.clip_combine(vectors vector[], weights double precision[]) RETURNS vector
    AS 'MODULE_PATHNAME', 'clip_combine'
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.clip_combine(vector[], double precision[]) IS
    'weighted sum of embeddings, scaled to length 1: "like this one, but red"; a negative weight is "not"';

------------------------------------------------------------------------------------------------------------------------
-- Zero-shot classification
--
-- {} in a template is replaced by the label. With templates, a label's embedding is the mean of those of all its
-- prompts, and template is not used. probability is the softmax of similarity times the model's logit scale (100 if
-- the model does not state it): it says which of the labels fits best, not whether any does. If the model states a
-- logit bias (SigLIP), it is the sigmoid of the similarity times the scale plus the bias, for each label alone. The labels
-- are embedded once for all rows of a query. A NULL image or embedding gives no row.
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.clip_classify(
        image bytea,
        labels text[],
        template text DEFAULT 'a photo of a {}',
        model text DEFAULT NULL,        -- clip_search.model
        templates text[] DEFAULT NULL)
    RETURNS TABLE (label text, probability real, similarity real)
    AS 'MODULE_PATHNAME', 'clip_classify_image'
    LANGUAGE C STABLE PARALLEL SAFE COST 50000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_classify(bytea, text[], text, text, text[]) IS
    'how well each label fits an image, best first';

CREATE FUNCTION @extschema@.clip_classify_image(
        image bytea,
        labels text[],
        template text DEFAULT 'a photo of a {}',
        model text DEFAULT NULL,        -- clip_search.model
        templates text[] DEFAULT NULL)
    RETURNS TABLE (label text, probability real, similarity real)
    AS 'MODULE_PATHNAME', 'clip_classify_image'
    LANGUAGE C STABLE PARALLEL SAFE COST 50000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_classify_image(bytea, text[], text, text, text[]) IS
    'as clip_classify; a parameter without a type is an image here';

CREATE FUNCTION @extschema@.clip_classify(
        embedding vector,
        labels text[],
        template text DEFAULT 'a photo of a {}',
        model text DEFAULT NULL,        -- the model of the embedding; default clip_search.model
        templates text[] DEFAULT NULL)
    RETURNS TABLE (label text, probability real, similarity real)
    AS 'MODULE_PATHNAME', 'clip_classify_vector'
    LANGUAGE C STABLE PARALLEL SAFE COST 10 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_classify(vector, text[], text, text, text[]) IS
    'how well each label fits an embedding, best first';

CREATE FUNCTION @extschema@.clip_best_label(
        image bytea,
        labels text[],
        template text DEFAULT 'a photo of a {}',
        model text DEFAULT NULL,
        templates text[] DEFAULT NULL)
    RETURNS text
    AS 'MODULE_PATHNAME', 'clip_best_label_image'
    LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.clip_best_label(bytea, text[], text, text, text[]) IS
    'the label that fits an image best';

CREATE FUNCTION @extschema@.clip_best_label_image(
        image bytea,
        labels text[],
        template text DEFAULT 'a photo of a {}',
        model text DEFAULT NULL,
        templates text[] DEFAULT NULL)
    RETURNS text
    AS 'MODULE_PATHNAME', 'clip_best_label_image'
    LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.clip_best_label_image(bytea, text[], text, text, text[]) IS
    'as clip_best_label; a parameter without a type is an image here';

CREATE FUNCTION @extschema@.clip_best_label(
        embedding vector,
        labels text[],
        template text DEFAULT 'a photo of a {}',
        model text DEFAULT NULL,
        templates text[] DEFAULT NULL)
    RETURNS text
    AS 'MODULE_PATHNAME', 'clip_best_label_vector'
    LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION @extschema@.clip_best_label(vector, text[], text, text, text[]) IS
    'the label that fits an embedding best; the fastest way to label a table';

------------------------------------------------------------------------------------------------------------------------
-- Search
--
-- Searches a table, partitioned table, view, materialized view or foreign table, with the privileges and the row security
-- of the caller. id is the primary key, an object if it has several columns. metadata has the listed columns; by default
-- those that the caller may read, without the key, vectors and bytea. filter is an object of columns and values: equal to
-- a value, one of a list, null. A vector index is used, on the column, its halves or its bits. exclude is the id of a row to leave out. Numbers are double precision and bigint, since
-- drivers may send these types and PostgreSQL does not implicitly cast them to smaller ones.
------------------------------------------------------------------------------------------------------------------------

-- jsonb under another name: jsonb, json, text and varchar are implicitly cast to it, so that drivers can send any of these.
-- Nothing else takes this type, and it has no implicit cast to another one: no other call or operator becomes ambiguous.
CREATE TYPE @extschema@.clip_filter;
CREATE FUNCTION @extschema@.clip_filter_in(cstring) RETURNS @extschema@.clip_filter
    AS 'jsonb_in' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.clip_filter_in(cstring) IS
    'part of the type clip_filter';
CREATE FUNCTION @extschema@.clip_filter_out(@extschema@.clip_filter) RETURNS cstring
    AS 'jsonb_out' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.clip_filter_out(@extschema@.clip_filter) IS
    'part of the type clip_filter';
CREATE FUNCTION @extschema@.clip_filter_recv(internal) RETURNS @extschema@.clip_filter
    AS 'jsonb_recv' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.clip_filter_recv(internal) IS
    'part of the type clip_filter';
CREATE FUNCTION @extschema@.clip_filter_send(@extschema@.clip_filter) RETURNS bytea
    AS 'jsonb_send' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.clip_filter_send(@extschema@.clip_filter) IS
    'part of the type clip_filter';
CREATE TYPE @extschema@.clip_filter (
    INPUT = @extschema@.clip_filter_in, OUTPUT = @extschema@.clip_filter_out,
    RECEIVE = @extschema@.clip_filter_recv, SEND = @extschema@.clip_filter_send,
    LIKE = jsonb);
COMMENT ON TYPE @extschema@.clip_filter IS
    'the filter of clip_search: jsonb, to which jsonb, json and texts are implicitly cast';
CREATE CAST (jsonb AS @extschema@.clip_filter) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (json AS @extschema@.clip_filter) WITH INOUT AS IMPLICIT;
CREATE CAST (text AS @extschema@.clip_filter) WITH INOUT AS IMPLICIT;
CREATE CAST (varchar AS @extschema@.clip_filter) WITH INOUT AS IMPLICIT;
CREATE CAST (@extschema@.clip_filter AS jsonb) WITHOUT FUNCTION AS ASSIGNMENT;

CREATE FUNCTION @extschema@.clip_search(
        tbl regclass,
        query text,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_text'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search(regclass, text, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, text) IS
    'the rows of a table that a text describes, most similar first';

CREATE FUNCTION @extschema@.clip_search(
        tbl regclass,
        query bytea,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_image'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search(regclass, bytea, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, text) IS
    'the rows of a table that look like an image, most similar first';

CREATE FUNCTION @extschema@.clip_search_image(
        tbl regclass,
        query bytea,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_image'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search_image(regclass, bytea, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, text) IS
    'as clip_search; a parameter without a type is an image here';

CREATE FUNCTION @extschema@.clip_search(
        tbl regclass,
        query vector,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0)
    RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
    AS 'MODULE_PATHNAME', 'clip_search_vector'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_search(regclass, vector, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint) IS
    'the rows of a table that are close to an embedding, most similar first';

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

CREATE FUNCTION @extschema@.clip_search_json(
        tbl regclass,
        query text,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS jsonb
    AS 'MODULE_PATHNAME', 'clip_search_json_text'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000;
COMMENT ON FUNCTION @extschema@.clip_search_json(regclass, text, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, text) IS
    'the rows of a table that a text describes, as {"matches": [{"id", "score", "metadata"}]}';

CREATE FUNCTION @extschema@.clip_search_json(
        tbl regclass,
        query bytea,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0,
        model text DEFAULT NULL)                -- clip_search.model
    RETURNS jsonb
    AS 'MODULE_PATHNAME', 'clip_search_json_image'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000;
COMMENT ON FUNCTION @extschema@.clip_search_json(regclass, bytea, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint, text) IS
    'the rows of a table that look like an image, as {"matches": [{"id", "score", "metadata"}]}';

CREATE FUNCTION @extschema@.clip_search_json(
        tbl regclass,
        query vector,
        k bigint DEFAULT 10,
        min_similarity double precision DEFAULT NULL,
        filter @extschema@.clip_filter DEFAULT NULL,
        columns text[] DEFAULT NULL,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
        skip bigint DEFAULT 0)
    RETURNS jsonb
    AS 'MODULE_PATHNAME', 'clip_search_json_vector'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000;
COMMENT ON FUNCTION @extschema@.clip_search_json(regclass, vector, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint) IS
    'the rows of a table that are close to an embedding, as {"matches": [{"id", "score", "metadata"}]}';

-- The same for halfvec, which pgvector has since 0.7. As above, its input function identifies the type, not just its name.
DO $do$ BEGIN
    IF EXISTS (SELECT FROM pg_type AS t
                 JOIN pg_proc AS i ON i.oid = t.typinput
                 JOIN pg_language AS l ON l.oid = i.prolang
                WHERE t.typname = 'halfvec' AND l.lanname = 'c' AND i.prosrc = 'halfvec_in' AND i.probin IN ('$libdir/vector', 'vector')
                  AND t.typnamespace = (SELECT v.typnamespace FROM pg_type AS v WHERE v.oid = 'vector'::regtype)) THEN
        CREATE FUNCTION @extschema@.clip_search(
                tbl regclass,
                query halfvec,
                k bigint DEFAULT 10,
                min_similarity double precision DEFAULT NULL,
                filter @extschema@.clip_filter DEFAULT NULL,
                columns text[] DEFAULT NULL,
                embedding_column name DEFAULT NULL,
                id_column name DEFAULT NULL,
                exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
                skip bigint DEFAULT 0)
            RETURNS TABLE (id jsonb, similarity real, metadata jsonb)
            AS 'MODULE_PATHNAME', 'clip_search_halfvec'
            LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
        COMMENT ON FUNCTION @extschema@.clip_search(regclass, halfvec, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint) IS
            'the rows of a table that are close to an embedding, most similar first';
        CREATE FUNCTION @extschema@.clip_search_json(
                tbl regclass,
                query halfvec,
                k bigint DEFAULT 10,
                min_similarity double precision DEFAULT NULL,
                filter @extschema@.clip_filter DEFAULT NULL,
                columns text[] DEFAULT NULL,
                embedding_column name DEFAULT NULL,
                id_column name DEFAULT NULL,
                exclude anycompatible DEFAULT NULL::jsonb, -- the id of a row, or a list of ids
                skip bigint DEFAULT 0)
            RETURNS jsonb
            AS 'MODULE_PATHNAME', 'clip_search_json_halfvec'
            LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000;
        COMMENT ON FUNCTION @extschema@.clip_search_json(regclass, halfvec, bigint, double precision, @extschema@.clip_filter, text[], name, name, anycompatible, bigint) IS
            'the rows of a table that are close to an embedding, as {"matches": [{"id", "score", "metadata"}]}';
    END IF;
END $do$;

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

-- indexes: those that clip_search uses.
CREATE FUNCTION @extschema@.clip_index_stats(
        tbl regclass,
        embedding_column name DEFAULT NULL,
        exact boolean DEFAULT true)     -- false: the statistics of VACUUM and ANALYZE, without reading the table
    RETURNS jsonb
    AS 'MODULE_PATHNAME', 'clip_index_stats'
    LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000;
COMMENT ON FUNCTION @extschema@.clip_index_stats(regclass, name, boolean) IS
    'a table''s embeddings and their indexes: dimension, counts, metric, sizes, state';

-- threshold is the similarity that a random row of the table exceeds with the probability false_positive_rate, on average
-- over the queries. This assumes that the similarities of rows that do not match are normally distributed around center
-- (median) with this deviation (1.4826 times the median absolute deviation). observed_rate is the share of the sample that
-- exceeds threshold, matching rows included. VOLATILE: each call takes another sample.
CREATE FUNCTION @extschema@.clip_suggest_threshold(
        tbl regclass,
        sample integer DEFAULT 1000,
        false_positive_rate double precision DEFAULT 0.001,
        queries text[] DEFAULT NULL,    -- texts that are searched for; default: 64 everyday ones
        embedding_column name DEFAULT NULL,
        model text DEFAULT NULL)
    RETURNS TABLE (threshold real, sampled integer, queries_used integer, center real, deviation real,
        observed_rate real)
    AS 'MODULE_PATHNAME', 'clip_suggest_threshold'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000000 ROWS 1;
COMMENT ON FUNCTION @extschema@.clip_suggest_threshold(regclass, integer, double precision, text[], name, text) IS
    'the minimum similarity of a match in a search by any text';

CREATE FUNCTION @extschema@.clip_suggest_threshold(
        tbl regclass,
        query text,
        sample integer DEFAULT 1000,
        false_positive_rate double precision DEFAULT 0.001,
        embedding_column name DEFAULT NULL,
        model text DEFAULT NULL)
    RETURNS TABLE (threshold real, sampled integer, queries_used integer, center real, deviation real,
        observed_rate real)
    AS 'MODULE_PATHNAME', 'clip_suggest_threshold_text'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000000 ROWS 1;
COMMENT ON FUNCTION @extschema@.clip_suggest_threshold(regclass, text, integer, double precision, name, text) IS
    'the minimum similarity of a match in a search by this text';

CREATE FUNCTION @extschema@.clip_suggest_threshold(
        tbl regclass,
        query vector,
        sample integer DEFAULT 1000,
        false_positive_rate double precision DEFAULT 0.001,
        embedding_column name DEFAULT NULL)
    RETURNS TABLE (threshold real, sampled integer, queries_used integer, center real, deviation real,
        observed_rate real)
    AS 'MODULE_PATHNAME', 'clip_suggest_threshold_vector'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000000 ROWS 1;
COMMENT ON FUNCTION @extschema@.clip_suggest_threshold(regclass, vector, integer, double precision, name) IS
    'the minimum similarity of a match in a search by this embedding';

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

-- Evaluates a model on a table, given the rows that each query should find. NULL if there are no queries.
CREATE FUNCTION @extschema@.clip_evaluate(
        tbl regclass,
        queries text[],
        ids jsonb[],                            -- for each query, the id of a row that it should find
        k bigint DEFAULT 10,
        embedding_column name DEFAULT NULL,     -- the only one of type vector or halfvec
        id_column name DEFAULT NULL,            -- the primary key
        model text DEFAULT NULL,                -- clip_search.model
        OUT pairs bigint,                       -- distinct pairs of query and id
        OUT recall double precision,            -- share of the pairs whose row is among the first k
        OUT mean_reciprocal_rank double precision)  -- mean over the queries of 1 / rank of the first row, 0 beyond k
    LANGUAGE sql STABLE PARALLEL RESTRICTED COST 1000000
    AS $$
SELECT COALESCE(pg_catalog.sum(pg_catalog.cardinality(r.wanted)), 0)::pg_catalog.int8,
       pg_catalog.sum(r.found)::pg_catalog.float8 OPERATOR(pg_catalog./)
           pg_catalog.sum(pg_catalog.cardinality(r.wanted))::pg_catalog.float8,
       pg_catalog.avg(COALESCE(1::pg_catalog.float8 OPERATOR(pg_catalog./) r.rank::pg_catalog.float8, 0))
  FROM (SELECT q.wanted, m.found, m.rank
          FROM (SELECT p.query, pg_catalog.array_agg(DISTINCT p.id) AS wanted,
                       pg_catalog.bool_and(p.id IS NOT NULL) AS is_whole
                  FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS p(query, id)
                 GROUP BY p.query) AS q
         -- A NULL query or id makes clip_search raise an error.
         CROSS JOIN LATERAL (
               SELECT pg_catalog.count(*) AS found, pg_catalog.min(f.place) AS rank
                 FROM @extschema@.clip_search($1, CASE WHEN q.is_whole THEN q.query END, $4,
                          columns => '{}'::pg_catalog.text[], embedding_column => $5, id_column => $6, model => $7)
                      WITH ORDINALITY AS f(id, similarity, metadata, place)
                WHERE f.id OPERATOR(pg_catalog.=) ANY (q.wanted)) AS m) AS r
$$;
COMMENT ON FUNCTION @extschema@.clip_evaluate(regclass, text[], jsonb[], bigint, name, name, text) IS
    'recall and mean reciprocal rank of searches whose results are known: to compare models, precisions and indexes';

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

------------------------------------------------------------------------------------------------------------------------
-- Thumbnails and galleries
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.clip_thumbnail(image bytea, max_side bigint DEFAULT 256) RETURNS bytea
    AS 'MODULE_PATHNAME', 'clip_thumbnail'
    LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.clip_thumbnail(bytea, bigint) IS
    'a small upright copy of an image: JPEG, or PNG if it has transparent parts';

CREATE FUNCTION @extschema@.clip_gallery_add(internal, image bytea, caption text, similarity real) RETURNS internal
    AS 'MODULE_PATHNAME', 'clip_gallery_add'
    LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.clip_gallery_add(internal, bytea, text, real) IS
    'part of the aggregate clip_gallery';

CREATE FUNCTION @extschema@.clip_gallery_add(internal, image bytea, caption text, similarity real, title text) RETURNS internal
    AS 'MODULE_PATHNAME', 'clip_gallery_add'
    LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.clip_gallery_add(internal, bytea, text, real, text) IS
    'part of the aggregate clip_gallery';

CREATE FUNCTION @extschema@.clip_gallery_page(internal) RETURNS text
    AS 'MODULE_PATHNAME', 'clip_gallery_page'
    LANGUAGE C STABLE PARALLEL SAFE COST 50000;
COMMENT ON FUNCTION @extschema@.clip_gallery_page(internal) IS
    'part of the aggregate clip_gallery';

CREATE AGGREGATE @extschema@.clip_gallery(image bytea, caption text, similarity real)
    (SFUNC = @extschema@.clip_gallery_add, STYPE = internal, FINALFUNC = @extschema@.clip_gallery_page, FINALFUNC_MODIFY = READ_WRITE);
COMMENT ON AGGREGATE @extschema@.clip_gallery(bytea, text, real) IS
    'one HTML page with the images of a query, in its order; in psql: \g (format=unaligned tuples_only=on) gallery.html';

CREATE AGGREGATE @extschema@.clip_gallery(image bytea, caption text, similarity real, title text)
    (SFUNC = @extschema@.clip_gallery_add, STYPE = internal, FINALFUNC = @extschema@.clip_gallery_page, FINALFUNC_MODIFY = READ_WRITE);
COMMENT ON AGGREGATE @extschema@.clip_gallery(bytea, text, real, text) IS
    'one HTML page with the images of a query, in its order, with a title';

------------------------------------------------------------------------------------------------------------------------
-- Images by URL
--
-- Off unless clip_search.url_fetch is on. The inference server connects only to public addresses, unless
-- clip_search.url_allow lists others.
------------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION @extschema@.clip_fetch_image(url text) RETURNS bytea
    AS 'MODULE_PATHNAME', 'clip_fetch_image'
    LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 1000000;
COMMENT ON FUNCTION @extschema@.clip_fetch_image(text) IS
    'the image at an http, https or data URL';

CREATE FUNCTION @extschema@.clip_fetch_images(
        urls text[],
        in_order boolean DEFAULT true,  -- false: as they arrive
        OUT ordinal integer,            -- position in urls, from 1
        OUT url text,
        OUT image bytea,
        OUT content_type text,          -- as the web server says
        OUT error text)                 -- why there is no image
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_fetch_images'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 10000000 ROWS 100;
COMMENT ON FUNCTION @extschema@.clip_fetch_images(text[], boolean) IS
    'the images at many URLs, fetched in parallel; one row for each, with the image or the reason why there is none';
-- They make the database server send requests into the network, and hold the responses in its memory.
REVOKE ALL ON FUNCTION @extschema@.clip_fetch_image(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION @extschema@.clip_fetch_images(text[], boolean) FROM PUBLIC;

------------------------------------------------------------------------------------------------------------------------
-- The extension's own tables
--
-- They are in a separate schema, which belongs to the superuser who creates the extension: the owner of the database,
-- or of the schema of the functions, cannot rename it, move the tables, or put triggers on them. Only the library reads
-- and writes them, and it raises an error if any of this does not hold; see src/internal_tables.rs.
------------------------------------------------------------------------------------------------------------------------

-- Nothing below needs pgvector's schema.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE SCHEMA clip_search_internal;
COMMENT ON SCHEMA clip_search_internal IS
    'tables of the extension clip_search; see clip_embed_errors, clip_stat_progress_embed and clip_sync_status()';
GRANT USAGE ON SCHEMA clip_search_internal TO PUBLIC;

------------------------------------------------------------------------------------------------------------------------
-- Embedding a whole table
------------------------------------------------------------------------------------------------------------------------

-- Commits batch by batch; may be interrupted and called again, and called in several sessions at once.
CREATE PROCEDURE @extschema@.clip_embed_table(
        tbl regclass,
        source_column name,                         -- images (bytea), texts, or URLs of images
        embedding_column name DEFAULT 'embedding',
        model text DEFAULT NULL,                    -- clip_search.model
        source_kind text DEFAULT NULL,              -- image, text or url; NULL: by the column's type
        image_column name DEFAULT NULL,             -- stores the images fetched by URL
        provenance_column name DEFAULT NULL,        -- text; rows whose image or model has changed are embedded again
        batch_size integer DEFAULT 1000,            -- maximum rows of a transaction
        retry_errors boolean DEFAULT false)         -- also rows that failed before with the same source and model
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'clip_embed_table';
COMMENT ON PROCEDURE @extschema@.clip_embed_table(regclass, name, name, text, text, name, name, integer, boolean) IS
    'embeds the rows that have no embedding, in batches that are committed one by one; see clip_stat_progress_embed and clip_embed_errors';

-- The views decide which rows of these two tables a role can see.
CREATE TABLE clip_search_internal.clip_embed_errors_data (
    relid regclass NOT NULL,                        -- the table, or the partition that has the row
    embedding_column name NOT NULL,
    key_hash bytea NOT NULL,                        -- sha256 of key: a key may be too long for an index
    key jsonb NOT NULL,
    source_column name NOT NULL,
    sqlstate text NOT NULL,
    message text NOT NULL,
    hint text,
    source_hash bytea NOT NULL,                     -- sha256 of the source value, with column, kind and model
    is_permanent boolean NOT NULL,                  -- the same bytes will fail in the same way
    occurred_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    attempts integer NOT NULL DEFAULT 1,
    PRIMARY KEY (relid, embedding_column, key_hash));
COMMENT ON TABLE clip_search_internal.clip_embed_errors_data IS
    'see the view clip_embed_errors';
SELECT pg_catalog.pg_extension_config_dump('clip_search_internal.clip_embed_errors_data',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relid AND c.relpersistence <> ''t'')');

CREATE VIEW @extschema@.clip_embed_errors WITH (security_barrier) AS
    SELECT e.relid AS "table", e.key, e.source_column, e.embedding_column, e.sqlstate, e.message, e.hint,
           e.occurred_at, e.attempts
      FROM clip_search_internal.clip_embed_errors_data AS e
     WHERE pg_catalog.has_table_privilege(CAST(e.relid AS pg_catalog.oid), 'SELECT')
       AND NOT pg_catalog.row_security_active(CAST(e.relid AS pg_catalog.oid));
COMMENT ON VIEW @extschema@.clip_embed_errors IS
    'rows that could not be embedded, and why; only of tables of which the current role may read every row';
GRANT SELECT ON @extschema@.clip_embed_errors TO PUBLIC;

-- Logged, although it is useless after a crash: an unlogged table could not be read on a standby.
CREATE TABLE clip_search_internal.clip_embed_progress_data (
    pid integer PRIMARY KEY,
    backend_start timestamptz,
    query_start timestamptz,
    relid regclass NOT NULL,
    embedding_column name NOT NULL,
    phase text NOT NULL,
    rows_total bigint,
    rows_done bigint NOT NULL DEFAULT 0,
    rows_failed bigint NOT NULL DEFAULT 0,
    rows_skipped bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp());
COMMENT ON TABLE clip_search_internal.clip_embed_progress_data IS
    'see the view clip_stat_progress_embed';

-- As in pg_stat_activity, a role sees its own rows, and members of pg_read_all_stats see all. Leaves out rows whose CALL
-- has ended.
CREATE VIEW @extschema@.clip_stat_progress_embed WITH (security_barrier) AS
    SELECT p.pid, a.datid, a.datname, a.usename, p.relid, p.embedding_column, p.phase,
           p.rows_total,                            -- as counted at the start
           p.rows_done, p.rows_failed, p.rows_skipped,
           p.started_at, p.updated_at               -- the latest commit
      FROM clip_search_internal.clip_embed_progress_data AS p
      JOIN pg_catalog.pg_stat_activity AS a
        ON a.pid OPERATOR(pg_catalog.=) p.pid AND a.backend_start OPERATOR(pg_catalog.=) p.backend_start
           AND a.query_start OPERATOR(pg_catalog.=) p.query_start AND a.state OPERATOR(pg_catalog.<>) 'idle'
           AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database();
COMMENT ON VIEW @extschema@.clip_stat_progress_embed IS
    'one row for each CALL clip_embed_table that is running in this database';
GRANT SELECT ON @extschema@.clip_stat_progress_embed TO PUBLIC;

------------------------------------------------------------------------------------------------------------------------
-- Keeping embeddings up to date
------------------------------------------------------------------------------------------------------------------------

-- CREATE TRIGGER t BEFORE INSERT OR UPDATE OF image ON images FOR EACH ROW
--     EXECUTE FUNCTION clip_embed_trigger('image', 'embedding' [, 'owner/name'] [, 'on_error=null']);
CREATE FUNCTION @extschema@.clip_embed_trigger() RETURNS trigger
    AS 'MODULE_PATHNAME', 'clip_embed_trigger'
    LANGUAGE C;
COMMENT ON FUNCTION @extschema@.clip_embed_trigger() IS
    'embeds an image or a text when it is inserted or changed: source column, embedding column, model, on_error=null';

-- For uploads that must not wait: the trigger puts the key into a queue, in the transaction of the upload, and a background
-- worker embeds the row, as the table's owner. The table needs a primary key.
-- CREATE TRIGGER t AFTER INSERT OR UPDATE OF image ON images FOR EACH ROW
--     EXECUTE FUNCTION clip_enqueue_trigger('image', 'embedding' [, 'owner/name']);
CREATE FUNCTION @extschema@.clip_enqueue_trigger() RETURNS trigger
    AS 'MODULE_PATHNAME', 'clip_enqueue_trigger'
    LANGUAGE C;
COMMENT ON FUNCTION @extschema@.clip_enqueue_trigger() IS
    'queues an inserted or changed image or text, which is embedded soon after the commit: source column, embedding column, model';

-- Filled by the trigger, emptied by the worker.
CREATE TABLE clip_search_internal.clip_embed_queue (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),   -- unlike a sequence number, unique after a restore
    relid regclass NOT NULL,                        -- the table, or the partition that has the row
    key jsonb NOT NULL,                             -- of the row: columns and values
    source_column name NOT NULL,
    embedding_column name NOT NULL,
    model text NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    due_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    attempts integer NOT NULL DEFAULT 0,            -- failures that the row caused
    deferrals integer NOT NULL DEFAULT 0,           -- failures with another cause
    last_error text,                                -- why it was not embedded yet
    owner oid NOT NULL DEFAULT 0);                  -- of the table, when queued: owners take turns; invalid after a restore
CREATE INDEX clip_embed_queue_turn ON clip_search_internal.clip_embed_queue (owner, relid, due_at);
COMMENT ON TABLE clip_search_internal.clip_embed_queue IS
    'rows that a background worker will embed; see clip_sync_status()';
-- Rows of dropped tables could not be restored.
SELECT pg_catalog.pg_extension_config_dump('clip_search_internal.clip_embed_queue',
    'WHERE EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = relid)');

-- The worker records an attempt here before it begins. A row that remains means that the attempt has ended the worker.
CREATE TABLE clip_search_internal.clip_embed_attempts (
    id uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    entries uuid[] NOT NULL);                       -- ids in clip_embed_queue
COMMENT ON TABLE clip_search_internal.clip_embed_attempts IS
    'rows of the queue that a background worker is working on';

-- Each cluster has its own queue and its own failures: rows that a publication FOR ALL TABLES brings are skipped.
CREATE FUNCTION clip_search_internal.clip_skip_replicated() RETURNS trigger
    AS 'MODULE_PATHNAME', 'clip_skip_replicated'
    LANGUAGE C;
COMMENT ON FUNCTION clip_search_internal.clip_skip_replicated() IS
    'trigger on the extension''s own tables: skips rows from logical replication';
REVOKE ALL ON FUNCTION clip_search_internal.clip_skip_replicated() FROM PUBLIC;
CREATE TRIGGER skip_replicated BEFORE INSERT OR UPDATE OR DELETE ON clip_search_internal.clip_embed_queue
    FOR EACH ROW EXECUTE FUNCTION clip_search_internal.clip_skip_replicated();
ALTER TABLE clip_search_internal.clip_embed_queue ENABLE REPLICA TRIGGER skip_replicated;
CREATE TRIGGER skip_replicated BEFORE INSERT OR UPDATE OR DELETE ON clip_search_internal.clip_embed_errors_data
    FOR EACH ROW EXECUTE FUNCTION clip_search_internal.clip_skip_replicated();
ALTER TABLE clip_search_internal.clip_embed_errors_data ENABLE REPLICA TRIGGER skip_replicated;
CREATE TRIGGER skip_replicated BEFORE INSERT OR UPDATE OR DELETE ON clip_search_internal.clip_embed_attempts
    FOR EACH ROW EXECUTE FUNCTION clip_search_internal.clip_skip_replicated();
ALTER TABLE clip_search_internal.clip_embed_attempts ENABLE REPLICA TRIGGER skip_replicated;

-- For pg_dump, which reads both tables. PostgreSQL 13 does not have this role.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_database_owner') THEN
        GRANT SELECT ON clip_search_internal.clip_embed_queue, clip_search_internal.clip_embed_errors_data
            TO pg_database_owner;
    END IF;
END $$;

CREATE FUNCTION @extschema@.clip_sync(
        tbl regclass,
        source_column name,
        embedding_column name DEFAULT 'embedding',
        mode text DEFAULT 'immediate',              -- immediate or queued
        model text DEFAULT NULL,                    -- default: the current value of clip_search.model
        on_error text DEFAULT 'error',              -- immediate: error, or null for a NULL and a WARNING
        always boolean DEFAULT false)               -- also for rows from logical replication
    RETURNS text
    AS 'MODULE_PATHNAME', 'clip_sync'
    LANGUAGE C VOLATILE;
COMMENT ON FUNCTION @extschema@.clip_sync(regclass, name, name, text, text, text, boolean) IS
    'creates a trigger that keeps embeddings up to date with a column of images or texts, and returns its name';

CREATE FUNCTION @extschema@.clip_unsync(tbl regclass, embedding_column name DEFAULT 'embedding') RETURNS integer
    AS 'MODULE_PATHNAME', 'clip_unsync'
    LANGUAGE C VOLATILE;
COMMENT ON FUNCTION @extschema@.clip_unsync(regclass, name) IS
    'drops the triggers that clip_sync or CREATE TRIGGER created, and their queued rows; returns the number of triggers';

CREATE VIEW clip_search_internal.clip_sync_triggers WITH (security_barrier) AS
    SELECT t.tgrelid::regclass AS "table", t.tgname AS trigger,
           a.arguments[1] AS source_column, a.arguments[2] AS embedding_column,
           CASE p.prosrc WHEN 'clip_embed_trigger' THEN 'immediate' ELSE 'queued' END AS mode,
           CASE t.tgenabled WHEN 'O' THEN 'origin' WHEN 'A' THEN 'always' WHEN 'R' THEN 'replica' ELSE 'disabled' END AS enabled,
           q.queued, q.oldest,
           CASE WHEN NOT pg_catalog.row_security_active(t.tgrelid) THEN q.last_error END AS last_error
      FROM pg_catalog.pg_trigger AS t
      JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
      JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
      JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'clip_search'
           AND d.refclassid = 'pg_catalog.pg_extension'::regclass,
           LATERAL (SELECT pg_catalog.array_agg(pg_catalog.convert_from(pg_catalog.decode(x.argument, 'escape'),
                                                                        pg_catalog.getdatabaseencoding())
                                                ORDER BY x.place) AS arguments
                        -- Arguments end with a zero byte; a backslash in them is doubled, and must not look like one.
                      FROM pg_catalog.regexp_split_to_table(
                               pg_catalog.replace(pg_catalog.encode(t.tgargs, 'escape'), '\\', '\134'), '\\000')
                           WITH ORDINALITY AS x(argument, place)) AS a,
           LATERAL (SELECT pg_catalog.count(*) AS queued, pg_catalog.min(q.enqueued_at) AS oldest,
                           (pg_catalog.array_agg(q.last_error ORDER BY q.due_at DESC)
                               FILTER (WHERE q.last_error IS NOT NULL))[1] AS last_error
                      FROM clip_search_internal.clip_embed_queue AS q
                     WHERE (q.relid = t.tgrelid OR q.relid IN (SELECT i.relid FROM pg_catalog.pg_partition_tree(t.tgrelid) AS i))
                       AND q.embedding_column = a.arguments[2]) AS q
     WHERE p.prosrc IN ('clip_embed_trigger', 'clip_enqueue_trigger') AND t.tgparentid = 0
       AND pg_catalog.has_table_privilege(t.tgrelid, 'SELECT');
COMMENT ON VIEW clip_search_internal.clip_sync_triggers IS
    'see clip_sync_status()';
GRANT SELECT ON clip_search_internal.clip_sync_triggers TO PUBLIC;

CREATE FUNCTION @extschema@.clip_sync_status(
        OUT "table" regclass,
        OUT trigger name,
        OUT source_column text,
        OUT embedding_column text,
        OUT mode text,
        OUT enabled text,                           -- origin, always, replica or disabled, as in ALTER TABLE
        OUT queued bigint,                          -- queued rows
        OUT oldest timestamptz,                     -- when the oldest of them was queued
        OUT last_error text,                        -- why one of them was not embedded yet
        OUT worker boolean)                         -- whether a background worker runs in this database
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_sync_status'
    LANGUAGE C VOLATILE ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_sync_status() IS
    'the triggers that keep embeddings up to date, of tables that the current role may read, and their queued rows';

CREATE FUNCTION @extschema@.clip_start_worker() RETURNS boolean
    AS 'MODULE_PATHNAME', 'clip_start_worker'
    LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.clip_start_worker() IS
    'starts the background worker of this database''s queue, as after a restore or a promotion; false if no slot is free';
-- It takes one of max_worker_processes.
REVOKE ALL ON FUNCTION @extschema@.clip_start_worker() FROM PUBLIC;

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

------------------------------------------------------------------------------------------------------------------------
-- Models and the inference server
------------------------------------------------------------------------------------------------------------------------

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

-- These download, write to the database server's disk and load a model beside the inference server: for superusers, unless
-- granted. A child process does the work and ends with the statement. Nothing is rolled back with the transaction.
CREATE FUNCTION @extschema@.clip_install_model(
        source text,                    -- owner/name, owner/name/folder or owner/text+owner/image on the hub, or the path of a folder, Hugging Face cache or .tar file
        revision text DEFAULT NULL,     -- branch, tag or commit; default main
        in_precision text DEFAULT NULL, -- fp32, fp16, ...; default: the highest available
        as_name text DEFAULT NULL)      -- owner/name; default: that of the repository, and -folder
    RETURNS text                        -- the name of the model
    AS 'MODULE_PATHNAME', 'clip_install_model'
    LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000000;
COMMENT ON FUNCTION @extschema@.clip_install_model(text, text, text, text) IS
    'installs a model into clip_search.model_dir and tests it; for superusers, unless granted';

CREATE FUNCTION @extschema@.clip_verify_model(
        name text,
        OUT ok boolean,
        OUT files integer,                      -- compared; 0: it was not installed by clip_install_model
        OUT damaged text[],                     -- files that are missing or different
        OUT text_cosine double precision,       -- lowest cosine between a stored and a new vector
        OUT image_cosine double precision,
        OUT identical boolean,                  -- whether all vectors are equal in every bit
        OUT error text)                         -- why there are no new vectors
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_verify_model'
    LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000000 ROWS 1;
COMMENT ON FUNCTION @extschema@.clip_verify_model(text) IS
    'compares a model''s files and vectors with those of its installation; for superusers, unless granted';

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

CREATE FUNCTION @extschema@.clip_remove_model(name text) RETURNS void
    AS 'MODULE_PATHNAME', 'clip_remove_model'
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION @extschema@.clip_remove_model(text) IS
    'deletes a model from clip_search.model_dir; for superusers, unless granted';
REVOKE ALL ON FUNCTION @extschema@.clip_install_model(text, text, text, text), @extschema@.clip_verify_model(text),
    @extschema@.clip_quantize_model(text, boolean),
    @extschema@.clip_remove_model(text) FROM PUBLIC;

-- Statistics, in the manner of pg_stat_*: a view over a function. Without a server there are no rows, and none is started.
CREATE FUNCTION @extschema@.clip_stat_get_server(
        OUT pid bigint,
        OUT version text,
        OUT onnxruntime_version text,               -- NULL before a model is loaded
        OUT uptime double precision,                -- seconds
        OUT since_reset double precision,           -- seconds
        OUT restarts bigint,
        OUT resident_bytes bigint,
        OUT connections bigint,
        OUT connections_refused bigint,
        OUT queue_items bigint,
        OUT queue_bytes bigint,
        OUT waiting bigint,
        OUT in_flight bigint,
        OUT requests bigint,
        OUT interactive bigint,
        OUT bulk bigint,
        OUT texts bigint,
        OUT images bigint,
        OUT batches bigint,
        OUT mean_batch_size double precision,
        OUT cache_hits bigint,
        OUT shared bigint,
        OUT cache_bytes bigint,
        OUT errors bigint,
        OUT bulk_time double precision,             -- seconds
        OUT bulk_idle_time double precision,        -- seconds
        -- waiting for the device, milliseconds: since the reset, and in the last minute
        OUT queue_count bigint,
        OUT queue_p50 double precision, OUT queue_p95 double precision, OUT queue_p99 double precision,
        OUT queue_count_minute bigint,
        OUT queue_p50_minute double precision, OUT queue_p95_minute double precision, OUT queue_p99_minute double precision,
        -- decoding or tokenizing an item, milliseconds: since the reset, and in the last minute
        OUT prepare_count bigint,
        OUT prepare_p50 double precision, OUT prepare_p95 double precision, OUT prepare_p99 double precision,
        OUT prepare_count_minute bigint,
        OUT prepare_p50_minute double precision, OUT prepare_p95_minute double precision, OUT prepare_p99_minute double precision,
        -- inference of a batch, milliseconds: since the reset, and in the last minute
        OUT inference_count bigint,
        OUT inference_p50 double precision, OUT inference_p95 double precision, OUT inference_p99 double precision,
        OUT inference_count_minute bigint,
        OUT inference_p50_minute double precision, OUT inference_p95_minute double precision, OUT inference_p99_minute double precision)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_stat_get_server'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 1;
COMMENT ON FUNCTION @extschema@.clip_stat_get_server() IS
    'statistics of the inference server; see the view clip_stat_server';

CREATE FUNCTION @extschema@.clip_stat_get_models(
        OUT model text,
        OUT encoder text,
        OUT provider text,
        OUT loaded boolean,
        OUT memory_bytes bigint,
        OUT load_time double precision,             -- milliseconds
        OUT loads bigint,
        OUT items bigint,
        OUT batches bigint,
        OUT inference_time double precision,        -- milliseconds, of all batches
        OUT inference_p50 double precision, OUT inference_p95 double precision, OUT inference_p99 double precision,
        OUT errors bigint,
        OUT idle double precision)                  -- seconds since the latest batch
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'clip_stat_get_models'
    LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000 ROWS 10;
COMMENT ON FUNCTION @extschema@.clip_stat_get_models() IS
    'statistics of the encoders of models; see the view clip_stat_models';

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

CREATE VIEW @extschema@.clip_stat_server AS
    SELECT s.pid::integer AS pid,
           s.version, s.onnxruntime_version,
           pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => s.uptime) AS started_at,
           pg_catalog.make_interval(secs => s.uptime) AS uptime,
           s.restarts,                              -- by the supervisor, since its start
           pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => s.since_reset) AS stats_reset,
           s.resident_bytes,
           s.connections, s.connections_refused,
           s.queue_items,                           -- waiting for the device now
           s.queue_bytes,                           -- of requests accepted and not answered
           s.waiting,                               -- requests not accepted yet
           s.in_flight,                             -- requests under way
           s.requests,                              -- embed requests, failed ones included
           s.interactive, s.bulk,                   -- those of few and of many items
           s.texts, s.images,                       -- that were embedded
           s.batches, s.mean_batch_size,            -- batches, and items in one
           s.cache_hits,                            -- texts answered from the cache
           s.shared,                                -- items answered with the result of an equal one
           s.cache_bytes, s.errors,
           s.bulk_time,                             -- seconds in which requests of many items were under way
           s.bulk_idle_time,                        -- seconds of these in which nothing ran on a device
           s.queue_p50, s.queue_p95, s.queue_p99,   -- waiting for the device
           s.prepare_p50, s.prepare_p95, s.prepare_p99,
           s.inference_p50, s.inference_p95, s.inference_p99,
           s.queue_p50_minute, s.queue_p95_minute, s.queue_p99_minute,
           s.prepare_p50_minute, s.prepare_p95_minute, s.prepare_p99_minute,
           s.inference_p50_minute, s.inference_p95_minute, s.inference_p99_minute
      FROM @extschema@.clip_stat_get_server() AS s;
COMMENT ON VIEW @extschema@.clip_stat_server IS
    'counters and latencies of the inference server since its start or clip_stat_reset(); milliseconds, _minute for the last minute';

CREATE VIEW @extschema@.clip_stat_models AS
    SELECT m.model, m.encoder, m.provider, m.loaded, m.memory_bytes, m.load_time, m.loads, m.items, m.batches, m.inference_time, m.inference_p50, m.inference_p95, m.inference_p99,
           m.errors,
           pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => m.idle) AS last_use
      FROM @extschema@.clip_stat_get_models() AS m;
COMMENT ON VIEW @extschema@.clip_stat_models IS
    'counters and latencies of each encoder of each model since the server''s start or clip_stat_reset(); milliseconds';

CREATE VIEW @extschema@.clip_stat_endpoints AS
    SELECT e.model, e.encoder, e.endpoint, e.state, e.version, e.in_flight, e.requests, e.failures, e.latency, e.last_error
      FROM @extschema@.clip_stat_get_endpoints() AS e;
COMMENT ON VIEW @extschema@.clip_stat_endpoints IS
    'state, requests and latency of each endpoint of encoders that model servers run, since the server''s start; milliseconds';

CREATE FUNCTION @extschema@.clip_stat_reset() RETURNS void
    AS 'MODULE_PATHNAME', 'clip_stat_reset'
    LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.clip_stat_reset() IS
    'resets the counters of the inference server';

-- Counters reveal what other users do; a reset affects everybody.
REVOKE ALL ON FUNCTION @extschema@.clip_stat_get_server(), @extschema@.clip_stat_get_models(), @extschema@.clip_stat_reset() FROM PUBLIC;
REVOKE ALL ON @extschema@.clip_stat_server, @extschema@.clip_stat_models FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.clip_stat_get_server(), @extschema@.clip_stat_get_models() TO pg_monitor;
GRANT SELECT ON @extschema@.clip_stat_server, @extschema@.clip_stat_models TO pg_monitor;
REVOKE ALL ON FUNCTION @extschema@.clip_stat_get_endpoints() FROM PUBLIC;
REVOKE ALL ON @extschema@.clip_stat_endpoints FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.clip_stat_get_endpoints() TO pg_monitor;
GRANT SELECT ON @extschema@.clip_stat_endpoints TO pg_monitor;

CREATE FUNCTION @extschema@.clip_restart_server() RETURNS boolean
    AS 'MODULE_PATHNAME', 'clip_restart_server'
    LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.clip_restart_server() IS
    'ends the inference server and starts it again, as after an upgrade; requests under way are sent again';
-- It interrupts the requests of all users.
REVOKE ALL ON FUNCTION @extschema@.clip_restart_server() FROM PUBLIC;

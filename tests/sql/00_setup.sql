-- What the other files use. The model is the bundled one, clip-search/emoji, whose vectors have 128 dimensions.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION clip_search CASCADE;
RESET client_min_messages;
-- Cosine similarity, rounded so that the last digits of a float do not matter.
CREATE FUNCTION similarity(a vector, b vector) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT round((1 - (a <=> b))::numeric, 4) $$;
-- A one-pixel PNG, red.
CREATE TABLE pixel AS SELECT decode(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC', 'base64') AS image;

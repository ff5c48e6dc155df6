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
-- What a statement is refused with.
CREATE FUNCTION report(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    message := 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;

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

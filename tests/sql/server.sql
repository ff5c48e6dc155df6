-- What answers.
SET clip_search.model = 'clip-search/emoji';
SELECT vector_dims(clip_embed_text('load'));
SELECT name, is_default, dimension, image_size, context_length, "precision", device, execution_provider, loaded @> '{text}' AS text_loaded,
       size_bytes > 0 AS has_size, length(fingerprint) AS fingerprint, error
FROM clip_models() WHERE name = 'clip-search/emoji';
SELECT pid > 0 AS pid, uptime >= '0' AS uptime, version, onnxruntime_version, resident_bytes > 1000000 AS resident,
       connections > 0 AS connections, requests > 0 AS requests, texts > 0 AS texts, batches > 0 AS batches, errors >= 0 AS errors
FROM clip_server_status();

-- One inference, however often a plan evaluates the function.
CREATE TABLE counted AS SELECT texts FROM clip_server_status();
SELECT count(clip_embed_text('the same text')) FROM generate_series(1, 500) i WHERE i > 0;
SELECT status.texts - counted.texts AS inferences FROM clip_server_status() AS status, counted;
DROP TABLE counted;

-- What the functions are declared as
SELECT proname, pg_get_function_identity_arguments(oid) AS arguments, provolatile, proisstrict, proparallel, procost > 100 AS costly
FROM pg_proc WHERE proname LIKE 'clip\_%' ORDER BY 1, 2;
SELECT proname FROM pg_proc WHERE proname LIKE 'clip\_%' AND proacl IS NOT NULL ORDER BY 1;
SELECT count(*) AS without_comment FROM pg_proc WHERE proname LIKE 'clip\_%' AND obj_description(oid, 'pg_proc') IS NULL;

-- The settings
SELECT name, context, unit, boot_val FROM pg_settings WHERE name LIKE 'clip\_search.%' ORDER BY 1;

-- A restart is one call away, and the next request is answered.
SELECT pid AS old_pid FROM clip_server_status() \gset
SELECT clip_restart_server();
SELECT vector_dims(clip_embed_text('again'));

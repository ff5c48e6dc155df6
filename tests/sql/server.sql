-- What answers.
SET clip_search.model = 'clip-search/emoji';
SELECT vector_dims(clip_embed_text('load'));
SELECT name, is_default, dimension, image_size, context_length, "precision", device, execution_provider, loaded @> '{text}' AS text_loaded,
       size_bytes > 0 AS has_size, length(fingerprint) AS fingerprint, error
FROM clip_models() WHERE name = 'clip-search/emoji';
SELECT version = (SELECT extversion FROM pg_extension WHERE extname = 'clip_search') AS version, onnxruntime_version, requests > 0 AS requests, texts > 0 AS texts, batches > 0 AS batches, errors >= 0 AS errors
FROM clip_stat_server;

-- One inference, however often a plan evaluates the function.
CREATE TABLE counted AS SELECT texts FROM clip_stat_server;
SELECT count(clip_embed_text('the same text')) FROM generate_series(1, 500) i WHERE i > 0;
SELECT status.texts - counted.texts AS inferences FROM clip_stat_server AS status, counted;
DROP TABLE counted;

-- Statistics: what was asked for since the reset
SELECT clip_stat_reset();
SELECT count(*) FROM unnest(clip_embed_texts(ARRAY['one', 'two', 'three', 'four', 'five', 'six', 'Six', 'SIX ']));
SELECT count(*) FROM unnest(clip_embed_texts(ARRAY['one', 'two']));
SELECT pid > 0 AS pid, started_at < now() AS started, uptime > '0' AS uptime, restarts >= 0 AS restarts,
       stats_reset > started_at AS reset, resident_bytes > 1000000 AS resident, connections > 0 AS connections, connections_refused, queue_items,
       queue_bytes, waiting, in_flight, requests, interactive, bulk, texts, images, batches BETWEEN 1 AND 6 AS batches, mean_batch_size BETWEEN 1 AND 6 AS mean_batch_size,
       cache_hits, shared, cache_bytes > 0 AS cache_bytes, errors
FROM clip_stat_server;
SELECT prepare_p50 > 0 AND prepare_p50 <= prepare_p95 AND prepare_p95 <= prepare_p99 AS prepare,
       queue_p50 >= 0 AND queue_p50 <= queue_p95 AND queue_p95 <= queue_p99 AS queue,
       inference_p50 > 0 AND inference_p50 <= inference_p95 AND inference_p95 <= inference_p99 AS inference,
       inference_p99_minute > 0 AND prepare_p99_minute > 0 AND queue_p99_minute >= 0 AS minute
FROM clip_stat_server;
SELECT prepare_count, prepare_count_minute, queue_count, queue_count_minute FROM clip_stat_get_server();
SELECT model, provider, loaded, load_time > 0 AS load_time, loads, items, batches > 0 AS batches, inference_time > 0 AS inference_time, inference_p50 > 0 AND inference_p50 <= inference_p95 AND inference_p95 <= inference_p99 AS quantiles, errors,
       last_use > now() - interval '1 hour' AS last_use
FROM clip_stat_models WHERE encoder = 'text';

-- What the functions are declared as
\pset format unaligned
SELECT proname, pg_get_function_identity_arguments(oid) AS arguments, provolatile, proisstrict, proparallel, procost > 100 AS costly
FROM pg_proc WHERE proname LIKE 'clip\_%' ORDER BY 1, 2;
SELECT proname FROM pg_proc WHERE proname LIKE 'clip\_%' AND proacl IS NOT NULL ORDER BY 1;
SELECT relname, pg_get_userbyid(relowner) = current_user AS mine, relacl IS NOT NULL AS restricted, obj_description(oid, 'pg_class') IS NOT NULL AS has_comment
FROM pg_class WHERE relname LIKE 'clip\_%' ORDER BY 1;
SELECT count(*) AS without_comment FROM pg_proc WHERE proname LIKE 'clip\_%' AND obj_description(oid, 'pg_proc') IS NULL;
\pset format aligned

-- The settings
SELECT name, context, unit, boot_val FROM pg_settings WHERE name LIKE 'clip\_search.%' ORDER BY 1;

-- A restart is one call away, and the next request is answered.
SELECT pid AS old_pid FROM clip_stat_server \gset
SELECT clip_restart_server();
SELECT vector_dims(clip_embed_text('again'));

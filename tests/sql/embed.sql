-- What the functions promise.
SET clip_search.model = 'clip-search/emoji';

-- NULL in, NULL out; nothing else is NULL.
SELECT clip_embed_text(NULL) IS NULL, clip_embed_text('a', NULL) IS NULL, clip_embed_image(NULL) IS NULL,
       clip_embed_texts(NULL) IS NULL, clip_embed_images(NULL) IS NULL;
SELECT vector_dims(clip_embed_text('')), vector_dims(clip_embed_text('   ')), vector_dims(clip_embed_text(E'\t\n'));

-- Unit length
SELECT round(vector_norm(clip_embed_text(t))::numeric, 5) FROM unnest(ARRAY['a', 'a dog', '', repeat('dog ', 500)]) t;
SELECT round(vector_norm(clip_embed_image(image))::numeric, 5) FROM pixel;

-- The session's model and a named one
SELECT similarity(clip_embed_text('a dog'), clip_embed_text('a dog', 'clip-search/emoji'));
SELECT similarity(clip_embed_image(image), clip_embed_image(image, 'clip-search/emoji')) FROM pixel;
SELECT similarity(clip_embed_text('a dog'), clip_embed_text('red fruit')) < 0.99 AS different;

-- Case and white space do not matter to CLIP's tokenizer.
SELECT similarity(clip_embed_text('A Dog'), clip_embed_text('  a   dog '));

-- A text over the context length is cut, its end-of-text token kept: what is behind the cut does not matter.
SELECT similarity(clip_embed_text(repeat('dog ', 100)), clip_embed_text(repeat('dog ', 100) || 'cat'));
SELECT vector_dims(clip_embed_text(repeat('x', 50000))), vector_dims(clip_embed_text(repeat('a dog ', 8334)));
SELECT vector_dims(clip_embed_text(repeat('猫', 16667)));

-- What nobody means as words is embedded with a warning, once in a statement.
SELECT vector_dims(clip_embed_text('iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB'));
SELECT array_length(clip_embed_texts(ARRAY['\xffd8ffe000104a46', 'data:image/gif;base64,R0lG', clip_embed_text('a')::text]), 1);

-- Arrays: order, NULL elements, no elements, many elements, equal to one by one
SELECT clip_embed_texts('{}'), clip_embed_images('{}');
SELECT clip_embed_texts(ARRAY[NULL]::text[]), clip_embed_images(ARRAY[NULL, NULL]::bytea[]);
SELECT i, similarity(many[i], clip_embed_text(texts[i]))
FROM (SELECT ARRAY['a dog', NULL, 'red fruit', 'music', ''] AS texts) t,
     LATERAL (SELECT clip_embed_texts(texts) AS many) m, generate_subscripts(texts, 1) i ORDER BY i;
SELECT count(*), min(similarity(one, clip_embed_text('number ' || i))) FROM
    unnest(clip_embed_texts(ARRAY(SELECT 'number ' || i FROM generate_series(1, 150) i))) WITH ORDINALITY AS e(one, i);
SELECT array_length(clip_embed_images(ARRAY[image, image, NULL, image]), 1) FROM pixel;
SELECT array_lower(clip_embed_texts('[5:6]={a,b}'), 1), array_ndims(clip_embed_texts('{a}'));

-- Generated column, expression index, trigger
CREATE TABLE photos (id int PRIMARY KEY, image bytea,
    embedding vector(128) GENERATED ALWAYS AS (clip_embed_image(image, 'clip-search/emoji')) STORED);
INSERT INTO photos SELECT 1, image FROM pixel;
INSERT INTO photos VALUES (2, NULL);
SELECT id, similarity(embedding, clip_embed_image(image)) FROM photos ORDER BY id;
CREATE TABLE bad (image bytea, embedding vector GENERATED ALWAYS AS (clip_embed_image(image)) STORED);
INSERT INTO photos VALUES (3, 'not an image');
SELECT count(*) FROM photos;

CREATE TABLE captions (id int PRIMARY KEY, caption text, embedding vector(128));
CREATE FUNCTION embed_caption() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.embedding := clip_embed_text(NEW.caption); RETURN NEW; END $$;
CREATE TRIGGER embed BEFORE INSERT OR UPDATE OF caption ON captions FOR EACH ROW EXECUTE FUNCTION embed_caption();
INSERT INTO captions SELECT i, 'caption ' || i FROM generate_series(1, 50) i;
UPDATE captions SET caption = 'a dog' WHERE id = 7;
CREATE INDEX ON captions USING hnsw (embedding vector_cosine_ops);
CREATE INDEX ON captions ((clip_embed_text(caption, 'clip-search/emoji')::vector(128)::text));
SELECT id FROM captions ORDER BY embedding <=> clip_embed_text('a dog') LIMIT 1;
PREPARE nearest(text) AS SELECT id FROM captions ORDER BY embedding <=> clip_embed_text($1) LIMIT 1;
EXECUTE nearest('a dog');
EXECUTE nearest('caption 9');

-- COPY fires the trigger.
COPY captions (id, caption) FROM stdin;
60	red fruit
\.
SELECT similarity(embedding, clip_embed_text('red fruit')) FROM captions WHERE id = 60;

DROP TABLE photos, captions;
DROP FUNCTION embed_caption;

-- Images that may be none: NULL and a WARNING
\set VERBOSITY default
SELECT similarity(clip_try_embed_image(image), clip_embed_image(image)) FROM pixel;
SELECT clip_try_embed_image('no image') IS NULL, clip_try_embed_image(NULL) IS NULL;
SELECT clip_try_embed_image('', 'clip-search/emoji') IS NULL;
SELECT clip_try_embed_image(decode(repeat('00', 67108865), 'hex')) IS NULL;
SELECT v IS NULL AS is_null FROM pixel, unnest(clip_try_embed_images(ARRAY[image, 'no image', NULL, substr(image, 1, 40), image])) v;
CREATE TABLE lenient (image bytea, embedding vector(128) GENERATED ALWAYS AS (clip_try_embed_image(image, 'clip-search/emoji')) STORED);
INSERT INTO lenient SELECT image FROM pixel UNION ALL SELECT 'no image';
SELECT count(*), count(embedding) FROM lenient;
DROP TABLE lenient;
\set VERBOSITY terse
-- What is not the image's fault is an error.
SELECT clip_try_embed_image(image, 'no/such') FROM pixel;
SELECT clip_try_embed_images(ARRAY[image], 'no/such') FROM pixel;

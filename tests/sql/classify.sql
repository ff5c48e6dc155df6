-- Zero-shot classification of texts' embeddings, of an image, and of whole tables.
SET clip_search.model = 'clip-search/emoji';
CREATE TABLE things AS SELECT id, name, clip_embed_text(name) AS embedding
    FROM unnest(ARRAY['a happy cat', 'a sailing boat', 'a violin']) WITH ORDINALITY AS u(name, id);
INSERT INTO things VALUES (4, 'nothing', NULL);

SELECT id, c.label, round(c.probability::numeric, 2) AS probability FROM things, clip_classify(embedding, '{boat,cat,violin}') c
    WHERE c.probability > 0.5 ORDER BY id;
SELECT round(sum(probability)::numeric, 4) AS total, array_agg(probability ORDER BY probability DESC) = array_agg(probability) AS sorted
    FROM things, clip_classify(embedding, '{boat,cat,violin,"an image",x}') WHERE id = 1;
SELECT id, clip_best_label(embedding, '{boat,cat,violin}') FROM things ORDER BY id;
SELECT count(*) AS differ FROM things, LATERAL (SELECT label FROM clip_classify(embedding, '{boat,cat,violin,dog,rain}') LIMIT 1) c
    WHERE c.label IS DISTINCT FROM clip_best_label(embedding, '{boat,cat,violin,dog,rain}');

-- The similarity is that of the label in its template; the probability is the softmax with the model's logit scale.
SELECT bool_and(abs(similarity - clip_similarity(embedding, clip_embed_text('a photo of a ' || label))) < 1e-5) AS similarity,
       bool_and(abs(probability - e / total) < 1e-4) AS probability
FROM (SELECT c.*, t.embedding, exp(logit_scale * c.similarity) AS e, sum(exp(logit_scale * c.similarity)) OVER () AS total
      FROM things t, clip_classify(embedding, '{boat,cat,violin}') c, clip_models() m WHERE t.id = 1 AND m.name = 'clip-search/emoji') x;
SELECT bool_and(abs(c.similarity - clip_similarity(t.embedding, clip_embed_text('my ' || c.label || ', a ' || c.label))) < 1e-5)
    FROM things t, clip_classify(embedding, '{boat,cat}', 'my {}, a {}') c WHERE t.id = 1;
-- Several templates: the mean of the embeddings, which have length 1, normalised again
SELECT bool_and(abs(c.similarity - clip_similarity(t.embedding, clip_combine(ARRAY[clip_embed_text(c.label), clip_embed_text('a ' || c.label)]))) < 1e-5)
    FROM things t, clip_classify(embedding, '{boat,cat}', templates => '{"{}","a {}"}') c WHERE t.id = 1;

-- An image, which is a row without one where it is NULL
SELECT count(*), round(sum(probability)::numeric, 4) FROM pixel, clip_classify(image, '{red,blue}');
SELECT label FROM pixel, clip_classify(image, '{red,blue}') EXCEPT SELECT unnest(ARRAY[clip_best_label(image, '{red,blue}'), 'red', 'blue']) FROM pixel;
SELECT count(*) FROM clip_classify(NULL::bytea, '{red,blue}');
SELECT clip_best_label(NULL::bytea, '{red,blue}') IS NULL;
-- A vector without direction fits no label.
SELECT count(*) FROM clip_classify(array_fill(0, ARRAY[128])::vector, '{red,blue}');

-- Labels are embedded once for all rows, and not again by the next statement.
CREATE TABLE counted AS SELECT texts FROM clip_stat_server;
CREATE TABLE many AS SELECT i, embedding FROM things, generate_series(1, 500) i WHERE embedding IS NOT NULL;
SELECT count(*) FROM many, clip_classify(embedding, '{first,second,third,fourth}');
SELECT count(clip_best_label(embedding, '{first,second,third,fourth}')) FROM many;
SELECT status.texts - counted.texts AS texts_embedded FROM clip_stat_server AS status, counted;
-- Several sets of labels in one query, and labels of a column
UPDATE counted SET texts = (SELECT texts FROM clip_stat_server);
SELECT count(clip_best_label(embedding, ARRAY['one', 'two'])), count(clip_best_label(embedding, ARRAY['three', 'four'])),
       count(clip_best_label(embedding, ARRAY['five', 'six' || i % 2])) FROM many;
SELECT status.texts - counted.texts AS texts_embedded FROM clip_stat_server AS status, counted;
-- Other labels, another template, another model are another question.
SELECT clip_best_label(embedding, '{cat}'), clip_best_label(embedding, '{dog}'), clip_best_label(embedding, '{cat}', '{}') FROM things WHERE id = 1;
SELECT label FROM clip_classify((SELECT embedding FROM things WHERE id = 2), ARRAY['É' || repeat('x', 3000), 'boat']) LIMIT 1;

\x on
\pset format unaligned
SELECT * FROM report($$SELECT clip_classify(embedding, '{}') FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, NULL) FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, '{a,NULL}') FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, '{{a},{b}}') FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, '{a}', 'a photo') FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, '{a}', NULL) FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, '{a}', templates => '{}') FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, '{a}', templates => '{"{}","no place"}') FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, ARRAY[repeat('a', 1000000)], repeat('{}', 6000)) FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, array_fill('a'::text, ARRAY[1001]), templates => array_fill('{}'::text, ARRAY[100])) FROM things$$);
SELECT * FROM report($$SELECT clip_classify(embedding, '{a}', model => 'no/such') FROM things$$);
SELECT * FROM report($$SELECT clip_classify('[1,2,3]'::vector, '{a}')$$);
SELECT * FROM report($$SELECT clip_best_label('[1,2,3]'::vector, '{a}')$$);
SELECT * FROM report($$SELECT clip_classify('no image'::bytea, '{a}')$$);
SELECT * FROM report($$SELECT clip_classify('no type', '{a}')$$);
\x off
\pset format aligned
DROP TABLE things, counted, many;

-- What every driver is tried with: the table of docs/applications.md, and a role that is no superuser.
CREATE EXTENSION clip_search CASCADE;
CREATE TABLE photos (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    caption   text NOT NULL,
    category  text,
    image     bytea NOT NULL,
    embedding vector(128) GENERATED ALWAYS AS (clip_embed_image(image, 'clip-search/emoji')) STORED
);
CREATE INDEX ON photos USING hnsw (embedding vector_cosine_ops);
GRANT SELECT, INSERT ON photos TO app;
GRANT CREATE ON SCHEMA public TO app;

//! Embeddings that Postgres keeps up to date: a generated column, a trigger, an expression index.

use cluster_tests::{Cluster, cosine, embed_image, image};
use postgres::Client;

fn stored(client: &mut Client, table: &str) -> Vec<f32> {
    client.query_one(&format!("SELECT embedding::real[] FROM {table} WHERE id = 1"), &[]).unwrap().get(0)
}

fn follows_insert_and_update(client: &mut Client, table: &str) {
    let images = ["photo_444.jpg", "gradient.png"].map(image);
    let expected = images.each_ref().map(|image| embed_image(client, image).unwrap());
    assert!(cosine(&expected[0], &expected[1]) < 0.999, "the two images must differ");
    client.execute(&format!("INSERT INTO {table} (id, image) VALUES (1, $1)"), &[&images[0]]).unwrap();
    assert_eq!(stored(client, table), expected[0]);
    client.execute(&format!("UPDATE {table} SET image = $1 WHERE id = 1"), &[&images[1]]).unwrap();
    assert_eq!(stored(client, table), expected[1]);
    client.execute(&format!("INSERT INTO {table} (id, image) VALUES (2, NULL)"), &[]).unwrap();
    let empty: bool =
        client.query_one(&format!("SELECT embedding IS NULL FROM {table} WHERE id = 2"), &[]).unwrap().get(0);
    assert!(empty);
}

#[test]
fn generated_column() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE generated (id integer PRIMARY KEY, image bytea, embedding vector(32)
                 GENERATED ALWAYS AS (clip_embed_image(image, 'golden/small')) STORED)",
        )
        .unwrap();
    follows_insert_and_update(&mut client, "generated");
    // An image that is none leaves the row as it was.
    let result = client.execute("UPDATE generated SET image = 'no image' WHERE id = 1", &[]);
    assert_eq!(cluster_tests::refusal(result).code().code(), "22P03");
}

#[test]
fn before_trigger() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE triggered (id integer PRIMARY KEY, image bytea, embedding vector(32));
             CREATE FUNCTION embed() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     NEW.embedding := clip_embed_image(NEW.image);
                     RETURN NEW;
                 END $$;
             CREATE TRIGGER embed BEFORE INSERT OR UPDATE OF image ON triggered
                 FOR EACH ROW EXECUTE FUNCTION embed()",
        )
        .unwrap();
    follows_insert_and_update(&mut client, "triggered");
}

#[test]
fn expression_index() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    client
        .batch_execute(
            "CREATE TABLE notes (id integer, note text);
             INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 50) i;
             CREATE INDEX ON notes USING hnsw ((clip_embed_text(note, 'golden/small')::vector(32)) vector_cosine_ops);
             SET enable_seqscan = off",
        )
        .unwrap();
    let search = "SELECT id FROM notes ORDER BY clip_embed_text(note, 'golden/small')::vector(32)
                      <=> clip_embed_text('note 7', 'golden/small') LIMIT 1";
    let plan = cluster_tests::explain(&mut client, search);
    assert!(plan.contains("Index Scan"), "{plan}");
    let nearest: i32 = client.query_one(search, &[]).unwrap().get(0);
    assert_eq!(nearest, 7);
}

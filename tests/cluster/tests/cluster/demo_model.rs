//! The bundled model means something: names find their emoji, through the whole of the extension.

use crate::relevant::load_emoji;
use clip_search_demo::emoji::{EmojiSource, FONT};
use cluster_tests::Cluster;
use std::path::Path;

/// What docs/demo-model.md promises.
const RECALL_AT_1: f64 = 0.75;
const RECALL_AT_5: f64 = 0.95;

/// What people type, and words of names that fit it. At least four of the first five have one; with a font that is
/// newer than the model's, three.
const QUERIES: [(&str, &[&str]); 4] = [
    ("red fruit", &["apple", "tomato", "peach", "cherries", "strawberry", "watermelon", "grapes", "pepper"]),
    ("a happy cat", &["cat"]),
    ("sailing boat", &["boat", "canoe", "ship", "ferry", "anchor"]),
    ("music", &["music", "note", "slider", "trumpet", "banjo", "guitar", "violin", "saxophone", "radio", "microphone"]),
];

const RECALL: &str = "
    WITH named AS MATERIALIZED (
        SELECT name.id, name.embedding
        FROM (SELECT array_agg(id ORDER BY id) AS ids, array_agg(lower(name) ORDER BY id) AS names FROM emoji) AS every,
             unnest(ids, clip_embed_texts(names, 'clip-search/emoji')) AS name (id, embedding)),
    ranked AS (
        SELECT (SELECT count(*) FROM emoji AS other
                WHERE other.embedding <=> named.embedding < own.embedding <=> named.embedding) AS better
        FROM named JOIN emoji AS own USING (id))
    SELECT count(*), avg((better < 1)::int)::float8, avg((better < 5)::int)::float8 FROM ranked";

#[test]
fn names_find_their_emoji() {
    let source = EmojiSource::open(Path::new(FONT)).expect("the emoji; run `make setup`");
    assert!((1_300..1_500).contains(&source.emoji().len()), "{} emoji", source.emoji().len());
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    load_emoji(&mut client, &source, |_| true);
    let row = client.query_one(RECALL, &[]).unwrap();
    let (count, at_1, at_5): (i64, f64, f64) = (row.get(0), row.get(1), row.get(2));
    println!("{count} emoji: recall@1 {at_1:.3}, recall@5 {at_5:.3}");
    assert_eq!(count as usize, source.emoji().len());
    assert!(at_1 >= RECALL_AT_1 && at_5 >= RECALL_AT_5, "recall@1 {at_1:.3}, recall@5 {at_5:.3}");

    for (query, fitting) in QUERIES {
        let statement = "SELECT metadata ->> 'name' FROM clip_search('emoji', $1, 5, model => 'clip-search/emoji')";
        let found: Vec<String> = client.query(statement, &[&query]).unwrap().iter().map(|row| row.get(0)).collect();
        let fit = found.iter().filter(|name| fitting.iter().any(|word| name.contains(word))).count();
        assert!(fit >= 3, "{query}: {found:?}");
    }
}

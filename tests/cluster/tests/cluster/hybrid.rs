//! `clip_search_hybrid` in a table that is large enough for its indexes, and on shards; against fusion written in SQL.

use cluster_tests::{Cluster, wait_until};
use postgres::Client;
use std::time::Duration;

/// 8,000 rows: a word of 400 in each title, and a vector.
fn load(client: &mut Client) {
    client
        .batch_execute(
            "CREATE EXTENSION pg_trgm;
             SELECT setseed(0.5);
             CREATE TABLE titles (id int PRIMARY KEY, title text, embedding vector(128));
             INSERT INTO titles
                 SELECT i, 'word' || i % 400 || ' ' || md5(i::text),
                        (SELECT array_agg(random() - 0.5 + 0 * (i + n)) FROM generate_series(1, 128) AS n)::real[]::vector
                   FROM generate_series(1, 8000) AS i;
             CREATE INDEX titles_hnsw ON titles USING hnsw (embedding vector_cosine_ops);
             CREATE INDEX titles_words ON titles USING gin (to_tsvector('simple', title));
             CREATE INDEX titles_trigrams ON titles USING gin (title gin_trgm_ops);
             ANALYZE titles",
        )
        .unwrap();
}

const HYBRID: &str = "SELECT array_agg(concat_ws(' ', id, similarity_rank, words_rank, trigrams_rank)) FROM
    clip_search_hybrid('titles', 'word77', '{title}', 20, columns => '{}', text_search_config => 'simple',
                       candidates => 20, model => 'clip-search/emoji')";

/// The same, as the guide's readers would write it, from exact ranks.
const BY_HAND: &str = "
WITH query AS MATERIALIZED (SELECT clip_embed_text('word77', 'clip-search/emoji') AS vector),
     near AS (SELECT id, row_number() OVER (ORDER BY d) AS place
                FROM (SELECT id, embedding <=> vector AS d FROM titles, query ORDER BY d LIMIT 20) AS n),
     words AS (SELECT id, row_number() OVER (ORDER BY r DESC, d) AS place
                 FROM (SELECT id, embedding <=> vector AS d, ts_rank(to_tsvector('simple', title), to_tsquery('simple', 'word77'), 1) AS r
                         FROM titles, query WHERE to_tsvector('simple', title) @@ to_tsquery('simple', 'word77')
                        ORDER BY r DESC, d LIMIT 20) AS n),
     trigrams AS (SELECT id, row_number() OVER (ORDER BY r DESC, d) AS place
                    FROM (SELECT id, embedding <=> vector AS d, word_similarity('word77', title) AS r
                            FROM titles, query WHERE word_similarity('word77', title) >= 0.6 ORDER BY r DESC, d LIMIT 20) AS n)
SELECT array_agg(concat_ws(' ', id, n, w, t) ORDER BY score DESC, d) FROM (
    SELECT id, n.place AS n, w.place AS w, t.place AS t, (SELECT embedding <=> vector FROM titles, query WHERE titles.id = u.id) AS d,
           COALESCE(1.0::float8 / (60 + n.place), 0) + COALESCE(1.0::float8 / (60 + w.place), 0) + COALESCE(1.0::float8 / (60 + t.place), 0) AS score
      FROM (SELECT id FROM near UNION SELECT id FROM words UNION SELECT id FROM trigrams) AS u
      LEFT JOIN near AS n USING (id) LEFT JOIN words AS w USING (id) LEFT JOIN trigrams AS t USING (id)
     ORDER BY score DESC, d LIMIT 20) AS fused";

#[test]
fn every_list_comes_out_of_its_index() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    load(&mut client);
    // Asked often: a plan that is kept has to use the indexes, too.
    for _ in 0..8 {
        client.query_one(HYBRID, &[]).unwrap();
    }
    wait_until("all indexes were scanned", Duration::from_secs(20), || {
        let scans = "SELECT min(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname LIKE 'titles\\__%' AND indexrelname <> 'titles_pkey'";
        client.query_one(scans, &[]).unwrap().get::<_, i64>(0) >= 8
    });
}

#[test]
fn ranks_are_those_of_fusion_by_hand() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    load(&mut client);
    client.batch_execute("DROP INDEX titles_hnsw").unwrap();
    let found: Vec<String> = client.query_one(HYBRID, &[]).unwrap().get(0);
    let wanted: Vec<String> = client.query_one(BY_HAND, &[]).unwrap().get(0);
    assert!(found == wanted && found.len() == 20, "{found:?}\n{wanted:?}");
}

/// What an approximate search loses is seen, and how much of it a setting wins back.
#[test]
fn settings_of_the_index_are_told_apart() {
    let cluster = Cluster::on_demand();
    let mut client = cluster.connect();
    load(&mut client);
    let evaluate = "SELECT setting, recall_of_exact, recall_at_10 FROM clip_evaluate_index('titles',
        (SELECT array_agg('word ' || i ORDER BY i) FROM generate_series(1, 40) AS i),
        (SELECT array_agg(to_jsonb(i) ORDER BY i) FROM generate_series(1, 40) AS i),
        '{hnsw.ef_search=10,hnsw.ef_search=1000}', model => 'clip-search/emoji')";
    let rows = client.query(evaluate, &[]).unwrap();
    let settings: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(settings, ["exact", "hnsw.ef_search=10", "hnsw.ef_search=1000"]);
    let [exact, few, many] = [0, 1, 2].map(|row| rows[row].get::<_, f64>(1));
    assert!(exact == 1.0 && few < many && few < 1.0 && many > 0.8, "{few} {many}");
}

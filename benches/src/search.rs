//! One search: `clip_search` beside the plain statement, for a text whose embedding is at hand in both.

use crate::target::Target;
use crate::texts;
use measure::{Bound, Report, Samples, heading, table};
use std::time::Instant;

/// What `clip_search` may cost more than the plain statement, in milliseconds.
const LIMIT_MS: f64 = 0.3;
/// Rows of the table.
const ROWS: u32 = 2000;
/// Rounds before the timed ones.
const WARM_UP: u32 = 20;

/// Times all ways in turn, as statements that are parsed and planned each time.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(target: &mut Target, rounds: u32, report: &mut Report) -> anyhow::Result<()> {
    let ways = [
        (
            "plain statement",
            "SELECT id, 1 - (embedding <=> q) AS similarity, name, price
               FROM searched, LATERAL (SELECT clip_embed_text('TEXT') OFFSET 0) AS e(q)
              ORDER BY embedding <=> (SELECT clip_embed_text('TEXT')) LIMIT 10",
        ),
        ("clip_search", "SELECT id, similarity, metadata FROM clip_search('searched', 'TEXT')"),
        ("clip_search_json", "SELECT clip_search_json('searched', 'TEXT')"),
        (
            "plain statement, filter",
            "SELECT id, 1 - (embedding <=> q) AS similarity, name, price
               FROM searched, LATERAL (SELECT clip_embed_text('TEXT') OFFSET 0) AS e(q) WHERE price = 3
              ORDER BY embedding <=> (SELECT clip_embed_text('TEXT')) LIMIT 10",
        ),
        (
            "clip_search, filter",
            "SELECT id, similarity, metadata FROM clip_search('searched', 'TEXT', filter => '{\"price\": 3}')",
        ),
    ];
    target.client.batch_execute(&format!(
        "CREATE TEMPORARY TABLE searched AS
             SELECT i::int AS id, 'name ' || i AS name, i % 10 AS price, e.embedding
               FROM unnest(clip_embed_texts(ARRAY(SELECT 'text ' || i FROM generate_series(1, {ROWS}) AS i)))
                    WITH ORDINALITY AS e(embedding, i);
         DO $$ BEGIN EXECUTE format('ALTER TABLE searched ADD PRIMARY KEY (id), ALTER embedding TYPE vector(%s)',
                                    (SELECT vector_dims(embedding) FROM searched LIMIT 1)); END $$;
         CREATE INDEX ON searched USING hnsw (embedding vector_cosine_ops);
         ANALYZE searched; SET hnsw.iterative_scan = strict_order"
    ))?;
    let mut samples: [Samples; 5] = Default::default();
    for round in 0..WARM_UP + rounds {
        let text = texts::text(round % texts::COUNT);
        target.client.query_one("SELECT clip_embed_text($1)::text", &[&text])?;
        for turn in 0..ways.len() {
            let way = (turn + round as usize) % ways.len();
            let statement = ways[way].1.replace("TEXT", &text);
            let began = Instant::now();
            target.client.simple_query(&statement)?;
            if round >= WARM_UP {
                samples[way].push(began.elapsed());
            }
        }
    }
    target.client.batch_execute("DROP TABLE searched; RESET hnsw.iterative_scan")?;
    heading(format!("One search of {ROWS} rows with an HNSW index, {rounds} texts, milliseconds"));
    let base = |way: usize| samples[if way < 3 { 0 } else { 3 }].median();
    let row = |way: usize| {
        let (median, base) = (samples[way].median(), base(way));
        [
            ways[way].0.to_owned(),
            format!("{median:.3}"),
            format!("{:.3}", samples[way].p95()),
            format!("{:.3}", median - base),
            format!("{:.2}", median / base),
        ]
    };
    println!("{}", table(["", "median", "p95", "above plain", "plain = 1"], (0..ways.len()).map(row)));
    let above = samples[1].median() - base(1);
    report.limit("clip_search: over the plain statement, medians", above, Bound::AtMost(LIMIT_MS), "ms");
    Ok(())
}

//! Zero-shot classification of a whole table, beside the arithmetic alone: as many distances by pgvector's operator.

use crate::target::Target;
use anyhow::ensure;
use measure::{Bound, Report, Samples, heading, table};
use std::time::Instant;

/// Labels of one classification.
const LABELS: u32 = 20;
/// What a classification may take, with the arithmetic of as many distances for 1.
const LIMIT: f64 = 1.5;
/// Rounds: each runs all ways, in another order.
const ROUNDS: usize = 3;

/// Labels `rows` stored embeddings.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(target: &mut Target, rows: u32, report: &mut Report) -> anyhow::Result<()> {
    let labels: Vec<String> = (1..=LABELS).map(|number| format!("thing number {number}")).collect();
    let distance = |label: &String| format!("(embedding <#> (SELECT clip_embed_text('a photo of a {label}')))");
    let distances: Vec<String> = labels.iter().map(distance).collect();
    let list = format!("ARRAY['{}']", labels.join("','"));
    let ways = [
        ("reading the embeddings", "SELECT sum(vector_dims(embedding)) FROM labelled".to_owned()),
        ("20 distances of pgvector", format!("SELECT sum(least({})) FROM labelled", distances.join(", "))),
        ("clip_best_label, 20 labels", format!("SELECT count(clip_best_label(embedding, {list})) FROM labelled")),
        ("clip_classify, 20 rows for each", format!("SELECT count(*) FROM labelled, clip_classify(embedding, {list})")),
    ];
    target.client.batch_execute(&format!(
        "SET jit = off; SET max_parallel_workers_per_gather = 0;
         CREATE TEMPORARY TABLE labelled AS
             SELECT e.embedding FROM unnest(clip_embed_texts(ARRAY(
                 SELECT 'text ' || i FROM generate_series(1, 1000) AS i))) AS e(embedding),
                 generate_series(1, {rows} / 1000);
         ANALYZE labelled"
    ))?;
    let mut samples: [Samples; 4] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..ways.len() {
            let way = (turn + round) % ways.len();
            let began = Instant::now();
            target.client.simple_query(&ways[way].1)?;
            samples[way].push(began.elapsed());
        }
    }
    target.client.batch_execute("DROP TABLE labelled; RESET jit; RESET max_parallel_workers_per_gather")?;
    let read = samples[0].median();
    let arithmetic = samples[1].median() - read;
    ensure!(arithmetic > 0.0, "reading takes longer than reading and computing: the machine is too busy to measure");
    heading(format!("Zero-shot classification of {rows} stored embeddings"));
    let row = |(samples, (name, _)): (&Samples, &(&str, String))| {
        let ratio = (samples.median() - read) / arithmetic;
        [(*name).to_owned(), format!("{:.2}", samples.median() / 1000.0), format!("{ratio:.2}")]
    };
    println!("{}", table(["", "seconds", "without reading, distances = 1"], samples.iter().zip(&ways).map(row)));
    let ratio = (samples[2].median() - read) / arithmetic;
    report.limit("clip_best_label: over as many distances", ratio, Bound::AtMost(LIMIT), "times");
    Ok(())
}

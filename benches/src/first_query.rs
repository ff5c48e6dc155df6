//! The first query of a new connection, beside its second, and beside those of a connection that uses pgvector alone.

use crate::target::Target;
use measure::{Bound, Report, Samples, heading, table};
use std::time::Instant;

/// What the first query may cost more than the second, without what pgvector's alone costs more, in milliseconds: where each
/// connection loads the libraries, and where the server has.
const LIMITS_MS: (f64, f64) = (4.0, 1.0);

/// Opens connections of each kind in turn, each of which runs one statement twice.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(target: &mut Target, connections: u32, report: &mut Report) -> anyhow::Result<()> {
    let ways = [
        ("SELECT 1", "SELECT 1"),
        ("pgvector alone", "SELECT '[1,2]'::vector <=> '[1,3]'::vector"),
        ("clip_embed_text", "SELECT clip_embed_text('first')"),
    ];
    let libraries: String = target.client.query_one("SHOW shared_preload_libraries", &[])?.get(0);
    let is_preloaded = libraries.split(',').any(|library| library.trim() == "clip_search");
    // The server has the text from now on: what is measured is the backend.
    target.client.simple_query(ways[2].1)?;
    let mut samples: [[Samples; 2]; 3] = Default::default();
    for round in 0..connections as usize {
        for turn in 0..ways.len() {
            let way = (turn + round) % ways.len();
            let mut client = target.connect_again()?;
            for times in &mut samples[way] {
                let began = Instant::now();
                client.simple_query(ways[way].1)?;
                times.push(began.elapsed());
            }
        }
    }
    let how = if is_preloaded { format!("with {libraries} preloaded") } else { "not preloaded".to_owned() };
    heading(format!("First query of a new connection, {how}, medians of {connections}, milliseconds"));
    let base = samples[1][0].median() - samples[1][1].median();
    let row = |((name, _), [first, second]): (&(&str, &str), &[Samples; 2])| {
        let above = first.median() - second.median();
        [
            (*name).to_owned(),
            format!("{:.3}", first.median()),
            format!("{:.3}", second.median()),
            format!("{above:.3}"),
            format!("{:.2}", above / base),
        ]
    };
    println!("{}", table(["", "first", "second", "difference", "pgvector = 1"], ways.iter().zip(&samples).map(row)));
    let [first, second] = &samples[2];
    let limit = if is_preloaded { LIMITS_MS.1 } else { LIMITS_MS.0 };
    let what = format!("first query of a connection, {how}: over the second, and over pgvector's");
    report.limit(what, first.median() - second.median() - base, Bound::AtMost(limit), "ms");
    Ok(())
}

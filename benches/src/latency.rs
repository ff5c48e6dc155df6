//! One text: through SQL, and the bare ONNX Runtime call for the same tokens.

use crate::target::Target;
use crate::texts;
use anyhow::ensure;
use clip::{Cancel, LongText};
use measure::{Bound, Report, Samples, heading, table};
use std::time::{Duration, Instant};

/// What SQL may cost more than the bare call, in milliseconds.
const LIMIT_MS: f64 = 1.5;
/// Rounds before the timed ones.
const WARM_UP: u32 = 20;
/// What the two may differ in: the same graph ran on the same tokens.
const COSINE: f64 = 0.999_99;

/// Times all ways in turn, in another order each round, so that what else the machine does falls on all of them alike.
///
/// # Errors
/// What PostgreSQL or ONNX Runtime say; and where the vectors differ.
pub fn measure(target: &mut Target, rounds: u32, report: &mut Report) -> anyhow::Result<()> {
    ensure!(WARM_UP + rounds <= texts::COUNT, "there are only {} different texts", texts::COUNT - WARM_UP);
    let floor = target.client.prepare("SELECT 1")?;
    let embed = target.client.prepare("SELECT clip_embed_text($1)::real[]")?;
    let (mut trip, mut sql, mut bare) = (Samples::default(), Samples::default(), Samples::default());
    let mut tokens = 0;
    for round in 0..WARM_UP + rounds {
        let text = texts::text(round);
        let ids = target.tokenizer.encode(&text, LongText::Truncate)?;
        let mut times = [Duration::ZERO; 3];
        let (mut through_sql, mut directly) = (Vec::new(), Vec::new());
        for turn in 0..3 {
            let way = (turn + round as usize) % 3;
            let began = Instant::now();
            match way {
                0 => drop(target.client.query_one(&floor, &[])?),
                1 => through_sql = target.client.query_one(&embed, &[&text])?.get::<_, Vec<f32>>(0),
                _ => directly = target.encoder.embed(&[&ids], &Cancel::new())?.remove(0),
            }
            times[way] = began.elapsed();
        }
        let cosine: f64 = through_sql.iter().zip(&directly).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        ensure!(cosine >= COSINE, "\"{text}\": SQL and the bare call have vectors of cosine {cosine:.6}");
        if round >= WARM_UP {
            let [first, second, third] = times;
            trip.push(first);
            sql.push(second);
            bare.push(third);
            tokens += ids.len();
        }
    }
    let difference = sql.median() - bare.median();
    let mean = tokens as f64 / f64::from(rounds);
    heading(format!("One text, {rounds} different ones of {mean:.1} tokens, milliseconds"));
    let row = |name: &str, times: &Samples| [name.to_owned(), ms(times.median()), ms(times.p95())];
    let rows = [
        row("SELECT 1 (round trip)", &trip),
        row("bare ONNX Runtime", &bare),
        row("SELECT clip_embed_text($1)", &sql),
        ["SQL over bare".to_owned(), ms(difference), String::new()],
    ];
    println!("{}", table(["", "median", "p95"], rows));
    report.limit("text query: SQL over bare, medians", difference, Bound::AtMost(LIMIT_MS), "ms");
    Ok(())
}

/// Milliseconds.
fn ms(value: f64) -> String {
    format!("{value:.3}")
}

//! The crowd for long: memory has to be at the end what it was after the first minute.

use super::{MANY, Run, TEXTS, crowd};
use crate::numbers::mib;
use crate::report::print_answers;
use measure::{Bound, heading};
use std::iter::repeat_n;
use std::time::Duration;

/// What the end may have more than the first minute's end.
const GROWTH: f64 = 5.0;
/// Memory goes up and down with each image: a figure is the mean of so many seconds.
const SECONDS: usize = 10;
/// The span that is not compared: the server still takes what it needs.
const FIRST: usize = 60;
/// Between two looks at the cache of texts while it is filled.
const FILL: Duration = Duration::from_secs(3);

/// Where it is asked for.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(run: &mut Run) -> anyhow::Result<()> {
    let minutes = run.arguments.soak_minutes;
    if minutes == 0 {
        return Ok(());
    }
    heading(format!("Soak: {} connections for {minutes} minutes", run.arguments.connections));
    fill_cache(run)?;
    let mut crew = crowd::hire(run)?;
    let mut samples = Vec::new();
    let outcome = run.work_and(&mut crew, Duration::from_secs(60 * minutes), |server, _| {
        samples.push(server.resident()?);
        if samples.len() % FIRST == 0 {
            println!("minute {}: {} MiB", samples.len() / FIRST, mib(mean(&samples)));
        }
        Ok(())
    })?;
    println!();
    print_answers(&outcome);
    outcome.statistics.print();
    let growth = (mean(&samples) / mean(&samples[..FIRST]) - 1.0) * 100.0;
    run.report.limit("memory at the soak's end over that after a minute", growth, Bound::AtMost(GROWTH), "%");
    Ok(())
}

/// Asks for texts until the server keeps no more of them: that it grows by what it may keep is no leak.
fn fill_cache(run: &mut Run) -> anyhow::Result<()> {
    let (mut crew, mut kept) = (run.hire(repeat_n(TEXTS, MANY))?, 0);
    loop {
        let now = run.work(&mut crew, FILL)?.statistics.cache_bytes;
        if now <= kept + kept / 100 {
            return Ok(());
        }
        kept = now;
    }
}

/// The mean of the last samples.
fn mean(samples: &[f64]) -> f64 {
    let last = &samples[samples.len().saturating_sub(SECONDS)..];
    last.iter().sum::<f64>() / last.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seconds_count() {
        let samples: Vec<f64> = repeat_n(1.0, 50).chain(repeat_n(3.0, SECONDS)).collect();
        assert_eq!([mean(&samples), mean(&samples[..FIRST - SECONDS]), mean(&samples[..2])], [3.0, 1.0, 1.0]);
    }
}

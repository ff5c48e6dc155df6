//! What is printed of requests.

use crate::crew::Outcome;
use crate::numbers::ms;
use crate::tally::{Count, Kind};
use measure::table;

/// Prints what each kind of request got.
pub fn print_answers(outcome: &Outcome) {
    let row = |(kind, count): (&Kind, &Count)| {
        [
            kind.name(),
            format!("{:.0}", count.requests),
            format!("{:.1}", count.requests / outcome.seconds),
            format!("{:.1}", outcome.rate(*kind)),
            ms(count.quantile(0.5)),
            ms(count.quantile(0.99)),
        ]
    };
    let head = ["", "requests", "a second", "embeddings a second", "p50 ms", "p99 ms"];
    println!("{}", table(head, outcome.tally.counts.iter().map(row)));
    for (error, count) in &outcome.tally.errors {
        println!("{count} times: {error}");
    }
    println!();
}

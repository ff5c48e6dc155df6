//! Rows a second of each way, beside the server alone.

use crate::Run;
use crate::photos::Photos;
use crate::ways::{Track, Way};
use measure::{Bound, Report, heading, median, table};
use postgres::Config;

/// What a batch scan and the procedure have to reach of the server alone.
const LIMIT: f64 = 0.9;

/// Runs all ways in rounds, in another order each, so that what else the machine does falls on all of them alike.
///
/// # Errors
/// What PostgreSQL or the server say.
pub fn measure(config: &Config, photos: &Photos, model: &str, run: &Run, report: &mut Report) -> anyhow::Result<()> {
    let mut track = Track::new(config, photos, model, run.array)?;
    let rows = track.rows_for(run.seconds)?;
    heading(format!("{}: {rows} rows in each of {} rounds, arrays of {}", track.about, run.rounds, run.array));
    let mut rates: [Vec<f64>; Way::ALL.len()] = Default::default();
    for round in 0..run.rounds as usize {
        for turn in 0..Way::ALL.len() {
            let number = (turn + round) % Way::ALL.len();
            let took = track.go(Way::ALL[number], rows)?;
            rates[number].push(f64::from(rows) / took.as_secs_f64());
        }
    }
    // The better of the two ways that it is asked in. Not the better of each round: that would count luck in.
    let [one, two] = [Way::Alone(1), Way::Alone(2)].map(|way| &rates[way.number()]);
    let alone = if median(one) > median(two) { one } else { two };
    let ratios =
        |way: Way| -> Vec<f64> { rates[way.number()].iter().zip(alone).map(|(rate, alone)| rate / alone).collect() };
    let row = |way: Way| {
        let mut ratios = ratios(way);
        ratios.sort_by(f64::total_cmp);
        let range = format!("{:.2} to {:.2}", ratios[0], ratios[ratios.len() - 1]);
        let [rate, ratio] = [format!("{:.1}", median(&rates[way.number()])), format!("{:.2}", median(&ratios))];
        [way.name(), rate, ratio, range]
    };
    println!("{}", table(["", "rows/s", "of the server alone", "in the rounds"], Way::ALL.map(row)));
    for way in [Way::BatchScan, Way::EmbedTable] {
        let what = format!("{model}: {} over the server alone", way.name());
        report.limit(what, median(&ratios(way)), Bound::AtLeast(LIMIT), "");
    }
    Ok(())
}

//! Rows a second of each way, beside the server alone.

use crate::Run;
use crate::photos::Photos;
use crate::ways::{Track, Way};
use measure::{Bound, Report, heading, median, table};
use postgres::Config;

/// What a batch scan and the procedure have to reach of the server alone.
const OF_ALONE: f64 = 0.9;
/// The same of the Python program.
const OF_PYTHON: f64 = 1.05;

/// Runs all ways in rounds, in another order each, so that what else the machine does falls on all of them alike. Returns
/// what it prints, in Markdown.
///
/// # Errors
/// What PostgreSQL or the server say.
pub fn measure(
    config: &Config,
    photos: &Photos,
    model: &str,
    run: &Run,
    report: &mut Report,
) -> anyhow::Result<String> {
    let mut track = Track::new(config, photos, model, run)?;
    let rows = track.rows_for(run.seconds)?;
    let (about, photos) = (&track.about, photos.description());
    let about = format!("{about}; {photos}: {rows} rows in each of {} rounds, arrays of {}", run.rounds, run.array);
    heading(&about);
    let mut rates: [Vec<f64>; Way::ALL.len()] = Default::default();
    for round in 0..run.rounds as usize {
        for turn in 0..Way::ALL.len() {
            let number = (turn + round) % Way::ALL.len();
            let way = Way::ALL[number];
            let took = track.go(way, rows)?;
            rates[number].push(f64::from(rows) / took.as_secs_f64());
            if way == Way::RowByRow {
                measure::calm_down();
            }
        }
    }
    // The better of the two ways that it is asked in. Not the better of each round: that would count luck in.
    let [one, two] = [Way::Alone(1), Way::Alone(2)].map(|way| &rates[way.number()]);
    let alone = if median(one) > median(two) { one } else { two };
    let python = &rates[Way::Python.number()];
    let ratios = |way: Way, other: &[f64]| -> Vec<f64> {
        rates[way.number()].iter().zip(other).map(|(rate, other)| rate / other).collect()
    };
    let row = |way: Way| {
        let [of_alone, of_python] = [alone, python].map(|other| with_range(&ratios(way, other)));
        [way.name(), format!("{:.1}", median(&rates[way.number()])), of_python, of_alone]
    };
    let head = ["", "rows/s", "of Python (in the rounds)", "of the server alone (in the rounds)"];
    let table = table(head, Way::ALL.map(row));
    println!("{table}");
    for way in [Way::BatchScan, Way::EmbedTable] {
        for (other, name, limit) in [(alone, "the server alone", OF_ALONE), (python, "Python", OF_PYTHON)] {
            let what = format!("{model}: {} over {name}", way.name());
            report.limit(what, median(&ratios(way, other)), Bound::AtLeast(limit), "");
        }
    }
    Ok(format!("{about}; Python with {}.\n\n{table}", track.about_python()))
}

/// The median, the least and the most.
fn with_range(ratios: &[f64]) -> String {
    let (least, most) = ratios.iter().fold((f64::MAX, f64::MIN), |(least, most), &x| (least.min(x), most.max(x)));
    format!("{:.2} ({least:.2} to {most:.2})", median(ratios))
}

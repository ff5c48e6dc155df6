//! Arrays of one connection beside those of many: nothing is lost where many ask at a time.

use super::{MANY, Run};
use crate::report::print_answers;
use crate::worker::Mix;
use measure::{Bound, heading, table};
use std::iter::repeat_n;
use std::time::Duration;

/// What many connections have to reach of the rate of one.
const RATIO: f64 = 0.95;
/// Turns of each way.
const TURNS: u32 = 4;

/// Measures both in turns, so that what else the machine does falls on both alike.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(run: &mut Run) -> anyhow::Result<()> {
    heading(format!("Bulk: arrays of {} images, of one connection and of {MANY}", run.arguments.array));
    let array = run.array();
    let mut crews = [run.hire([Mix::of(&array)])?, run.hire(repeat_n(Mix::of(&array), MANY))?];
    let (mut sums, time) = ([0.0; 2], (run.part() / 2).max(Duration::from_secs(2)));
    measure::calm_down();
    for turn in 0..TURNS {
        for (sum, crew) in sums.iter_mut().zip(&mut crews) {
            let outcome = run.work(crew, time)?;
            *sum += outcome.rate(array[0].0);
            if turn == 0 {
                print_answers(&outcome);
                outcome.statistics.print();
                println!();
            }
        }
    }
    let row =
        |(name, sum): (String, f64)| [name, format!("{:.1}", sum / f64::from(TURNS)), format!("{:.2}", sum / sums[0])];
    let names = ["one connection".to_owned(), format!("{MANY} connections")];
    println!("{}", table(["", "images a second", "ratio"], names.into_iter().zip(sums).map(row)));
    run.report.limit(
        format!("arrays of {MANY} connections over those of one"),
        sums[1] / sums[0],
        Bound::AtLeast(RATIO),
        "",
    );
    Ok(())
}

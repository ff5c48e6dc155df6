//! Somebody who searches beside bulk that never ends, and bulk beside people who never stop searching.

use super::{MANY, Run, TEXTS};
use crate::crew::Crew;
use crate::numbers::ms;
use crate::report::print_answers;
use crate::tally::Kind;
use crate::worker::Mix;
use measure::{Bound, heading, table};
use std::iter::repeat_n;
use std::time::Duration;

/// What a search may take longer than the step of bulk that it waits for, in medians of an idle server.
const SEARCHES: f64 = 3.0;
/// Most that who searches looks at what was found. Without, each answer would be followed by the next request before the
/// next step begins, and runs of texts would be so many that those of bulk are not among the longest in a hundred.
const PAUSE: Duration = Duration::from_millis(100);
/// The part of its rate that people who search have to leave to bulk.
const SHARE: f64 = 0.1;
/// Each way has so many turns, so that what else the machine does falls on all of them alike.
const TURNS: u32 = 2;

/// Measures both.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(run: &mut Run) -> anyhow::Result<()> {
    search_beside_bulk(run)?;
    bulk_beside_searches(run)
}

fn search_beside_bulk(run: &mut Run) -> anyhow::Result<()> {
    heading(format!("Fairness: one connection with texts, {MANY} with arrays of {} images", run.arguments.array));
    // The round trip tells what the machine's other work costs anybody.
    let search = Mix { kinds: &[(Kind::Text, 3), (Kind::RoundTrip, 1)], pause: PAUSE };
    let array = run.array();
    let mut crew = run.hire(std::iter::once(search).chain(repeat_n(Mix::of(&array), MANY)))?;
    // The crowd's time: few requests reach far.
    let time = run.arguments.time();
    let outcome = run.work(&mut crew, time)?;
    print_answers(&outcome);
    outcome.statistics.print();
    let (step, searches) = (outcome.statistics.step_p99, SEARCHES * run.idle_p50);
    println!("limit: {} ms of a run of images and {SEARCHES} idle texts of {} ms", ms(step), ms(run.idle_p50));
    let measured = outcome.tally.quantile(Kind::Text, 0.99);
    run.report.limit("text beside bulk, p99", measured, Bound::AtMost(step + searches), "ms");
    Ok(())
}

fn bulk_beside_searches(run: &mut Run) -> anyhow::Result<()> {
    let images = Mix::of(&[(Kind::Image, 1)]);
    let array = run.array();
    let bulk = || repeat_n(Mix::of(&array), MANY);
    let ways = [("alone", None), ("beside texts", Some(TEXTS)), ("beside single images", Some(images))];
    heading(format!(
        "Fairness: {MANY} connections with arrays of {} images, alone and beside {MANY} with single items",
        run.arguments.array
    ));
    let mut crews: Vec<Crew> = Vec::new();
    for (_, others) in ways {
        crews.push(run.hire(bulk().chain(others.into_iter().flat_map(|mix| repeat_n(mix, MANY))))?);
    }
    let (mut rates, time) = ([0.0; 3], (run.part() / TURNS).max(Duration::from_secs(2)));
    for turn in 0..TURNS {
        for (rate, (crew, (name, _))) in rates.iter_mut().zip(crews.iter_mut().zip(ways)) {
            let outcome = run.work(crew, time)?;
            *rate += outcome.rate(array[0].0) / f64::from(TURNS);
            if turn == 0 {
                println!("bulk {name}:\n");
                print_answers(&outcome);
                outcome.statistics.print();
                println!();
            }
        }
    }
    let row = |(rate, (name, _)): (f64, (&str, _))| {
        [format!("bulk {name}"), format!("{rate:.1}"), format!("{:.2}", rate / rates[0])]
    };
    println!("{}", table(["", "images a second", "ratio"], rates.into_iter().zip(ways).map(row)));
    for (rate, (name, _)) in rates.into_iter().zip(ways).skip(1) {
        let what = format!("bulk {name}, over bulk alone");
        run.report.limit(what, rate / rates[0], Bound::AtLeast(SHARE), "");
    }
    Ok(())
}

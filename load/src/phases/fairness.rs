//! Somebody who searches beside bulk that never ends, and bulk beside people who never stop searching.

use super::{IMAGES, MANY, Run, TEXTS};
use crate::crew::Crew;
use crate::numbers::ms;
use crate::report::print_answers;
use crate::tally::Kind;
use crate::worker::{Mix, Rest};
use measure::{Bound, heading, table};
use std::iter::repeat_n;
use std::time::Duration;

/// What a search beside bulk may take, in medians of an idle server, and beyond them: a text that much time, an image that of
/// one batch of bulk.
const SEARCHES: f64 = 3.0;
const TEXT_MS: f64 = 5.0;
/// Most that who searches looks at what was found. Without, each answer would be followed by the next request before the
/// next step begins, and runs of searches would be so many that those of bulk are not among the longest in a hundred.
const LOOK: Rest = Rest::UpTo(Duration::from_millis(100));
/// 20 searches a second.
const SEARCHING: Mix<'_> = Mix { kinds: TEXTS.kinds, rest: Rest::Every(Duration::from_millis(50)) };
/// The part of its rate that they have to leave to bulk; and that people who search without a pause have to.
const SHARE: f64 = 0.7;
const LEAST: f64 = 0.1;
/// Each way has so many turns, so that what else the machine does falls on all of them alike.
const TURNS: u32 = 2;

/// Measures both.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(run: &mut Run) -> anyhow::Result<()> {
    search_beside_bulk(run, Kind::Text)?;
    search_beside_bulk(run, Kind::Image)?;
    bulk_beside_searches(run)
}

fn search_beside_bulk(run: &mut Run, kind: Kind) -> anyhow::Result<()> {
    let (name, images) = (kind.name(), run.arguments.array);
    heading(format!("Fairness: one connection that searches by {name}, {MANY} with arrays of {images} images"));
    // The round trip tells what the machine's other work costs anybody.
    let kinds = [(kind, 3), (Kind::RoundTrip, 1)];
    let search = Mix { kinds: &kinds, rest: LOOK };
    let array = run.array();
    let mut crew = run.hire(std::iter::once(search).chain(repeat_n(Mix::of(&array), MANY)))?;
    // The crowd's time: few requests reach far.
    let time = run.arguments.time();
    let outcome = run.work(&mut crew, time)?;
    print_answers(&outcome);
    outcome.statistics.print();
    let batch = outcome.statistics.step_p99;
    let (idle, more, what) = match kind {
        Kind::Text => (run.idle_text, TEXT_MS, format!("{} ms", ms(TEXT_MS))),
        _ => (run.idle_image, batch, format!("a batch of {} ms", ms(batch))),
    };
    println!("limit: {SEARCHES} times the {} ms of an idle server, and {what}", ms(idle));
    let measured = outcome.tally.quantile(kind, 0.99);
    run.report.limit(format!("{name} beside bulk, p99"), measured, Bound::AtMost(SEARCHES * idle + more), "ms");
    Ok(())
}

fn bulk_beside_searches(run: &mut Run) -> anyhow::Result<()> {
    let array = run.array();
    let bulk = || repeat_n(Mix::of(&array), MANY);
    let ways = [
        ("alone", repeat_n(TEXTS, 0), None),
        ("beside 20 texts a second", repeat_n(SEARCHING, 1), Some(SHARE)),
        ("beside texts without a pause", repeat_n(TEXTS, MANY), Some(LEAST)),
        ("beside images without a pause", repeat_n(IMAGES, MANY), Some(LEAST)),
    ];
    heading(format!(
        "Fairness: {MANY} connections with arrays of {} images, alone and beside others with single items",
        run.arguments.array
    ));
    let mut crews: Vec<Crew> = Vec::new();
    for (_, others, _) in &ways {
        crews.push(run.hire(bulk().chain(others.clone()))?);
    }
    let (mut rates, time) = ([0.0; 4], (run.part() / TURNS).max(Duration::from_secs(2)));
    for turn in 0..TURNS {
        measure::calm_down();
        for (rate, (crew, (name, ..))) in rates.iter_mut().zip(crews.iter_mut().zip(&ways)) {
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
    let row = |(rate, (name, ..)): (f64, &(&str, _, _))| {
        [format!("bulk {name}"), format!("{rate:.1}"), format!("{:.2}", rate / rates[0])]
    };
    println!("{}", table(["", "images a second", "ratio"], rates.into_iter().zip(&ways).map(row)));
    for (rate, (name, _, share)) in rates.into_iter().zip(&ways) {
        if let Some(share) = share {
            run.report.limit(format!("bulk {name}, over bulk alone"), rate / rates[0], Bound::AtLeast(*share), "");
        }
    }
    Ok(())
}

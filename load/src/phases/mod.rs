//! What is measured, one after the other.

mod bulk;
mod crowd;
mod fairness;
mod rest;
mod soak;

use crate::Arguments;
use crate::crew::{Crew, Outcome};
use crate::inputs::Inputs;
use crate::report::print_answers;
use crate::server::Server;
use crate::tally::Kind;
use crate::worker::Mix;
use clap::ValueEnum;
use measure::{Bound, Report, heading};
use std::time::Duration;

/// One connection of people who search.
const TEXTS: Mix<'_> = Mix::of(&[(Kind::Text, 1)]);
/// And one of people who search by image.
const IMAGES: Mix<'_> = Mix::of(&[(Kind::Image, 1)]);
/// Bulk connections, and those that disturb them.
const MANY: usize = 8;

/// A part of the run. One idle connection is always measured: others are compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    /// Many connections that mix all kinds of requests.
    Crowd,
    /// Whether somebody who searches and bulk get their share of each other.
    Fairness,
    /// Arrays of one connection beside those of many.
    Bulk,
    /// The crowd for long: whether memory stays.
    Soak,
    /// What the server does when nobody asks.
    Rest,
}

/// The run.
pub struct Run {
    arguments: Arguments,
    inputs: Inputs,
    server: Server,
    report: Report,
    errors: u64,
    /// Medians of a text and of an image that nothing disturbs, in milliseconds.
    idle_text: f64,
    idle_image: f64,
}

impl Run {
    /// Makes the inputs and connects.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn new(arguments: Arguments) -> anyhow::Result<Self> {
        let inputs = Inputs::new()?;
        let server = Server::connect_first(&arguments, &inputs)?;
        Ok(Self {
            arguments,
            inputs,
            server,
            report: Report::default(),
            errors: 0,
            idle_text: f64::NAN,
            idle_image: f64::NAN,
        })
    }

    /// All phases that are wanted; whether all limits are kept.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn all(mut self) -> anyhow::Result<bool> {
        self.server.describe()?;
        println!("images of {} kB on average", self.inputs.bytes_of_image() / 1000);
        self.idle_text = self.idle(TEXTS)?;
        self.idle_image = self.idle(IMAGES)?;
        let phases = [
            (Phase::Crowd, crowd::measure as fn(&mut Self) -> anyhow::Result<()>),
            (Phase::Fairness, fairness::measure),
            (Phase::Bulk, bulk::measure),
            (Phase::Soak, soak::measure),
            (Phase::Rest, rest::measure),
        ];
        for (phase, measure) in phases {
            if self.arguments.phase.is_empty() || self.arguments.phase.contains(&phase) {
                measure(&mut self)?;
            }
        }
        self.report.limit("errors in all phases", self.errors as f64, Bound::AtMost(0.0), "");
        Ok(self.report.print_limits())
    }

    /// The median of what one connection asks for alone, in milliseconds.
    fn idle(&mut self, mix: Mix<'static>) -> anyhow::Result<f64> {
        let (kind, _) = mix.kinds[0];
        heading(format!("Idle: one connection, {}s", kind.name()));
        let outcome = self.work(&mut self.hire([mix])?, self.part())?;
        print_answers(&outcome);
        outcome.statistics.print();
        Ok(outcome.tally.quantile(kind, 0.5))
    }

    /// The time of a phase that is not the crowd's.
    fn part(&self) -> Duration {
        (self.arguments.time() / 3).max(Duration::from_secs(2))
    }

    /// An array of bulk.
    fn array(&self) -> [(Kind, u32); 1] {
        [(Kind::Array(self.arguments.array), 1)]
    }

    fn hire<'a>(&self, mixes: impl IntoIterator<Item = Mix<'a>>) -> anyhow::Result<Crew> {
        Crew::hire(&self.server, &self.inputs, mixes)
    }

    fn work(&mut self, crew: &mut Crew, time: Duration) -> anyhow::Result<Outcome> {
        self.work_and(crew, time, |_, _| Ok(()))
    }

    fn work_and(
        &mut self,
        crew: &mut Crew,
        time: Duration,
        each_second: impl FnMut(&Server, Duration) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let outcome = crew.work(&mut self.server, &self.inputs, time, each_second)?;
        self.errors += outcome.tally.errors.values().sum::<u64>().max(outcome.statistics.errors as u64);
        Ok(outcome)
    }
}

/// The soak's minutes: none, or enough to compare the first with the last.
///
/// # Errors
/// Where it is no such number.
pub fn soak_minutes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(minutes) if minutes == 0 || (2..=10_000).contains(&minutes) => Ok(minutes),
        _ => Err("0, or at least 2: the first minute is what the rest is compared with".to_owned()),
    }
}

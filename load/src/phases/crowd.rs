//! Many connections, each with another mix of what it asks for.

use super::Run;
use crate::crew::Crew;
use crate::numbers::mib;
use crate::report::print_answers;
use crate::tally::Kind;
use crate::worker::Mix;
use measure::heading;

/// Few images, and yet more than the server takes for a person who waits.
const SMALL_ARRAY: Kind = Kind::Array(8);
/// Of a hundred requests.
const MIX: Mix<'_> = Mix::of(&[(Kind::Text, 70), (Kind::Image, 25), (SMALL_ARRAY, 5)]);

/// The crowd's connections.
///
/// # Errors
/// What PostgreSQL says.
pub fn hire(run: &Run) -> anyhow::Result<Crew> {
    run.hire(std::iter::repeat_n(MIX, run.arguments.connections as usize))
}

/// Lets them ask.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(run: &mut Run) -> anyhow::Result<()> {
    heading(format!("Crowd: {} connections, texts, images and arrays", run.arguments.connections));
    let before = run.server.resident()?;
    let mut crew = hire(run)?;
    let (time, mut most) = (run.arguments.time(), 0.0_f64);
    let outcome = run.work_and(&mut crew, time, |server, _| {
        most = most.max(server.resident()?);
        Ok(())
    })?;
    let after = run.server.resident()?;
    print_answers(&outcome);
    outcome.statistics.print();
    println!("memory of the server, MiB: {} before, {} at most, {} after", mib(before), mib(most), mib(after));
    Ok(())
}

//! Nobody asks for anything.

use super::Run;
use measure::{Bound, heading};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Of one core.
const LIMIT: f64 = 1.0;
/// Until what was begun has ended.
const SETTLE: Duration = Duration::from_secs(2);
const SPAN: Duration = Duration::from_secs(10);

/// Measures what the server takes nevertheless, with the crowd's connections open.
///
/// # Errors
/// What PostgreSQL says.
pub fn measure(run: &mut Run) -> anyhow::Result<()> {
    heading(format!("Rest: {} connections, and nobody asks", run.arguments.connections));
    let crew = super::crowd::hire(run)?;
    sleep(SETTLE);
    let (before, began) = (run.server.processor_seconds()?, Instant::now());
    sleep(SPAN);
    let taken = run.server.processor_seconds()? - before;
    let percent = taken / began.elapsed().as_secs_f64() * 100.0;
    println!("the server took {percent:.2} % of a core");
    run.report.limit("processor time at rest", percent, Bound::AtMost(LIMIT), "%");
    drop(crew);
    Ok(())
}

//! Connections that ask at the same time, and what the server counts meanwhile.

use crate::inputs::Inputs;
use crate::server::{Server, Statistics};
use crate::tally::{Kind, Tally, Window};
use crate::worker::{Mix, Worker};
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::{Duration, Instant};

/// Between the first requests and the begin of what counts.
const LEAD_IN: Duration = Duration::from_secs(1);

/// Connections, and what each asks for.
pub struct Crew(Vec<Worker>);

/// What a crew got.
pub struct Outcome {
    /// Its answers.
    pub tally: Tally,
    /// What the server counted in the same span.
    pub statistics: Statistics,
    /// The span.
    pub seconds: f64,
}

impl Outcome {
    /// Embeddings in a second, for requests of a kind.
    pub fn rate(&self, kind: Kind) -> f64 {
        self.tally.items(kind) / self.seconds
    }
}

impl Crew {
    /// Connects, and has each connection ask once: what is only done the first time does not count.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn hire<'a>(
        server: &Server,
        inputs: &Inputs,
        mixes: impl IntoIterator<Item = Mix<'a>>,
    ) -> anyhow::Result<Self> {
        let config = server.config();
        thread::scope(|scope| {
            let hire =
                |(seed, mix): (usize, Mix<'a>)| scope.spawn(move || Worker::connect(config, inputs, mix, seed as u64));
            let hired: Vec<_> = mixes.into_iter().enumerate().map(hire).collect();
            hired.into_iter().map(|worker| worker.join().expect("no panic")).collect::<Result<_, _>>().map(Self)
        })
    }

    /// All of them ask. Calls `each_second` with the time since the begin of the span that counts.
    ///
    /// # Errors
    /// Where the server does not tell its statistics. That a request fails is no error: it is counted.
    pub fn work(
        &mut self,
        server: &mut Server,
        inputs: &Inputs,
        time: Duration,
        mut each_second: impl FnMut(&Server, Duration) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let start = Instant::now() + LEAD_IN;
        let window = Window { start, end: start + time };
        let busy = &AtomicUsize::new(self.0.len());
        thread::scope(|scope| {
            let ask = |worker| scope.spawn(move || Worker::work(worker, inputs, &window, busy));
            let workers: Vec<_> = self.0.iter_mut().map(ask).collect();
            sleep_until(window.start);
            server.reset()?;
            let mut second = window.start;
            while second < window.end {
                each_second(server, second - window.start)?;
                second = window.end.min(second + Duration::from_secs(1));
                sleep_until(second);
            }
            let statistics = server.statistics()?;
            let mut tally = Tally::default();
            workers.into_iter().for_each(|worker| tally.add(worker.join().expect("no panic")));
            Ok(Outcome { tally, statistics, seconds: time.as_secs_f64() })
        })
    }
}

fn sleep_until(when: Instant) {
    thread::sleep(when.saturating_duration_since(Instant::now()));
}

//! A connection that asks: the next request when the last one is answered.

use crate::inputs::Inputs;
use crate::tally::{Kind, Tally, Window};
use anyhow::Context;
use postgres::{Client, Config, NoTls, Statement};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// After an error.
const PAUSE: Duration = Duration::from_millis(20);

/// What a connection asks for.
#[derive(Clone, Copy)]
pub struct Mix<'a> {
    /// Kinds of requests, and how often each is chosen.
    pub kinds: &'a [(Kind, u32)],
    /// What it does between an answer and the next request.
    pub rest: Rest,
}

/// What is done between an answer and the next request.
#[derive(Clone, Copy)]
pub enum Rest {
    /// Nothing.
    Never,
    /// Waits, for no longer than this.
    UpTo(Duration),
    /// Waits until so much time has passed since the request before; not at all where that took longer.
    Every(Duration),
}

impl<'a> Mix<'a> {
    /// Asks without a pause.
    pub const fn of(kinds: &'a [(Kind, u32)]) -> Self {
        Self { kinds, rest: Rest::Never }
    }
}

/// A connection.
pub struct Worker {
    client: Client,
    /// Each with its kind, and how often it is chosen.
    statements: Vec<(Statement, Kind, u32)>,
    rest: Rest,
    random: fastrand::Rng,
}

impl Worker {
    /// Connects, and asks once.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn connect(config: &Config, inputs: &Inputs, mix: Mix<'_>, seed: u64) -> anyhow::Result<Self> {
        let mut client = config.connect(NoTls).context("connecting to PostgreSQL")?;
        let prepare = |&(kind, share): &(Kind, u32)| {
            let statement = client.prepare(match kind {
                Kind::RoundTrip => "SELECT 1",
                Kind::Text => "SELECT clip_embed_text($1)",
                Kind::Image => "SELECT clip_embed_image($1)",
                Kind::Array(_) => "SELECT clip_embed_images($1)",
            })?;
            Ok::<_, postgres::Error>((statement, kind, share))
        };
        let statements = mix.kinds.iter().map(prepare).collect::<Result<_, _>>()?;
        client.execute("SELECT clip_embed_text($1)", &[&inputs.text()]).context("the first request of a connection")?;
        Ok(Self { client, statements, rest: mix.rest, random: fastrand::Rng::with_seed(seed) })
    }

    /// Asks until all workers have been answered after the end of the window. `busy` counts those who have not.
    pub fn work(&mut self, inputs: &Inputs, window: &Window, busy: &AtomicUsize) -> Tally {
        let (mut tally, mut is_late) = (Tally::default(), false);
        while busy.load(Relaxed) > 0 {
            let (statement, kind) = self.pick();
            let request = Request::new(kind, inputs);
            let began = Instant::now();
            let answer = request.ask(&mut self.client, &statement);
            let ended = Instant::now();
            match answer {
                Ok(()) => tally.answered(kind, window, began, ended),
                Err(error) => {
                    tally.failed(format!("{}: {error:#}", kind.name()));
                    thread::sleep(PAUSE);
                }
            }
            let is_lost = self.client.is_closed();
            if !is_late && (is_lost || ended >= window.end) {
                is_late = true;
                busy.fetch_sub(1, Relaxed);
            }
            if is_lost {
                break;
            }
            self.rest(began);
        }
        tally
    }

    fn pick(&mut self) -> (Statement, Kind) {
        let all = self.statements.iter().map(|(_, _, share)| share).sum();
        let mut place = self.random.u32(0..all);
        let mut chosen = self.statements.iter().filter(|(_, _, share)| match place.checked_sub(*share) {
            Some(rest) => {
                place = rest;
                false
            }
            None => true,
        });
        let (statement, kind, _) = chosen.next().expect("a place below the sum");
        (statement.clone(), *kind)
    }

    fn rest(&mut self, began: Instant) {
        match self.rest {
            Rest::Never => {}
            Rest::UpTo(most) => thread::sleep(most.mul_f64(self.random.f64())),
            Rest::Every(time) => thread::sleep(time.saturating_sub(began.elapsed())),
        }
    }
}

/// Made before the clock runs.
enum Request {
    RoundTrip,
    Text(String),
    Image(Vec<u8>),
    Array(Vec<Vec<u8>>),
}

impl Request {
    fn new(kind: Kind, inputs: &Inputs) -> Self {
        match kind {
            Kind::RoundTrip => Self::RoundTrip,
            Kind::Text => Self::Text(inputs.text()),
            Kind::Image => Self::Image(inputs.image()),
            Kind::Array(images) => Self::Array((0..images).map(|_| inputs.image()).collect()),
        }
    }

    fn ask(&self, client: &mut Client, statement: &Statement) -> anyhow::Result<()> {
        let rows = match self {
            Self::RoundTrip => client.execute(statement, &[]),
            Self::Text(text) => client.execute(statement, &[text]),
            Self::Image(image) => client.execute(statement, &[image]),
            Self::Array(images) => client.execute(statement, &[images]),
        };
        anyhow::ensure!(rows? == 1, "no row");
        Ok(())
    }
}

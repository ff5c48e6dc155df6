//! An address of an endpoint.

use crate::call::Connection;
use crate::config::Address;
use crate::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One address.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub address: Address,
    pub socket: SocketAddr,
    /// As messages and statistics have it.
    pub name: String,
    /// The name no longer has this address.
    pub is_gone: AtomicBool,
    in_flight: AtomicU32,
    requests: AtomicU64,
    failures: AtomicU64,
    /// Requests that were answered, and microseconds of all of them.
    answered: AtomicU64,
    time: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    health: Health,
    version: Option<String>,
    last_error: Option<Error>,
}

/// Whether an endpoint may be used.
#[derive(Clone, Debug)]
pub(crate) enum Health {
    /// It is being checked; nobody knows yet.
    Checking,
    Healthy(Arc<Connection>),
    /// It has failed a check, and will be checked again.
    Down(Error),
}

/// What is known of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Its URL, and where a name has an address, that.
    pub name: String,
    /// `healthy`, `checking` or `down`.
    pub state: &'static str,
    /// The version of the model that answered.
    pub version: Option<String>,
    /// Requests under way.
    pub in_flight: u32,
    /// Requests that ended.
    pub requests: u64,
    /// Requests that failed, and failed checks.
    pub failures: u64,
    /// Mean time of the requests that were answered; `None` where there was none.
    pub latency: Option<Duration>,
    /// The latest failure.
    pub last_error: Option<String>,
}

impl Endpoint {
    pub fn new(address: Address, socket: SocketAddr) -> Self {
        let name = match address.bare_host() == socket.ip().to_string() {
            true => address.url(),
            false => format!("{} ({})", address.url(), socket.ip()),
        };
        Self {
            address,
            socket,
            name,
            is_gone: AtomicBool::default(),
            in_flight: AtomicU32::default(),
            requests: AtomicU64::default(),
            failures: AtomicU64::default(),
            answered: AtomicU64::default(),
            time: AtomicU64::default(),
            state: Mutex::new(State { health: Health::Checking, version: None, last_error: None }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn health(&self) -> Health {
        self.state().health.clone()
    }

    pub fn is_healthy(&self) -> bool {
        matches!(self.state().health, Health::Healthy(_))
    }

    /// Takes a healthy one out of use until it is checked; false where that is so already.
    pub fn suspect(&self) -> bool {
        let mut state = self.state();
        let was_healthy = matches!(state.health, Health::Healthy(_));
        if was_healthy {
            state.health = Health::Checking;
        }
        was_healthy
    }

    pub fn passed(&self, connection: Arc<Connection>, version: Option<String>) {
        let mut state = self.state();
        state.health = Health::Healthy(connection);
        if version.is_some() {
            state.version = version;
        }
    }

    pub fn failed(&self, error: Error) {
        self.failures.fetch_add(1, Relaxed);
        let mut state = self.state();
        state.last_error = Some(error.clone());
        state.health = Health::Down(error);
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self)
    }

    /// Counts a request that ended.
    pub fn ended(&self, took: Duration, outcome: Result<&str, &Error>) {
        self.requests.fetch_add(1, Relaxed);
        match outcome {
            Ok(version) => {
                self.answered.fetch_add(1, Relaxed);
                self.time.fetch_add(took.as_micros() as u64, Relaxed);
                let mut state = self.state();
                if !version.is_empty() && state.version.as_deref() != Some(version) {
                    state.version = Some(version.to_owned());
                }
            }
            Err(error) => {
                self.failures.fetch_add(1, Relaxed);
                self.state().last_error = Some(error.clone());
            }
        }
    }

    pub fn status(&self) -> EndpointStatus {
        let state = self.state();
        let (answered, time) = (self.answered.load(Relaxed), self.time.load(Relaxed));
        EndpointStatus {
            name: self.name.clone(),
            state: match state.health {
                Health::Checking => "checking",
                Health::Healthy(_) => "healthy",
                Health::Down(_) => "down",
            },
            version: state.version.clone(),
            in_flight: self.in_flight(),
            requests: self.requests.load(Relaxed),
            failures: self.failures.load(Relaxed),
            latency: (answered > 0).then(|| Duration::from_micros(time / answered)),
            last_error: state.last_error.as_ref().map(|error| error.reason.clone()),
        }
    }
}

/// A request under way.
pub(crate) struct InFlight<'a>(&'a Endpoint);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

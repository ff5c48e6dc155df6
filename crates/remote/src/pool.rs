//! The addresses of an encoder: found by name, checked before they are used and after each failure, and chosen by load.

use crate::call::{Connection, Infer, Metadata};
use crate::config::{Address, EncoderConfig};
use crate::endpoint::{Endpoint, Health};
use crate::error::{Error, Kind, Result};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// How long the addresses of a name are used before it is resolved again, and at least.
const RESOLVE_AFTER: Duration = Duration::from_secs(30);
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);
/// How long an endpoint that failed a check is left alone at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What an endpoint is asked before it is used, and what shows that it runs the model.
pub trait Probe: Send + Sync + 'static {
    /// The batch that is sent to a server that says this of its model.
    ///
    /// # Errors
    /// Why such a model cannot be used.
    fn batch(&self, metadata: &Metadata) -> Result<Infer, String>;

    /// Looks at the values that came.
    ///
    /// # Errors
    /// What is wrong with them.
    fn check(&self, values: &[f32]) -> Result<(), String>;
}

/// All endpoints of an encoder.
pub(crate) struct Pool {
    pub config: EncoderConfig,
    folder: PathBuf,
    addresses: Vec<Address>,
    probe: Arc<dyn Probe>,
    endpoints: Mutex<Vec<Arc<Endpoint>>>,
    is_resolved: AtomicBool,
    /// Why names have no address.
    unresolved: Mutex<Option<Error>>,
    /// Sent to where the outcome of a check is known.
    changes: watch::Sender<()>,
    resolve_now: Notify,
}

impl Pool {
    /// Begins to look for endpoints, and goes on as long as the pool is in use.
    pub fn start(config: EncoderConfig, folder: PathBuf, probe: Arc<dyn Probe>) -> Arc<Self> {
        // Checked when the configuration was read.
        let addresses = config.endpoints.iter().filter_map(|endpoint| Address::parse(endpoint).ok()).collect();
        let pool = Arc::new(Self {
            config,
            folder,
            addresses,
            probe,
            endpoints: Mutex::default(),
            is_resolved: AtomicBool::default(),
            unresolved: Mutex::default(),
            changes: watch::channel(()).0,
            resolve_now: Notify::new(),
        });
        tokio::spawn(resolve_for_ever(Arc::downgrade(&pool)));
        pool
    }

    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The healthy endpoint with the fewest requests under way, another one than `not` where there is one. Waits for checks
    /// that are under way where none is healthy.
    ///
    /// # Errors
    /// Why none is.
    pub async fn choose(&self, not: Option<&Arc<Endpoint>>) -> Result<(Arc<Endpoint>, Arc<Connection>)> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let endpoints = self.endpoints();
            let mut healthy: Vec<&Arc<Endpoint>> = endpoints.iter().filter(|endpoint| endpoint.is_healthy()).collect();
            healthy.sort_by_key(|endpoint| (not.is_some_and(|not| Arc::ptr_eq(not, endpoint)), endpoint.in_flight()));
            for endpoint in healthy {
                if let Health::Healthy(connection) = endpoint.health() {
                    return Ok((Arc::clone(endpoint), connection));
                }
            }
            let is_open = endpoints.iter().any(|endpoint| matches!(endpoint.health(), Health::Checking));
            if !is_open && self.is_resolved.load(Relaxed) {
                return Err(self.why_none(&endpoints));
            }
            // The sender is this pool's own.
            let _ = changes.changed().await;
        }
    }

    fn why_none(&self, endpoints: &[Arc<Endpoint>]) -> Error {
        let mut errors: Vec<Error> = endpoints
            .iter()
            .filter_map(|endpoint| match endpoint.health() {
                Health::Down(error) => Some(error),
                _ => None,
            })
            .collect();
        errors.extend(self.unresolved.lock().unwrap_or_else(PoisonError::into_inner).clone());
        // One that does not answer may be the one that would.
        let is_away = |error: &Error| matches!(error.kind, Kind::Unreachable | Kind::Timeout);
        let kind = match errors.first() {
            Some(first) if !errors.iter().any(is_away) => first.kind,
            _ => Kind::Unreachable,
        };
        let said: Vec<String> = errors.iter().take(3).map(Error::to_string).collect();
        match &errors[..] {
            [] => Error::new(kind, "endpoints", "there are none"),
            [error] => Error::new(kind, &error.endpoint, error.reason.clone()),
            _ => Error::new(kind, &format!("{} endpoints", errors.len()), said.join("; ")),
        }
    }

    /// After a failure of an endpoint: nothing is sent to it until it has passed a check.
    pub fn suspect(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
        if endpoint.suspect() {
            self.resolve_now.notify_one();
            self.check(endpoint);
        }
    }

    /// Checks an endpoint until it passes.
    fn check(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
        let (pool, endpoint) = (Arc::downgrade(self), Arc::clone(endpoint));
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let Some(pool) = pool.upgrade() else { return };
                let limit = pool.config.timeout();
                let late = |_| {
                    let reason = format!("no answer to a check within {} ms", limit.as_millis());
                    Err(Error::new(Kind::Timeout, &endpoint.name, reason))
                };
                match timeout(limit, pool.try_check(&endpoint)).await.unwrap_or_else(late) {
                    Ok((connection, version)) => {
                        endpoint.passed(Arc::new(connection), version);
                        pool.changes.send_replace(());
                        return;
                    }
                    Err(error) => endpoint.failed(error),
                }
                pool.changes.send_replace(());
                drop(pool);
                sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                if endpoint.is_gone.load(Relaxed) {
                    return;
                }
            }
        });
    }

    async fn try_check(&self, endpoint: &Endpoint) -> Result<(Connection, Option<String>)> {
        let connection =
            Connection::open(&self.config, &self.folder, &endpoint.address, endpoint.socket, &endpoint.name).await?;
        connection.server_ready().await?;
        connection.model_ready().await?;
        let metadata = connection.metadata().await?;
        let batch = self.probe.batch(&metadata).map_err(|reason| connection.refused(reason))?;
        let (values, version) = connection.infer(&batch).await?;
        self.probe.check(&values).map_err(|reason| connection.refused(reason))?;
        Ok((connection, Some(version).filter(|version| !version.is_empty())))
    }

    /// Resolves all names. Those that cannot be resolved keep the addresses that they had.
    async fn resolve(self: &Arc<Self>) {
        let mut found = HashSet::new();
        let mut unresolved = None;
        for (number, address) in self.addresses.iter().enumerate() {
            match tokio::net::lookup_host((address.bare_host(), address.port)).await {
                Ok(sockets) => found.extend(sockets.map(|socket| (number, socket))),
                Err(error) => {
                    let known = self.endpoints().into_iter().filter(|endpoint| endpoint.address == *address);
                    found.extend(known.map(|endpoint| (number, endpoint.socket)));
                    unresolved = Some(Error::new(Kind::Unreachable, &address.url(), error.to_string()));
                }
            }
        }
        *self.unresolved.lock().unwrap_or_else(PoisonError::into_inner) = unresolved;
        let mut new = Vec::new();
        {
            let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            endpoints.retain(|endpoint| {
                let is_there = found
                    .iter()
                    .any(|(number, socket)| self.addresses[*number] == endpoint.address && *socket == endpoint.socket);
                endpoint.is_gone.store(!is_there, Relaxed);
                is_there
            });
            for (number, socket) in found {
                let address = &self.addresses[number];
                if !endpoints.iter().any(|known| known.address == *address && known.socket == socket) {
                    let endpoint = Arc::new(Endpoint::new(address.clone(), socket));
                    endpoints.push(Arc::clone(&endpoint));
                    new.push(endpoint);
                }
            }
        }
        new.iter().for_each(|endpoint| self.check(endpoint));
        self.is_resolved.store(true, Relaxed);
        self.changes.send_replace(());
    }
}

async fn resolve_for_ever(pool: Weak<Pool>) {
    loop {
        let Some(strong) = pool.upgrade() else { return };
        strong.resolve().await;
        let began = Instant::now();
        // Looked at again now and then, so that the task ends soon after the pool.
        drop(strong);
        sleep(RESOLVE_PAUSE).await;
        while began.elapsed() < RESOLVE_AFTER {
            let Some(strong) = pool.upgrade() else { return };
            if timeout(Duration::from_millis(1), strong.resolve_now.notified()).await.is_ok() {
                break;
            }
            drop(strong);
            sleep(RESOLVE_PAUSE).await;
        }
    }
}

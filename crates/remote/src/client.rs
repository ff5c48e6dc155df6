//! A request on the best endpoint, and once more on another one where it fails.

use crate::call::{Connection, Infer};
use crate::config::EncoderConfig;
use crate::endpoint::{Endpoint, EndpointStatus};
use crate::error::{Error, Kind, Result};
use crate::pool::{Pool, Probe};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Room in a message for all but the values of its tensors.
const OVERHEAD: usize = 4096;

/// A client of an encoder on model servers.
pub struct Client(Arc<Pool>);

impl Client {
    /// Begins to look for endpoints, in the runtime that it is called in. Files that the configuration names are in `folder`.
    pub fn new(config: EncoderConfig, folder: PathBuf, probe: Arc<dyn Probe>) -> Self {
        Self(Pool::start(config, folder, probe))
    }

    /// Waits until an endpoint may be used, or all have failed.
    ///
    /// # Errors
    /// Why none may: what was last found out, at once.
    pub async fn ready(&self) -> Result<()> {
        let limit = self.0.config.timeout();
        match timeout(limit, self.0.choose(None)).await {
            Ok(chosen) => chosen.map(drop),
            Err(_) => Err(self.late(None)),
        }
    }

    /// Runs a batch: all values of its vectors. Dropping the future drops the call.
    ///
    /// # Errors
    /// What became of the second try, if there was one.
    pub async fn infer(&self, batch: &Infer) -> Result<Vec<f32>> {
        let deadline = Instant::now() + self.0.config.timeout();
        let (endpoint, connection) = self.choose(None, deadline).await?;
        // Where there are others, one that hangs leaves them time.
        let left = deadline.saturating_duration_since(Instant::now());
        let is_alone = self.healthy() < 2;
        let limit = if is_alone { left } else { left / 2 };
        let first = self.call(&endpoint, &connection, batch, limit).await;
        match first {
            Err(error) if error.is_of_endpoint && Instant::now() < deadline => {
                // Where it was the only one, it has its second chance once it has passed a check.
                let (endpoint, connection) = self.choose(Some(&endpoint), deadline).await?;
                let left = deadline.saturating_duration_since(Instant::now());
                self.call(&endpoint, &connection, batch, left).await
            }
            outcome => outcome,
        }
    }

    async fn choose(&self, not: Option<&Arc<Endpoint>>, deadline: Instant) -> Result<(Arc<Endpoint>, Arc<Connection>)> {
        let left = deadline.saturating_duration_since(Instant::now());
        timeout(left, self.0.choose(not)).await.unwrap_or_else(|_| Err(self.late(not.map(|endpoint| &**endpoint))))
    }

    async fn call(
        &self,
        endpoint: &Arc<Endpoint>,
        connection: &Connection,
        batch: &Infer,
        limit: Duration,
    ) -> Result<Vec<f32>> {
        let _in_flight = endpoint.begin();
        let began = Instant::now();
        let late = |_| Err(self.late(Some(endpoint)).of_endpoint());
        let outcome = timeout(limit, connection.infer(batch)).await.unwrap_or_else(late);
        match outcome {
            Ok((values, version)) => {
                endpoint.ended(began.elapsed(), Ok(&version));
                Ok(values)
            }
            Err(error) => {
                endpoint.ended(began.elapsed(), Err(&error));
                if error.is_of_endpoint {
                    self.0.suspect(endpoint);
                }
                Err(error)
            }
        }
    }

    fn late(&self, endpoint: Option<&Endpoint>) -> Error {
        let names = self.0.config.endpoints.join(", ");
        let name = endpoint.map_or(names.as_str(), |endpoint| endpoint.name.as_str());
        Error::new(Kind::Timeout, name, format!("no answer within {} ms", self.0.config.timeout_ms))
    }

    fn healthy(&self) -> usize {
        self.0.endpoints().iter().filter(|endpoint| endpoint.is_healthy()).count()
    }

    /// How many requests may be under way.
    pub fn capacity(&self) -> usize {
        self.healthy().max(1) * self.0.config.requests_in_flight as usize
    }

    /// How many items of so many bytes a request may have; 0 where not even one fits.
    pub fn items_per_request(&self, bytes: usize) -> usize {
        (self.0.config.max_message_bytes as usize - OVERHEAD) / bytes.max(1)
    }

    /// What is known of each endpoint.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let mut endpoints: Vec<EndpointStatus> = self.0.endpoints().iter().map(|endpoint| endpoint.status()).collect();
        endpoints.sort_by(|a, b| a.name.cmp(&b.name));
        endpoints
    }

    /// What it was made with.
    pub fn config(&self) -> &EncoderConfig {
        &self.0.config
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}

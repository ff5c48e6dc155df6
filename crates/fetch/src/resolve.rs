//! Names and addresses, checked before anything connects to them.

use crate::address::is_public;
use crate::allow::AllowList;
use crate::error::{Error, Result, show, show_url};
use crate::ports::Ports;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use url::{Host, Url};

/// What may be connected to on one port, or on all ports that the allow list does not name.
#[derive(Clone)]
pub(crate) struct Guard {
    allow: Arc<AllowList>,
    ports: Arc<Ports>,
    port: Option<u16>,
    /// Whether only that is connected to which the allow list names with this port.
    is_closed: bool,
}

impl Guard {
    pub(crate) fn new(allow: &Arc<AllowList>, ports: &Arc<Ports>, port: Option<u16>) -> Self {
        let closed = port.filter(|port| !ports.has(*port));
        let allow = closed.map_or_else(|| Arc::clone(allow), |port| Arc::new(allow.only_on(port)));
        Self { allow, ports: Arc::clone(ports), port, is_closed: closed.is_some() }
    }

    /// Checks a URL's port, before anybody is asked for its host.
    pub(crate) fn check_port(&self, url: &Url) -> Result<()> {
        let port = url.port_or_known_default().unwrap_or_default();
        let may_be = self.ports.has(port)
            || self.is_closed
                && match url.host() {
                    Some(Host::Ipv4(address)) => self.allow.has_address(address.into(), self.port),
                    Some(Host::Ipv6(address)) => self.allow.has_address(address.into(), self.port),
                    // What the name leads to is seen then.
                    Some(Host::Domain(name)) => self.allow.has_name(name, self.port) || self.allow.has_networks(),
                    None => false,
                };
        if may_be { Ok(()) } else { Err(Error::Port { url: show_url(url), port }) }
    }

    /// Checks a URL whose host is an address: reqwest connects to these without asking the resolver.
    pub(crate) fn check_literal(&self, url: &Url) -> Result<()> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        // On a port that is closed to others, it is the port that is in the way.
        if self.is_closed && is_public(address) {
            return Ok(());
        }
        self.check(url.host_str().unwrap_or_default(), address)
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<()> {
        if is_public(address) && !self.is_closed || self.allow.has_address(address, self.port) {
            return Ok(());
        }
        Err(Error::NotAllowed { host: show(host), address })
    }

    /// The addresses of a name, if all of them are allowed. One that is not is no accident, so the others are not
    /// trusted either.
    async fn lookup(&self, name: &str) -> Result<Vec<SocketAddr>> {
        // Port 0: reqwest puts the URL's port in its place.
        let found = tokio::net::lookup_host((name, 0)).await;
        let addresses: Vec<_> = found.map_err(|error| unresolved(name, &error))?.collect();
        if addresses.is_empty() {
            return Err(unresolved(name, &io::Error::from(io::ErrorKind::NotFound)));
        }
        if !self.allow.has_name(name, self.port) {
            addresses.iter().try_for_each(|address| self.check(name, address.ip()))?;
        }
        Ok(addresses)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.lookup(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn unresolved(name: &str, error: &io::Error) -> Error {
    let text = error.to_string();
    // The standard library's words add nothing to those of the message.
    let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    Error::Resolve { host: show(name), reason: reason.to_owned() }
}

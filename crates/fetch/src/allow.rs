//! What an administrator allows besides public addresses.

use crate::address::plain;
use crate::error::{Error, Result, show};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;
use url::Host;

/// Hosts and networks that are fetched from although their addresses are not public.
///
/// Parsed from a comma-separated text. An entry is
///
/// * a host name, compared without regard to case: whatever addresses it has are allowed;
/// * `*.example.com` or `.example.com`: all names below `example.com`, but not that name itself;
/// * an address (`10.1.2.3`, `::1`), or a network in CIDR notation (`10.0.0.0/8`, `fd00::/8`): allowed as the URL's host
///   and as what a name resolves to.
///
/// Hosts and addresses may have a port (`intranet:8080`, `[::1]:8080`) and are then allowed on this port only. Empty
/// entries are skipped, so the empty text allows nothing. Fails with [`Error::AllowList`], which names the bad entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    target: Target,
    /// None is any port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Name(String),
    /// The suffix with its leading dot.
    Below(String),
    Net(IpNet),
}

impl AllowList {
    /// True if a host of this name may have any address.
    pub(crate) fn has_name(&self, name: &str, port: Option<u16>) -> bool {
        let name = normal(name);
        self.0.iter().filter(|entry| entry.is_for(port)).any(|entry| match &entry.target {
            Target::Name(allowed) => *allowed == name,
            // Longer than the suffix: there must be something before the dot.
            Target::Below(suffix) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
            Target::Net(_) => false,
        })
    }

    /// True if an entry names this address, or a network that has it.
    pub(crate) fn has_address(&self, address: IpAddr, port: Option<u16>) -> bool {
        let plain = plain(address);
        self.0.iter().filter(|entry| entry.is_for(port)).any(|entry| match &entry.target {
            Target::Net(net) => net.contains(&address) || net.contains(&plain),
            Target::Name(_) | Target::Below(_) => false,
        })
    }

    /// What is allowed on a port for its own sake, and not on any.
    pub(crate) fn only_on(&self, port: u16) -> Self {
        Self(self.0.iter().filter(|entry| entry.port == Some(port)).cloned().collect())
    }

    /// Whether a name may be allowed by its addresses.
    pub(crate) fn has_networks(&self) -> bool {
        self.0.iter().any(|entry| matches!(entry.target, Target::Net(_)))
    }

    /// The ports on which more is allowed than on others.
    pub(crate) fn ports(&self) -> BTreeSet<u16> {
        self.0.iter().filter_map(|entry| entry.port).collect()
    }
}

impl Entry {
    /// None stands for the ports that no entry names.
    fn is_for(&self, port: Option<u16>) -> bool {
        self.port.is_none() || self.port == port
    }
}

impl FromStr for AllowList {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(parse).collect::<Result<_>>().map(AllowList)
    }
}

fn parse(text: &str) -> Result<Entry> {
    let bad = |reason: &str| Error::AllowList { entry: show(text), reason: reason.to_owned() };
    if text.contains('/') {
        let net = text.parse::<IpNet>().map_err(|_| bad("networks are written as address/bits, without a port"))?;
        return Ok(Entry { target: Target::Net(net), port: None });
    }
    // IPv6 without brackets: its colons are not before a port.
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Entry { target: Target::Net(address.into()), port: None });
    }
    let (host, port) = match text.rsplit_once(':') {
        // The last colon is within the brackets.
        Some((_, rest)) if rest.ends_with(']') => (text, None),
        Some((host, port)) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|port| digits && *port != 0);
            (host, Some(port.ok_or_else(|| bad("the port must be a number from 1 to 65535"))?))
        }
        None => (text, None),
    };
    let below = host.strip_prefix("*.").or_else(|| host.strip_prefix('.'));
    let name = below.unwrap_or(host);
    if name.contains('*') {
        return Err(bad("a * can only be the whole first label, as in *.example.com"));
    }
    // The same parser that normalises the hosts of URLs, so that both are spelled alike.
    let target = match (Host::parse(name).map_err(|error| bad(&error.to_string()))?, below) {
        (Host::Domain(name), Some(_)) => Target::Below(format!(".{}", normal(&name))),
        (Host::Domain(name), None) => Target::Name(normal(&name)),
        (_, Some(_)) => return Err(bad("an address has no sub-domains")),
        (Host::Ipv4(address), None) => Target::Net(IpAddr::V4(address).into()),
        (Host::Ipv6(address), None) => Target::Net(IpAddr::V6(address).into()),
    };
    Ok(Entry { target, port })
}

/// A name without the dot that marks it as complete. `Host::parse` has made it lower case already.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> AllowList {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_empty_list_allows_nothing() {
        for text in ["", " ", ",", " , ,"] {
            assert_eq!(list(text), AllowList::default());
        }
        assert!(!list("").has_name("localhost", None));
        assert!(!list("").has_address(address("127.0.0.1"), None));
    }

    #[test]
    fn names_are_compared_whole_and_without_case() {
        let list = list("Intranet, images.Example.COM., bücher.example");
        for name in ["intranet", "INTRANET", "intranet.", "images.example.com", "xn--bcher-kva.example"] {
            assert!(list.has_name(name, None), "{name}");
            assert!(list.has_name(name, Some(8080)), "{name}");
        }
        for name in ["intranet2", "my.intranet", "example.com", "ximages.example.com", "images.example.com.evil"] {
            assert!(!list.has_name(name, None), "{name}");
        }
    }

    #[test]
    fn sub_domains_do_not_include_the_domain() {
        for text in ["*.example.com", ".example.com", "*.EXAMPLE.com."] {
            let list = list(text);
            assert!(list.has_name("a.example.com", None) && list.has_name("a.b.Example.com.", None));
            for name in ["example.com", ".example.com", "badexample.com", "a.example.com.evil"] {
                assert!(!list.has_name(name, None), "{text}: {name}");
            }
        }
    }

    #[test]
    fn addresses_and_networks() {
        let list = list("10.1.2.3, 192.168.0.0/16, ::1, fd00::/8, [fe80::1], 0x7f.1");
        for allowed in ["10.1.2.3", "::ffff:10.1.2.3", "192.168.255.255", "::1", "fd12::9", "fe80::1", "127.0.0.1"] {
            assert!(list.has_address(address(allowed), None), "{allowed}");
        }
        for refused in ["10.1.2.4", "192.169.0.0", "::2", "fc00::1", "fe80::2", "127.0.0.2"] {
            assert!(!list.has_address(address(refused), None), "{refused}");
        }
        assert!(!list.has_name("10.1.2.3", None));
    }

    #[test]
    fn a_port_limits_an_entry() {
        let list = list("a:81, *.b:82, 10.0.0.1:83, [::1]:84");
        assert!(list.has_name("a", Some(81)) && !list.has_name("a", Some(82)) && !list.has_name("a", None));
        assert!(list.has_name("x.b", Some(82)) && !list.has_name("x.b", Some(81)));
        assert!(list.has_address(address("10.0.0.1"), Some(83)) && !list.has_address(address("10.0.0.1"), None));
        assert!(list.has_address(address("::1"), Some(84)) && !list.has_address(address("::1"), Some(83)));
        assert_eq!(list.ports().into_iter().collect::<Vec<_>>(), [81, 82, 83, 84]);
    }

    #[test]
    fn the_error_names_the_bad_entry() {
        let bad_entries = [
            "a b",
            "a:",
            "a:0",
            "a:65536",
            "a:http",
            "a:+1",
            "*",
            "*.",
            ".",
            "a.*.b",
            "*a.b",
            "10.0.0.0/33",
            "10.0.0.0/8:80",
            "a/b",
            "http://a/",
            "1.2.3.4.5",
            "256.1.1.1",
            "*.10.0.0.1",
            "[::1",
            "[::g]",
            ":80",
            "a:80:80",
            "user@host",
        ];
        for bad in bad_entries {
            let error = format!("ok.example, {bad}").parse::<AllowList>().expect_err(bad);
            assert!(matches!(&error, Error::AllowList { entry, .. } if entry == bad), "{bad}: {error}");
        }
    }
}

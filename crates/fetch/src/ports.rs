//! Which ports are connected to.

use crate::error::{Error, show};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Ports that are connected to, parsed from a comma-separated text of ports and ranges: `80, 443, 8000-8999`. Empty entries
/// are skipped, so the empty text has none. Fails with [`Error::Ports`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

impl Ports {
    pub(crate) fn has(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

impl FromStr for Ports {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| range(entry).ok_or_else(|| Error::Ports { entry: show(entry) }))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = port(first)?..=port(last)?;
    (!range.is_empty()).then_some(range)
}

fn port(text: &str) -> Option<u16> {
    let text = text.trim();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        let ports: Ports = "80, 443,, 8000 - 8002".parse().unwrap();
        let found: Vec<u16> = (1..=u16::MAX).filter(|port| ports.has(*port)).collect();
        assert_eq!(found, [80, 443, 8000, 8001, 8002]);
        assert!(!"".parse::<Ports>().unwrap().has(80));
        assert!("1-65535".parse::<Ports>().unwrap().has(u16::MAX));
    }

    #[test]
    fn the_error_names_the_bad_entry() {
        for bad in ["0", "65536", "http", "+1", "-", "1-", "-1", "9-8", "1-2-3", "80:81"] {
            let error = format!("80, {bad}").parse::<Ports>().expect_err(bad);
            assert_eq!(error, Error::Ports { entry: bad.to_owned() });
        }
    }
}

//! Which addresses belong to the public internet.

use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IANA registry of special-purpose IPv4 addresses, less the few blocks that are globally reachable.
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),        // this network; Linux takes 0.0.0.0 for loopback
    v4([10, 0, 0, 0], 8),       // private use
    v4([100, 64, 0, 0], 10),    // shared by carriers and clouds
    v4([127, 0, 0, 0], 8),      // loopback
    v4([168, 63, 129, 16], 32), // not in the registry: the host of an Azure machine, as that machine sees it
    v4([169, 254, 0, 0], 16),   // link-local, with the metadata services of clouds
    v4([172, 16, 0, 0], 12),    // private use
    v4([192, 0, 0, 0], 24),     // protocol assignments
    v4([192, 0, 2, 0], 24),     // documentation
    v4([192, 88, 99, 0], 24),   // relays of 6to4
    v4([192, 168, 0, 0], 16),   // private use
    v4([198, 18, 0, 0], 15),    // benchmarks
    v4([198, 51, 100, 0], 24),  // documentation
    v4([203, 0, 113, 0], 24),   // documentation
    v4([224, 0, 0, 0], 4),      // multicast
    v4([240, 0, 0, 0], 4),      // reserved, and broadcast
];

/// What is public in IPv6, less [`NOT_PUBLIC_V6`]. Loopback, unique local, link-local and multicast are outside.
const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0, 0], 3);

/// The IANA registry of special-purpose IPv6 addresses, as far as they are global unicast addresses.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0], 23),     // protocol assignments, with Teredo
    v6([0x2001, 0xdb8, 0], 32), // documentation
    v6([0x2002, 0, 0], 16),     // 6to4, which leads to any IPv4 address and is not used any more
    v6([0x3fff, 0, 0], 20),     // documentation
];

/// NAT64: where a network has IPv6 only, each IPv4 address appears under this prefix.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

/// True if anybody on the internet can have this address, so that fetching from it shows nothing of the own network.
///
/// False for all special-purpose addresses. IPv4 addresses within IPv6 ones (mapped and NAT64) count as themselves.
pub fn is_public(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_UNICAST_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
        }
    }
}

/// The IPv4 address where an IPv6 address is only another way to write it.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if NAT64.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        canonical => canonical,
    }
}

const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6([a, b, c]: [u16; 3], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(addresses: &[&str], public: bool) {
        for address in addresses {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn special_addresses_are_not_public_from_the_first_to_the_last() {
        check(&["0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255"], false);
        check(&["127.0.0.0", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254"], false);
        check(&["169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255"], false);
        check(&["192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255", "192.168.0.0"], false);
        check(&["192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255"], false);
        check(&["203.0.113.0", "203.0.113.255", "224.0.0.0", "239.255.255.255", "240.0.0.0"], false);
        check(&["255.255.255.254", "255.255.255.255", "168.63.129.16"], false);
        check(&["::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:0:0", "::ffff:127.0.0.1"], false);
        check(&["::ffff:169.254.169.254", "::ffff:a00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8"], false);
        check(&["100::1", "1fff:ffff::1", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"], false);
        check(&["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:7f00:1::1"], false);
        check(&["2002:808:808::1", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "5f00::1"], false);
        check(&["fc00::", "fd00:ec2::254", "fdff::1", "fe80::1", "fec0::1", "ff02::1", "ffff::"], false);
    }

    #[test]
    fn the_neighbours_of_special_addresses_are_public() {
        check(&["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"], true);
        check(&["126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255"], true);
        check(&["172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0"], true);
        check(&["192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255"], true);
        check(&["198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0"], true);
        check(&["223.255.255.255", "168.63.129.15", "168.63.129.17", "8.8.8.8"], true);
        check(&["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2000::1", "2001:200::", "2001:db7:ffff::"], true);
        check(&["2001:db9::", "2001:4860:4860::8888", "2003::1", "2606:4700::1111", "3ffe:ffff::"], true);
        check(&["3fff:1000::"], true);
    }

    proptest! {
        #[test]
        fn the_standard_library_agrees_that_these_are_not_public(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_broadcast() || address.is_documentation();
            prop_assert!(!(special && is_public(address.into())));
            prop_assert_eq!(is_public(address.into()), is_public(address.to_ipv6_mapped().into()));
        }

        #[test]
        fn no_private_address_is_public(low: u64, block in 0_usize..6) {
            let low = u32::try_from(low & 0xffff_ffff).unwrap();
            let (base, host) = [
                (0x0a00_0000_u32, 0x00ff_ffff_u32), (0xac10_0000, 0x000f_ffff), (0xc0a8_0000, 0xffff),
                (0x7f00_0000, 0x00ff_ffff), (0xa9fe_0000, 0xffff), (0x6440_0000, 0x003f_ffff),
            ][block];
            let address = Ipv4Addr::from(base | (low & host));
            prop_assert!(!is_public(address.into()));
            prop_assert!(!is_public(address.to_ipv6_mapped().into()));
            prop_assert!(!is_public(address.to_ipv6_compatible().into()));
        }

        #[test]
        fn no_local_ipv6_address_is_public(low in 0_u128..(1 << 120), first in prop_oneof![
            Just(0xfc_u128), Just(0xfd), Just(0xff), Just(0x00),
        ]) {
            let address = Ipv6Addr::from((first << 120) | low);
            prop_assume!(plain(address.into()).is_ipv6());
            prop_assert!(!is_public(address.into()));
        }
    }
}

//! Hosts that strangers name.
//!
//! The host of an account comes from a document that the account's owner writes. Such a host must not make a node send
//! requests into its own network: it is reached over https only, and only at addresses of the public internet. Names are
//! checked by what they resolve to as the connection is made, so that a second look at DNS cannot differ from the first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use super::names;

/// Which hosts a request may go to that are not from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignHosts {
    /// Those of the public internet, over https.
    #[default]
    Public,
    /// Any: for tests, whose servers are on this host.
    Any,
}

/// Why a request is not sent to a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenHost {
    /// Another scheme than https.
    #[error("{0} is not reached over https")]
    Scheme(String),
    /// No host at all.
    #[error("a URL without a host")]
    NoHost,
    /// An address of this host, of a private network, or of none.
    #[error("{host} is at {address}, which is no address of the public internet")]
    Address {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
}

impl ForeignHosts {
    /// Checks all of a URL that can be checked without DNS.
    ///
    /// # Errors
    /// The URL is not allowed.
    pub fn check(self, url: &Url) -> Result<(), ForbiddenHost> {
        let host = url.host().ok_or(ForbiddenHost::NoHost)?;
        if self == Self::Any {
            return Ok(());
        }
        if url.scheme() != "https" {
            return Err(ForbiddenHost::Scheme(host.to_string()));
        }
        // These are connected to without asking the resolver.
        let address = match host {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain(_) => return Ok(()),
        };
        match is_public(address) {
            true => Ok(()),
            false => Err(ForbiddenHost::Address { host: host.to_string(), address }),
        }
    }
}

/// Resolves names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resolver {
    /// To all their addresses.
    Any,
    /// To those of the public internet.
    Public,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = *self;
        Box::pin(async move {
            let found = names::look_up(name.as_str()).await?;
            let found = match resolver {
                Self::Any => found,
                Self::Public => public(name.as_str(), found)?,
            };
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// The public ones of a host's addresses, of which there must be one.
fn public(host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ForbiddenHost> {
    let first = found.first().copied();
    let public: Vec<SocketAddr> = found.into_iter().filter(|found| is_public(found.ip())).collect();
    match first {
        Some(forbidden) if public.is_empty() => {
            Err(ForbiddenHost::Address { host: host.to_owned(), address: forbidden.ip() })
        }
        _ => Ok(public),
    }
}

/// Whether an address is one of the public internet, by the special-purpose registries of IANA (RFC 6890).
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // This network, private, shared by carriers, loopback, link-local.
        (0 | 10 | 127, ..) | (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _)
            // Protocols, documentation, the former 6to4 relays, benchmarks.
            | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113)
            // Multicast, reserved, broadcast.
            | (224..=255, ..)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let v4 = |high: u16, low: u16| is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match parts {
        // NAT64: what is behind it is an address of version 4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // 6to4, likewise.
        [0x2002, high, low, ..] => v4(high, low),
        // Protocols with Teredo, benchmarks and ORCHID; documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // The only global unicast addresses there are.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for public in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:1.1.1.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn addresses_in_urls_are_checked_however_they_are_written() {
        let check = |url: &str| ForeignHosts::Public.check(&Url::parse(url).unwrap());
        assert_eq!(check("https://pds.example.org/"), Ok(()));
        assert_eq!(check("https://1.1.1.1:8443/"), Ok(()));
        assert!(matches!(check("http://pds.example.org/"), Err(ForbiddenHost::Scheme(_))));
        for url in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
        ] {
            assert!(matches!(check(url), Err(ForbiddenHost::Address { .. })), "{url}");
        }
        assert_eq!(ForeignHosts::Any.check(&Url::parse("http://127.0.0.1:2583/").unwrap()), Ok(()));
    }

    #[test]
    fn of_a_mixed_answer_the_public_addresses_remain() {
        let parse =
            |addresses: &[&str]| addresses.iter().map(|a| SocketAddr::new(a.parse().unwrap(), 0)).collect();
        let left = public("x", parse(&["10.0.0.1", "1.1.1.1", "::1"])).unwrap();
        assert_eq!(left, parse(&["1.1.1.1"]));
        let error = public("pds.example", parse(&["169.254.169.254"])).unwrap_err().to_string();
        assert!(error.contains("pds.example is at 169.254.169.254"), "{error}");
    }
}

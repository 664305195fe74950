//! The setting `--ips`.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::str::FromStr;

use ipnet::IpNet;

use super::AddressError;

/// Most addresses of one node; each may need a client and budgets of its own.
pub const MAX_ADDRESSES: usize = 65_536;

/// The setting `--ips`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AddressList {
    /// All global addresses of this machine.
    #[default]
    Auto,
    /// The address that the system chooses.
    None,
    /// These addresses, each once, in the order of the list.
    These(Vec<IpAddr>),
}

impl FromStr for AddressList {
    type Err = AddressError;

    /// `auto`, `none`, or a comma-separated list of addresses, ranges `A-B` (both ends included) and networks `A/N`
    /// (without the network's own and its broadcast address, where it has them).
    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.trim() {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let mut addresses = Vec::new();
        let mut seen = HashSet::new();
        for part in text.split(',').map(str::trim) {
            for address in parse_part(part)? {
                if !seen.insert(address) {
                    continue;
                }
                if addresses.len() == MAX_ADDRESSES {
                    return Err(AddressError::TooMany { part: part.to_owned() });
                }
                addresses.push(address);
            }
        }
        Ok(Self::These(addresses))
    }
}

impl AddressList {
    /// The addresses, whether or not they belong to this machine; none for `none`.
    ///
    /// # Errors
    /// The machine's addresses cannot be listed.
    pub fn addresses(&self) -> Result<Vec<IpAddr>, AddressError> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Auto => own_addresses(),
            Self::These(addresses) => Ok(addresses.clone()),
        }
    }

    /// The addresses themselves, each checked to belong to this machine; `None` stands for the one that the system
    /// chooses. Never empty.
    pub fn resolve(&self) -> Result<Vec<Option<IpAddr>>, AddressError> {
        if matches!(self, Self::None) {
            return Ok(vec![None]);
        }
        let addresses = self.addresses()?;
        if addresses.is_empty() {
            tracing::warn!(
                "--ips auto: this machine has no global address; the system chooses for each request"
            );
            return Ok(vec![None]);
        }
        for &address in &addresses {
            // Binding an address does not depend on the protocol, and UDP needs no free port to listen on.
            UdpSocket::bind((address, 0)).map_err(|source| AddressError::Bind { address, source })?;
        }
        Ok(addresses.into_iter().map(Some).collect())
    }
}

/// The addresses of one part of a list.
fn parse_part(part: &str) -> Result<Box<dyn Iterator<Item = IpAddr>>, AddressError> {
    let error = |what| AddressError::Syntax { part: part.to_owned(), what };
    if let Ok(address) = part.parse::<IpAddr>() {
        if address.is_unspecified() || address.is_multicast() {
            return Err(error("an address that nothing can be sent from"));
        }
        return Ok(Box::new(std::iter::once(address)));
    }
    if part.contains('/') {
        let network: IpNet = part.parse().map_err(|_| error("no network"))?;
        return Ok(network_hosts(network.trunc()));
    }
    let (first, last) = part.split_once('-').ok_or_else(|| error("no address"))?;
    let end = |text: &str| {
        text.trim().parse::<IpAddr>().map_err(|_| error("no range: one of its ends is no address"))
    };
    match (end(first)?, end(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Ok(Box::new((first.to_bits()..=last.to_bits()).map(|bits| Ipv4Addr::from_bits(bits).into())))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Ok(Box::new((first.to_bits()..=last.to_bits()).map(|bits| Ipv6Addr::from_bits(bits).into())))
        }
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            Err(error("a range that ends before it begins"))
        }
        _ => Err(error("a range from one address family to the other")),
    }
}

fn network_hosts(network: IpNet) -> Box<dyn Iterator<Item = IpAddr>> {
    Box::new(network.hosts())
}

/// The addresses of this machine that others can usually reach.
fn own_addresses() -> Result<Vec<IpAddr>, AddressError> {
    let interfaces = if_addrs::get_if_addrs().map_err(AddressError::Interfaces)?;
    let mut seen = HashSet::new();
    let mut addresses: Vec<IpAddr> = interfaces.into_iter().map(|interface| interface.ip()).collect();
    addresses.retain(|&address| is_global(address) && seen.insert(address));
    Ok(addresses)
}

fn is_global(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(text: &str) -> Vec<String> {
        match text.parse().unwrap() {
            AddressList::These(addresses) => addresses.iter().map(IpAddr::to_string).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_ranges_and_networks_come_once_each() {
        assert_eq!(
            these("127.0.0.9, 127.0.0.2-127.0.0.4,127.0.0.3"),
            ["127.0.0.9", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
        );
        assert_eq!(these("10.0.0.6/30"), ["10.0.0.5", "10.0.0.6"]);
        assert_eq!(these("10.0.0.6/32,10.0.0.8/31"), ["10.0.0.6", "10.0.0.8", "10.0.0.9"]);
        assert_eq!(
            these("::1,2001:db8::fffe-2001:db8::1:1"),
            ["::1", "2001:db8::fffe", "2001:db8::ffff", "2001:db8::1:0", "2001:db8::1:1"]
        );
        assert_eq!(these("2001:db8::/126").len(), 4);
        assert_eq!(these("255.255.255.254-255.255.255.255").len(), 2);
    }

    #[test]
    fn auto_and_none_are_words() {
        assert_eq!("auto".parse::<AddressList>().unwrap(), AddressList::Auto);
        assert_eq!(" none ".parse::<AddressList>().unwrap().resolve().unwrap(), [None]);
        for address in AddressList::Auto.resolve().unwrap().into_iter().flatten() {
            assert!(is_global(address), "{address}");
        }
    }

    #[test]
    fn what_is_no_list_is_named_with_its_part() {
        for (text, part) in [
            ("", "\"\""),
            ("127.0.0.1,", "\"\""),
            ("127.0.0.1,host", "\"host\""),
            ("10.0.0.0/33", "\"10.0.0.0/33\""),
            ("10.0.0.9-10.0.0.1", "\"10.0.0.9-10.0.0.1\""),
            ("10.0.0.1-::1", "\"10.0.0.1-::1\""),
            ("1-2", "\"1-2\""),
            ("0.0.0.0", "\"0.0.0.0\""),
            ("auto,127.0.0.1", "\"auto\""),
        ] {
            let error = text.parse::<AddressList>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("--ips"), "{text}: {error}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        assert_eq!(these("2001:db8::/112").len(), MAX_ADDRESSES);
        for text in ["2001:db8::/64", "10.0.0.0/8", "::2-ffff::", "2001:db8::/112,::1"] {
            let error = text.parse::<AddressList>().unwrap_err();
            assert!(matches!(error, AddressError::TooMany { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_the_remedy() {
        let error = "127.0.0.1,192.0.2.7".parse::<AddressList>().unwrap().resolve().unwrap_err().to_string();
        assert!(
            error.contains("192.0.2.7") && error.contains("ip addr add") && error.contains("ops/pool"),
            "{error}"
        );
        assert_eq!("127.1.2.3".parse::<AddressList>().unwrap().resolve().unwrap().len(), 1);
    }
}

//! Networks that count as one address.

use std::net::{IpAddr, Ipv6Addr};

/// The networks that addresses belong to: an IPv4 address is one by itself, IPv6 addresses that share their first 64
/// bits are one together.
#[derive(Debug)]
pub(super) struct Networks {
    /// One for each network; `None`: that of the address that the system chooses.
    owners: Vec<Option<IpAddr>>,
    /// The positions of its addresses.
    members: Vec<Vec<usize>>,
}

impl Networks {
    pub(super) fn of(addresses: &[Option<IpAddr>]) -> Self {
        let mut networks = Self { owners: Vec::new(), members: Vec::new() };
        let mut places = std::collections::HashMap::new();
        for (position, address) in addresses.iter().enumerate() {
            let owner = address.map(network);
            let place = *places.entry(owner).or_insert(networks.owners.len());
            if place == networks.owners.len() {
                networks.owners.push(owner);
                networks.members.push(Vec::new());
            }
            networks.members[place].push(position);
        }
        networks
    }

    pub(super) fn owners(&self) -> &[Option<IpAddr>] {
        &self.owners
    }

    /// The position of an address of a network; `turn` chooses among them.
    pub(super) fn member(&self, network: usize, turn: usize) -> usize {
        let members = self.members.get(network).map_or(&[][..], Vec::as_slice);
        members.get(turn % members.len().max(1)).copied().unwrap_or(0)
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let first = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(first).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let addresses = ["2001:db8::1", "192.0.2.1", "2001:db8::2:2", "2001:db8:0:1::1", "192.0.2.2"];
        let networks = Networks::of(&addresses.map(|address| Some(address.parse().unwrap())));
        let owners: Vec<String> = networks.owners().iter().map(|owner| owner.unwrap().to_string()).collect();
        assert_eq!(owners, ["2001:db8::", "192.0.2.1", "2001:db8:0:1::", "192.0.2.2"]);
        assert_eq!([0, 1, 2, 3].map(|turn| networks.member(0, turn)), [0, 2, 0, 2]);
        assert_eq!((networks.member(1, 7), networks.member(2, 7), networks.member(3, 7)), (1, 3, 4));
        let any = Networks::of(&[None]);
        assert_eq!((any.owners(), any.member(0, 3)), (&[None][..], 0));
    }
}

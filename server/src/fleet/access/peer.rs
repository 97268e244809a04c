use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of a client; the /64 of an IPv6 address, because a client chooses the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

/// Addresses that are likely to belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network(IpAddr);

impl Peer {
    /// The peer of a connection; those without an address are one peer.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(match address.map(|address| address.to_canonical()) {
            None => Ipv4Addr::UNSPECIFIED.into(),
            Some(IpAddr::V4(address)) => address.into(),
            Some(IpAddr::V6(address)) => beginning(address, 64),
        })
    }

    /// The /24 of an IPv4 address, or the /48 of an IPv6 address.
    pub(super) fn network(self) -> Network {
        Network(match self.0 {
            IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() >> 8 << 8).into(),
            IpAddr::V6(address) => beginning(address, 48),
        })
    }

    /// The /56 of an IPv6 address, which is what many providers give to one customer.
    pub(super) fn block(self) -> Option<Network> {
        match self.0 {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Network(beginning(address, 56))),
        }
    }
}

/// The address; for IPv6 its network.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// The first bits of an address.
fn beginning(address: Ipv6Addr, bits: u8) -> IpAddr {
    Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> bits)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::of(Some(text.parse().unwrap()))
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8:0:1::1"), peer("2001:db8:0:2::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    }

    #[test]
    fn networks_hold_the_peers_that_are_near() {
        assert_eq!(peer("2001:db8:0:1::1").block(), peer("2001:db8:0:ff::1").block());
        assert_ne!(peer("2001:db8:0:1::1").block(), peer("2001:db8:0:100::1").block());
        assert_eq!(peer("2001:db8:0:1::1").network(), peer("2001:db8:0:ffff::1").network());
        assert_ne!(peer("2001:db8:0:1::1").network(), peer("2001:db8:1:1::1").network());
        assert_eq!(peer("192.0.2.1").network(), peer("192.0.2.255").network());
        assert_ne!(peer("192.0.2.1").network(), peer("192.0.3.1").network());
        assert_eq!(peer("192.0.2.1").block(), None);
    }
}

//! Networks and addresses as operators write them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::value::ConfigValue;

/// Bits of an IPv6 address before the IPv4 address that it may hold (`::ffff:10.0.0.1`).
const MAPPED_PREFIX: u8 = 96;

/// Addresses, such as `10.0.0.5`, and networks, such as `10.0.0.0/8` or `2001:db8::/32`; an address is the network of itself alone.
/// IPv4 within IPv6 is IPv4.
impl ConfigValue for Vec<IpNet> {
    const VALUE_NAME: &str = "LIST";
    fn read(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(network).collect()
    }
    fn show(&self) -> String {
        self.iter().map(written).collect::<Vec<_>>().join(",")
    }
}

/// The network as operators write it: an address without the length of its prefix.
fn written(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text
        .parse()
        .map_err(|_| format!("expects addresses such as 10.0.0.5 and networks such as 10.0.0.0/8, not {text:?}"))?;
    if network.addr() != network.network() {
        return Err(format!(
            "{text:?} is an address within a network: write {} for the network, or {} for the address",
            network.trunc(),
            network.addr()
        ));
    }
    Ok(unmapped(network))
}

fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let inner = six.addr().to_ipv4_mapped().filter(|_| six.prefix_len() >= MAPPED_PREFIX);
    let four = inner.and_then(|address| Ipv4Net::new(address, six.prefix_len() - MAPPED_PREFIX).ok());
    four.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<IpNet>, String> {
        ConfigValue::read(text)
    }

    #[test]
    fn addresses_and_networks_read_back_as_they_are_written() {
        for (text, shown) in [
            ("", ""),
            ("10.0.0.5", "10.0.0.5"),
            (" 10.0.0.0/8 , ,2001:db8::/32", "10.0.0.0/8,2001:db8::/32"),
            ("10.0.0.5/32", "10.0.0.5"),
            ("::1", "::1"),
            ("::ffff:10.0.0.5", "10.0.0.5"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("0.0.0.0/0,::/0", "0.0.0.0/0,::/0"),
        ] {
            let networks = read(text).unwrap();
            assert_eq!(networks.show(), shown, "{text}");
            assert_eq!(read(shown), Ok(networks), "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_was_meant() {
        for bad in ["proxy.example.com", "10.0.0.0/33", "10.0.0/8", "10.0.0.5:80", "2001:db8::/129", "10.0.0.0/"] {
            assert!(read(bad).unwrap_err().starts_with("expects addresses such as"), "{bad}");
        }
        let reason = read("10.0.0.4,10.1.2.3/8").unwrap_err();
        assert!(reason.contains("write 10.0.0.0/8 for the network, or 10.1.2.3 for the address"), "{reason}");
        assert!(read("2001:db8::1/32").unwrap_err().contains("2001:db8::/32 for the network"));
    }
}

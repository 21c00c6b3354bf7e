//! Which networks an address belongs to. A stranger may name any address: who is
//! outside must not make us connect to hosts inside our own network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How near an address is. A nearer network is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    /// The public internet.
    Public,
    /// A private, shared or link-local network.
    Private,
    /// This machine.
    Loopback,
}

/// The network of `ip`. An IPv4 address inside an IPv6 one counts as itself.
pub fn network(ip: IpAddr) -> Network {
    match ip.to_canonical() {
        IpAddr::V4(ip) => network_v4(ip),
        IpAddr::V6(ip) => {
            if ip.is_loopback() || ip.is_unspecified() {
                return Network::Loopback;
            }
            let [a, b, c, d, e, f, g, h] = ip.segments();
            let v4 = |high: u16, low: u16| {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                network_v4(Ipv4Addr::new(a, b, c, d))
            };
            match (a, b) {
                // fc00::/7 (RFC 4193), fe80::/10 (RFC 4291), fec0::/10 (RFC 3879).
                _ if a & 0xfe00 == 0xfc00 || a & 0xff80 == 0xfe80 => Network::Private,
                // IPv4 in IPv6: NAT64 (RFC 6052), 6to4 (RFC 3056), compatible (RFC 4291).
                (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => v4(g, h),
                (0x2002, _) => v4(b, c),
                (0, 0) if (c, d, e, f) == (0, 0, 0, 0) => v4(g, h),
                _ => Network::Public,
            }
        }
    }
}

fn network_v4(ip: Ipv4Addr) -> Network {
    let [a, b, ..] = ip.octets();
    // 0.0.0.0/8 (RFC 1122) reaches this machine.
    if a == 127 || a == 0 {
        Network::Loopback
    // 100.64.0.0/10 is shared between a provider's customers (RFC 6598).
    } else if ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64) {
        Network::Private
    } else {
        Network::Public
    }
}

/// Whether a source in the network `from` may name `addr` for us to connect to: only
/// who is as near as the address itself.
pub fn may_name(from: Network, addr: IpAddr) -> bool {
    network(addr) <= from
}

/// Those of `addrs` that a source at `from` may name.
pub fn namable(from: IpAddr, addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let from = network(from);
    let addrs = addrs.iter().copied();
    addrs.filter(|addr| may_name(from, addr.ip())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_inside_address_is_known() {
        for (ip, expected) in [
            ("127.1.2.3", Network::Loopback),
            ("0.0.0.0", Network::Loopback),
            ("0.1.2.3", Network::Loopback),
            ("::1", Network::Loopback),
            ("::", Network::Loopback),
            ("::ffff:127.0.0.1", Network::Loopback),
            ("::127.0.0.1", Network::Loopback),
            ("64:ff9b::7f00:1", Network::Loopback),
            ("2002:7f00:1::", Network::Loopback),
            ("10.0.0.1", Network::Private),
            ("172.31.0.1", Network::Private),
            ("192.168.0.1", Network::Private),
            ("169.254.169.254", Network::Private),
            ("100.64.0.1", Network::Private),
            ("fe80::1", Network::Private),
            ("fd00::1", Network::Private),
            ("fec0::1", Network::Private),
            ("::ffff:10.0.0.1", Network::Private),
            ("64:ff9b::a00:1", Network::Private),
            ("172.32.0.1", Network::Public),
            ("100.128.0.1", Network::Public),
            ("9.9.9.9", Network::Public),
            ("2001:db8::1", Network::Public),
        ] {
            assert_eq!(network(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn only_who_is_as_near_may_name_an_address() {
        let all: Vec<SocketAddr> = ["127.0.0.1:1", "192.168.1.1:1", "9.9.9.9:1"]
            .map(|addr| addr.parse().unwrap())
            .to_vec();
        let named = |from: &str| namable(from.parse().unwrap(), &all).len();
        assert_eq!(named("8.8.8.8"), 1);
        assert_eq!(named("192.168.7.7"), 2);
        assert_eq!(named("127.0.0.1"), 3);
    }
}

//! The address, or the network interface by its name, that a session is bound to.

use std::{
    fmt,
    net::{IpAddr, UdpSocket},
    str::FromStr,
};

use network_interface::{NetworkInterface, NetworkInterfaceConfig as _};

/// Bytes of an interface's name, at most (Linux: IFNAMSIZ, with its end).
const LONGEST_NAME: usize = 15;

/// What everything of a session is sent from, and nothing beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindTo {
    /// An address of this machine.
    Address(IpAddr),
    /// The interface of this name, whatever its address.
    Interface(String),
}

impl BindTo {
    /// The address to bind to as things stand now: of an interface the first IPv4 address, or
    /// else the first IPv6 address that is more than link-local. `None`: this machine does not
    /// have the address, or the interface is not there or has none.
    pub fn find(&self) -> Option<IpAddr> {
        match self {
            Self::Address(ip) => UdpSocket::bind((*ip, 0)).is_ok().then_some(*ip),
            Self::Interface(name) => {
                let all = NetworkInterface::show().ok()?;
                let own = all.into_iter().filter(|one| one.name == *name);
                let addresses = own.flat_map(|one| one.addr).map(|address| address.ip());
                best(addresses)
            }
        }
    }
}

fn best(addresses: impl Iterator<Item = IpAddr>) -> Option<IpAddr> {
    let is_usable = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_unicast_link_local(),
    };
    // The first of those that are alike.
    addresses.filter(is_usable).min_by_key(IpAddr::is_ipv6)
}

impl FromStr for BindTo {
    type Err = String;

    /// What is no address is an interface's name.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return match ip.is_unspecified() {
                true => Err(format!(
                    "`{text}` means every address: nothing is bound by it"
                )),
                false => Ok(Self::Address(ip)),
            };
        }
        let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
        match (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_name) {
            true => Ok(Self::Interface(text.to_owned())),
            false => Err(format!(
                "`{text}` is neither an address nor the name of a network interface"
            )),
        }
    }
}

impl fmt::Display for BindTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => write!(f, "the address {ip}"),
            Self::Interface(name) => write!(f, "the interface {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ipv4_address_counts_and_no_link_local_one() {
        let find = |all: &[&str]| best(all.iter().map(|ip| ip.parse().unwrap()));
        let ip = |text: &str| Some(text.parse().unwrap());
        let four = ["fe80::1", "2001:db8::1", "10.8.0.2", "10.8.0.3"];
        assert_eq!(find(&four), ip("10.8.0.2"));
        assert_eq!(
            find(&["fe80::1", "2001:db8::1", "2001:db8::2"]),
            ip("2001:db8::1")
        );
        assert_eq!(find(&["fe80::1"]), None);
        assert_eq!(find(&[]), None);
    }

    #[test]
    fn addresses_and_names_are_told_apart_and_looked_for_on_this_machine() {
        let source = |text: &str| text.parse::<BindTo>().unwrap();
        assert_eq!(
            source("127.0.0.2").find(),
            Some(IpAddr::from([127, 0, 0, 2]))
        );
        // TEST-NET-1: nobody has it.
        assert_eq!(source("192.0.2.1").find(), None);
        assert_eq!(source("no-such-if").find(), None);
        if cfg!(target_os = "linux") {
            assert_eq!(source("lo").find(), Some(IpAddr::from([127, 0, 0, 1])));
        }
        assert_eq!(
            source("::1"),
            BindTo::Address(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]))
        );
        assert_eq!(source("tun0"), BindTo::Interface("tun0".to_owned()));
        for wrong in [
            "",
            "0.0.0.0",
            "::",
            "127.0.0.1:80",
            "a b",
            "a/b",
            "an-interface-with-a-long-name",
        ] {
            assert!(wrong.parse::<BindTo>().is_err(), "{wrong}");
        }
    }
}

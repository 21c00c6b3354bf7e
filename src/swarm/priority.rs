//! Canonical peer priority (BEP 40): a number for each pair of peers that both of them
//! compute alike. Who keeps the connections of the highest gets a swarm that holds
//! together, in which nobody is left out for coming late.

use std::net::{IpAddr, SocketAddr};

/// The priority of the connection between two peers. The higher one is kept.
pub fn priority(one: SocketAddr, other: SocketAddr) -> u32 {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    if a == b {
        let (a, b) = (one.port(), other.port());
        let [low, high] = [a.min(b).to_be_bytes(), a.max(b).to_be_bytes()];
        return crc32c(low.into_iter().chain(high));
    }
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => of_bytes(a.octets(), b.octets(), 2),
        (IpAddr::V6(a), IpAddr::V6(b)) => of_bytes(a.octets(), b.octets(), 6),
        // They cannot be connected.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

/// Of the first bytes all bits count, and one more for each byte that is the same
/// beyond them; of the others every second bit.
fn of_bytes<const N: usize>(mut a: [u8; N], mut b: [u8; N], first: usize) -> u32 {
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let whole = if same < first { first } else { same + 1 };
    for bytes in [&mut a, &mut b] {
        for byte in bytes.iter_mut().skip(whole) {
            *byte &= 0x55;
        }
    }
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    crc32c(low.into_iter().chain(high))
}

/// CRC-32C (Castagnoli), reflected, of a few bytes.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            let carry = crc & 1 != 0;
            crc >>= 1;
            if carry {
                crc ^= 0x82f6_3b78;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 6881)
    }

    #[test]
    fn the_vectors_of_the_description() {
        let own = at("123.213.32.10");
        assert_eq!(priority(own, at("98.76.54.32")), 0xec2d_7224);
        assert_eq!(priority(own, at("123.213.32.234")), 0x9956_8189);
    }

    #[test]
    fn the_check_value_of_the_sum() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    }

    #[test]
    fn nearer_peers_are_told_apart_more_finely() {
        let own = at("123.213.32.10");
        let same = |a: &str, b: &str| priority(own, at(a)) == priority(own, at(b));
        // Far: every second bit of the last two bytes.
        assert!(same("98.76.54.32", "98.76.54.34"));
        assert!(!same("98.76.54.32", "98.76.54.33"));
        // The same /16: the third byte counts whole.
        assert!(!same("123.213.33.1", "123.213.35.1"));
        assert!(same("123.213.33.1", "123.213.33.3"));
        // The same /24: everything counts.
        assert!(!same("123.213.32.1", "123.213.32.3"));
        let own = at("2001:db8:1::1");
        let same = |a: &str, b: &str| priority(own, at(a)) == priority(own, at(b));
        assert!(same("2001:db8:2::1", "2001:db8:2::3"));
        assert!(same("2001:db8:2:1::1", "2001:db8:2:3::1"));
        assert!(!same("2001:db8:1:100::1", "2001:db8:1:300::1"));
    }

    #[test]
    fn at_one_address_the_ports_decide() {
        let at = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let expected = crc32c([0, 1, 0, 2].into_iter());
        assert_eq!(priority(at(1), at(2)), expected);
        assert_eq!(priority(at(2), at(1)), expected);
    }

    proptest! {
        #[test]
        fn both_sides_agree(a: [u8; 4], b: [u8; 4], six: bool, ports: (u16, u16)) {
            let of = |ip: [u8; 4], port| {
                let ip = std::net::Ipv4Addr::from(ip);
                if six {
                    SocketAddr::from((ip.to_ipv6_compatible(), port))
                } else {
                    SocketAddr::from((ip, port))
                }
            };
            let (a, b) = (of(a, ports.0), of(b, ports.1));
            prop_assert_eq!(priority(a, b), priority(b, a));
        }
    }
}

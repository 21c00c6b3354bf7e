//! Node ids: 20 bytes, compared by exclusive or. One that is made from its node's
//! address (BEP 42) shows that nobody chose it to sit beside a torrent.

use std::{fmt, net::IpAddr};

use crate::types::InfoHash;

/// A node's id, or what is looked for in the same space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<InfoHash> for NodeId {
    fn from(hash: InfoHash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl NodeId {
    /// Reads 20 bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// How far two are apart; the smaller the nearer.
    pub fn distance(&self, other: &Self) -> [u8; 20] {
        let mut out = self.0;
        for (ours, theirs) in out.iter_mut().zip(other.0) {
            *ours ^= theirs;
        }
        out
    }

    /// The bits that both begin with, at most 159: equal ids are as near as it gets.
    pub fn common_bits(&self, other: &Self) -> usize {
        let mut bits = 0;
        for byte in self.distance(other) {
            let zeros = usize::try_from(byte.leading_zeros()).unwrap_or(0);
            bits += zeros;
            if zeros < 8 {
                break;
            }
        }
        bits.min(159)
    }

    /// An id for a node at this address (BEP 42), from 20 random bytes. Addresses
    /// that are not of the Internet have no rule.
    #[must_use]
    pub fn secured(mut random: [u8; 20], ip: IpAddr) -> Self {
        let [.., last] = random;
        if let Some(prefix) = prefix(ip, last & 7) {
            let [first, second, third, ..] = &mut random;
            let [a, b, c, _] = prefix;
            *first = a;
            *second = b;
            *third = (c & 0xf8) | (*third & 7);
        }
        Self(random)
    }

    /// Whether a node at this address may have this id (BEP 42).
    pub fn fits(&self, ip: IpAddr) -> bool {
        let [first, second, third, .., last] = self.0;
        prefix(ip, last & 7)
            .is_none_or(|[a, b, c, _]| (first, second, third & 0xf8) == (a, b, c & 0xf8))
    }
}

/// What the first 21 bits of an id must be; `None` where there is no rule.
fn prefix(ip: IpAddr, random: u8) -> Option<[u8; 4]> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            if ip.is_loopback() || ip.is_private() || ip.is_link_local() {
                return None;
            }
            let masked = u32::from(ip) & 0x030f_3fff | u32::from(random) << 29;
            Some(crc32c(&masked.to_be_bytes()).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            if ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() {
                return None;
            }
            let [high, low] = [u128::from(ip) >> 64, u128::from(random) << 61];
            let masked = high & 0x0103_070f_1f3f_7fff | low;
            let masked = u64::try_from(masked).unwrap_or(0);
            Some(crc32c(&masked.to_be_bytes()).to_be_bytes())
        }
    }
}

/// CRC-32C (Castagnoli), bit by bit: a few bytes, once in a while.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = crc & 1 == 1;
            crc >>= 1;
            if odd {
                crc ^= 0x82f6_3b78;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of BEP 42.
    #[test]
    fn ids_are_made_as_bep_42_says() {
        for (ip, last, prefix) in [
            ("124.31.75.21", 1, [0x5f, 0xbf, 0xb8]),
            ("21.75.31.124", 86, [0x5a, 0x3c, 0xe8]),
            ("65.23.51.170", 22, [0xa5, 0xd4, 0x30]),
            ("84.124.73.14", 65, [0x1b, 0x03, 0x20]),
            ("43.213.53.83", 90, [0xe5, 0x6f, 0x68]),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut random = [0; 20];
            random[19] = last;
            let id = NodeId::secured(random, ip);
            assert_eq!(id.0[..2], prefix[..2], "{ip}");
            assert_eq!(id.0[2] & 0xf8, prefix[2] & 0xf8, "{ip}");
            assert!(id.fits(ip));
            assert!(!id.fits("1.2.3.4".parse().unwrap()));
        }
        assert!(NodeId([9; 20]).fits("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn nearness_is_by_exclusive_or() {
        let (a, b) = (NodeId([0; 20]), NodeId([1; 20]));
        assert_eq!(a.common_bits(&b), 7);
        assert_eq!(a.common_bits(&a), 159);
        assert_eq!(a.distance(&b), [1; 20]);
    }
}

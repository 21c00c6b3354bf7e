//! What others announced to us, and the tokens that show that an announcer is at
//! its address. Pure.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use sha1::{Digest, Sha1};

use crate::types::InfoHash;

/// Torrents that are kept; further ones are refused until some have expired.
const MAX_TORRENTS: usize = 2000;
/// Peers of one torrent; the oldest goes.
const MAX_PEERS: usize = 100;
/// Peers in one answer: it stays within a packet, also of IPv6 addresses.
const MAX_TOLD: usize = 40;
/// Announces come every 15 minutes, at the latest every 30.
const KEPT: Duration = Duration::from_secs(1800);
/// A token is good for one to two of these.
const TOKEN_LIFE: Duration = Duration::from_secs(300);

/// At most 2,000 × 100 peers of 48 bytes each.
#[derive(Debug)]
pub struct Store {
    peers: HashMap<InfoHash, Vec<(SocketAddr, Instant)>>,
    secrets: [[u8; 16]; 2],
    changed: Instant,
}

impl Store {
    /// An empty one; `secret` is random.
    pub fn new(secret: [u8; 16], now: Instant) -> Self {
        Self {
            peers: HashMap::new(),
            secrets: [secret; 2],
            changed: now,
        }
    }

    /// Once in a while: forgets what is old, and changes the secret if it is time.
    pub fn tick(&mut self, fresh: [u8; 16], now: Instant) {
        if now.duration_since(self.changed) >= TOKEN_LIFE {
            let [current, _] = self.secrets;
            self.secrets = [fresh, current];
            self.changed = now;
        }
        for peers in self.peers.values_mut() {
            peers.retain(|(_, at)| now.duration_since(*at) < KEPT);
        }
        self.peers.retain(|_, peers| !peers.is_empty());
    }

    /// What an asker must show to announce.
    pub fn token(&self, ip: IpAddr) -> Vec<u8> {
        let [current, _] = &self.secrets;
        token(current, ip)
    }

    /// Whether it was given to this address.
    pub fn is_valid(&self, shown: &[u8], ip: IpAddr) -> bool {
        self.secrets.iter().any(|secret| token(secret, ip) == shown)
    }

    /// A peer has a torrent.
    pub fn announced(&mut self, hash: InfoHash, peer: SocketAddr, now: Instant) {
        if self.peers.len() >= MAX_TORRENTS && !self.peers.contains_key(&hash) {
            return;
        }
        let peers = self.peers.entry(hash).or_default();
        peers.retain(|(other, _)| *other != peer);
        if peers.len() >= MAX_PEERS {
            peers.remove(0);
        }
        peers.push((peer, now));
    }

    /// Some peers of a torrent, of one kind of address, those last heard of first.
    pub fn peers(&self, hash: InfoHash, v6: bool) -> Vec<SocketAddr> {
        let peers = self.peers.get(&hash).into_iter().flatten().rev();
        let peers = peers.map(|(peer, _)| *peer);
        peers
            .filter(|peer| peer.is_ipv6() == v6)
            .take(MAX_TOLD)
            .collect()
    }
}

fn token(secret: &[u8; 16], ip: IpAddr) -> Vec<u8> {
    let mut hash = Sha1::new().chain_update(secret);
    match ip {
        IpAddr::V4(ip) => hash.update(ip.octets()),
        IpAddr::V6(ip) => hash.update(ip.octets()),
    }
    let digest: [u8; 20] = hash.finalize().into();
    digest.split_at(8).0.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_address_and_for_a_while() {
        let now = Instant::now();
        let mut store = Store::new([1; 16], now);
        let (ours, other) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([1, 2, 3, 5]));
        let token = store.token(ours);
        assert!(store.is_valid(&token, ours));
        assert!(!store.is_valid(&token, other));
        assert!(!store.is_valid(b"", ours));
        store.tick([2; 16], now + TOKEN_LIFE);
        assert!(store.is_valid(&token, ours));
        store.tick([3; 16], now + 2 * TOKEN_LIFE);
        assert!(!store.is_valid(&token, ours));
    }

    #[test]
    fn what_is_announced_is_bounded_and_forgotten() {
        let now = Instant::now();
        let mut store = Store::new([1; 16], now);
        let hash = |number: u32| {
            let mut hash = [0; 20];
            hash[..4].copy_from_slice(&number.to_be_bytes());
            InfoHash::from_bytes(hash)
        };
        for number in 0..5000 {
            store.announced(hash(number), SocketAddr::from(([1, 1, 1, 1], 1)), now);
        }
        for port in 1..5000 {
            store.announced(hash(1), SocketAddr::from(([1, 1, 1, 1], port)), now);
        }
        assert_eq!(store.peers.len(), MAX_TORRENTS);
        assert_eq!(store.peers[&hash(1)].len(), MAX_PEERS);
        assert_eq!(store.peers(hash(1), false).len(), MAX_TOLD);
        assert_eq!(store.peers(hash(1), true), []);
        store.tick([1; 16], now + KEPT);
        assert!(store.peers.is_empty());
    }
}

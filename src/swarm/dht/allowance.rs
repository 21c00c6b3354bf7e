//! How many questions of strangers are answered. Pure.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// Questions of one host that are answered at once, and a second.
const BURST: f64 = 50.0;
const PER_SECOND: f64 = 10.0;
/// Of all hosts together: 500 answers of half a kilobyte are 2 Mbit/s.
const ALL_BURST: f64 = 1000.0;
const ALL_PER_SECOND: f64 = 500.0;
/// Hosts that are told apart. When there are more, all are forgotten: the bound
/// for all together holds still.
const MAX_HOSTS: usize = 4096;

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, burst: f64, per_second: f64, now: Instant) -> bool {
        let since = now.duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * per_second).min(burst);
        self.at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

/// Who asked how much.
#[derive(Debug)]
pub(super) struct Allowance {
    hosts: HashMap<(IpAddr, u16), Bucket>,
    all: Bucket,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            hosts: HashMap::new(),
            all: Bucket {
                left: ALL_BURST,
                at: now,
            },
        }
    }

    /// Whether this question is answered.
    pub(super) fn allows(&mut self, from: SocketAddr, now: Instant) -> bool {
        // An IPv6 host may have any address of its network; on loopback everybody
        // has the same one.
        let host = match from.ip() {
            IpAddr::V6(ip) if !ip.is_loopback() => {
                let [a, b, c, d, ..] = ip.segments();
                (IpAddr::from([a, b, c, d, 0, 0, 0, 0]), 0)
            }
            ip if ip.is_loopback() => (ip, from.port()),
            ip => (ip, 0),
        };
        if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(&host) {
            self.hosts.clear();
        }
        let bucket = self.hosts.entry(host).or_insert(Bucket {
            left: BURST,
            at: now,
        });
        bucket.take(BURST, PER_SECOND, now) && self.all.take(ALL_BURST, ALL_PER_SECOND, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_answered_a_little_and_others_as_before() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let flooder = SocketAddr::from(([1, 2, 3, 4], 5));
        let answered = (0..10_000)
            .filter(|_| allowance.allows(flooder, now))
            .count();
        assert_eq!(answered, 50);
        assert!(allowance.allows(SocketAddr::from(([1, 2, 3, 5], 5)), now));
        assert!(allowance.allows(flooder, now + Duration::from_secs(1)));
        for host in 0..100_000u32 {
            allowance.allows(SocketAddr::from((host.to_be_bytes(), 1)), now);
        }
        assert!(allowance.hosts.len() <= MAX_HOSTS);
    }
}

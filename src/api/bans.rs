//! Addresses that guess passwords are not listened to for a while.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Failures of one address within [`WINDOW`] that are not punished yet.
pub(super) const MAX_FAILURES: u32 = 5;
/// Failures are counted for so long.
const WINDOW: Duration = Duration::from_secs(60);
/// The first ban; each one after it is twice as long.
const FIRST_BAN: Duration = Duration::from_secs(60);
/// The longest ban.
const LONGEST_BAN: Duration = Duration::from_secs(24 * 3600);
/// Bans of an address are forgotten when it has not failed for so long.
const MEMORY: Duration = Duration::from_secs(24 * 3600);
/// Addresses that are remembered: about 400 KiB.
const MAX_ADDRESSES: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Record {
    /// Failures since `first`.
    failures: u32,
    first: Instant,
    last: Instant,
    bans: u32,
    until: Option<Instant>,
}

/// Who failed to log in lately.
#[derive(Debug, Default)]
pub(super) struct Bans(Mutex<HashMap<IpAddr, Record>>);

/// One customer of a network has 2^64 addresses of IPv6: they count as one.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        },
    }
}

impl Bans {
    fn records(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the address is still not listened to.
    pub(super) fn left(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let until = self.records().get(&network(address))?.until?;
        Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// The address failed once more.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) {
        let mut records = self.records();
        let address = network(address);
        if records.len() >= MAX_ADDRESSES && !records.contains_key(&address) {
            make_room(&mut records, now);
        }
        let record = records.entry(address).or_insert(Record {
            failures: 0,
            first: now,
            last: now,
            bans: 0,
            until: None,
        });
        if now.saturating_duration_since(record.last) > MEMORY {
            record.bans = 0;
        }
        if now.saturating_duration_since(record.first) >= WINDOW {
            (record.failures, record.first) = (0, now);
        }
        record.failures += 1;
        record.last = now;
        if record.failures >= MAX_FAILURES {
            let ban = FIRST_BAN
                .saturating_mul(2_u32.saturating_pow(record.bans))
                .min(LONGEST_BAN);
            record.until = Some(now + ban);
            record.bans = record.bans.saturating_add(1);
            (record.failures, record.first) = (0, now);
            tracing::warn!(%address, seconds = ban.as_secs(), "too many wrong passwords: the address is banned");
        }
    }
}

/// Forgets those that are not worth a place, and else the one that would be free first.
fn make_room(records: &mut HashMap<IpAddr, Record>, now: Instant) {
    records.retain(|_, record| now.saturating_duration_since(record.last) <= MEMORY);
    if records.len() < MAX_ADDRESSES {
        return;
    }
    let least = records
        .iter()
        .min_by_key(|(_, record)| (record.until.is_some_and(|until| until > now), record.last))
        .map(|(address, _)| *address);
    if let Some(least) = least {
        records.remove(&least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn fail(bans: &Bans, address: IpAddr, now: Instant, times: u32) {
        for _ in 0..times {
            bans.failed(address, now);
        }
    }

    #[test]
    fn five_failures_a_minute_ban_an_address() {
        let (bans, now) = (Bans::default(), Instant::now());
        fail(&bans, V4, now, MAX_FAILURES - 1);
        assert_eq!(bans.left(V4, now), None);
        // A minute later the old ones do not count.
        let later = now + WINDOW;
        fail(&bans, V4, later, MAX_FAILURES - 1);
        assert_eq!(bans.left(V4, later), None);
        bans.failed(V4, later);
        assert_eq!(bans.left(V4, later), Some(FIRST_BAN));
        assert_eq!(bans.left("192.0.2.2".parse().unwrap(), later), None);
        assert_eq!(bans.left(V4, later + FIRST_BAN), None);
    }

    #[test]
    fn a_ban_grows_to_a_day_and_is_forgotten_after_a_quiet_day() {
        let (bans, mut now) = (Bans::default(), Instant::now());
        let mut expected = FIRST_BAN;
        for _ in 0..20 {
            fail(&bans, V4, now, MAX_FAILURES);
            assert_eq!(bans.left(V4, now), Some(expected));
            now += expected;
            expected = (expected * 2).min(LONGEST_BAN);
        }
        now += MEMORY;
        fail(&bans, V4, now, MAX_FAILURES);
        assert_eq!(bans.left(V4, now), Some(FIRST_BAN));
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let (bans, now) = (Bans::default(), Instant::now());
        for host in 1..=MAX_FAILURES {
            bans.failed(format!("2001:db8:1:2::{host}").parse().unwrap(), now);
        }
        let left = |text: &str| bans.left(text.parse().unwrap(), now);
        assert_eq!(left("2001:db8:1:2:ffff::1"), Some(FIRST_BAN));
        assert_eq!(left("2001:db8:1:3::1"), None);
        fail(
            &bans,
            "::ffff:192.0.2.1".parse().unwrap(),
            now,
            MAX_FAILURES,
        );
        assert_eq!(left("192.0.2.1"), Some(FIRST_BAN));
    }

    #[test]
    fn only_so_many_addresses_are_remembered_and_bans_outlive_failures() {
        let (bans, now) = (Bans::default(), Instant::now());
        fail(&bans, V4, now, MAX_FAILURES);
        for host in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 10 {
            bans.failed(IpAddr::V4((0x0a00_0000 + host).into()), now);
        }
        assert_eq!(bans.records().len(), MAX_ADDRESSES);
        assert_eq!(bans.left(V4, now), Some(FIRST_BAN));
    }
}

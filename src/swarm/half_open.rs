//! Incoming connections whose handshake is not there yet. Their places are few; when all
//! are taken, the oldest connection of the address that holds most of them gives way. So
//! idle connections, however many, keep nobody out who shakes hands at once. Pure.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use tokio::sync::Notify;

/// Places: a handshake is 68 bytes and takes a few round trips.
const MAX_HALF_OPEN: usize = 64;

/// The connections, the oldest first.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    next: u64,
    all: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
}

impl HalfOpen {
    /// Takes one in: its number, and what tells it to give way.
    pub(super) fn enter(&mut self, ip: IpAddr) -> (u64, Arc<Notify>) {
        if self.all.len() >= MAX_HALF_OPEN {
            self.evict();
        }
        let (number, leave) = (self.next, Arc::new(Notify::new()));
        self.next += 1;
        self.all.insert(number, (ip, leave.clone()));
        (number, leave)
    }

    /// It is over, or shook hands.
    pub(super) fn leave(&mut self, number: u64) {
        self.all.remove(&number);
    }

    fn evict(&mut self) {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (ip, _) in self.all.values() {
            *counts.entry(*ip).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let oldest = most.and_then(|(most, _)| {
            let mut of_it = self.all.iter().filter(|(_, (ip, _))| *ip == most);
            of_it.next().map(|(number, _)| *number)
        });
        if let Some((_, leave)) = oldest.and_then(|number| self.all.remove(&number)) {
            leave.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_gives_up_the_oldest_of_who_holds_most() {
        let mut table = HalfOpen::default();
        let (rude, fair) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (first, _) = table.enter(fair);
        let (second, _) = table.enter(rude);
        for _ in 0..1000 {
            table.enter(rude);
        }
        assert_eq!(table.all.len(), MAX_HALF_OPEN);
        assert!(table.all.contains_key(&first) && !table.all.contains_key(&second));
        table.leave(first);
        assert_eq!(table.all.len(), MAX_HALF_OPEN - 1);
    }
}

//! When each torrent is looked at. What happened to one is looked at with the next tick, and so
//! is what goes on with its peers; one that nothing happens to is looked at now and then, since
//! it grows older. So thousands of idle torrents cost next to nothing.

use std::collections::BTreeSet;

use super::{
    entry::{Entry, Run},
    owner::{LOOK_EVERY, Owner},
};
use crate::types::InfoHash;

/// A torrent to which something happened is looked at so often besides: what payments say of
/// it comes a moment later.
const STAYS: u8 = 2;

/// How many torrents are looked at before others have their turn: commands, for example.
const AT_ONCE: usize = 256;

/// About so many idle torrents are looked at with each tick.
const IDLE_A_TICK: usize = 4;
/// The longest that an idle torrent waits, in ticks: a minute.
const IDLE_LOOKS: u64 = 240;

/// When a torrent is looked at next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// With which tick; `None`: only when something happens.
    at: Option<u64>,
    /// So often more it is looked at with each tick.
    stays: u8,
}

/// Which torrents are looked at with which tick.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    by_tick: BTreeSet<(u64, InfoHash)>,
    /// Those of the present tick that were not looked at yet.
    left: Vec<InfoHash>,
}

impl Agenda {
    fn put(&mut self, hash: InfoHash, due: &mut Due, at: Option<u64>) {
        self.remove(hash, *due);
        due.at = at;
        self.by_tick.extend(at.map(|at| (at, hash)));
    }

    /// A torrent is not in the list any more.
    pub(super) fn remove(&mut self, hash: InfoHash, due: Due) {
        if let Some(at) = due.at {
            self.by_tick.remove(&(at, hash));
        }
    }

    /// Those that are to be looked at by now.
    fn of(&self, tick: u64) -> impl Iterator<Item = InfoHash> {
        let due = self.by_tick.iter();
        let due = due.take_while(move |(at, _)| *at <= tick);
        due.map(|(_, hash)| *hash)
    }

    /// Some torrents of this tick are still to be looked at.
    pub(super) fn is_under_way(&self) -> bool {
        !self.left.is_empty()
    }
}

/// How many ticks an idle torrent waits, in a list of `torrents`.
fn idle_looks(torrents: usize) -> u64 {
    let looks = u64::try_from(torrents / IDLE_A_TICK).unwrap_or(u64::MAX);
    looks.clamp(IDLE_A_TICK as u64, IDLE_LOOKS)
}

impl Entry {
    /// After how many ticks it is looked at again, in a list of `torrents`. `None`: only when
    /// something happens to it.
    fn looks(&mut self, torrents: usize) -> Option<u64> {
        let busy = match &self.run {
            Run::No => false,
            Run::Leaving(_) => true,
            Run::Yes(live) => live.busy,
        };
        if busy {
            self.due.stays = STAYS;
            return Some(1);
        }
        if self.due.stays > 0 {
            self.due.stays -= 1;
            return Some(1);
        }
        let live = self.live()?;
        let idle = idle_looks(torrents);
        // A goal that is reached by waiting is reached in time.
        let goal = self.wish.goals.seeding_secs.filter(|_| !live.paused);
        let left = goal.map(|secs| {
            let ms = secs.saturating_mul(1000);
            let left = u128::from(ms.saturating_sub(self.life.seeding_ms));
            u64::try_from(left.div_ceil(LOOK_EVERY.as_millis())).unwrap_or(u64::MAX)
        });
        Some(left.map_or(idle, |left| left.clamp(1, idle)))
    }
}

impl Owner {
    /// Something happened to these: they are looked at with the next ticks, too.
    pub(super) fn stay_at<'a>(&mut self, hashes: impl IntoIterator<Item = &'a InfoHash>) {
        for hash in hashes {
            if let Some(entry) = self.entries.get_mut(hash) {
                entry.due.stays = STAYS;
            }
        }
    }

    /// All torrents are looked at with the next tick.
    pub(super) fn look_at_all(&mut self) {
        for (hash, entry) in &mut self.entries {
            self.agenda.put(*hash, &mut entry.due, Some(self.ticks));
        }
    }

    /// One was looked at: when it is again.
    pub(super) fn plan_look(&mut self, hash: InfoHash) {
        let torrents = self.entries.len();
        if let Some(entry) = self.entries.get_mut(&hash) {
            let candidate = entry.candidate();
            self.turns_changed |= entry.stood.replace(candidate) != Some(candidate);
            let at = entry.looks(torrents);
            let at = at.map(|looks| self.ticks.saturating_add(looks));
            self.agenda.put(hash, &mut entry.due, at);
        }
    }

    /// Finds out which torrents are looked at with this tick.
    pub(super) fn begin_look(&mut self) {
        let mut happened = std::mem::take(&mut self.unseen);
        happened.extend(self.session.take_news());
        for (hash, tally) in self.paid().torrents {
            match (self.entries.get(&hash), &self.pay) {
                (Some(entry), _) if entry.paid != tally => drop(happened.insert(hash)),
                // Its last receipt came when it had left the list.
                (None, Some(pay)) => pay.extension.forget(hash),
                _ => {}
            }
        }
        self.stay_at(&happened);
        happened.extend(self.agenda.of(self.ticks));
        self.agenda.left = happened.into_iter().collect();
    }

    /// Looks at some of those torrents.
    pub(super) fn look_on(&mut self) {
        let left = &mut self.agenda.left;
        let some = left.split_off(left.len().saturating_sub(AT_ONCE));
        for hash in &some {
            self.reconcile(*hash);
        }
        self.publish(some);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_torrents_are_looked_at_each_second_and_many_each_minute() {
        let looks = [0, 1, 16, 64, 960, 1000, 20_000].map(idle_looks);
        assert_eq!(looks, [4, 4, 4, 16, 240, 240, 240]);
    }

    #[test]
    fn a_torrent_is_on_the_agenda_once() {
        let hash = InfoHash::from_bytes([7; 20]);
        let (mut agenda, mut due) = (Agenda::default(), Due::default());
        agenda.put(hash, &mut due, Some(9));
        agenda.put(hash, &mut due, Some(5));
        assert_eq!(agenda.of(4).count(), 0);
        assert_eq!(agenda.of(9).collect::<Vec<_>>(), [hash]);
        agenda.put(hash, &mut due, None);
        assert_eq!(agenda.of(u64::MAX).count(), 0);
        agenda.put(hash, &mut due, Some(1));
        agenda.remove(hash, due);
        assert!(agenda.by_tick.is_empty());
    }
}

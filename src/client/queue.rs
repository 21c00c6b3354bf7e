//! Which torrents run at once, and which wait: so many downloads and so many complete ones,
//! in the order of the list.

use std::collections::BTreeSet;

use super::{
    command::QueueTo,
    entry::{Entry, Run},
    owner::Owner,
    snapshot::Queue,
};
use crate::{swarm::Phase, types::InfoHash};

/// A torrent of the list, as far as its turn depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// It would run if it had its turn.
    runs: bool,
    complete: bool,
}

/// Whether each waits, in the order of the list. What does not run takes nobody's turn.
fn waiting(queue: Queue, list: impl Iterator<Item = Candidate>) -> impl Iterator<Item = bool> {
    let mut left = [queue.downloads, queue.seeds];
    list.map(move |candidate| {
        let [downloads, seeds] = &mut left;
        let left = match candidate.complete {
            true => seeds,
            false => downloads,
        };
        match (candidate.runs, left) {
            (false, _) | (true, None) => false,
            (true, Some(0)) => true,
            (true, Some(left)) => {
                *left -= 1;
                false
            }
        }
    })
}

/// Moves some rows of a list that is sorted by position; gives the rows whose position is
/// another one now. Positions are not dense, so that few rows change.
fn moved(
    list: &[(i64, InfoHash)],
    which: &BTreeSet<InfoHash>,
    to: QueueTo,
) -> Vec<(i64, InfoHash)> {
    let chosen = list.iter().filter(|(_, hash)| which.contains(hash));
    let others = list.iter().filter(|(_, hash)| !which.contains(hash));
    let count = i64::try_from(chosen.clone().count()).unwrap_or(i64::MAX);
    let hashes = chosen.map(|(_, hash)| *hash);
    match to {
        QueueTo::Top => {
            let first = others.map(|(position, _)| *position).min();
            let first = first.unwrap_or(0).saturating_sub(count);
            (first..).zip(hashes).collect()
        }
        QueueTo::Bottom => {
            let last = others.map(|(position, _)| *position).max();
            let first = last.unwrap_or(0).saturating_add(1);
            (first..).zip(hashes).collect()
        }
        QueueTo::Up | QueueTo::Down => {
            let mut rows = list.to_vec();
            if to == QueueTo::Down {
                rows.reverse();
            }
            for at in 1..rows.len() {
                let pair = rows.get_mut(at - 1..=at);
                // Those that are together stay so, also at the end of the list.
                if let Some([before, row]) = pair
                    && which.contains(&row.1)
                    && !which.contains(&before.1)
                {
                    std::mem::swap(&mut before.1, &mut row.1);
                }
            }
            if to == QueueTo::Down {
                rows.reverse();
            }
            let pairs = list.iter().zip(&rows);
            let changed = pairs.filter(|(before, now)| before != now);
            changed.map(|(_, now)| *now).collect()
        }
    }
}

impl Entry {
    pub(super) fn candidate(&self) -> Candidate {
        let over = match &self.run {
            Run::Yes(live) => matches!(live.handle.phase(), Phase::Failed(_)),
            Run::No | Run::Leaving(_) => false,
        };
        let stopped = self.wish.removing.is_some() || self.wish.paused;
        Candidate {
            runs: !stopped && self.refused.is_none() && !over,
            complete: self.standing.complete,
        }
    }
}

impl Owner {
    /// The torrents by their positions.
    fn sorted(&self) -> Vec<(i64, InfoHash)> {
        let entries = self.entries.iter();
        let mut list: Vec<_> = entries
            .map(|(hash, entry)| (entry.wish.position, *hash))
            .collect();
        list.sort_unstable();
        list
    }

    /// The place behind all others.
    pub(super) fn last_position(&self) -> i64 {
        let last = match &self.order {
            Some(order) => order.last().and_then(|hash| self.entries.get(hash)),
            None => {
                let entries = self.entries.values();
                entries.max_by_key(|entry| entry.wish.position)
            }
        };
        last.map_or(0, |entry| entry.wish.position.saturating_add(1))
    }

    /// A torrent that is new stands behind all others.
    pub(super) fn stand_last(&mut self, hash: InfoHash) {
        if let Some(order) = &mut self.order {
            order.push(hash);
            let place = u32::try_from(order.len()).unwrap_or(u32::MAX);
            if let Some(entry) = self.entries.get_mut(&hash) {
                entry.place = place;
            }
        }
    }

    /// Lists of older versions have no positions: then the oldest torrent is the first.
    pub(super) fn number(&mut self) {
        let mut list: Vec<_> = self
            .entries
            .iter()
            .map(|(hash, entry)| (entry.wish.position, entry.life.added, *hash))
            .collect();
        list.sort_unstable();
        let twice = list.windows(2).any(|pair| match pair {
            [one, other] => one.0 == other.0,
            _ => false,
        });
        if !twice {
            return;
        }
        for (position, (_, _, hash)) in (0..).zip(list) {
            if let Some(entry) = self.entries.get_mut(&hash) {
                entry.wish.position = position;
                self.unwritten.insert(hash);
            }
        }
    }

    /// Moves torrents in the list. Those that are not there are passed over.
    pub(super) fn move_in_queue(&mut self, hashes: &[InfoHash], to: QueueTo) {
        let which: BTreeSet<InfoHash> = hashes.iter().copied().collect();
        for (position, hash) in moved(&self.sorted(), &which, to) {
            if let Ok(entry) = self.entry(hash) {
                entry.wish.position = position;
            }
        }
        self.order = None;
    }

    /// Finds out whose turn it is, and which place in the list each has. Gives those that
    /// begin to wait, or wait no more.
    pub(super) fn take_turns(&mut self) -> Vec<InfoHash> {
        self.turns_changed = false;
        let mut changed = Vec::new();
        let order = match self.order.take() {
            Some(order) => order,
            None => {
                let order: Vec<InfoHash> =
                    self.sorted().into_iter().map(|(_, hash)| hash).collect();
                for (place, hash) in (1..).zip(&order) {
                    if let Some(entry) = self.entries.get_mut(hash)
                        && entry.place != place
                    {
                        entry.place = place;
                        self.unseen.insert(*hash);
                    }
                }
                order
            }
        };
        let is_away = self.seat.is_away();
        let nobody_waits = !is_away && self.queue == Queue::default() && !self.somebody_waits;
        if !nobody_waits {
            let candidates: Vec<Candidate> = order
                .iter()
                .filter_map(|hash| Some(self.entries.get(hash)?.candidate()))
                .collect();
            let runs: Vec<bool> = candidates.iter().map(|candidate| candidate.runs).collect();
            self.somebody_waits = false;
            for ((hash, runs), waits) in order
                .iter()
                .zip(runs)
                .zip(waiting(self.queue, candidates.into_iter()))
            {
                // Without an address for the session all of them wait.
                let waits = waits || (is_away && runs);
                let Some(entry) = self.entries.get_mut(hash) else {
                    continue;
                };
                self.somebody_waits |= waits;
                if entry.waits != waits {
                    entry.waits = waits;
                    self.unseen.insert(*hash);
                    changed.push(*hash);
                }
            }
        }
        self.order = Some(order);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u8) -> InfoHash {
        InfoHash::from_bytes([number; 20])
    }

    #[test]
    fn downloads_and_seeds_have_their_own_places_and_what_is_paused_takes_none() {
        let queue = Queue {
            downloads: Some(1),
            seeds: Some(2),
        };
        let candidate = |runs, complete| Candidate { runs, complete };
        let list = [
            candidate(false, false),
            candidate(true, true),
            candidate(true, false),
            candidate(true, false),
            candidate(true, true),
            candidate(true, true),
            candidate(false, true),
        ];
        let waits: Vec<bool> = waiting(queue, list.into_iter()).collect();
        assert_eq!(waits, [false, false, false, true, false, true, false]);
        let nobody = waiting(Queue::default(), list.into_iter());
        assert!(nobody.into_iter().all(|waits| !waits));
        let none = Queue {
            downloads: Some(0),
            seeds: None,
        };
        let waits: Vec<bool> = waiting(none, list.into_iter()).collect();
        assert_eq!(waits, [false, false, true, true, false, false, false]);
    }

    /// The order after a move, as numbers.
    fn order(which: &[u8], to: QueueTo) -> (Vec<u8>, usize) {
        let mut list: Vec<_> = [10, 20, 35, 36, 50]
            .into_iter()
            .zip((1..=5).map(hash))
            .collect();
        let which = which.iter().map(|number| hash(*number)).collect();
        let changed = moved(&list, &which, to);
        for (position, hash) in &changed {
            let row = list.iter_mut().find(|row| row.1 == *hash).unwrap();
            row.0 = *position;
        }
        list.sort_unstable();
        let numbers = list.iter().map(|(_, hash)| hash.as_bytes()[0]).collect();
        (numbers, changed.len())
    }

    #[test]
    fn rows_are_moved_together_and_few_others_change() {
        assert_eq!(order(&[4], QueueTo::Top), (vec![4, 1, 2, 3, 5], 1));
        assert_eq!(order(&[2, 4], QueueTo::Top), (vec![2, 4, 1, 3, 5], 2));
        assert_eq!(order(&[1], QueueTo::Bottom), (vec![2, 3, 4, 5, 1], 1));
        assert_eq!(order(&[1, 3], QueueTo::Bottom), (vec![2, 4, 5, 1, 3], 2));
        assert_eq!(order(&[3], QueueTo::Up), (vec![1, 3, 2, 4, 5], 2));
        assert_eq!(order(&[3], QueueTo::Down), (vec![1, 2, 4, 3, 5], 2));
        assert_eq!(order(&[1], QueueTo::Up).0, [1, 2, 3, 4, 5]);
        assert_eq!(order(&[5], QueueTo::Down).0, [1, 2, 3, 4, 5]);
        assert_eq!(order(&[1, 2], QueueTo::Up).0, [1, 2, 3, 4, 5]);
        assert_eq!(order(&[4, 5], QueueTo::Down).0, [1, 2, 3, 4, 5]);
        assert_eq!(order(&[3, 4], QueueTo::Up).0, [1, 3, 4, 2, 5]);
        assert_eq!(order(&[2, 3], QueueTo::Down).0, [1, 4, 2, 3, 5]);
        assert_eq!(order(&[], QueueTo::Top).0, [1, 2, 3, 4, 5]);
        assert_eq!(order(&[9], QueueTo::Top).0, [1, 2, 3, 4, 5]);
    }
}

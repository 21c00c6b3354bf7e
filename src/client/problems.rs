//! What needs a person.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    owner::Owner,
    snapshot::{Problem, ProblemCode},
};
use crate::types::UnixMs;

/// Problems that are kept: a thousand torrents may fail for one disk.
const MAX_PROBLEMS: usize = 1000;

/// How long nobody connects to us before a person is told, while others are connected that we
/// reached.
const UNREACHED: Duration = Duration::from_secs(600);

/// Whether others can connect to us, as far as it was seen.
#[derive(Debug)]
pub(super) struct Reach {
    /// Somebody did.
    pub(super) incoming: bool,
    /// Since when we have peers that we reached, and nobody reached us.
    pub(super) since: Option<Instant>,
}

impl Reach {
    pub(super) fn new() -> Self {
        Self {
            incoming: false,
            since: None,
        }
    }

    /// What connections there are: outgoing and incoming ones. True when a person is to be
    /// told.
    pub(super) fn see(&mut self, outgoing: bool, incoming: bool, now: Instant) -> bool {
        self.incoming |= incoming;
        if self.incoming || !outgoing {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.saturating_duration_since(since) >= UNREACHED
    }
}

impl Owner {
    /// Looks whether anybody connects to us.
    pub(super) fn look_at_reach(&mut self) {
        if self.reach.incoming {
            return;
        }
        if self.sums.peers == 0 {
            let _nobody = self.reach.see(false, false, Instant::now());
            return;
        }
        let snapshot = self.snapshots.borrow().clone();
        // Behind a proxy nobody can, and that is as it was wanted.
        if snapshot.transfer.value.listen.port() == 0 {
            return;
        }
        let peers = || {
            snapshot
                .torrents
                .values()
                .flat_map(|one| one.peers.value.iter())
        };
        let outgoing = peers().any(|peer| peer.outgoing);
        let incoming = peers().any(|peer| !peer.outgoing);
        match self.reach.see(outgoing, incoming, Instant::now()) {
            true => self.problem(
                ProblemCode::NoIncoming,
                None,
                format!(
                    "nobody could connect to us at port {} so far",
                    snapshot.transfer.value.listen.port()
                ),
                "Open this port, TCP and UDP, on the router and in the firewall.",
            ),
            false if incoming => self.over(ProblemCode::NoIncoming, None),
            false => {}
        }
    }
}

/// The problems as they stand.
#[derive(Debug, Default)]
pub(super) struct Board {
    problems: BTreeMap<(ProblemCode, Option<String>), Problem>,
}

impl Board {
    /// There is this problem. True if it is new, or is another one than before.
    pub(super) fn set(
        &mut self,
        code: ProblemCode,
        subject: Option<String>,
        message: String,
        hint: &str,
        now: UnixMs,
    ) -> bool {
        let key = (code, subject.clone());
        let before = self.problems.get(&key);
        if before.is_some_and(|before| before.message == message) {
            return false;
        }
        let since = before.map_or(now, |before| before.since);
        if before.is_none() && self.problems.len() >= MAX_PROBLEMS {
            return false;
        }
        let problem = Problem {
            code,
            subject,
            message,
            hint: hint.to_owned(),
            since,
        };
        self.problems.insert(key, problem);
        true
    }

    /// It is over. True if it was there.
    pub(super) fn clear(&mut self, code: ProblemCode, subject: Option<&str>) -> bool {
        let key = (code, subject.map(str::to_owned));
        self.problems.remove(&key).is_some()
    }

    /// Nothing is left of what they were about.
    pub(super) fn clear_subject(&mut self, subject: &str) {
        self.problems
            .retain(|(_, about), _| about.as_deref() != Some(subject));
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vec<Problem> {
        let mut all: Vec<Problem> = self.problems.values().cloned().collect();
        all.sort_by_key(|problem| problem.since);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_nobody_reaches_is_told_after_ten_minutes_of_peers() {
        let begun = Instant::now();
        let at = |secs: u64| begun + Duration::from_secs(secs);
        let mut reach = Reach::new();
        // Without peers nothing is known.
        assert!(!reach.see(false, false, at(0)));
        assert!(!reach.see(false, false, at(9000)));
        assert!(!reach.see(true, false, at(9000)));
        assert!(!reach.see(true, false, at(9599)));
        assert!(reach.see(true, false, at(9600)));
        assert!(!reach.see(true, true, at(9601)));
        // Whoever was reached once is reachable.
        assert!(!reach.see(true, false, at(99_999)));
    }

    #[test]
    fn a_thousand_problems_are_shown_and_each_is_told_once() {
        let mut board = Board::default();
        let mut set = |subject: usize, message: &str| {
            let subject = Some(subject.to_string());
            let now = UnixMs(i64::try_from(MAX_PROBLEMS).unwrap());
            board.set(ProblemCode::Disk, subject, message.to_owned(), "hint", now)
        };
        assert!((0..MAX_PROBLEMS).all(|subject| set(subject, "full")));
        assert!(!set(0, "full"));
        assert!(set(0, "broken"));
        assert!(!set(MAX_PROBLEMS, "full"));
        assert_eq!(board.all().len(), MAX_PROBLEMS);
        assert!(board.clear(ProblemCode::Disk, Some("1")));
        assert!(!board.clear(ProblemCode::Disk, Some("1")));
        board.clear_subject("2");
        assert_eq!(board.all().len(), MAX_PROBLEMS - 2);
    }
}

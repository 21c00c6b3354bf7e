//! What the node is asked on others' behalf: a message of a peer's costs a question, and
//! the node answers only so many. So the questions wait in line, few at a time: who wants
//! to buy goes before who says that it paid, and each address has its own allowance.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Event, MAX_TOLD, Worker};
use crate::{
    receipts::{
        exposure::Network,
        message::HoldReason,
        pay::{conn::Conn, locked},
    },
    types::{Address, RawAmount, TxId, UnixMs},
};

/// Questions that are with the node at once.
const MOST_AT_ONCE: usize = 4;
/// Bidders that wait to be looked at, in all: far more than have a place to be served.
const MOST_BIDDERS: usize = 256;
/// Those of one network (a /24, or a /56 of IPv6).
const MOST_BIDDERS_OF_NETWORK: usize = 16;
/// What the node said of a bidder is good for so long.
const SAID_FOR: Duration = Duration::from_secs(10);
/// Transfers to be looked for that wait, in all,
const MOST_HINTS: usize = 64;
/// and of one address: as many as it may tell at once.
const MOST_HINTS_OF_ADDRESS: usize = MAX_TOLD;
/// Transfers looked for at once, and one more each [`HINT_INTERVAL`].
const HINT_BURST: u32 = 8;
const HINT_INTERVAL: Duration = Duration::from_secs(1);
/// The same of one address.
const HINT_INTERVAL_OF_ADDRESS: Duration = Duration::from_secs(10);
/// A transfer that is not in the solid chain yet is looked for again after so long,
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// at most so often: a block is solid after about a minute.
const LOOKS: u32 = 12;

/// A few at once, and one more at each interval.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: u32,
    since: UnixMs,
}

impl Allowance {
    fn new(now: UnixMs) -> Self {
        Self {
            left: HINT_BURST,
            since: now,
        }
    }

    fn refill(&mut self, interval: Duration, now: UnixMs) {
        let passed = now.since(self.since).as_millis() / interval.as_millis();
        if passed > 0 {
            let more = u32::try_from(passed).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(HINT_BURST);
            self.since = now;
        }
    }
}

/// A transfer that a peer told of.
#[derive(Debug, Clone, Copy)]
pub(in crate::receipts::pay) struct Hint {
    pub(in crate::receipts::pay) txid: TxId,
    pub(in crate::receipts::pay) peer: Address,
    looks: u32,
    not_before: UnixMs,
}

/// The line before the node.
pub(super) struct Desk {
    with_the_node: usize,
    bidders: VecDeque<(Arc<Conn>, u64)>,
    hints: VecDeque<Hint>,
    for_hints: Allowance,
    of_addresses: HashMap<Address, Allowance>,
}

impl Desk {
    pub(super) fn new(now: UnixMs) -> Self {
        Self {
            with_the_node: 0,
            bidders: VecDeque::new(),
            hints: VecDeque::new(),
            for_hints: Allowance::new(now),
            of_addresses: HashMap::new(),
        }
    }

    /// A bidder is to be looked at; false when too many wait.
    fn bids(&mut self, conn: &Arc<Conn>, bid: u64) -> bool {
        self.bidders.retain(|(other, _)| other.id() != conn.id());
        let network = Network::of(conn.context.remote.ip());
        let beside = |other: &Conn| Network::of(other.context.remote.ip()) == network;
        let near = match network {
            Some(_) => self.bidders.iter().filter(|(other, _)| beside(other)),
            None => return self.push(conn, bid),
        };
        if near.count() >= MOST_BIDDERS_OF_NETWORK {
            return false;
        }
        self.push(conn, bid)
    }

    fn push(&mut self, conn: &Arc<Conn>, bid: u64) -> bool {
        let room = self.bidders.len() < MOST_BIDDERS;
        if room {
            self.bidders.push_back((Arc::clone(conn), bid));
        }
        room
    }

    /// A transfer is to be looked for; what is too much is passed over.
    fn hears(&mut self, hint: Hint) {
        let mut of_it = self.hints.iter().filter(|other| other.peer == hint.peer);
        let known = of_it.clone().any(|other| other.txid == hint.txid);
        let many = of_it.nth(MOST_HINTS_OF_ADDRESS - 1).is_some();
        if known || many || self.hints.len() >= MOST_HINTS {
            tracing::debug!(txid = %hint.txid, peer = %hint.peer, "not looked for");
            return;
        }
        self.hints.push_back(hint);
    }

    fn next_hint(&mut self, now: UnixMs) -> Option<Hint> {
        self.for_hints.refill(HINT_INTERVAL, now);
        if self.for_hints.left == 0 {
            return None;
        }
        let of_addresses = &mut self.of_addresses;
        let at = self.hints.iter().position(|hint| {
            let allowance = of_addresses
                .entry(hint.peer)
                .or_insert_with(|| Allowance::new(now));
            allowance.refill(HINT_INTERVAL_OF_ADDRESS, now);
            hint.not_before <= now && allowance.left > 0
        })?;
        let hint = self.hints.remove(at)?;
        self.for_hints.left -= 1;
        if let Some(allowance) = self.of_addresses.get_mut(&hint.peer) {
            allowance.left -= 1;
        }
        Some(hint)
    }

    /// Forgets whose allowance is whole again.
    fn tidy(&mut self, now: UnixMs) {
        self.of_addresses.retain(|_, allowance| {
            allowance.refill(HINT_INTERVAL_OF_ADDRESS, now);
            allowance.left < HINT_BURST
        });
        self.bidders.retain(|(conn, _)| !conn.gone());
    }
}

impl Worker {
    /// Asks the node about a bidder that did not settle yet, unless it said it lately.
    pub(super) fn ask_about(&mut self, conn: &Arc<Conn>, bid: u64) {
        let now = self.now();
        let said = conn
            .peer()
            .and_then(|peer| self.accounts.get(&peer)?.said)
            .filter(|(at, _)| now.since(*at) < SAID_FOR);
        if let Some((_, holds)) = said {
            self.bidder(conn, bid, Ok(holds));
        } else if !self.desk.bids(conn, bid) {
            self.turn_away(conn, bid, HoldReason::Busy, "too many wait to be looked at");
        }
        self.ask_next();
    }

    /// A peer says that it paid. Only a debt can be paid: who owes nothing costs the node
    /// no question.
    pub(super) fn look_for(&mut self, conn: &Arc<Conn>, txid: TxId) {
        let Some(peer) = conn.peer() else { return };
        let owes = {
            let credit = conn.credit();
            let credit = locked(&credit);
            credit.owed() > RawAmount::ZERO || credit.unpaid_bytes() > 0
        };
        if !owes {
            return;
        }
        self.desk.hears(Hint {
            txid,
            peer,
            looks: 0,
            not_before: self.now(),
        });
        self.ask_next();
    }

    /// The node has answered, or not found it: perhaps it is not solid yet.
    pub(super) fn look_again(&mut self, hint: Hint) {
        if hint.looks < LOOKS {
            self.desk.hears(Hint {
                looks: hint.looks + 1,
                not_before: self.now().plus(LOOK_AGAIN),
                ..hint
            });
        }
    }

    /// An answer came: there is room for another question.
    pub(super) fn answered(&mut self) {
        self.desk.with_the_node = self.desk.with_the_node.saturating_sub(1);
        self.ask_next();
    }

    pub(super) fn tidy_desk(&mut self, now: UnixMs) {
        self.desk.tidy(now);
        self.ask_next();
    }

    fn ask_next(&mut self) {
        while self.desk.with_the_node < MOST_AT_ONCE {
            let (chain, events) = (
                Arc::clone(&self.shared.config.chain),
                Arc::clone(&self.events),
            );
            if let Some((conn, bid)) = self.desk.bidders.pop_front() {
                let Some(peer) = conn.peer().filter(|_| !conn.gone()) else {
                    continue;
                };
                let token = self.shared.config.token;
                self.runtime.spawn(async move {
                    let answer = chain.balance(peer, token).await;
                    events.put(Event::Bidder { conn, bid, answer });
                });
            } else if let Some(hint) = self.desk.next_hint(self.now()) {
                self.runtime.spawn(async move {
                    let answer = chain.settlement(hint.txid).await;
                    events.put(Event::Transfer { hint, answer });
                });
            } else {
                return;
            }
            self.desk.with_the_node += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(peer: u8, n: u8) -> Hint {
        Hint {
            txid: TxId::from_bytes([n; 32]),
            peer: Address::from_body([peer; 20]),
            looks: 0,
            not_before: UnixMs(0),
        }
    }

    #[test]
    fn what_one_address_says_of_its_payments_costs_the_node_little() {
        let start = UnixMs(1_000_000);
        let mut desk = Desk::new(start);
        let mut asked = 0;
        // It tells of a hundred a second, for a minute; another tells of one at its end.
        for second in 0..60 {
            let now = start.plus(Duration::from_secs(second));
            for n in 0..100 {
                desk.hears(hint(1, n));
            }
            if second == 59 {
                desk.hears(hint(2, 200));
            }
            while let Some(hint) = desk.next_hint(now) {
                asked += 1;
                if second == 59 {
                    assert_eq!(hint.peer, Address::from_body([2; 20]));
                }
            }
            assert!(desk.hints.len() <= MOST_HINTS_OF_ADDRESS + 1);
        }
        // Eight at once, one each ten seconds; and the other's.
        assert_eq!(asked, 8 + 5 + 1);
    }

    #[test]
    fn all_addresses_together_have_a_bound_too() {
        let start = UnixMs(1_000_000);
        let mut desk = Desk::new(start);
        for peer in 0..200 {
            desk.hears(hint(peer, peer));
        }
        assert_eq!(desk.hints.len(), MOST_HINTS);
        let asked = std::iter::from_fn(|| desk.next_hint(start)).count();
        assert_eq!(asked, usize::try_from(HINT_BURST).unwrap());
        let later = start.plus(HINT_INTERVAL);
        assert!(desk.next_hint(later).is_some());
        assert!(desk.next_hint(later).is_none());
    }
}

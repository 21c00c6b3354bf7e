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
    swarm::hooks::ConnId,
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

/// Who wants to buy, over which connection and from which network.
struct Bidder<C> {
    conn: C,
    id: ConnId,
    network: Option<Network>,
    bid: u64,
}

/// What the node is asked.
enum Question<C> {
    Bidder(Bidder<C>),
    Transfer(Hint),
}

/// The line before the node; `C` is a connection.
pub(super) struct Desk<C = Arc<Conn>> {
    with_the_node: usize,
    bidders: VecDeque<Bidder<C>>,
    hints: VecDeque<Hint>,
    for_hints: Allowance,
    of_addresses: HashMap<Address, Allowance>,
}

impl<C> Desk<C> {
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
    fn bids(&mut self, bidder: Bidder<C>) -> bool {
        self.bidders.retain(|other| other.id != bidder.id);
        let near = self.bidders.iter();
        let near = near.filter(|other| other.network == bidder.network);
        let is_crowd = bidder.network.is_some() && near.count() >= MOST_BIDDERS_OF_NETWORK;
        let has_room = !is_crowd && self.bidders.len() < MOST_BIDDERS;
        if has_room {
            self.bidders.push_back(bidder);
        }
        has_room
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

    /// What the node is asked next, if it has few enough: bidders go first.
    fn next(&mut self, now: UnixMs) -> Option<Question<C>> {
        if self.with_the_node >= MOST_AT_ONCE {
            return None;
        }
        let bidder = self.bidders.pop_front().map(Question::Bidder);
        let question = bidder.or_else(|| self.next_hint(now).map(Question::Transfer))?;
        self.with_the_node += 1;
        Some(question)
    }

    /// The node has one less.
    fn is_answered(&mut self) {
        self.with_the_node = self.with_the_node.saturating_sub(1);
    }

    /// Forgets whose allowance is whole again, and bidders that are gone.
    fn tidy(&mut self, now: UnixMs, is_gone: impl Fn(&C) -> bool) {
        self.of_addresses.retain(|_, allowance| {
            allowance.refill(HINT_INTERVAL_OF_ADDRESS, now);
            allowance.left < HINT_BURST
        });
        self.bidders.retain(|bidder| !is_gone(&bidder.conn));
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
            return;
        }
        let bidder = Bidder {
            conn: Arc::clone(conn),
            id: conn.id(),
            network: Network::of(conn.context.remote.ip()),
            bid,
        };
        if !self.desk.bids(bidder) {
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
        self.desk.is_answered();
        self.ask_next();
    }

    pub(super) fn tidy_desk(&mut self, now: UnixMs) {
        self.desk.tidy(now, |conn| conn.gone());
        self.ask_next();
    }

    fn ask_next(&mut self) {
        while let Some(question) = self.desk.next(self.now()) {
            let chain = Arc::clone(&self.shared.config.chain);
            let events = Arc::clone(&self.events);
            match question {
                Question::Bidder(Bidder { conn, bid, .. }) => {
                    let Some(peer) = conn.peer().filter(|_| !conn.gone()) else {
                        self.desk.is_answered();
                        continue;
                    };
                    let token = self.shared.config.token;
                    self.runtime.spawn(async move {
                        let answer = chain.balance(peer, token).await;
                        events.put(Event::Bidder { conn, bid, answer });
                    });
                }
                Question::Transfer(hint) => {
                    self.runtime.spawn(async move {
                        let answer = chain.settlement(hint.txid).await;
                        events.put(Event::Transfer { hint, answer });
                    });
                }
            }
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

    fn bidder(id: u64) -> Bidder<()> {
        Bidder {
            conn: (),
            id: ConnId(id),
            network: None,
            bid: 1,
        }
    }

    #[test]
    fn bidders_go_before_transfers_and_the_node_has_few_questions_at_once() {
        let now = UnixMs(1_000_000);
        let mut desk = Desk::new(now);
        for n in 0..8 {
            desk.hears(hint(n, n));
        }
        for _ in 0..MOST_AT_ONCE {
            assert!(matches!(desk.next(now), Some(Question::Transfer(_))));
        }
        assert!(desk.bids(bidder(7)));
        assert!(desk.next(now).is_none(), "it has enough");
        desk.is_answered();
        let next = desk.next(now);
        assert!(matches!(next, Some(Question::Bidder(one)) if one.id == ConnId(7)));
        desk.is_answered();
        assert!(matches!(desk.next(now), Some(Question::Transfer(_))));
    }

    #[test]
    fn bidders_that_wait_are_few_for_each_network_and_in_all() {
        let mut desk = Desk::new(UnixMs(0));
        let near = |id| Bidder {
            network: Network::of([192, 0, 2, 1].into()),
            ..bidder(id)
        };
        for id in 0..16 {
            assert!(desk.bids(near(id)));
        }
        assert!(!desk.bids(near(16)));
        assert!(
            desk.bids(near(15)),
            "the same one again, in the place of the first"
        );
        for id in 16..256 {
            assert!(desk.bids(bidder(id)));
        }
        assert!(!desk.bids(bidder(256)));
        assert_eq!(desk.bidders.len(), MOST_BIDDERS);
    }

    #[test]
    fn what_one_address_says_of_its_payments_costs_the_node_little() {
        let start = UnixMs(1_000_000);
        let mut desk = Desk::<()>::new(start);
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
        let mut desk = Desk::<()>::new(start);
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

//! Strangers: what those together owe that owe more than they ever settled, and
//! what each may.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{READ_GONE, Worker};
use crate::{
    ledger::LedgerError,
    receipts::{
        credit::Credit,
        exchange::Input,
        exposure::{Exposed, Exposure, Network, Stranger},
        message::HoldReason,
        meter::{GIB_BITS, cost},
        pay::{conn::Conn, locked},
    },
    types::{Address, RawAmount},
};

impl Worker {
    /// Whether a bidder that never settled would take more than such may.
    pub(super) fn too_exposed(
        &mut self,
        conn: &Arc<Conn>,
        bid: u64,
        balance: RawAmount,
    ) -> Option<(HoldReason, String)> {
        let ask = self.shared.ask_of(conn.context.info_hash)?;
        let peer = conn.peer()?;
        if let Err(error) = self.look_at_the_gone() {
            tracing::error!(%error, "what others owe could not be read");
            let words = "what others owe could not be read".to_owned();
            return Some((HoldReason::Busy, words));
        }
        let credit = conn.credit();
        let one = Self::stranger(&locked(&credit), Some(bid), &self.networks_of(peer));
        let wanted = {
            let credit = locked(&credit);
            let window = cost(credit.window().bytes(), bid) >> GIB_BITS;
            u128::from(credit.owed().unsigned()) + window.max(credit.unpaid_units())
        };
        if u128::from(balance.unsigned()) < wanted {
            let words = format!("it holds {balance} raw units and would need {wanted}");
            return Some((HoldReason::Balance, words));
        }
        let strangers = self.strangers();
        let others: Vec<_> = strangers
            .iter()
            .filter(|(of, _)| *of != peer)
            .map(|(_, stranger)| stranger)
            .collect();
        let bounds = Exposure::of(&ask, conn.context.piece_length);
        let refused = bounds.refuses(&one, &others, self.owed_by_the_gone());
        refused.map(|exposed| {
            let words = match exposed {
                Exposed::All => "addresses that never settled owe enough together",
                Exposed::Network => "addresses of its network that never settled owe enough",
            };
            (HoldReason::Strangers, words.to_owned())
        })
    }

    /// A bidder, proven to be who it says, is in this connection's network.
    pub(super) fn seen(&mut self, conn: &Conn) {
        // More than any honest address is seen in during one session.
        const MOST: usize = 64;
        if let Some(account) = conn.peer().and_then(|peer| self.accounts.get_mut(&peer))
            && account.networks.len() < MOST
        {
            account
                .networks
                .extend(Network::of(conn.context.remote.ip()));
        }
    }

    /// Gives each stranger its part of what is left. `admitted` is about to be
    /// served, too.
    pub(super) fn share_out(&mut self, admitted: Option<(Address, u64)>) {
        let Some(ask) = self.shared.most_exposed() else {
            return;
        };
        let mut strangers = self.strangers();
        if let Some((peer, bid)) = admitted
            && let Some(account) = self.accounts.get(&peer)
        {
            strangers.retain(|(of, _)| *of != peer);
            let credit = locked(&account.credit);
            strangers.push((peer, Self::stranger(&credit, Some(bid), &account.networks)));
        }
        let only: Vec<_> = strangers.iter().map(|(_, stranger)| stranger).collect();
        let ceilings = Exposure::of(&ask, 0).ceilings(&only, self.owed_by_the_gone());
        for ((peer, _), ceiling) in strangers.iter().zip(ceilings) {
            if let Some(account) = self.accounts.get(peer) {
                let mut credit = locked(&account.credit);
                let ceiling = credit.settled_ever().saturating_add(ceiling);
                credit.set_ceiling(Some(ceiling));
            }
        }
        for conn in self.conns() {
            // It may have been held for want of room.
            if conn.with(|exchange, _, credit| exchange.held_why(credit).is_some()) {
                let outputs = conn.input(Input::Credited);
                self.perform(&conn, outputs);
            }
        }
    }

    fn stranger(credit: &Credit, price: Option<u64>, networks: &BTreeSet<Network>) -> Stranger {
        let settled = credit.settled_ever();
        let owed = u128::from(credit.owed().unsigned());
        let unpaid = credit.unpaid_units();
        let lost = credit.lost_units();
        let used = owed
            .saturating_add(unpaid)
            .saturating_add(lost)
            .saturating_sub(settled);
        let next = price.map_or(0, |price| {
            let window = cost(credit.window().bytes(), price) >> GIB_BITS;
            // Served at all, it counts, however little a window costs.
            let most = owed.saturating_add(window.max(unpaid.saturating_add(1)));
            most.saturating_add(lost)
                .saturating_sub(settled)
                .saturating_sub(used)
        });
        Stranger {
            used,
            next,
            networks: networks.clone(),
        }
    }

    fn networks_of(&self, peer: Address) -> BTreeSet<Network> {
        self.accounts
            .get(&peer)
            .map(|account| account.networks.clone())
            .unwrap_or_default()
    }

    /// Those that this process met.
    fn strangers(&self) -> Vec<(Address, Stranger)> {
        let mut prices: HashMap<Address, u64> = HashMap::new();
        for conn in self.conns() {
            let price = conn.with(|exchange, _, _| exchange.wanted_price());
            if let (Some(peer), Some(price)) = (conn.view().peer, price) {
                let highest = prices.entry(peer).or_default();
                *highest = price.max(*highest);
            }
        }
        self.accounts
            .iter()
            .filter_map(|(peer, account)| {
                let credit = locked(&account.credit);
                (!credit.banned()).then(|| {
                    let price = prices.get(peer).copied();
                    (*peer, Self::stranger(&credit, price, &account.networks))
                })
            })
            .collect()
    }

    /// What strangers owe that are not here, as the ledger says: read anew now and then,
    /// since another process may have seen them pay.
    fn look_at_the_gone(&mut self) -> Result<(), LedgerError> {
        let now = self.now();
        if let Some((at, _)) = self.gone
            && now.since(at) < READ_GONE
        {
            return Ok(());
        }
        if self.gone.is_none() {
            let standings = self
                .shared
                .config
                .ledger
                .standings(self.shared.config.token)?;
            let all = standings.into_iter();
            self.standings = all.map(|standing| (standing.address, standing)).collect();
        }
        let config = &self.shared.config;
        let mut owed: HashMap<Address, i128> = HashMap::new();
        for position in config.ledger.positions(self.own(), config.token)? {
            let settled = i128::from(position.paid_back.get());
            // Nothing that we owe is theirs to lose us.
            let owes = position.owed_for_sales().max(0) - settled;
            if owes != 0 {
                owed.insert(position.pair.payee, owes);
            }
        }
        self.gone = Some((now, owed));
        Ok(())
    }

    fn owed_by_the_gone(&self) -> u128 {
        let owed = |peer: &Address| {
            let debts = self.gone.as_ref().and_then(|(_, gone)| gone.get(peer));
            let debts = debts.copied().unwrap_or(0);
            let lost = self.standings.get(peer).map_or(0, |standing| {
                i128::from(standing.defaulted.get()) + i128::from(standing.written_off.get())
            });
            u128::try_from(debts.saturating_add(lost)).unwrap_or(0)
        };
        let gone = self.gone.iter().flat_map(|(_, gone)| gone.keys());
        let gone: BTreeSet<_> = gone.chain(self.standings.keys()).collect();
        gone.into_iter()
            .filter(|peer| !self.accounts.contains_key(*peer))
            .filter(|peer| {
                let standing = self.standings.get(*peer);
                standing.is_none_or(|standing| standing.banned_at.is_none())
            })
            .fold(0, |sum: u128, peer| sum.saturating_add(owed(peer)))
    }

    /// Who has no connection to a seller's process issues in no epoch for it: a seller
    /// that starts again and again must not use up the epochs there can be.
    fn release(&mut self, conn: &Conn, peer: Address) {
        let Some(instance) = self.instances.remove(&conn.id()) else {
            return;
        };
        let key = (peer, instance);
        let others = self.conns();
        let mut others = others.iter().filter(|other| other.peer() == Some(peer));
        if others.any(|other| self.instances.get(&other.id()) == Some(&instance)) {
            return;
        }
        if self.leases.remove(&key).is_some()
            && let Some(debt) = self.debts.get(&key)
        {
            locked(debt).leave_epoch();
        }
    }

    /// A connection is gone. What nothing hangs on any more is forgotten: to say
    /// hello by ever new addresses must cost us no memory.
    pub(super) fn forget(&mut self, conn: &Conn) {
        let Some(peer) = conn.peer() else { return };
        self.release(conn, peer);
        if self.conns().iter().any(|other| other.peer() == Some(peer)) {
            return;
        }
        let blank = self
            .accounts
            .get(&peer)
            .is_some_and(|account| account.carried.is_none() && locked(&account.credit).is_blank());
        if blank {
            self.accounts.remove(&peer);
        }
        // One that something was bought of keeps what it may still be promised.
        self.debts
            .retain(|key, debt| key.0 != peer || !locked(debt).is_blank());
    }
}

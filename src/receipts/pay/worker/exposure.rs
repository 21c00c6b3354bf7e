//! Strangers: what those together owe that owe more than they ever settled, and
//! what each may.

use std::collections::BTreeSet;

use super::*;
use crate::receipts::exposure::{Exposed, Exposure, Network, Stranger};

impl Worker {
    /// Whether a bidder that never settled would take more than such may.
    pub(super) fn too_exposed(
        &mut self,
        conn: &Arc<Conn>,
        bid: u64,
        balance: RawAmount,
    ) -> Option<String> {
        let ask = self.shared.ask_of(conn.context.info_hash)?;
        let peer = conn.peer()?;
        if let Err(error) = self.look_at_the_gone() {
            tracing::error!(%error, "what others owe could not be read");
            return Some("what others owe could not be read".to_owned());
        }
        let credit = conn.credit();
        let one = Self::stranger(&locked(&credit), Some(bid), &self.networks_of(peer));
        let wanted = {
            let credit = locked(&credit);
            let window = cost(credit.window().bytes(), bid) >> GIB_BITS;
            u128::from(credit.owed().unsigned()) + window.max(credit.unpaid_units())
        };
        if u128::from(balance.unsigned()) < wanted {
            return Some(format!(
                "it holds {balance} raw units and would need {wanted}"
            ));
        }
        let strangers = self.strangers();
        let others: Vec<_> = strangers
            .iter()
            .filter(|(of, _)| *of != peer)
            .map(|(_, stranger)| stranger)
            .collect();
        let bounds = Exposure::of(&ask, conn.context.piece_length);
        let refused = bounds.refuses(&one, &others, self.owed_by_the_gone());
        refused.map(|exposed| match exposed {
            Exposed::All => "addresses that never settled owe enough together".to_owned(),
            Exposed::Network => "addresses of its network that never settled owe enough".to_owned(),
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
            if conn.with(|exchange, _, _| exchange.held()) {
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
            if let (Some(peer), Some(price)) = (conn.peer(), conn.view().sale_price) {
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

    /// What strangers owe or did not pay that this process has not met: read once.
    fn look_at_the_gone(&mut self) -> Result<(), LedgerError> {
        if self.gone.is_some() {
            return Ok(());
        }
        let config = &self.shared.config;
        let mut owed: HashMap<Address, i128> = HashMap::new();
        for position in config.ledger.positions(self.own(), config.token)? {
            let settled = i128::from(position.paid_back.get());
            // Nothing that we owe is theirs to lose us.
            let owes = (-position.net()).max(0) - settled;
            owed.insert(position.pair.payee, owes);
        }
        let mut banned = HashSet::new();
        for standing in config.ledger.standings(config.token)? {
            *owed.entry(standing.address).or_default() += i128::from(standing.defaulted.get());
            if standing.banned_at.is_some() {
                banned.insert(standing.address);
            }
        }
        let gone = owed
            .into_iter()
            .filter(|(peer, _)| !self.accounts.contains_key(peer) && !banned.contains(peer))
            .filter_map(|(peer, owed)| {
                let owed = u128::try_from(owed).ok()?;
                (owed > 0).then_some((peer, owed))
            })
            .collect();
        self.gone = Some(gone);
        Ok(())
    }

    fn owed_by_the_gone(&self) -> u128 {
        let gone = self.gone.iter().flatten();
        gone.filter(|(peer, _)| !self.accounts.contains_key(*peer))
            .fold(0, |sum: u128, (_, owed)| sum.saturating_add(*owed))
    }

    /// A connection is gone. What nothing hangs on any more is forgotten: to say
    /// hello by ever new addresses must cost us no memory.
    pub(super) fn forget(&mut self, conn: &Conn) {
        let Some(peer) = conn.peer() else { return };
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
        let leases = &self.leases;
        self.debts.retain(|key, debt| {
            key.0 != peer || leases.contains_key(key) || locked(debt).due_bytes() > 0
        });
    }
}

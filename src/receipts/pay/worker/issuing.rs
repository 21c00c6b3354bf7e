//! What we sign: an epoch is claimed, a receipt is made durable, then sent.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    EVIDENCE_LOOKED_AT, Event, GRANT_MARGIN, TELL, TRANSFERS_LOOKED_AT, Worker,
    known::{signed_of, unsettled},
};
use crate::{
    ledger::{EpochId, EpochLease, LedgerError, Origin, Pair, ReceiptFilter, ReceiptKind, Stored},
    receipts::{
        body::SignedReceipt,
        exchange::{Bid, Input, Output},
        grant::Identity,
        message::HoldReason,
        meter::GIB_BITS,
        pay::{ChainError, PayEvent, Tally, conn::Conn, granted::KEY_RENEWED, locked},
    },
    types::{Address, InfoHash, RawAmount, TxId, UnixMs},
};

/// So long before its end, each once, the user is told of it, if the key was made for longer.
const END_TOLD: [Duration; 4] = [
    Duration::from_secs(7 * 24 * 3600),
    Duration::from_secs(24 * 3600),
    Duration::from_secs(3600),
    // Keys for less than two hours are renewed, too.
    Duration::from_secs(300),
];
/// The node did not answer so often, one after the other: a minute and a half.
const SILENCES: u32 = 3;
/// So many blocks are no delay of a node's any more: five minutes.
const FAR_BEHIND: u64 = 100;

impl Worker {
    /// An epoch to issue in: never one in which our signature was seen that our
    /// log does not have, since that would sign two statements under a sequence.
    pub(super) fn claim(&mut self, pair: &Pair) -> Result<EpochLease, LedgerError> {
        let ledger = Arc::clone(&self.shared.config.ledger);
        let filter = ReceiptFilter {
            kind: Some(ReceiptKind::Evidence),
            payer: Some(pair.payer),
            payee: Some(pair.payee),
            token: Some(pair.token),
            epoch: None,
        };
        let foreign: HashSet<EpochId> = ledger
            .receipts(&filter, None, EVIDENCE_LOOKED_AT)?
            .iter()
            .map(|entry| entry.receipt.epoch)
            .collect();
        let head = self.shared.head.load(Ordering::Relaxed);
        loop {
            let lease =
                ledger.claim_epoch_under(pair, head, self.shared.identity().grant_hash())?;
            if !foreign.contains(&lease.epoch) {
                return Ok(lease);
            }
            // Held, so that the next claim gives another; there are at most
            // `MAX_OPEN_EPOCHS`, then the claim is refused.
            self.parked.push(lease);
        }
    }

    pub(super) fn issue(&mut self, conn: &Arc<Conn>) -> Vec<Output> {
        if self.stopped.is_some() {
            return Vec::new();
        }
        let (Some(peer), Some(instance)) = (conn.peer(), self.instances.get(&conn.id()).copied())
        else {
            return Vec::new();
        };
        let key = (peer, instance);
        let debt = conn.debt();
        self.ask_about_payee(peer);
        if !self.leases.contains_key(&key) {
            let pair = Pair {
                payer: self.own(),
                payee: peer,
                token: self.shared.config.token,
            };
            let claimed = self.claim(&pair).and_then(|lease| {
                let last = lease.last.as_ref().map(signed_of).transpose()?;
                locked(&debt).claimed(lease.epoch, lease.since_block, last, lease.remainder);
                Ok(lease)
            });
            match claimed {
                Ok(lease) => {
                    self.leases.insert(key, lease);
                }
                Err(error) => {
                    self.ledger_failed(conn, &error);
                    return Vec::new();
                }
            }
        }
        let Some(lease) = self.leases.get(&key) else {
            return Vec::new();
        };
        let now = self.now();
        let draft = match locked(&debt).draft(now) {
            Some(Ok(draft)) => draft,
            Some(Err(error)) => {
                locked(&debt).not_issued(now);
                let reason = error.to_string();
                self.stop(reason);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let config = &self.shared.config;
        let origin = {
            let debt = locked(&debt);
            Origin {
                at: Some(now),
                torrents: debt.origin(),
                cap: debt.cap(),
                sold: None,
            }
        };
        let identity = self.shared.identity();
        let signed = SignedReceipt::sign(draft.receipt, &self.shared.domain, identity.signer());
        let issued = signed
            .map_err(|error| LedgerError::Store(error.to_string()))
            .and_then(|signed| {
                config.ledger.issue_for(
                    lease,
                    &signed.to_row(),
                    draft.remainder,
                    Some(self.balance),
                    &origin,
                )
            })
            .and_then(|durable| signed_of(durable.get()));
        match issued {
            Ok(signed) => {
                let shares = origin.share(draft.raised.unsigned());
                {
                    let mut debt = locked(&debt);
                    debt.issued(&draft, signed, now);
                    debt.paid_for(&shares);
                }
                let counters = &self.shared.counters;
                counters.issued.fetch_add(1, Ordering::Relaxed);
                counters
                    .spent
                    .fetch_add(draft.raised.unsigned(), Ordering::Relaxed);
                locked(&conn.credit()).offset(draft.raised);
                self.tally(peer, &shares, draft.raised, true);
                self.tell(PayEvent::Issued {
                    peer,
                    amount: draft.receipt.amount,
                    raised: draft.raised,
                });
                conn.input(Input::Issued(signed))
            }
            Err(LedgerError::Busy) => {
                // Nothing was written; the next tick tries again.
                locked(&debt).not_issued(now);
                Vec::new()
            }
            Err(error) => {
                locked(&debt).not_issued(now);
                if let LedgerError::OverCeiling { .. }
                | LedgerError::GrantSpent { .. }
                | LedgerError::GrantRevoked { .. } = error
                {
                    self.stop(error.to_string());
                    return conn.input(Input::Broke);
                }
                self.ledger_failed(conn, &error);
                Vec::new()
            }
        }
    }

    pub(super) fn evidence(&mut self, conn: &Arc<Conn>, signed: &SignedReceipt) {
        let row = signed.to_row();
        let ledger = &self.shared.config.ledger;
        // The grant it is under, which another machine of ours may have made.
        let granted = match conn.with(|exchange, _, _| exchange.grant_of(signed)) {
            Some(grant) => ledger
                .store_grant(&grant.to_row(), self.now_secs())
                .map(drop),
            None => Ok(()),
        };
        match granted.and_then(|()| ledger.store_evidence(&[row])) {
            Ok(stored) => {
                if stored.get().as_slice() == [Stored::Unchanged] {
                    return;
                }
                self.tell(PayEvent::Evidence {
                    peer: row.pair.payee,
                    amount: row.amount,
                });
                // Another signed in an epoch that we hold: it is left for good.
                let ours: Vec<_> = self
                    .leases
                    .iter()
                    .filter(|(_, lease)| lease.pair == row.pair && lease.epoch == row.epoch)
                    .map(|(key, _)| *key)
                    .collect();
                for key in ours {
                    self.parked.extend(self.leases.remove(&key));
                    if let Some(debt) = self.debts.get(&key) {
                        locked(debt).leave_epoch();
                    }
                }
            }
            Err(error) => self.ledger_failed(conn, &error),
        }
    }

    /// Adds what a receipt raised, and for which torrents, to the sums of this session. What was earned
    /// back from those who were paid is free to be spent again.
    pub(super) fn tally(
        &self,
        peer: Address,
        shares: &[(Option<InfoHash>, u64)],
        raised: RawAmount,
        spent: bool,
    ) {
        let add = |tally: &mut Tally, raw: u64| {
            let sum = if spent {
                &mut tally.spent_raw
            } else {
                &mut tally.earned_raw
            };
            *sum = sum.saturating_add(raw);
        };
        let mut tallies = locked(&self.shared.tallies);
        add(tallies.peers.entry(peer).or_default(), raised.unsigned());
        for (torrent, share) in shares.iter().filter(|(_, share)| *share > 0) {
            if let Some(torrent) = torrent {
                add(tallies.torrents.entry(*torrent).or_default(), *share);
            }
        }
        let both_ways = |tallies: &mut dyn Iterator<Item = &Tally>| {
            tallies
                .map(|tally| tally.spent_raw.min(tally.earned_raw))
                .fold(0, u64::saturating_add)
        };
        let offset = both_ways(&mut tallies.peers.values());
        drop(tallies);
        locked(&self.shared.budget).set_offset(offset);
    }

    /// With an automatic bid: what the budget left allows for the bytes left.
    pub(super) fn affordable(&self, conn: &Conn) -> Option<u64> {
        let torrent = conn.context.info_hash;
        let Some(Bid::Auto(_)) = self.shared.terms().bid_of(torrent) else {
            return None;
        };
        let bytes = locked(&self.shared.left).get(&torrent).copied()?.max(1);
        let of_torrent = locked(&self.shared.budgets).get(&torrent).cloned()?;
        let units = locked(&self.shared.budget)
            .left()
            .min(locked(&of_torrent).left());
        let price = (u128::from(units) << GIB_BITS) / u128::from(bytes);
        Some(u64::try_from(price).unwrap_or(u64::MAX))
    }

    /// Who is here is told of a transfer to it that became solid meanwhile.
    pub(super) fn tell_payees(&mut self, now: UnixMs) {
        let lately = self.told.is_some() && now.since(self.looked_for_told) < TELL;
        if lately || !self.shared.terms().buys() {
            return;
        }
        self.looked_for_told = now;
        let own = self.own();
        let ledger = &self.shared.config.ledger;
        let rows = match ledger.transfers(own, TRANSFERS_LOOKED_AT) {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "our own transfers could not be read");
                return;
            }
        };
        let newest: HashSet<TxId> = rows.iter().map(|row| row.txid).collect();
        let Some(told) = self.told.replace(newest) else {
            // Those from before are told as each peer greets.
            return;
        };
        for row in rows.iter().filter(|row| row.payer == own) {
            if told.contains(&row.txid) {
                continue;
            }
            self.settled_with(row.payee);
            for conn in self.conns() {
                if conn.view().peer == Some(row.payee) {
                    let outputs = conn.input(Input::Paid(row.txid));
                    self.perform(&conn, outputs);
                }
            }
        }
    }

    /// A transfer of ours to a payee became solid: it may be owed as much more.
    fn settled_with(&self, payee: Address) {
        let pair = self.incoming(payee).reversed();
        match self.shared.config.ledger.position(&pair) {
            Ok(position) => {
                let of_payee = self.debts.iter().filter(|((of, _), _)| *of == payee);
                for (_, debt) in of_payee {
                    locked(debt).set_owed(unsettled(&position));
                }
            }
            Err(error) => tracing::warn!(%error, "what is owed to {payee} could not be read"),
        }
    }

    /// Whoever has no account yet costs more to pay: the user is told while little is owed.
    fn ask_about_payee(&mut self, peer: Address) {
        if !self.payees.insert(peer) {
            return;
        }
        let (chain, events) = (
            Arc::clone(&self.shared.config.chain),
            Arc::clone(&self.events),
        );
        let token = self.shared.config.token;
        self.runtime.spawn(async move {
            let answer = chain.balance(peer, token).await;
            events.put(Event::Payee { peer, answer });
        });
    }

    /// What our node says of its solid chain, or that it says nothing.
    pub(super) fn node_said(&mut self, head: &Result<u64, ChainError>) {
        match head {
            Ok(head) => {
                if self.silences >= SILENCES {
                    self.tell(PayEvent::NodeSilent { reason: None });
                }
                self.silences = 0;
                let seen = self.shared.head.fetch_max(*head, Ordering::Relaxed);
                // A second node behind the same name may be a few blocks late.
                let behind = seen.saturating_sub(*head) > FAR_BEHIND;
                if behind && !self.behind_told {
                    self.tell(PayEvent::NodeBehind { seen, now: *head });
                }
                self.behind_told = behind;
            }
            Err(error) => {
                self.silences = self.silences.saturating_add(1);
                if self.silences == SILENCES {
                    let reason = Some(error.to_string());
                    self.tell(PayEvent::NodeSilent { reason });
                }
            }
        }
    }

    /// The seller does not sell to us now: the user is told, and what we owe it.
    pub(super) fn turned_back(&self, conn: &Conn, why: HoldReason) {
        let Some(peer) = conn.peer() else { return };
        let pair = self.incoming(peer).reversed();
        let owed = match self.shared.config.ledger.position(&pair) {
            Ok(position) => unsettled(&position),
            Err(error) => {
                tracing::warn!(%peer, %error, "what we owe it could not be read");
                RawAmount::ZERO
            }
        };
        self.tell(PayEvent::TurnedBack { peer, why, owed });
    }

    /// Near the grant's end nothing more is bought, and at it nothing signed.
    pub(super) fn look_at_grant(&mut self, now: UnixMs) {
        let identity = self.shared.identity();
        let Some(grant) = identity.grant() else {
            return;
        };
        let end = grant.grant.not_after;
        let lasts = end.saturating_sub(grant.grant.not_before);
        let now_secs = u64::try_from(now.secs()).unwrap_or(0);
        let left = end.saturating_sub(now_secs);
        let due = END_TOLD
            .iter()
            .filter(|before| left <= before.as_secs() && 2 * before.as_secs() <= lasts)
            .count();
        if due > self.end_told && left > 0 {
            self.end_told = due;
            let left = Duration::from_secs(left);
            self.tell(PayEvent::KeyEnds { left });
        }
        if now_secs > end {
            self.ended |= self.stopped.is_none();
            self.stop("the session key has ended".to_owned());
        } else if now_secs.saturating_add(GRANT_MARGIN.as_secs()) > end && !self.ending {
            self.ending = true;
            for conn in self.conns() {
                let mut outputs = conn.input(Input::Settle);
                outputs.extend(conn.input(Input::Broke));
                self.perform(&conn, outputs);
            }
        }
    }

    /// Another key signs from now on. What is due is signed by the one before, as far as it
    /// still may; what it promised is in the ledger, and the new one begins epochs of its own.
    pub(super) fn renewed(&mut self, identity: Identity) {
        // Who is attached later sees by itself whose it is.
        let conns = self.conns();
        for conn in &conns {
            let outputs = conn.input(Input::Settle);
            self.perform(conn, outputs);
        }
        // Since the wallet was asked, the one before may have signed more.
        let left = identity.grant().map(|grant| {
            let ledger = &self.shared.config.ledger;
            ledger.grant_left(grant.hash(), None)
        });
        let left = match left.transpose() {
            Ok(left) => left,
            Err(error) => return self.stop(error.to_string()),
        };
        *locked(&self.shared.identity) = identity;
        for conn in &conns {
            conn.close(KEY_RENEWED);
        }
        self.instances.clear();
        self.debts.clear();
        self.leases.clear();
        self.parked.clear();
        let spent = self.shared.counters.spent.load(Ordering::Relaxed);
        let limit = left.map(|left| left.unsigned().saturating_add(spent));
        let limit = limit.map(|limit| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            RawAmount::new(limit).unwrap_or(RawAmount::MAX)
        });
        let limit = match (limit, self.shared.terms().max_spend) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        locked(&self.shared.budget).set_limit(limit);
        self.ending = false;
        self.end_told = 0;
        if std::mem::take(&mut self.ended) {
            self.stopped = None;
        }
    }
}

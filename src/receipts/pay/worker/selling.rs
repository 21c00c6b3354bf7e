//! Who is served on credit, and at what price.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use super::{MAX_DEFAULTS, READMIT, REPRICE, TRUSTED_FOR, Worker};
use crate::{
    ledger::{LedgerError, Pair, Standing},
    receipts::{
        exchange::Input,
        message::HoldReason,
        pay::{ChainError, PayEvent, conn::Conn, locked},
    },
    types::{Address, RawAmount, Token, UnixMs},
};

impl Worker {
    /// Whether a bidder is served on credit; asks the node about an unproven one.
    pub(super) fn admit(&mut self, conn: &Arc<Conn>, bid: u64) {
        let Some(peer) = conn.peer() else { return };
        let credit = conn.credit();
        let (proven, lost) = {
            let credit = locked(&credit);
            (credit.proven(), credit.lost(MAX_DEFAULTS))
        };
        if lost {
            self.turn_away(conn, bid, HoldReason::Default, "it did not pay before");
            return;
        }
        if proven {
            self.seen(conn);
            self.share_out(Some((peer, bid)));
            self.answer(conn, bid);
            return;
        }
        self.ask_about(conn, bid);
    }

    /// What the node said of a bidder: what it holds, if it exists.
    pub(super) fn bidder(
        &mut self,
        conn: &Arc<Conn>,
        bid: u64,
        answer: Result<Option<RawAmount>, ChainError>,
    ) {
        self.seen(conn);
        let now = self.now();
        let Some(peer) = conn.peer() else { return };
        let refused = match answer {
            Err(error) => Some((HoldReason::Busy, error.to_string())),
            Ok(holds) => {
                if let Some(account) = self.accounts.get_mut(&peer) {
                    account.said = Some((now, holds));
                }
                match holds {
                    None => Some((HoldReason::Account, "its account does not exist".to_owned())),
                    Some(balance) => self.too_exposed(conn, bid, balance),
                }
            }
        };
        match refused {
            None => {
                self.share_out(Some((peer, bid)));
                self.answer(conn, bid);
            }
            // Its `Closed` came before the answer: nobody would take it out again.
            Some(_) if conn.gone() => {}
            Some((why, words)) => self.turn_away(conn, bid, why, &words),
        }
    }

    /// The bidder is not served on credit; it is looked at again later, unless it did not
    /// pay before.
    pub(super) fn turn_away(&mut self, conn: &Arc<Conn>, bid: u64, why: HoldReason, words: &str) {
        if why != HoldReason::Default {
            let at = self.now().plus(READMIT);
            self.readmit.insert(conn.id(), (bid, at));
        }
        let outputs = conn.input(Input::NotAdmitted(why));
        self.perform(conn, outputs);
        if let Some(peer) = conn.peer() {
            self.tell(PayEvent::NotSelling {
                peer,
                reason: words.to_owned(),
            });
        }
    }

    /// Uncontended, everyone pays the floor; contended, each its own bid.
    pub(super) fn answer(&mut self, conn: &Arc<Conn>, bid: u64) {
        let ask = self.shared.ask_of(conn.context.info_hash);
        let floor = ask.map_or(0, |ask| ask.floor_price);
        let price = if self.contended { bid } else { floor };
        let before = conn.view().sale_price;
        let outputs = conn.input(Input::Admitted(price));
        let after = conn.view().sale_price;
        self.perform(conn, outputs);
        // It is told once it is so.
        if let (Some(peer), Some(price)) = (conn.peer(), after)
            && before != Some(price)
        {
            self.tell(PayEvent::Selling { peer, price });
        }
    }

    /// A buyer is told that it is held.
    pub(super) fn held_one(&mut self, conn: &Conn, why: Option<HoldReason>) {
        if matches!(why, None | Some(HoldReason::Window | HoldReason::Cap)) {
            self.shared.counters.holds.fetch_add(1, Ordering::Relaxed);
        }
        if let (Some(HoldReason::Cap), Some(peer)) = (why, conn.peer()) {
            self.tell(PayEvent::NotSelling {
                peer,
                reason: "it owes as much as it may before it settles".to_owned(),
            });
        }
    }

    pub(super) fn reprice(&mut self, now: UnixMs) {
        if !self.shared.sells() || now.since(self.repriced) < REPRICE {
            return;
        }
        let conns = self.conns();
        let payers: HashSet<Option<Address>> = conns
            .iter()
            .filter(|conn| conn.interested() && conn.view().sale_price.is_some())
            .map(|conn| conn.peer())
            .collect();
        let contended = payers.len() > 1;
        if contended == self.contended {
            return;
        }
        self.contended = contended;
        self.repriced = now;
        for conn in conns {
            let bid = conn.with(|exchange, _, _| exchange.sale_bid());
            if let Some(bid) = bid {
                self.answer(&conn, bid);
            }
        }
    }

    pub(super) fn look_for_defaults(&mut self, now: UnixMs) {
        let (mut defaulted, mut written_off) = (Vec::new(), Vec::new());
        for (peer, account) in &mut self.accounts {
            let Some(carried) = &account.carried else {
                continue;
            };
            let mut credit = locked(&account.credit);
            let paid = credit
                .credited_bytes()
                .saturating_sub(carried.credited_before);
            let left = carried
                .bytes
                .saturating_sub(paid)
                .min(credit.unpaid_bytes());
            if left == 0 {
                account.carried = None;
            } else if now >= carried.until && credit.write_off_rest(left) {
                account.carried = None;
                written_off.push((*peer, credit.take_written_off()));
            } else if now >= carried.until {
                let units = i64::try_from(credit.default_on(left)).unwrap_or(i64::MAX);
                account.carried = None;
                defaulted.push((*peer, RawAmount::new(units).unwrap_or(RawAmount::MAX)));
            }
        }
        for (peer, lost) in written_off {
            self.note_lost(peer, lost);
        }
        for (peer, unpaid) in &defaulted {
            let token = self.shared.config.token;
            let noted = self
                .shared
                .config
                .ledger
                .note_default(*peer, token, *unpaid, now);
            // It is remembered in this process in any case.
            if let Err(error) = noted {
                tracing::error!(%peer, %error, "an unpaid debt could not be recorded");
                if matches!(error, LedgerError::CommitUnknown(_)) {
                    self.stop(error.to_string());
                }
            }
            self.tell(PayEvent::Defaulted {
                peer: *peer,
                amount: *unpaid,
            });
        }
        for conn in self.conns() {
            let bid = conn.with(|exchange, _, _| exchange.sale_bid());
            if let (Some(bid), Some(peer)) = (bid, conn.peer())
                && defaulted.iter().any(|(who, _)| *who == peer)
            {
                self.admit(&conn, bid);
            }
        }
    }

    /// A connection is gone: what was written off with it is remembered.
    pub(super) fn note_written_off(&mut self, conn: &Conn) {
        let Some(peer) = conn.peer() else { return };
        let lost = locked(&conn.credit()).take_written_off();
        self.note_lost(peer, lost);
    }

    /// So many raw units were written off of an address: the ledger remembers it.
    fn note_lost(&mut self, peer: Address, lost: u64) {
        if lost == 0 {
            return;
        }
        let amount = i64::try_from(lost).unwrap_or(i64::MAX);
        let amount = RawAmount::new(amount).unwrap_or(RawAmount::MAX);
        let config = &self.shared.config;
        match config.ledger.note_written_off(peer, config.token, amount) {
            Ok(standing) => {
                self.standings.insert(peer, standing.into_inner());
            }
            Err(error) => {
                tracing::error!(%peer, %error, "what was written off could not be recorded");
                if matches!(error, LedgerError::CommitUnknown(_)) {
                    self.stop(error.to_string());
                }
            }
        }
    }

    /// What the user decided meanwhile, maybe in another process, of those that are here
    /// and of those that are not; and what of their debts another process saw paid.
    pub(super) fn look_at_standings(&mut self) {
        match self
            .shared
            .config
            .ledger
            .standings(self.shared.config.token)
        {
            Ok(all) => {
                let all = all.into_iter();
                self.standings = all.map(|standing| (standing.address, standing)).collect();
            }
            Err(error) => {
                tracing::warn!(%error, "how others behaved could not be read");
                return;
            }
        }
        let here: HashSet<_> = self.conns().iter().filter_map(|conn| conn.peer()).collect();
        for (peer, account) in &self.accounts {
            let known = match self.standings.get(peer) {
                Some(standing) => standing.clone(),
                None => Standing::unknown(*peer, self.shared.config.token),
            };
            let forgiven = usize::try_from(known.forgiven).unwrap_or(usize::MAX);
            let mut credit = locked(&account.credit);
            // Of who is gone, only the user's word changes what follows.
            let contradicted = (credit.contradicted() || here.contains(peer))
                && self
                    .shared
                    .config
                    .ledger
                    .equivocations(&self.incoming(*peer))
                    .map_or(true, |kept| kept.len() > forgiven);
            credit.set_standing(&known, contradicted);
        }
        let mut seen = HashSet::new();
        for conn in self.conns() {
            let Some(peer) = conn.view().peer else {
                continue;
            };
            if seen.insert(peer) {
                self.look_at_position(peer);
            }
            let banned = locked(&conn.credit()).banned();
            if banned
                && conn
                    .with(|exchange, _, _| exchange.wanted_price())
                    .is_some()
            {
                let outputs = conn.input(Input::Banned);
                self.perform(&conn, outputs);
                self.tell(PayEvent::NotSelling {
                    peer,
                    reason: "it is banned".to_owned(),
                });
            }
        }
    }

    /// What another process of ours recorded of an address's payments counts here, too.
    fn look_at_position(&self, peer: Address) {
        let read = self.paid_by(peer).and_then(|(settled, ever)| {
            let position = self
                .shared
                .config
                .ledger
                .position(&self.incoming(peer).reversed())?;
            Ok((position.owed_for_sales(), settled, ever))
        });
        match (read, self.accounts.get(&peer)) {
            (Ok((owed, settled, ever)), Some(account)) => {
                locked(&account.credit).set_settled(owed, settled, ever);
            }
            (Ok(_), None) => {}
            (Err(error), _) => tracing::warn!(%peer, %error, "what it owes could not be read"),
        }
    }

    /// What an address settled in the days that count as trust, and ever.
    pub(super) fn paid_by(&self, peer: Address) -> Result<(RawAmount, RawAmount), LedgerError> {
        let config = &self.shared.config;
        let token = Token::Trc10(config.token);
        let since = |since| {
            config
                .ledger
                .transferred_since(peer, self.own(), token, since)
        };
        Ok((since(self.now().minus(TRUSTED_FOR))?, since(UnixMs(0))?))
    }

    /// An address's debts to us.
    pub(super) fn incoming(&self, peer: Address) -> Pair {
        Pair {
            payer: peer,
            payee: self.own(),
            token: self.shared.config.token,
        }
    }

    /// How an address behaved, and whether it contradicted itself unforgiven.
    pub(super) fn standing(&self, peer: Address) -> Result<(Standing, bool), LedgerError> {
        let config = &self.shared.config;
        let standing = config.ledger.standing(peer, config.token)?;
        let kept = config.ledger.equivocations(&self.incoming(peer))?.len();
        let forgiven = usize::try_from(standing.forgiven).unwrap_or(usize::MAX);
        Ok((standing, kept > forgiven))
    }
}

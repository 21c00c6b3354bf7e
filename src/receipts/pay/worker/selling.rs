//! Who is served on credit, and at what price.

use super::*;

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
            self.answer(conn, None, "it did not pay before");
            return;
        }
        if proven {
            self.seen(conn);
            self.share_out(Some((peer, bid)));
            self.answer(conn, Some(bid), "");
            return;
        }
        let (chain, events) = (Arc::clone(&self.shared.config.chain), self.events.clone());
        let (conn, token) = (Arc::clone(conn), self.shared.config.token);
        self.runtime.spawn(async move {
            let answer = async {
                if !chain.account_exists(peer).await? {
                    return Ok((false, RawAmount::ZERO));
                }
                Ok((true, chain.token_balance(peer, token).await?))
            }
            .await;
            // The worker may have ended meanwhile.
            let _ = events.send(Event::Bidder { conn, bid, answer });
        });
    }

    pub(super) fn bidder(
        &mut self,
        conn: &Arc<Conn>,
        bid: u64,
        answer: Result<(bool, RawAmount), ChainError>,
    ) {
        self.seen(conn);
        let reason = match answer {
            Err(error) => Some(error.to_string()),
            Ok((false, _)) => Some("its account does not exist".to_owned()),
            Ok((true, balance)) => self.too_exposed(conn, bid, balance),
        };
        match reason {
            None => {
                self.share_out(conn.peer().map(|peer| (peer, bid)));
                self.answer(conn, Some(bid), "");
            }
            // Its `Closed` came before the answer: nobody would take it out again.
            Some(_) if conn.gone() => {}
            Some(reason) => {
                self.readmit
                    .insert(conn.id(), (bid, self.now().plus(READMIT)));
                self.answer(conn, None, &reason);
            }
        }
    }

    /// Uncontended, everyone pays the floor; contended, each its own bid.
    pub(super) fn answer(&mut self, conn: &Arc<Conn>, bid: Option<u64>, reason: &str) {
        let ask = self.shared.ask_of(conn.context.info_hash);
        let floor = ask.map_or(0, |ask| ask.floor_price);
        let price = bid.map(|bid| if self.contended { bid } else { floor });
        let before = conn.view().sale_price;
        let outputs = conn.input(Input::Admitted(price));
        let after = conn.view().sale_price;
        self.perform(conn, outputs);
        // It is told once it is so.
        let Some(peer) = conn.peer() else { return };
        if price.is_none() {
            self.tell(PayEvent::NotSelling {
                peer,
                reason: reason.to_owned(),
            });
        } else if let Some(price) = after
            && before != Some(price)
        {
            self.tell(PayEvent::Selling { peer, price });
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
                self.answer(&conn, Some(bid), "");
            }
        }
    }

    pub(super) fn look_for_defaults(&mut self, now: UnixMs) {
        let mut defaulted = Vec::new();
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
            } else if now >= carried.until {
                let units = i64::try_from(credit.default_on(left)).unwrap_or(i64::MAX);
                account.carried = None;
                defaulted.push((*peer, RawAmount::new(units).unwrap_or(RawAmount::MAX)));
            }
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

    /// What the user decided meanwhile, maybe in another process.
    pub(super) fn look_at_standings(&mut self) {
        for conn in self.conns() {
            let Some(peer) = conn.view().peer else {
                continue;
            };
            match self.standing(peer) {
                Ok((defaults, contradicted, banned)) => {
                    locked(&conn.credit()).set_standing(defaults, contradicted, banned);
                    if let (true, Some(bid)) =
                        (banned, conn.with(|exchange, _, _| exchange.sale_bid()))
                    {
                        self.answer(&conn, Some(bid), "it is banned");
                    }
                }
                Err(error) => tracing::warn!(%peer, %error, "its standing could not be read"),
            }
        }
    }

    /// Defaults and what they came to, whether it contradicted itself unforgiven, and whether the user
    /// banned it.
    pub(super) fn standing(
        &self,
        peer: Address,
    ) -> Result<((u32, RawAmount), bool, bool), LedgerError> {
        let config = &self.shared.config;
        let standing = config.ledger.standing(peer, config.token)?;
        let incoming = Pair {
            payer: peer,
            payee: self.own(),
            token: config.token,
        };
        let kept = config.ledger.equivocations(&incoming)?.len();
        let forgiven = usize::try_from(standing.forgiven).unwrap_or(usize::MAX);
        Ok((
            (standing.defaults, standing.defaulted),
            kept > forgiven,
            standing.banned_at.is_some(),
        ))
    }
}

//! What we sign: an epoch is claimed, a receipt is made durable, then sent.

use super::*;

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
            let lease = ledger.claim_epoch(pair, head)?;
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
        let signed = SignedReceipt::sign(draft.receipt, &self.shared.domain, &*config.signer);
        let issued = signed
            .map_err(|error| LedgerError::Store(error.to_string()))
            .and_then(|signed| {
                config
                    .ledger
                    .issue(lease, &signed.to_row(), draft.remainder, Some(self.balance))
            })
            .and_then(|durable| signed_of(durable.get()));
        match issued {
            Ok(signed) => {
                locked(&debt).issued(&draft, signed, now);
                let counters = &self.shared.counters;
                counters.issued.fetch_add(1, Ordering::Relaxed);
                counters
                    .spent
                    .fetch_add(draft.raised.unsigned(), Ordering::Relaxed);
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
                if let LedgerError::OverCeiling { .. } = error {
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
        match self.shared.config.ledger.store_evidence(&row) {
            Ok(stored) => {
                if matches!(stored.get(), Stored::Unchanged) {
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
}

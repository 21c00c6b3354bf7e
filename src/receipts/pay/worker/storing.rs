//! What comes in and must be on disk: receipts, and transfers to us.

use std::sync::{Arc, atomic::Ordering};

use super::{Worker, asking::Hint};
use crate::{
    ledger::{LedgerError, Origin, RevocationRow, Stored, TransferRow},
    receipts::{
        body::SignedReceipt,
        exchange::{Input, Output},
        grant::Revoke,
        pay::{ChainError, PayEvent, conn::Conn, locked},
    },
    tron::keys::Signature,
    types::Token,
};

impl Worker {
    pub(super) fn store(&mut self, conn: &Arc<Conn>, signed: &SignedReceipt) -> Vec<Output> {
        let row = signed.to_row();
        let (torrents, sold) = {
            let credit = conn.credit();
            let credit = locked(&credit);
            (credit.origin(), credit.sold_left(row.epoch))
        };
        let origin = Origin {
            at: Some(self.now()),
            torrents,
            sold: Some(sold),
            cap: None,
        };
        let ledger = &self.shared.config.ledger;
        // The grant first: a receipt is worth nothing without it.
        let granted = match conn.with(|exchange, _, _| exchange.grant_of(signed)) {
            Some(grant) => ledger
                .store_grant(&grant.to_row(), self.now_secs())
                .map(drop),
            None => Ok(()),
        };
        let stored = match granted.and_then(|()| ledger.store_received_for(&row, &origin)) {
            Ok(stored) => stored.into_inner(),
            Err(error) => {
                locked(&conn.credit()).forget(row.epoch);
                self.ledger_failed(conn, &error);
                return Vec::new();
            }
        };
        let raised = match stored {
            Stored::New => Some(row.amount),
            Stored::Superseded { before } => row.amount.checked_sub(before),
            Stored::Equivocation | Stored::Regress { .. } => {
                self.tell(PayEvent::Contradiction {
                    peer: row.pair.payer,
                });
                None
            }
            Stored::Unchanged => None,
        };
        // What was not sold was not earned.
        if let Some(raised) = raised.map(|raised| raised.min(sold)) {
            let counters = &self.shared.counters;
            counters.received.fetch_add(1, Ordering::Relaxed);
            counters
                .earned
                .fetch_add(raised.unsigned(), Ordering::Relaxed);
            let shares = origin.share(raised.unsigned());
            locked(&conn.credit()).paid_for(&shares);
            self.tally(row.pair.payer, &shares, raised, false);
            self.tell(PayEvent::Received {
                peer: row.pair.payer,
                amount: row.amount,
                raised,
            });
        }
        let outputs = conn.input(Input::Stored {
            receipt: *signed,
            stored,
            sold,
        });
        // Credit is the address's: its other connections may go on too.
        for other in self.conns() {
            if other.id() != conn.id() && other.peer() == Some(row.pair.payer) {
                let woken = other.input(Input::Credited);
                self.perform(&other, woken);
            }
        }
        outputs
    }

    /// A grant was taken back by its payer. It is kept if it can matter: a peer
    /// must not fill the disk.
    pub(super) fn revoked(&mut self, conn: &Arc<Conn>, revoke: &Revoke, signature: Signature) {
        let ledger = &self.shared.config.ledger;
        let kept = ledger.grants(revoke.payer).and_then(|grants| {
            let known = grants.iter().any(|used| used.grant.signer == revoke.signer);
            if known {
                ledger.store_revocation(
                    &RevocationRow {
                        payer: revoke.payer,
                        signer: revoke.signer,
                        serial: revoke.serial,
                        signature: signature.to_bytes(),
                    },
                    self.now_secs(),
                )?;
            }
            Ok(())
        });
        if let Err(error) = kept {
            self.ledger_failed(conn, &error);
        }
    }

    /// What our own node says of a transfer a peer told us of.
    pub(super) fn transfer(&mut self, hint: Hint, answer: Result<Option<TransferRow>, ChainError>) {
        let (txid, peer) = (hint.txid, hint.peer);
        let row = match answer {
            Ok(Some(row)) => row,
            Ok(None) => {
                tracing::debug!(%txid, %peer, "no such transfer in the solid chain yet");
                self.look_again(hint);
                return;
            }
            Err(error) => {
                tracing::warn!(%txid, %error, "a transfer could not be looked for");
                self.look_again(hint);
                return;
            }
        };
        let token = Token::Trc10(self.shared.config.token);
        if row.txid != txid || row.payee != self.own() || row.payer != peer || row.token != token {
            tracing::warn!(%txid, %peer, "a peer told of a transfer that is not its to us");
            return;
        }
        match self.shared.config.ledger.record_transfer(&row) {
            Ok(recorded) if *recorded.get() => {
                if let Some(account) = self.accounts.get(&peer) {
                    locked(&account.credit).settled(row.amount);
                }
                self.share_out(None);
                self.tell(PayEvent::Settled {
                    peer,
                    txid,
                    amount: row.amount,
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "a transfer could not be recorded");
                if matches!(error, LedgerError::CommitUnknown(_)) {
                    self.stop(error.to_string());
                }
            }
        }
    }
}

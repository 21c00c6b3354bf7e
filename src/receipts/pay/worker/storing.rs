//! What comes in and must be on disk: receipts, and transfers to us.

use std::sync::{Arc, atomic::Ordering};

use super::{Event, Worker, asking::Hint};
use crate::{
    ledger::{Arrived, LedgerError, Origin, RevocationRow, Stored, TransferRow},
    receipts::{
        body::SignedReceipt,
        exchange::Input,
        grant::Revoke,
        pay::{ChainError, PayEvent, conn::Conn, locked},
    },
    tron::keys::Signature,
    types::{Address, Token},
};

/// So many events are looked at while a receipt waits to be stored with others: it must not
/// wait for ever where something always comes, and a transaction is no longer than this.
const MAX_PASSED: usize = 64;

/// Whether one receipt alone may be what the ledger refused, so that the others would be stored.
fn is_of_one(error: &LedgerError) -> bool {
    !matches!(
        error,
        LedgerError::CommitUnknown(_) | LedgerError::DiskFull | LedgerError::Busy
    )
}

/// A receipt that was checked and is not on disk yet, and where it came from.
pub(super) struct Waiting {
    conn: Arc<Conn>,
    signed: SignedReceipt,
}

/// Receipts of different payers that are stored together: those that came while the ones
/// before were stored.
#[derive(Default)]
pub(super) struct Group {
    waiting: Vec<Waiting>,
    /// Events since the first of them came.
    passed: usize,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn has(&self, payer: Option<Address>) -> bool {
        payer.is_some_and(|payer| {
            let of = |one: &Waiting| one.signed.receipt.payer;
            self.waiting.iter().any(|one| of(one) == payer)
        })
    }

    /// Whether what waits may wait for this event, too: it is of another payer's connection,
    /// and not one too many.
    pub(super) fn lets_pass(&mut self, event: &Event) -> bool {
        self.passed += 1;
        match event {
            Event::Attached(conn, _)
            | Event::Message(conn, _)
            | Event::Look(conn)
            | Event::Settle(conn) => self.passed <= MAX_PASSED && !self.has(conn.peer()),
            _ => false,
        }
    }
}

impl Worker {
    /// A receipt that was checked is stored together with those of others that come now.
    pub(super) fn store_soon(&mut self, conn: &Arc<Conn>, signed: &SignedReceipt) {
        if self.arriving.has(Some(signed.receipt.payer)) {
            self.store_arrived();
        }
        if self.arriving.is_empty() {
            self.arriving.passed = 0;
        }
        self.arriving.waiting.push(Waiting {
            conn: Arc::clone(conn),
            signed: *signed,
        });
    }

    /// What waits is on disk, and acknowledged.
    pub(super) fn store_arrived(&mut self) {
        let waiting = std::mem::take(&mut self.arriving.waiting);
        if !waiting.is_empty() {
            self.store(waiting);
        }
    }

    /// Stores receipts of different payers in one transaction.
    fn store(&mut self, waiting: Vec<Waiting>) {
        let rows: Vec<_> = waiting.iter().map(|one| self.arrived(one)).collect();
        let ledger = &self.shared.config.ledger;
        let stored = ledger.store_arrived(&rows, self.now_secs());
        match stored {
            Ok(stored) => {
                let each = waiting.iter().zip(&rows).zip(stored.into_inner());
                for ((one, row), stored) in each {
                    self.is_stored(one, row, stored);
                }
            }
            Err(error) if waiting.len() > 1 && is_of_one(&error) => {
                for one in waiting {
                    self.store(vec![one]);
                }
            }
            Err(error) => {
                for Waiting { conn, signed } in &waiting {
                    locked(&conn.credit()).forget(signed.receipt.epoch);
                    self.ledger_failed(conn, &error);
                }
            }
        }
    }

    fn arrived(&self, one: &Waiting) -> Arrived {
        let Waiting { conn, signed } = one;
        let receipt = signed.to_row();
        let (torrents, sold) = {
            let credit = conn.credit();
            let credit = locked(&credit);
            (credit.origin(), credit.sold_left(receipt.epoch))
        };
        let grant = conn.with(|exchange, _, _| exchange.grant_of(signed));
        Arrived {
            receipt,
            origin: Origin {
                at: Some(self.now()),
                torrents,
                sold: Some(sold),
                cap: None,
            },
            grant: grant.map(|grant| grant.to_row()),
        }
    }

    /// A receipt is on disk: it counts.
    fn is_stored(&mut self, one: &Waiting, arrived: &Arrived, stored: Stored) {
        let Waiting { conn, signed } = one;
        let (row, origin) = (&arrived.receipt, &arrived.origin);
        let sold = origin.sold.unwrap_or_default();
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
        self.perform(conn, outputs);
        // Credit is the address's: its other connections may go on too.
        for other in self.conns() {
            if other.id() != conn.id() && other.peer() == Some(row.pair.payer) {
                let woken = other.input(Input::Credited);
                self.perform(&other, woken);
            }
        }
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

//! What the ledger knows of a peer, when it says who it is.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use super::{Account, Carried, GRACE, MAX_TOLD, TRANSFERS_LOOKED_AT, Worker};
use crate::{
    ledger::{LedgerError, Pair, Position, ReceiptRow, Standing},
    receipts::{
        body::SignedReceipt,
        credit::Credit,
        debt::Debt,
        exchange::{Input, Known, Output},
        grant::KnownGrants,
        message::{Instance, MAX_SYNC_RECEIPTS},
        pay::{PayEvent, conn::Conn, locked},
    },
    tron::keys::SignatureError,
    types::{Address, RawAmount, Token},
};

impl Worker {
    pub(super) fn load(
        &mut self,
        conn: &Arc<Conn>,
        peer: Address,
        instance: Instance,
    ) -> Vec<Output> {
        let pair = Pair {
            payer: self.own(),
            payee: peer,
            token: self.shared.config.token,
        };
        self.instances.insert(conn.id(), instance);
        let read = match self.read(&pair) {
            Ok(read) => read,
            Err(error) => {
                self.ledger_failed(conn, &error);
                return Vec::new();
            }
        };
        let limit = self.limit_for(&read);
        let identity = self.shared.identity();
        let debt = Arc::clone(self.debts.entry((peer, instance)).or_insert_with(|| {
            let debt = Debt::new(pair).signed_by(&identity, limit);
            Arc::new(Mutex::new(debt))
        }));
        let piece_length = conn.context.piece_length;
        let account = self.accounts.entry(peer).or_insert_with(|| Account {
            credit: Arc::new(Mutex::new(Credit::new(piece_length))),
            carried: None,
            networks: BTreeSet::new(),
            said: None,
        });
        let credit = Arc::clone(&account.credit);
        locked(&debt).set_owed(read.owe);
        {
            let mut credit = locked(&credit);
            credit.load(
                &read.known.received,
                read.owed,
                read.settled,
                read.ever,
                read.contradicted,
            );
            credit.set_standing(&read.standing, read.contradicted);
            credit.admit_piece(piece_length);
        }
        conn.meet(debt, credit);
        conn.input(Input::Loaded(Box::new(read.known)))
    }

    /// The peer proved who it is. What its address owes from before is due now;
    /// before this anybody could have said its name.
    pub(super) fn met(&mut self, conn: &Arc<Conn>, peer: Address) {
        let now = self.now();
        if let Some((_, gone)) = &mut self.gone {
            // From now on its account says what it owes.
            gone.remove(&peer);
        }
        let others = self
            .conns()
            .iter()
            .any(|other| other.id() != conn.id() && other.view().peer == Some(peer));
        if let Some(account) = self.accounts.get_mut(&peer) {
            let credit = locked(&account.credit);
            let unpaid = credit.unpaid_bytes();
            if unpaid > 0 && account.carried.is_none() && !others {
                account.carried = Some(Carried {
                    bytes: unpaid,
                    credited_before: credit.credited_bytes(),
                    until: now.plus(GRACE),
                });
            }
        }
        self.tell(PayEvent::Met { peer });
    }

    /// The most this payee may be promised from now on.
    fn limit_for(&self, read: &Read) -> Option<RawAmount> {
        match (read.granted, self.shared.terms().max_per_peer) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }

    fn read(&self, pair: &Pair) -> Result<Read, LedgerError> {
        let ledger = &self.shared.config.ledger;
        let incoming = pair.reversed();
        let own = ledger.issued(pair)?;
        let identity = self.shared.identity();
        let granted = identity
            .grant()
            .map(|grant| ledger.grant_left(grant.hash(), Some(pair.payee)));
        let issued = newest(own.iter().map(crate::ledger::Durable::get))?;
        let theirs = ledger.received(&incoming)?;
        let received = newest(theirs.iter().map(crate::ledger::Durable::get))?;
        let token = Token::Trc10(pair.token);
        let (settled, ever) = self.paid_by(pair.payee)?;
        let position = ledger.position(pair)?;
        let told = ledger
            .transfers(pair.payer, TRANSFERS_LOOKED_AT)?
            .into_iter()
            .filter(|row| row.payer == pair.payer && row.payee == pair.payee && row.token == token)
            .map(|row| row.txid)
            .take(MAX_TOLD)
            .collect();
        let damaged = |error: SignatureError| LedgerError::Damaged(error.to_string());
        let grants_of = |payer| {
            let grants = ledger.grants(payer)?;
            let rows = grants.iter().map(|used| &used.grant);
            KnownGrants::from_rows(rows, &ledger.revocations(payer)?).map_err(damaged)
        };
        let (standing, contradicted) = self.standing(pair.payee)?;
        let terms = self.shared.terms();
        let friends = &terms.friends;
        Ok(Read {
            granted: granted.transpose()?,
            known: Known {
                issued,
                received,
                settled: told,
                grants: grants_of(pair.payee)?,
                own_grants: grants_of(pair.payer)?,
                friend: friends.contains(&pair.payee),
            },
            owed: position.owed_for_sales(),
            owe: unsettled(&position),
            settled,
            ever,
            contradicted,
            standing,
        })
    }
}

/// What the ledger says of a peer.
struct Read {
    known: Known,
    /// What the grant in use leaves for it; `None`: the account's own key signs.
    granted: Option<RawAmount>,
    owed: i128,
    /// What we owe it.
    owe: RawAmount,
    settled: RawAmount,
    ever: RawAmount,
    contradicted: bool,
    standing: Standing,
}

pub(super) fn signed_of(row: &ReceiptRow) -> Result<SignedReceipt, LedgerError> {
    SignedReceipt::from_row(row).map_err(|error| LedgerError::Damaged(error.to_string()))
}

/// What the payer owes of a position; nothing where it is owed.
pub(super) fn unsettled(position: &Position) -> RawAmount {
    let owed = i64::try_from(position.net().max(0)).unwrap_or(i64::MAX);
    RawAmount::new(owed).unwrap_or(RawAmount::MAX)
}

/// As many as a `sync` carries, the last issued first.
pub(super) fn newest<'a>(
    rows: impl Iterator<Item = &'a ReceiptRow>,
) -> Result<Vec<SignedReceipt>, LedgerError> {
    let mut signed = rows.map(signed_of).collect::<Result<Vec<_>, _>>()?;
    signed.sort_by_key(|signed| std::cmp::Reverse(signed.receipt.issued_at));
    signed.truncate(MAX_SYNC_RECEIPTS);
    Ok(signed)
}

//! What the ledger knows of a peer, when it says who it is.

use super::*;

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
        let debt = Arc::clone(
            self.debts
                .entry((peer, instance))
                .or_insert_with(|| Arc::new(Mutex::new(Debt::new(pair)))),
        );
        let known = match self.known(&pair) {
            Ok(known) => known,
            Err(error) => {
                self.ledger_failed(conn, &error);
                return Vec::new();
            }
        };
        let now = self.now();
        let piece_length = conn.context.piece_length;
        let account = self.accounts.entry(peer).or_insert_with(|| Account {
            credit: Arc::new(Mutex::new(Credit::new(piece_length))),
            carried: None,
        });
        let credit = Arc::clone(&account.credit);
        {
            let mut credit = locked(&credit);
            credit.load(
                &known.received,
                known.owed,
                known.settled,
                known.proven,
                known.contradicted,
            );
            credit.admit_piece(piece_length);
            let unpaid = credit.unpaid_bytes();
            let others = locked(&self.shared.conns)
                .iter()
                .any(|other| other.id() != conn.id() && other.peer() == Some(peer));
            if unpaid > 0 && account.carried.is_none() && !others {
                account.carried = Some(Carried {
                    bytes: unpaid,
                    credited_before: credit.credited_bytes(),
                    until: now.plus(GRACE),
                });
            }
        }
        conn.meet(debt, credit);
        conn.input(Input::Loaded {
            issued: known.issued,
            received: known.received,
            settled: known.told,
        })
    }

    fn known(&self, pair: &Pair) -> Result<Known, LedgerError> {
        let ledger = &self.shared.config.ledger;
        let incoming = pair.reversed();
        let own = ledger.issued(pair)?;
        let issued = newest(own.iter().map(crate::ledger::Durable::get))?;
        let theirs = ledger.received(&incoming)?;
        let received = newest(theirs.iter().map(crate::ledger::Durable::get))?;
        let token = Token::Trc10(pair.token);
        let settled_since =
            |since| ledger.transferred_since(incoming.payer, incoming.payee, token, since);
        let settled = settled_since(self.now().minus(TRUSTED_FOR))?;
        let ever = settled_since(UnixMs(0))?;
        let net = ledger.position(pair)?.net();
        let owed = i64::try_from(-net)
            .ok()
            .and_then(|raw| RawAmount::new(raw).ok())
            .unwrap_or(if net < 0 {
                RawAmount::MAX
            } else {
                RawAmount::ZERO
            });
        let told = ledger
            .transfers(pair.payer, TRANSFERS_LOOKED_AT)?
            .into_iter()
            .filter(|row| row.payer == pair.payer && row.payee == pair.payee && row.token == token)
            .map(|row| row.txid)
            .take(MAX_TOLD)
            .collect();
        Ok(Known {
            issued,
            received,
            told,
            owed,
            settled,
            proven: ever > RawAmount::ZERO,
            contradicted: !ledger.equivocations(&incoming)?.is_empty(),
        })
    }
}

/// What the ledger knows of a peer.
struct Known {
    issued: Vec<SignedReceipt>,
    received: Vec<SignedReceipt>,
    told: Vec<TxId>,
    owed: RawAmount,
    settled: RawAmount,
    proven: bool,
    contradicted: bool,
}

pub(super) fn signed_of(row: &ReceiptRow) -> Result<SignedReceipt, LedgerError> {
    SignedReceipt::from_row(row).map_err(|error| LedgerError::Damaged(error.to_string()))
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

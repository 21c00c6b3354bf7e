//! Building and signing a group of attempts, and what is looked at before.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{Engine, LIFETIME, OfferTerms, SettleError, board::Board};
use crate::{
    ledger::{
        AccountLease, AttemptRow, AttemptState, CursorRow, Durable, Pair, PayoutId, PayoutKind,
        PayoutRow, ReceiptRow,
    },
    receipts::{ReceiptDomain, SignedGrant, SignedReceipt},
    settle::{
        chain::{Chain, Head},
        report::{Event, PAID_ELSEWHERE},
    },
    tron::{
        contract::Contract,
        keys::Signer,
        rpc::Finality,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{RawAmount, Salt, Token, TxId, UnitAmount, UnixMs},
};

/// The furthest the head's time may be from ours.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// So many a core are signed in one go: a millisecond or two.
const FEW: usize = 16;

/// An attempt, or the payout that was not signed and why.
type Signed = Result<AttemptRow, (PayoutId, String)>;

/// Who signs a group.
#[derive(Clone, Copy)]
pub(super) enum Signing<'a> {
    /// The account's key, now.
    Here(&'a dyn Signer),
    /// Those who hold the account's keys, when they come to it.
    Elsewhere(OfferTerms),
}

/// What all attempts of a group have in common.
struct Order<'a> {
    how: Signing<'a>,
    cursor: &'a CursorRow,
    head: Head,
    now: UnixMs,
}

impl Order<'_> {
    /// Builds one attempt and signs it, if that is done here. Its timestamp, which the chain does not
    /// check, is salted by payout and attempt, so that two equal payouts are two
    /// transactions.
    fn sign(&self, payout: &PayoutRow, ordinal: u32) -> Result<AttemptRow, SettleError> {
        let digest = Sha256::new()
            .chain_update(payout.id.get().to_be_bytes())
            .chain_update(ordinal.to_be_bytes())
            .finalize();
        let [a, b, c, ..] = <[u8; 32]>::from(digest);
        // Within the last four and a half hours.
        let salt = Duration::from_millis(u64::from(u32::from_be_bytes([0, a, b, c])));
        let lifetime = match self.how {
            Signing::Here(_) => LIFETIME,
            Signing::Elsewhere(terms) => terms.lifetime,
        };
        let expiration = self.head.time.plus(lifetime);
        let mut draft = Draft::new(
            Contract::transfer(payout.payer, payout.payee, payout.token, payout.amount),
            RefBlock::from(self.cursor.last),
            expiration,
            self.now.minus(salt),
        );
        draft.memo.clone_from(&payout.memo);
        let (transaction, state) = match self.how {
            Signing::Here(signer) => (draft.build().sign(signer)?, AttemptState::Signed),
            Signing::Elsewhere(terms) => {
                draft.permission_id = terms.permission_id;
                (Transaction::from(draft.build()), AttemptState::Offered)
            }
        };
        Ok(AttemptRow {
            txid: transaction.txid(),
            payout: payout.id,
            ordinal,
            bytes: transaction.encode(),
            reference: self.cursor.last,
            expiration,
            signed_at: self.now,
            state,
            block: None,
            fee: None,
            remark: String::new(),
        })
    }
}

impl<C: Chain> Engine<'_, C> {
    /// Signs a group, or makes it to be signed, and puts it on disk. What the balance does not cover any
    /// more, and what was paid elsewhere meanwhile, is given up instead.
    pub(super) async fn sign(
        &self,
        lease: &AccountLease,
        how: Signing<'_>,
        board: &mut Board,
        due: &[(usize, u32)],
        known: &mut BTreeSet<TxId>,
    ) -> Result<Vec<Durable<AttemptRow>>, SettleError> {
        let cursor = self.fresh(lease, board).await?;
        let head = self.patiently(|| self.chain.head()).await?;
        let now = if self.chain.moves_time() {
            head.time
        } else {
            self.clock.now()
        };
        if head.time.since(now) > MAX_SKEW || now.since(head.time) > MAX_SKEW {
            return Err(SettleError::ClockSkew {
                head: head.time,
                clock: now,
            });
        }
        // Without any transfer made elsewhere there is nothing to compare with.
        let paid_alike = match cursor.foreign {
            Some(_) => self.paid_alike_since(board, due, known)?,
            None => BTreeMap::new(),
        };
        let mut given_up = Vec::new();
        let mut orders = Vec::with_capacity(due.len());
        let mut left: BTreeMap<i64, RawAmount> = BTreeMap::new();
        for (place, ordinal) in due {
            let Some(payout) = board.get(*place).map(|entry| entry.payout.clone()) else {
                continue;
            };
            let left = match left.entry(token_key(payout.token)) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    entry.insert(self.unsigned_balance(board, payout.token).await?)
                }
            };
            let Some(rest) = left.checked_sub(payout.amount) else {
                let left = UnitAmount {
                    token: payout.token,
                    raw: *left,
                };
                given_up.push((payout.id, format!("the balance left is {left}")));
                continue;
            };
            if cursor.foreign.is_some() && self.is_paid_elsewhere(&payout)? {
                given_up.push((payout.id, PAID_ELSEWHERE.to_owned()));
                continue;
            }
            if let Some(txid) = paid_alike.get(&payout.id) {
                let reason = format!("{PAID_ELSEWHERE}: an equal payment is transaction {txid}");
                given_up.push((payout.id, reason));
                continue;
            }
            *left = rest;
            orders.push((payout, *ordinal));
        }
        let order = Order {
            how,
            cursor: &cursor,
            head,
            now,
        };
        let mut attempts = Vec::with_capacity(orders.len());
        for signed in self.sign_all(&order, &orders).await? {
            match signed {
                Ok(attempt) => attempts.push(attempt),
                Err(doubted) => given_up.push(doubted),
            }
        }
        self.give_up(lease, board, &given_up)?;
        let durable = self.ledger.insert_attempts(lease, &attempts)?;
        board.add(&durable);
        for attempt in &durable {
            self.tell(Event::Signed(attempt.get().txid));
        }
        Ok(durable)
    }

    /// Checks the receipts behind a group and signs it, on all cores and bit by
    /// bit, so that what is being sent goes on meanwhile. What does not verify is
    /// not signed, and why.
    async fn sign_all(
        &self,
        order: &Order<'_>,
        group: &[(PayoutRow, u32)],
    ) -> Result<Vec<Signed>, SettleError> {
        let pairs: Vec<_> = group
            .iter()
            .filter_map(|(payout, _)| debt_of(payout))
            .collect();
        let mut receipts: BTreeMap<Pair, Vec<Durable<ReceiptRow>>> = BTreeMap::new();
        for row in self.ledger.issued_of(&pairs)? {
            receipts.entry(row.get().pair).or_default().push(row);
        }
        let sign = |part: &[(PayoutRow, u32)]| -> Result<Vec<_>, SettleError> {
            let mut signed = Vec::with_capacity(part.len());
            for (payout, ordinal) in part {
                let behind = debt_of(payout).and_then(|pair| receipts.get(&pair));
                signed.push(match self.doubt(behind.map_or(&[][..], Vec::as_slice))? {
                    None => Ok(order.sign(payout, *ordinal)?),
                    Some(doubt) => Err((payout.id, doubt)),
                });
            }
            Ok(signed)
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut signed = Vec::with_capacity(group.len());
        for bit in group.chunks(cores * FEW) {
            let share = bit.len().div_ceil(cores);
            std::thread::scope(|scope| -> Result<(), SettleError> {
                let mut parts = bit.chunks(share);
                let own = parts.next().unwrap_or_default();
                let others: Vec<_> = parts.map(|part| scope.spawn(move || sign(part))).collect();
                signed.extend(sign(own)?);
                for part in others {
                    match part.join() {
                        Ok(part) => signed.extend(part?),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
                Ok(())
            })?;
            tokio::task::yield_now().await;
        }
        Ok(signed)
    }

    /// Whether the debt behind a planned payout is smaller by now than all that
    /// is on its way to its payee: the account paid with another ledger, or by
    /// hand.
    pub(super) fn is_paid_elsewhere(&self, payout: &PayoutRow) -> Result<bool, SettleError> {
        let Some(pair) = debt_of(payout) else {
            return Ok(false);
        };
        let position = self.ledger.position(&pair)?;
        let owed = position.issued.checked_sub(position.paid);
        Ok(owed.is_none_or(|owed| owed < position.live))
    }

    /// Solid balance less the attempts that may still take from it.
    async fn unsigned_balance(
        &self,
        board: &Board,
        token: Token,
    ) -> Result<RawAmount, SettleError> {
        let account = self
            .patiently(|| self.chain.account(Finality::Solid, self.account))
            .await?;
        let balance = match (account, token) {
            (None, _) => RawAmount::ZERO,
            (Some(account), Token::Trx) => account.balance.to_raw().unwrap_or(RawAmount::MAX),
            (Some(account), Token::Trc10(id)) => {
                account.tokens.get(&id).copied().unwrap_or(RawAmount::ZERO)
            }
        };
        let live = board.in_flight(token);
        Ok(balance.checked_sub(live).unwrap_or(RawAmount::ZERO))
    }

    /// Checks again, before payment, that the receipts behind a debt carry the
    /// account's signature, or that of a key it granted this much to: why not. What
    /// was issued under a grant never passes its total: the ledger sees to it.
    fn doubt(&self, receipts: &[Durable<ReceiptRow>]) -> Result<Option<String>, SettleError> {
        let domain = ReceiptDomain::new(self.ledger.genesis());
        for row in receipts {
            let row: &ReceiptRow = row.get();
            let grant = match row.grant {
                Salt::ZERO => None,
                hash => self.ledger.grant(hash)?,
            };
            let grant = grant.and_then(|grant| SignedGrant::from_row(&grant).ok());
            let good = SignedReceipt::from_row(row)
                .is_ok_and(|signed| signed.is_authentic(&domain, grant.as_ref()));
            if !good {
                let (epoch, sequence) = (row.epoch, row.sequence);
                return Ok(Some(format!(
                    "a receipt behind it does not verify: epoch {epoch}, sequence {sequence}"
                )));
            }
        }
        Ok(None)
    }
}

fn token_key(token: Token) -> i64 {
    match token {
        Token::Trx => 0,
        Token::Trc10(id) => id.get(),
    }
}

/// The pair whose receipts a payout pays; `None` where it pays no receipts.
fn debt_of(payout: &PayoutRow) -> Option<Pair> {
    let (PayoutKind::Settle, Token::Trc10(token)) = (payout.kind, payout.token) else {
        return None;
    };
    Some(Pair {
        payer: payout.payer,
        payee: payout.payee,
        token,
    })
}

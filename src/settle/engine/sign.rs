//! Building and signing a group of attempts, and what is looked at before.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{Engine, LIFETIME, OfferTerms, SLOWEST_SIGNER, SettleError, board::Board};
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
    types::{Clock, RawAmount, Salt, Token, TxId, UnitAmount, UnixMs},
};

/// The furthest the head's time may be from ours.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// So many a core are signed in one go: a millisecond or two.
const FEW: usize = 16;

/// For fewer no thread is begun.
const FEWEST: usize = 8;

/// A group is what is signed in this time: what was signed first is not to wait for the rest.
const SIGN_AHEAD: Duration = Duration::from_secs(15);

/// The least that an attempt may have left to live when it was signed: to get to a node and
/// into a block.
const LEFT_TO_LIVE: Duration = Duration::from_secs(60);

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
    permission_id: i32,
    cursor: &'a CursorRow,
    /// The head, and what time it was, by the chain or by a clock, when it was asked for.
    head: Head,
    now: UnixMs,
    /// The same moment by the engine's clock, which goes on.
    begun: UnixMs,
    clock: &'a dyn Clock,
}

impl Order<'_> {
    /// How long the group has taken so far.
    fn took(&self) -> Duration {
        self.clock.now().since(self.begun)
    }

    /// Whether no more of the group is to be signed now.
    fn is_over(&self) -> bool {
        matches!(self.how, Signing::Here(_)) && self.took() >= SIGN_AHEAD
    }

    /// How long an attempt lives from when it is built: longer where its signer may take long.
    fn lifetime(&self) -> Duration {
        match self.how {
            Signing::Here(signer) => LIFETIME + signer.patience().min(SLOWEST_SIGNER),
            Signing::Elsewhere(terms) => terms.lifetime,
        }
    }

    /// Builds one attempt, of which the group has taken `took` so far. Its timestamp, which the chain does not
    /// check, is salted by payout and attempt, so that two equal payouts are two
    /// transactions.
    fn draft(&self, payout: &PayoutRow, ordinal: u32, took: Duration) -> Draft {
        let digest = Sha256::new()
            .chain_update(payout.id.get().to_be_bytes())
            .chain_update(ordinal.to_be_bytes())
            .finalize();
        let [a, b, c, ..] = <[u8; 32]>::from(digest);
        // Within the last four and a half hours.
        let salt = Duration::from_millis(u64::from(u32::from_be_bytes([0, a, b, c])));
        let mut draft = Draft::new(
            Contract::transfer(payout.payer, payout.payee, payout.token, payout.amount),
            RefBlock::from(self.cursor.last),
            self.head.time.plus(took).plus(self.lifetime()),
            self.now.minus(salt),
        );
        draft.memo.clone_from(&payout.memo);
        draft.permission_id = match self.how {
            Signing::Here(_) => self.permission_id,
            Signing::Elsewhere(terms) => terms.permission_id,
        };
        draft
    }

    /// Builds one attempt and signs it, if that is done here.
    fn sign(&self, payout: &PayoutRow, ordinal: u32) -> Result<AttemptRow, SettleError> {
        let asked = self.took();
        let draft = self.draft(payout, ordinal, asked);
        let transaction = match self.how {
            Signing::Here(signer) => draft.build().sign(signer)?,
            Signing::Elsewhere(_) => Transaction::from(draft.build()),
        };
        self.attempt(payout, ordinal, &draft, &transaction, asked)
    }

    /// The same by a signer that may take long: no thread waits for it.
    async fn sign_in_time(
        &self,
        signer: &dyn Signer,
        payout: &PayoutRow,
        ordinal: u32,
    ) -> Result<AttemptRow, SettleError> {
        let asked = self.took();
        let draft = self.draft(payout, ordinal, asked);
        let transaction = draft.build().sign_in_time(signer).await?;
        self.attempt(payout, ordinal, &draft, &transaction, asked)
    }

    /// The row of an attempt whose signature was asked for when the group had taken `asked`.
    fn attempt(
        &self,
        payout: &PayoutRow,
        ordinal: u32,
        draft: &Draft,
        transaction: &Transaction,
        asked: Duration,
    ) -> Result<AttemptRow, SettleError> {
        let (took, state) = match self.how {
            Signing::Here(_) => (self.took().saturating_sub(asked), AttemptState::Signed),
            Signing::Elsewhere(_) => (Duration::ZERO, AttemptState::Offered),
        };
        // What comes too late to get into a block is not kept.
        if matches!(self.how, Signing::Here(_)) && self.lifetime() < took + LEFT_TO_LIVE {
            return Err(SettleError::SlowSigner(took));
        }
        Ok(AttemptRow {
            txid: transaction.txid(),
            payout: payout.id,
            ordinal,
            bytes: transaction.encode(),
            reference: self.cursor.last,
            expiration: draft.expiration,
            signed_at: self.now.plus(asked + took),
            state,
            block: None,
            fee: None,
            remark: String::new(),
        })
    }
}

impl<C: Chain> Engine<'_, C> {
    /// Signs a group, or as much of it as is signed in a moment, or makes it to be signed, and
    /// puts it on disk. What the balance does not cover any more, and what was paid elsewhere
    /// meanwhile, is given up instead.
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
        let mut left: BTreeMap<Token, RawAmount> = BTreeMap::new();
        for (place, ordinal) in due {
            let Some(payout) = board.get(*place).map(|entry| entry.payout.clone()) else {
                continue;
            };
            let left = match left.entry(payout.token) {
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
            permission_id: self.permission_id,
            cursor: &cursor,
            head,
            now,
            begun: self.clock.now(),
            clock: self.clock,
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
    /// bit, so that what is being sent goes on meanwhile; by somebody who may take long, one
    /// after the other. What does not verify is not signed, and why. What is left over when
    /// the time for a group has passed is not in the answer.
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
        let doubt = |payout: &PayoutRow| {
            let behind = debt_of(payout).and_then(|pair| receipts.get(&pair));
            self.doubt(behind.map_or(&[][..], Vec::as_slice))
        };
        if let Signing::Here(signer) = order.how
            && signer.patience() > Duration::ZERO
        {
            let mut signed = Vec::new();
            for (payout, ordinal) in group {
                if order.is_over() {
                    break;
                }
                signed.push(match doubt(payout)? {
                    None => Ok(order.sign_in_time(signer, payout, *ordinal).await?),
                    Some(doubt) => Err((payout.id, doubt)),
                });
            }
            return Ok(signed);
        }
        let sign = |part: &[(PayoutRow, u32)]| -> Result<Vec<_>, SettleError> {
            let mut signed = Vec::with_capacity(part.len());
            for (payout, ordinal) in part {
                if order.is_over() {
                    break;
                }
                signed.push(match doubt(payout)? {
                    None => Ok(order.sign(payout, *ordinal)?),
                    Some(doubt) => Err((payout.id, doubt)),
                });
            }
            Ok(signed)
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut signed = Vec::with_capacity(group.len());
        for bit in group.chunks(cores * FEW) {
            let share = bit.len().div_ceil(cores).max(FEWEST);
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

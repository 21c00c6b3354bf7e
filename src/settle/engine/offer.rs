//! Batches of an account whose keys are in several hands: planned here, signed
//! elsewhere, brought back and sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Engine, SettleError, Until,
    board::Board,
    drive::{Order, Signs},
    sign::Signing,
};
use crate::{
    ledger::{AccountLease, AttemptRow, AttemptState, BatchId, Durable, PayoutId, PayoutRow},
    settle::{
        chain::Chain,
        plan::{Plan, Policy},
        recovery::{Facts, Step, next_step},
        report::BatchReport,
    },
    tron::{rpc::NodeError, transaction::Transaction},
    types::{TokenId, TxId},
};

/// How transactions are made that others sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferTerms {
    /// Which of the account's permissions signs.
    pub permission_id: i32,
    /// From the head on, at most [`OFFER_LIFETIME`](super::OFFER_LIFETIME).
    pub lifetime: Duration,
}

/// What is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferReport {
    /// The plan behind the new ones.
    pub plan: Plan,
    /// Everything that lacks signatures, those of earlier batches too.
    pub offered: Vec<Durable<AttemptRow>>,
}

/// What became of transactions that were brought back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BroughtBack {
    /// Their batches.
    pub batches: Vec<BatchReport>,
    /// Those that were not sent, and why.
    pub left: Vec<(TxId, String)>,
    /// The last refusal of a node, if there was one.
    pub refusal: Option<NodeError>,
}

impl<C: Chain> Engine<'_, C> {
    /// Plans, and if `confirm` says so makes the plan's transactions durable, to be
    /// signed by those who hold the account's keys. Sends nothing.
    ///
    /// # Errors
    /// See [`SettleError`]; offering again loses nothing.
    pub async fn offer(
        &self,
        terms: OfferTerms,
        token: TokenId,
        policy: &Policy,
        confirm: impl FnOnce(&Plan) -> bool,
    ) -> Result<OfferReport, SettleError> {
        let lease = self.take().await?;
        self.catch_up(&lease).await?;
        let mut board = Board::load(self.ledger, self.account, &[])?;
        self.fresh(&lease, &mut board).await?;
        self.know_history(&lease).await?;
        self.give_up_unsigned(&lease, &mut board).await?;
        let plan = self.make_plan(token, policy, terms.permission_id).await?;
        if !plan.payouts.is_empty() && confirm(&plan) {
            let batch = self.insert_plan(&lease, &plan)?;
            let mut board = Board::load(self.ledger, self.account, &[batch])?;
            let due: Vec<_> = board.planned().map(|(place, _)| (place, 1)).collect();
            let how = Signing::Elsewhere(terms);
            // No order is among them: there is nothing to compare with.
            let mut known = BTreeSet::new();
            self.sign(&lease, how, &mut board, &due, &mut known).await?;
        }
        let living = self.ledger.live_attempts(self.account)?;
        let offered = living.into_iter().filter(is_offered).collect();
        Ok(OfferReport { plan, offered })
    }

    /// Gives up what was planned and never offered, and what died: the next plan has
    /// it again.
    async fn give_up_unsigned(
        &self,
        lease: &AccountLease,
        board: &mut Board,
    ) -> Result<(), SettleError> {
        let facts = Facts {
            head: self.patiently(|| self.chain.head()).await?.time,
            may_sign: false,
        };
        let given_up: Vec<(PayoutId, String)> = board
            .entries()
            .filter_map(
                |entry| match next_step(&entry.payout, &entry.attempts, &facts) {
                    Step::GiveUp(reason) => Some((entry.payout.id, reason)),
                    _ => None,
                },
            )
            .collect();
        self.give_up(lease, board, &given_up)
    }

    /// Takes offered transactions back, signed, and drives their batches until they
    /// have ended. Nothing is changed unless the chain would take every one. One that
    /// was brought back before is driven on.
    ///
    /// # Errors
    /// See [`SettleError`]; bringing them again goes on.
    pub async fn bring_back(&self, signed: &[Transaction]) -> Result<BroughtBack, SettleError> {
        let lease = self.take().await?;
        self.catch_up(&lease).await?;
        let mut board = Board::load(self.ledger, self.account, &[])?;
        self.fresh(&lease, &mut board).await?;
        let mut report = BroughtBack::default();
        let known = self.offered(signed)?;
        self.check_approved(signed, &known).await?;
        let (mut batches, mut bytes) = (Vec::new(), Vec::new());
        for transaction in signed {
            let txid = transaction.txid();
            let Some((attempt, payout)) = known.get(&txid) else {
                return Err(SettleError::NotOffered(txid));
            };
            if !attempt.state.is_live() {
                let how = match attempt.state {
                    AttemptState::Solid => "it was paid before",
                    _ => "it expired, and never happens",
                };
                report.left.push((txid, how.to_owned()));
                continue;
            }
            if attempt.state == AttemptState::Offered {
                if self.is_paid_elsewhere(payout)? {
                    let why = "its debt was paid outside of this ledger meanwhile";
                    report.left.push((txid, why.to_owned()));
                    continue;
                }
                bytes.push((txid, transaction.encode()));
            }
            if !batches.contains(&payout.batch) {
                batches.push(payout.batch);
            }
        }
        self.ledger.bring_back(&lease, &bytes)?;
        report.refusal = self.drive_unsigned(&lease, &batches).await?;
        for batch in batches {
            report.batches.extend(self.batch_report(batch)?);
        }
        Ok(report)
    }

    async fn drive_unsigned(
        &self,
        lease: &AccountLease,
        batches: &[BatchId],
    ) -> Result<Option<NodeError>, SettleError> {
        if batches.is_empty() {
            return Ok(None);
        }
        let order = Order {
            signer: None,
            batches,
            until: Until::Ended,
            signs: Signs::Only(&BTreeSet::new()),
            known: BTreeSet::new(),
        };
        self.drive(lease, order).await
    }

    /// The attempts behind these transactions, with their payouts.
    fn offered(
        &self,
        signed: &[Transaction],
    ) -> Result<BTreeMap<TxId, (AttemptRow, PayoutRow)>, SettleError> {
        let txids: Vec<_> = signed.iter().map(Transaction::txid).collect();
        let attempts = self.ledger.attempts_of(&txids)?;
        let numbers: Vec<_> = attempts.iter().map(|row| row.get().payout).collect();
        let payouts: BTreeMap<_, _> = self
            .ledger
            .payouts_numbered(&numbers)?
            .into_iter()
            .filter(|payout| payout.payer == self.account)
            .map(|payout| (payout.id, payout))
            .collect();
        let with_payout = |row: Durable<AttemptRow>| {
            let attempt = row.into_inner();
            let payout = payouts.get(&attempt.payout)?.clone();
            Some((attempt.txid, (attempt, payout)))
        };
        Ok(attempts.into_iter().filter_map(with_payout).collect())
    }

    /// That the chain would take the signatures of all that are still offered.
    async fn check_approved(
        &self,
        signed: &[Transaction],
        known: &BTreeMap<TxId, (AttemptRow, PayoutRow)>,
    ) -> Result<(), SettleError> {
        let permissions = self.permissions().await?;
        let (mut count, mut first) = (0, None);
        for transaction in signed {
            let offered = known
                .get(&transaction.txid())
                .is_some_and(|(attempt, _)| attempt.state == AttemptState::Offered);
            if !offered {
                continue;
            }
            let approval = permissions.approval(transaction)?;
            if !approval.is_enough() {
                count += 1;
                first.get_or_insert((transaction.txid(), approval));
            }
        }
        match first {
            None => Ok(()),
            Some((txid, approval)) => Err(SettleError::NotApproved {
                count,
                txid,
                weight: approval.weight,
                threshold: approval.threshold,
                missing: approval.missing.iter().map(|(key, _)| *key).collect(),
            }),
        }
    }
}

fn is_offered(attempt: &Durable<AttemptRow>) -> bool {
    attempt.get().state == AttemptState::Offered
}

//! The only part of settlement with effects: it asks the chain, writes the
//! ledger, signs and sends. What to do is decided by the pure files beside it.
//!
//! Its calls to the ledger block for a short transaction each, so it wants a
//! thread of its own: a multi-thread runtime, or `spawn_blocking` with
//! `Handle::block_on`. Dropping any of its futures at any moment leaves a
//! ledger from which `resume` goes on.

mod board;
mod drive;
mod file;
mod look;
mod offer;
mod orders;
mod recover;
mod send;
mod sign;

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use self::{
    board::Board,
    drive::{Order, Signs},
    orders::elsewhere,
};
pub use self::{
    drive::Until,
    file::{Before, FileQuote, FileReport, RowEnd, RowState},
    offer::{BroughtBack, OfferReport, OfferTerms},
    orders::{ALIKE_FOR, Begun, CancelReport, OrderName, Question, Unfinished},
    recover::RecoverReport,
    send::{SendEnd, SendOrder, SendQuote, SendReport},
};
use super::{
    audit::{Difference, compare},
    chain::Chain,
    error::SettleError,
    net::{Debt, net},
    patience::{LOOK_EVERY, patiently},
    plan::{Means, Plan, Policy, Signatures, plan, select},
    report::{BatchReport, Event},
};
use crate::{
    ledger::{
        AccountLease, BatchId, BatchRow, Ledger, LedgerError, PayoutId, PayoutKind, PayoutRow,
        PayoutState, Recovery,
    },
    tron::{
        contract::ContractType,
        fees::Situation,
        keys::Signer,
        permission::{OWNER_ID, PermissionError, Permissions, allows, fewest_signers},
        rpc::{Finality, NodeError},
    },
    types::{Address, BlockId, Clock, RawAmount, Token, TokenId},
};

/// How long an attempt may live: its expiration after the head.
pub const LIFETIME: Duration = Duration::from_secs(120);

/// How much longer an attempt may live whose signer is a person or a device: at most so long one
/// signature may take.
pub const SLOWEST_SIGNER: Duration = Duration::from_secs(120);

/// How long one that is signed elsewhere may live, at most: what the chain allows.
pub const OFFER_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How many accounts are looked up at a time.
const QUESTIONS: usize = 16;

/// Settlement for one account.
pub struct Engine<'a, C> {
    /// Where everything is on disk.
    pub ledger: &'a dyn Ledger,
    /// The chain.
    pub chain: &'a C,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who pays.
    pub account: Address,
    /// Which of its permissions signs: the owner's (0), whose key is the account's own, or an
    /// active one, of which the key may be another's.
    pub permission_id: i32,
    /// How this process names itself to others who wait for the account.
    pub holder: &'a str,
    /// Is told what happens.
    pub report: &'a (dyn Fn(&Event) + Sync),
    /// Gives random numbers of 63 bits: [`random_number`], or a simulation's.
    pub random: &'a (dyn Fn() -> Result<i64, SettleError> + Sync),
}

impl<C> std::fmt::Debug for Engine<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("account", &self.account)
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

/// A random number of 63 bits from the system.
///
/// # Errors
/// The system has none.
pub fn random_number() -> Result<i64, SettleError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| SettleError::Random(error.to_string()))?;
    Ok(i64::from_be_bytes(bytes) & i64::MAX)
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunReport {
    /// The batches it worked on: those found unfinished, then the new one.
    pub batches: Vec<BatchReport>,
    /// What the new plan left out.
    pub plan: Option<Plan>,
}

impl<C: Chain> Engine<'_, C> {
    /// What a run would do now. Reads the chain up to its solid head first,
    /// unless another process is at it. Never signs.
    ///
    /// # Errors
    /// See [`SettleError`].
    pub async fn plan(&self, token: TokenId, policy: &Policy) -> Result<Plan, SettleError> {
        if let Some(lease) = self.look_unless_held().await? {
            self.know_history(&lease).await?;
        }
        self.make_plan(token, policy, self.permission_id).await
    }

    /// Reads the chain up to its solid head, unless another process signs for the
    /// account.
    async fn look_unless_held(&self) -> Result<Option<AccountLease>, SettleError> {
        self.same_chain().await?;
        match self.ledger.lease_account(self.account, self.holder) {
            Ok(lease) => {
                self.catch_up(&lease).await?;
                Ok(Some(lease))
            }
            Err(LedgerError::AccountHeld { holder, .. }) => {
                self.tell(Event::Waiting(format!(
                    "{holder} is settling right now: this shows what is on disk"
                )));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Follows what is signed to its end, finishes the orders that another command left
    /// unsigned if `confirm` says so, plans, and if `confirm` says so pays the plan.
    /// Debts that were planned and not signed are planned anew, by this policy. Returns
    /// when every payout is solid or failed, but for orders that are not to be finished.
    ///
    /// # Errors
    /// See [`SettleError`]; running again goes on.
    pub async fn run(
        &self,
        signer: &dyn Signer,
        token: TokenId,
        policy: &Policy,
        mut confirm: impl FnMut(&Question<'_>) -> bool,
    ) -> Result<RunReport, SettleError> {
        let (lease, signer) = self.begin(Some(signer)).await?;
        self.replan_debts(&lease)?;
        let mut batches = self.finish(&lease, signer, &mut confirm).await?;
        let mut board = Board::load(self.ledger, self.account, &[])?;
        self.fresh(&lease, &mut board).await?;
        self.know_history(&lease).await?;
        let plan = self.make_plan(token, policy, self.permission_id).await?;
        if !plan.payouts.is_empty() && signer.is_none() {
            return Err(SettleError::Shared(self.account));
        }
        if plan.payouts.is_empty() || !confirm(&Question::Pay(&plan)) {
            return Ok(RunReport {
                batches,
                plan: Some(plan),
            });
        }
        let batch = self.insert_plan(&lease, &plan)?;
        let driven = self
            .drive(
                &lease,
                Order {
                    signer,
                    batches: &[batch],
                    until: Until::Ended,
                    signs: Signs::All,
                    known: BTreeSet::new(),
                },
            )
            .await;
        self.or_end_unsigned(&lease, &[batch], driven)?;
        self.fetch_missing_fees().await?;
        batches.extend(self.batch_report(batch)?);
        Ok(RunReport {
            batches,
            plan: Some(plan),
        })
    }

    /// Follows what is signed to its end, and finishes the orders that another command
    /// left unsigned if `confirm` says so; plans nothing. Debts that nothing was signed
    /// for wait for the next plan. What is offered to the holders of the account's keys
    /// is not waited for.
    ///
    /// # Errors
    /// See [`SettleError`]; running again goes on.
    pub async fn resume(
        &self,
        signer: Option<&dyn Signer>,
        mut confirm: impl FnMut(&Question<'_>) -> bool,
    ) -> Result<RunReport, SettleError> {
        let (lease, signer) = self.begin(signer).await?;
        self.replan_debts(&lease)?;
        Ok(RunReport {
            batches: self.finish(&lease, signer, &mut confirm).await?,
            plan: None,
        })
    }

    /// How the unfinished batches stand, or the newest if all are finished, by
    /// what is on disk. Asks nobody.
    ///
    /// # Errors
    /// The ledger's.
    pub fn status(&self) -> Result<Vec<BatchReport>, SettleError> {
        let mut rows = self.ledger.unfinished(self.account)?;
        if rows.is_empty() {
            rows = self.ledger.batches(self.account, 1)?;
        }
        let mut reports = Vec::new();
        for row in rows {
            reports.extend(self.batch_report(row.id)?);
        }
        Ok(reports)
    }

    /// Compares the solid chain's transfers from the account, from the block at
    /// which the ledger was bound to it, with the ledger. Empty: they agree.
    ///
    /// # Errors
    /// See [`SettleError`].
    pub async fn audit(&self) -> Result<Vec<Difference>, SettleError> {
        self.look_unless_held().await?;
        let Some(cursor) = self.ledger.cursor(self.account)? else {
            return Ok(Vec::new());
        };
        let seen = self
            .outgoing_on_chain(cursor.bound.number(), cursor.last)
            .await?;
        let known = self
            .ledger
            .outgoing(self.account, cursor.bound.number(), u32::MAX)?;
        Ok(compare(&seen, &known, cursor.last.number()))
    }

    /// Leases the account, binds it, reads the chain up to its solid head; with the
    /// signer, if the chain takes its signature alone.
    async fn begin<'s>(
        &self,
        signer: Option<&'s dyn Signer>,
    ) -> Result<(AccountLease, Option<&'s dyn Signer>), SettleError> {
        let lease = self.take().await?;
        let kinds = BTreeSet::from([ContractType::TransferAsset]);
        let signer = match signer {
            Some(signer) if self.is_enough(signer, &kinds).await? => Some(signer),
            _ => None,
        };
        self.catch_up(&lease).await?;
        Ok((lease, signer))
    }

    /// Leases the account, for a key that the chain takes alone for transfers of these tokens.
    async fn take_alone(
        &self,
        signer: &dyn Signer,
        tokens: impl IntoIterator<Item = Token>,
    ) -> Result<AccountLease, SettleError> {
        let lease = self.take().await?;
        let kinds = tokens.into_iter().map(contract_type).collect();
        if !self.is_enough(signer, &kinds).await? {
            return Err(SettleError::Shared(self.account));
        }
        Ok(lease)
    }

    /// Whether the key signs alone for the account, under the permission that signs, which must
    /// allow contracts of these types. Under the owner's permission it must be the account's
    /// own.
    async fn is_enough(
        &self,
        signer: &dyn Signer,
        kinds: &BTreeSet<ContractType>,
    ) -> Result<bool, SettleError> {
        let (key, account) = (signer.address(), self.account);
        if self.permission_id == OWNER_ID && key != account {
            return Err(SettleError::OtherKey { key, account });
        }
        let permissions = self.permissions().await?;
        let permission = permissions.numbered(self.permission_id)?;
        let named = permission
            .keys
            .iter()
            .find(|named| Address::from_bytes(&named.address) == Ok(key));
        if self.permission_id != OWNER_ID {
            if named.is_none() {
                return Err(SettleError::NotInPermission {
                    key,
                    account,
                    permission: self.permission_id,
                });
            }
            if let Some(kind) = kinds.iter().find(|kind| !allows(permission, kind.number())) {
                return Err(PermissionError::NotAllowed {
                    id: self.permission_id,
                    contract: kind.name(),
                }
                .into());
            }
        }
        Ok(named.is_some_and(|named| named.weight >= permission.threshold))
    }

    /// The signature of a payment that one key signs.
    const fn one_signature(&self) -> Signatures {
        Signatures {
            permission_id: self.permission_id,
            count: 1,
        }
    }

    async fn permissions(&self) -> Result<Permissions, SettleError> {
        self.patiently(|| self.chain.permissions(self.account))
            .await
    }

    /// Leases the account, on the right chain.
    async fn take(&self) -> Result<AccountLease, SettleError> {
        self.same_chain().await?;
        let lease = self.ledger.lease_account(self.account, self.holder)?;
        // A copy does not know what the original has signed since.
        if self.ledger.recovery(self.account)? != Recovery::Current {
            return Err(LedgerError::Restored(self.account).into());
        }
        Ok(lease)
    }

    async fn same_chain(&self) -> Result<(), SettleError> {
        let node = self.chain.genesis().await?;
        self.is_of_ledger(node)
    }

    /// Refuses a chain that is not the ledger's.
    fn is_of_ledger(&self, node: BlockId) -> Result<(), SettleError> {
        let ledger = self.ledger.genesis();
        if node == ledger {
            Ok(())
        } else {
            Err(SettleError::OtherChain { node, ledger })
        }
    }

    /// Follows what is signed, and finishes what `confirm` says to finish.
    async fn finish(
        &self,
        lease: &AccountLease,
        signer: Option<&dyn Signer>,
        confirm: &mut impl FnMut(&Question<'_>) -> bool,
    ) -> Result<Vec<BatchReport>, SettleError> {
        let orders = self.unfinished()?;
        if let Some(signer) = signer
            && !orders.is_empty()
        {
            let tokens = orders.iter().map(|order| order.payout.token);
            let kinds = tokens.map(contract_type).collect();
            self.is_enough(signer, &kinds).await?;
        }
        let mut signs = BTreeSet::new();
        let mut known = BTreeSet::new();
        if !orders.is_empty() && signer.is_some() && confirm(&Question::Finish(&orders)) {
            for order in &orders {
                signs.insert(order.payout.id);
                known.extend(elsewhere(&order.alike));
            }
        }
        let mut batches = Vec::new();
        for batch in self.ledger.unfinished(self.account)? {
            // One of which nothing is signed, nor will be, is left as it is.
            let goes_on =
                self.ledger.payouts(batch.id)?.iter().any(|payout| {
                    payout.state == PayoutState::InFlight || signs.contains(&payout.id)
                });
            if goes_on {
                batches.push(batch.id);
            }
        }
        let consented: BTreeSet<_> = orders
            .iter()
            .filter(|order| signs.contains(&order.payout.id))
            .map(|order| order.payout.batch)
            .collect();
        for batch in &consented {
            self.tell(Event::Resumed(*batch));
        }
        if !batches.is_empty() {
            let order = Order {
                signer,
                batches: &batches,
                until: Until::Ended,
                signs: Signs::Only(&signs),
                known,
            };
            let driven = self.drive(lease, order).await;
            if let Err(error) = driven {
                let consented: Vec<_> = consented.into_iter().collect();
                return self.or_end_unsigned(lease, &consented, Err(error));
            }
        }
        // A process may have ended between the last block and this question.
        self.fetch_missing_fees().await?;
        let mut reports = Vec::new();
        for batch in batches {
            reports.extend(self.batch_report(batch)?);
        }
        Ok(reports)
    }

    /// How one batch stands, by what is on disk; `None` if there is none such.
    ///
    /// # Errors
    /// The ledger's.
    pub fn batch_report(&self, batch: BatchId) -> Result<Option<BatchReport>, SettleError> {
        let row = self.ledger.batch(batch)?;
        let report = row.map(|row| BatchReport::read(self.ledger, row));
        Ok(report.transpose()?)
    }

    /// The plan, from the ledger as it is and the chain's account as it is.
    async fn make_plan(
        &self,
        token: TokenId,
        policy: &Policy,
        permission_id: i32,
    ) -> Result<Plan, SettleError> {
        let now = self.clock.now();
        let debts: Vec<_> = self
            .ledger
            .positions(self.account, token)?
            .iter()
            .map(net)
            .collect();
        let (due, deferred) = select(&debts, policy, u64::try_from(now.secs()).unwrap_or(0));
        let mut means = self.means(Token::Trc10(token)).await?;
        means.missing = self.missing(&due).await?;
        let permissions = self.permissions().await?;
        let permission = permissions.numbered(permission_id)?;
        means.signatures = Signatures {
            permission_id,
            count: fewest_signers(permission).unwrap_or(permission.keys.len()),
        };
        Ok(plan(
            self.account,
            token,
            (due, deferred),
            &means,
            policy,
            now,
        ))
    }

    /// Which payees have no account yet. Whom we paid before has one; everybody
    /// else is looked up.
    async fn missing(&self, due: &[Debt]) -> Result<BTreeSet<Address>, SettleError> {
        let unknown = due
            .iter()
            .filter(|debt| debt.range_from == RawAmount::ZERO)
            .map(|debt| debt.payee);
        stream::iter(unknown)
            .map(async |payee| {
                let account = self
                    .patiently(|| self.chain.account(Finality::Solid, payee))
                    .await?;
                Ok(account.is_none().then_some(payee))
            })
            .buffer_unordered(QUESTIONS)
            .try_filter_map(async |payee| Ok(payee))
            .try_collect()
            .await
    }

    /// What the account has, and what things cost.
    async fn means(&self, token: Token) -> Result<Means, SettleError> {
        let account = self.chain.account(Finality::Solid, self.account).await?;
        let mut situation = Situation::new(self.chain.parameters().await?);
        situation.resources = self.chain.resources(self.account).await?;
        if let Token::Trc10(id) = token {
            situation.issuer = self.chain.issuer(id, self.account).await?;
        }
        let mut means = Means {
            situation,
            stake_yield: self.chain.stake_yield(self.account).await?,
            ..Means::default()
        };
        if let Some(account) = account {
            means.trx = account.balance;
            means.token_balance = match token {
                Token::Trx => account.balance.to_raw().unwrap_or(RawAmount::MAX),
                Token::Trc10(id) => account.tokens.get(&id).copied().unwrap_or(RawAmount::ZERO),
            };
        }
        let live = self.live_sum(token)?;
        means.token_balance = means
            .token_balance
            .checked_sub(live)
            .unwrap_or(RawAmount::ZERO);
        Ok(means)
    }

    /// Σ payouts of the token that may still happen.
    fn live_sum(&self, token: Token) -> Result<RawAmount, SettleError> {
        let mut sum = RawAmount::ZERO;
        for batch in self.ledger.unfinished(self.account)? {
            for payout in self.ledger.payouts(batch.id)? {
                if payout.state.is_open() && payout.token == token {
                    sum = sum.checked_add(payout.amount).unwrap_or(RawAmount::MAX);
                }
            }
        }
        Ok(sum)
    }

    fn insert_plan(&self, lease: &AccountLease, plan: &Plan) -> Result<BatchId, SettleError> {
        let batch = self.new_batch(PayoutKind::Settle)?;
        let mut payouts = Vec::with_capacity(plan.payouts.len());
        // Neighbours in the batch are neighbours in the ledger, where they are
        // written together.
        let first = self.new_payout_id()?.get();
        for (n, planned) in (0..).zip(&plan.payouts) {
            let id = first.wrapping_add(n) & i64::MAX;
            payouts.push(PayoutRow {
                id: PayoutId::new(id).ok_or_else(not_63_bits)?,
                batch: batch.id,
                kind: PayoutKind::Settle,
                payer: self.account,
                payee: planned.debt.payee,
                token: Token::Trc10(plan.token),
                from: planned.debt.range_from,
                amount: planned.amount,
                memo: Vec::new(),
                label: String::new(),
                not_for_debts: false,
                state: PayoutState::Planned,
                reason: String::new(),
                owed: planned.debt.owed,
                owed_to_us: planned.debt.owed_to_us,
            });
        }
        self.insert(lease, &batch, &payouts)
    }

    /// Makes a batch durable, and tells.
    fn insert(
        &self,
        lease: &AccountLease,
        batch: &BatchRow,
        payouts: &[PayoutRow],
    ) -> Result<BatchId, SettleError> {
        let id = self
            .ledger
            .insert_batch(lease, batch, payouts)?
            .into_inner();
        self.tell(Event::Planned {
            batch: id,
            payouts: payouts.len(),
        });
        Ok(id)
    }

    fn new_batch(&self, kind: PayoutKind) -> Result<BatchRow, SettleError> {
        Ok(BatchRow {
            id: BatchId::new((self.random)()?).ok_or_else(not_63_bits)?,
            payer: self.account,
            kind,
            created_at: self.clock.now(),
        })
    }

    fn new_payout_id(&self) -> Result<PayoutId, SettleError> {
        PayoutId::new((self.random)()?).ok_or_else(not_63_bits)
    }

    fn tell(&self, event: Event) {
        (self.report)(&event);
    }

    /// Repeats a question to the chain while it fails, up to the limit of
    /// patience.
    async fn patiently<T, F>(&self, ask: impl FnMut() -> F) -> Result<T, SettleError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        patiently(self.chain, |event| self.tell(event), ask).await
    }
}

/// The contract that moves a token.
const fn contract_type(token: Token) -> ContractType {
    match token {
        Token::Trx => ContractType::Transfer,
        Token::Trc10(_) => ContractType::TransferAsset,
    }
}

fn not_63_bits() -> SettleError {
    SettleError::Random("it gave a negative number".to_owned())
}

//! Driving payouts to their end: sign, make durable, send, follow.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{Engine, LIFETIME, LOOK_EVERY, SettleError};
use crate::{
    ledger::{
        AccountLease, AttemptRow, AttemptState, BatchId, CursorRow, Durable, PayoutRow, PayoutState,
    },
    settle::{
        chain::{Chain, Head},
        recovery::{Facts, Step, next_step},
        report::{BatchReport, Event, PayoutReport},
    },
    tron::{
        contract::Contract,
        keys::Signer,
        rpc::NodeError,
        transaction::{Draft, RefBlock},
    },
    types::{RawAmount, Token, TxId, UnixMs},
};

/// How many attempts are signed and committed together: a few megabytes of
/// journal, a second of sending.
const SIGN_GROUP: usize = 200;

/// How many attempts of an account may be live at once: half of what a node
/// keeps pending.
const MAX_LIVE: usize = 1000;

/// The same bytes go out again after this long without a block: a node forgets
/// what is pending after 60 s.
const RESEND_AFTER: Duration = Duration::from_secs(15);

/// Attempts refused for want of balance or bandwidth before signing stops.
const BREAKER: usize = 3;

/// The furthest the head's time may be from ours.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// Above so many living attempts only solid blocks are watched.
const WATCH_INCLUSION: usize = 20;

/// When to stop driving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Every attempt was handed to a node once.
    Sent,
    /// Every attempt is in a block.
    Included,
    /// Every payout is confirmed or failed.
    Ended,
}

/// What a drive remembers; losing it costs a repeated send, nothing else.
#[derive(Default)]
struct Memory {
    /// When this process last sent an attempt.
    sent: BTreeMap<TxId, UnixMs>,
    /// Attempts refused for want of balance or bandwidth.
    refused: BTreeSet<TxId>,
    /// The last refusal, whole.
    last_refusal: Option<NodeError>,
}

/// The steps due, over all payouts.
#[derive(Default)]
struct Work {
    sign: Vec<(PayoutRow, u32)>,
    send: Vec<AttemptRow>,
    follow: Vec<AttemptRow>,
    give_up: Vec<(PayoutRow, String)>,
    pending: usize,
}

impl<C: Chain> Engine<'_, C> {
    /// Drives the payouts of these batches until they have ended, or `until`
    /// is reached. Returns the last refusal of a node, if there was one.
    pub(super) async fn drive(
        &self,
        lease: &AccountLease,
        signer: &dyn Signer,
        batches: &[BatchId],
        until: Until,
    ) -> Result<Option<NodeError>, SettleError> {
        let mut memory = Memory::default();
        loop {
            self.catch_up(lease).await?;
            let head = self.patiently(|| self.chain.head()).await?;
            let work = self.work(batches, head, &memory)?;
            for (payout, reason) in &work.give_up {
                self.ledger.fail_payout(lease, payout.id, reason)?;
                self.tell(Event::GivenUp(payout.id, reason.clone()));
            }
            if work.pending == 0 && work.give_up.is_empty() {
                self.fetch_fees(batches).await?;
                return Ok(memory.last_refusal);
            }
            let live = work.send.len() + work.follow.len();
            let group = MAX_LIVE.saturating_sub(live).min(SIGN_GROUP);
            let mut send = self.durable(&work.send)?;
            if !work.sign.is_empty() && group > 0 {
                let due = work.sign.get(..group).unwrap_or(&work.sign);
                send.extend(self.sign(lease, signer, due).await?);
            }
            self.hand_over(lease, &send, &mut memory).await?;
            self.look_for_inclusion(lease, &work, &send, &mut memory)
                .await?;
            if self.reached(batches, until, &memory)? {
                return Ok(memory.last_refusal);
            }
            let more = work.sign.len() > group && group > 0;
            if !more {
                self.chain.pause(LOOK_EVERY).await;
            }
        }
    }

    fn reports(&self, batches: &[BatchId]) -> Result<Vec<BatchReport>, SettleError> {
        let mut reports = Vec::new();
        for batch in batches {
            reports.extend(self.batch_report(*batch)?);
        }
        Ok(reports)
    }

    fn work(&self, batches: &[BatchId], head: Head, memory: &Memory) -> Result<Work, SettleError> {
        let facts = Facts {
            head: head.time,
            may_sign: memory.refused.len() < BREAKER,
        };
        let mut work = Work::default();
        for report in self.reports(batches)? {
            for PayoutReport { payout, attempts } in report.payouts {
                if matches!(payout.state, PayoutState::Planned | PayoutState::InFlight) {
                    work.pending += 1;
                }
                let find = |txid| attempts.iter().find(|row| row.txid == txid).cloned();
                match next_step(&payout, &attempts, &facts) {
                    Step::Sign(ordinal) => work.sign.push((payout, ordinal)),
                    Step::Send(txid) => match find(txid) {
                        Some(attempt) if is_due(&attempt, memory, self.clock.now()) => {
                            work.send.push(attempt);
                        }
                        other => work.follow.extend(other),
                    },
                    Step::Follow(txid) => work.follow.extend(find(txid)),
                    Step::GiveUp(reason) => work.give_up.push((payout, reason)),
                    Step::Done => {}
                    Step::Broken(reason) => {
                        return Err(SettleError::Broken {
                            payout: payout.id,
                            reason,
                        });
                    }
                }
            }
        }
        Ok(work)
    }

    /// Reads attempts back as what is on disk.
    fn durable(&self, attempts: &[AttemptRow]) -> Result<Vec<Durable<AttemptRow>>, SettleError> {
        let mut durable = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            durable.extend(self.ledger.attempt(attempt.txid)?);
        }
        Ok(durable)
    }

    /// Signs a group and puts it on disk; empty when the balance does not
    /// cover it any more, and then those payouts are given up.
    async fn sign(
        &self,
        lease: &AccountLease,
        signer: &dyn Signer,
        due: &[(PayoutRow, u32)],
    ) -> Result<Vec<Durable<AttemptRow>>, SettleError> {
        let cursor = self.fresh(lease).await?;
        let head = self.patiently(|| self.chain.head()).await?;
        let now = self.clock.now();
        if head.time.since(now) > MAX_SKEW || now.since(head.time) > MAX_SKEW {
            return Err(SettleError::ClockSkew {
                head: head.time,
                clock: now,
            });
        }
        let mut attempts = Vec::with_capacity(due.len());
        let mut covered: BTreeMap<i64, RawAmount> = BTreeMap::new();
        for (payout, ordinal) in due {
            let left = match covered.entry(token_key(payout.token)) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.unsigned_balance(payout.token).await?)
                }
            };
            let Some(rest) = left.checked_sub(payout.amount) else {
                let reason = format!("the balance left is {left} raw units");
                self.ledger.fail_payout(lease, payout.id, &reason)?;
                self.tell(Event::GivenUp(payout.id, reason));
                continue;
            };
            *left = rest;
            attempts.push(sign_one(signer, payout, *ordinal, &cursor, head, now)?);
        }
        let durable = self.ledger.insert_attempts(lease, &attempts)?;
        for attempt in &durable {
            self.tell(Event::Signed(attempt.get().txid));
        }
        Ok(durable)
    }

    /// Solid balance less the attempts that may still take from it.
    async fn unsigned_balance(&self, token: Token) -> Result<RawAmount, SettleError> {
        let account = self
            .patiently(|| {
                self.chain
                    .account(crate::tron::rpc::Finality::Solid, self.account)
            })
            .await?;
        let balance = match (account, token) {
            (None, _) => RawAmount::ZERO,
            (Some(account), Token::Trx) => account.balance.to_raw().unwrap_or(RawAmount::MAX),
            (Some(account), Token::Trc10(id)) => {
                account.tokens.get(&id).copied().unwrap_or(RawAmount::ZERO)
            }
        };
        let alive: BTreeSet<_> = self
            .ledger
            .live_attempts(self.account)?
            .iter()
            .map(|attempt| attempt.get().payout)
            .collect();
        let mut live = RawAmount::ZERO;
        for batch in self.ledger.unfinished(self.account)? {
            for payout in self.ledger.payouts(batch.id)? {
                if payout.token == token && alive.contains(&payout.id) {
                    live = live.checked_add(payout.amount).unwrap_or(RawAmount::MAX);
                }
            }
        }
        Ok(balance.checked_sub(live).unwrap_or(RawAmount::ZERO))
    }

    /// Hands attempts to the chain and notes what it says. None of its answers
    /// is an end.
    async fn hand_over(
        &self,
        lease: &AccountLease,
        attempts: &[Durable<AttemptRow>],
        memory: &mut Memory,
    ) -> Result<(), SettleError> {
        let mut answers = Vec::with_capacity(attempts.len());
        for attempt in attempts {
            let txid = attempt.get().txid;
            let remark = match self.chain.broadcast(attempt).await {
                Ok(()) => "accepted".to_owned(),
                Err(error) => {
                    if let NodeError::Retry { after, .. } = &error {
                        // Nothing was sent: the rest waits for the next round.
                        self.tell(Event::Waiting(error.to_string()));
                        if let Some(after) = after {
                            self.chain.pause((*after).min(LIFETIME)).await;
                        }
                        break;
                    }
                    if let NodeError::Refused { code, .. } = &error {
                        if code == "CONTRACT_VALIDATE_ERROR" || code == "BANDWITH_ERROR" {
                            memory.refused.insert(txid);
                        }
                        memory.last_refusal = Some(error.clone());
                    }
                    error.to_string()
                }
            };
            memory.sent.insert(txid, self.clock.now());
            self.tell(Event::Sent(txid, remark.clone()));
            answers.push((txid, remark));
        }
        if !answers.is_empty() {
            self.ledger.mark_sent(lease, &answers)?;
        }
        Ok(())
    }

    /// Asks in which unsolid blocks the attempts are, while they are few.
    async fn look_for_inclusion(
        &self,
        lease: &AccountLease,
        work: &Work,
        sent: &[Durable<AttemptRow>],
        memory: &mut Memory,
    ) -> Result<(), SettleError> {
        let attempts: Vec<&AttemptRow> = work
            .follow
            .iter()
            .chain(sent.iter().map(Durable::get))
            .collect();
        if attempts.len() > WATCH_INCLUSION {
            return Ok(());
        }
        let mut seen = Vec::new();
        for attempt in attempts {
            // Only for show: a failure of this question is no news.
            let Ok(block) = self.chain.included(attempt.txid).await else {
                continue;
            };
            let before = (attempt.state == AttemptState::Included)
                .then_some(attempt.block)
                .flatten();
            if block == before {
                continue;
            }
            match block {
                Some(number) => self.tell(Event::Included(attempt.txid, number)),
                // A fork took it: the bytes go out again at once.
                None => {
                    memory.sent.remove(&attempt.txid);
                }
            }
            seen.push((attempt.txid, block));
        }
        if !seen.is_empty() {
            self.ledger.mark_included(lease, &seen)?;
        }
        Ok(())
    }

    fn reached(
        &self,
        batches: &[BatchId],
        until: Until,
        memory: &Memory,
    ) -> Result<bool, SettleError> {
        if until == Until::Ended {
            return Ok(false);
        }
        for report in self.reports(batches)? {
            for payout in &report.payouts {
                let there = match (payout.payout.state, payout.current()) {
                    (PayoutState::Confirmed | PayoutState::Failed, _) => true,
                    (_, Some(attempt)) => match until {
                        Until::Sent => memory.sent.contains_key(&attempt.txid),
                        _ => {
                            attempt.state == AttemptState::Included || memory.last_refusal.is_some()
                        }
                    },
                    (_, None) => false,
                };
                if !there {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Asks what the solid transactions burnt. For show: what the node does
    /// not tell stays unknown.
    pub(super) async fn fetch_fees(&self, batches: &[BatchId]) -> Result<(), SettleError> {
        let mut fees = Vec::new();
        for report in self.reports(batches)? {
            for attempt in report.payouts.iter().flat_map(|payout| &payout.attempts) {
                if attempt.state == AttemptState::Solid
                    && attempt.fee.is_none()
                    && let Ok(Some(fee)) = self.chain.burnt(attempt.txid).await
                {
                    fees.push((attempt.txid, fee));
                }
            }
        }
        if !fees.is_empty() {
            self.ledger.record_fees(&fees)?;
        }
        Ok(())
    }
}

/// Whether an attempt goes out now: never sent by this process, or long ago.
fn is_due(attempt: &AttemptRow, memory: &Memory, now: UnixMs) -> bool {
    memory
        .sent
        .get(&attempt.txid)
        .is_none_or(|sent| now.since(*sent) >= RESEND_AFTER || now < *sent)
}

fn token_key(token: Token) -> i64 {
    match token {
        Token::Trx => 0,
        Token::Trc10(id) => id.get(),
    }
}

/// Builds and signs one attempt. Its timestamp, which the chain does not
/// check, is salted by payout and attempt, so that two equal payouts are two
/// transactions.
fn sign_one(
    signer: &dyn Signer,
    payout: &PayoutRow,
    ordinal: u32,
    cursor: &CursorRow,
    head: Head,
    now: UnixMs,
) -> Result<AttemptRow, SettleError> {
    let digest = Sha256::new()
        .chain_update(payout.id.get().to_be_bytes())
        .chain_update(ordinal.to_be_bytes())
        .finalize();
    let [a, b, c, ..] = <[u8; 32]>::from(digest);
    // Within the last four and a half hours.
    let salt = Duration::from_millis(u64::from(u32::from_be_bytes([0, a, b, c])));
    let expiration = head.time.plus(LIFETIME);
    let mut draft = Draft::new(
        Contract::transfer(payout.payer, payout.payee, payout.token, payout.amount),
        RefBlock::from(cursor.last),
        expiration,
        now.minus(salt),
    );
    draft.memo.clone_from(&payout.memo);
    let transaction = draft.build().sign(signer)?;
    Ok(AttemptRow {
        txid: transaction.txid(),
        payout: payout.id,
        ordinal,
        bytes: transaction.encode(),
        reference: cursor.last,
        expiration,
        signed_at: now,
        state: AttemptState::Signed,
        block: None,
        fee: None,
        remark: String::new(),
    })
}

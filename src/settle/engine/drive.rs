//! Driving payouts to their end: sign, make durable, send, follow.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use sha2::{Digest, Sha256};

use super::{Engine, LIFETIME, LOOK_EVERY, OfferTerms, SettleError, board::Board};
use crate::{
    ledger::{
        AccountLease, AttemptRow, AttemptState, BatchId, CursorRow, Durable, Pair, PayoutId,
        PayoutKind, PayoutRow,
    },
    settle::{
        chain::{Chain, Head},
        recovery::{Facts, Step, next_step},
        report::Event,
    },
    tron::{
        contract::Contract,
        keys::Signer,
        rpc::{Finality, NodeError},
        transaction::{Draft, RefBlock, Transaction},
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

/// So many signatures are not worth a thread: a millisecond's work.
const FEW: usize = 8;

/// How many attempts are handed over at a time.
const SENDERS: usize = 16;

/// The least time between two looks at a chain whose blocks come fast.
const LOOK_FASTEST: Duration = Duration::from_millis(50);

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
    /// Attempts refused for want of balance or bandwidth, and by which nodes.
    refused: BTreeMap<TxId, BTreeSet<String>>,
    /// The last refusal, whole.
    last_refusal: Option<NodeError>,
    /// The newest head seen.
    head: Option<Head>,
    /// How often to look, as this chain's blocks come.
    look_every: Option<Duration>,
}

impl Memory {
    /// Whether so much was refused that nothing more is signed: by two nodes, if
    /// there are two.
    fn is_broken(&self, nodes: usize) -> bool {
        let by: BTreeSet<_> = self.refused.values().flatten().collect();
        self.refused.len() >= BREAKER && by.len() >= nodes.min(2)
    }

    /// Notes how fast blocks come: a sixth of their interval is how often to look.
    fn see(&mut self, head: Head) {
        if let Some(before) = self.head.replace(head)
            && let blocks @ 1.. = head.id.number().saturating_sub(before.id.number())
        {
            let slot = head.time.since(before.time) / u32::try_from(blocks).unwrap_or(u32::MAX);
            self.look_every = Some((slot / 6).clamp(LOOK_FASTEST, LOOK_EVERY));
        }
    }

    /// Whether an attempt goes out now: never sent by this process, or long ago.
    fn is_due(&self, txid: TxId, now: UnixMs) -> bool {
        self.sent
            .get(&txid)
            .is_none_or(|sent| now.since(*sent) >= RESEND_AFTER || now < *sent)
    }
}

/// The steps due: places on the board, and attempts.
#[derive(Default)]
struct Work {
    sign: Vec<(usize, u32)>,
    send: Vec<TxId>,
    follow: Vec<TxId>,
    give_up: Vec<(PayoutId, String)>,
    pending: usize,
}

impl<C: Chain> Engine<'_, C> {
    /// Drives the payouts of these batches until they have ended, or `until`
    /// is reached; what is offered to the holders of the account's keys is left to
    /// them. Without a signer nothing is signed anew. Returns the last refusal of a
    /// node, if there was one.
    pub(super) async fn drive(
        &self,
        lease: &AccountLease,
        signer: Option<&dyn Signer>,
        batches: &[BatchId],
        until: Until,
    ) -> Result<Option<NodeError>, SettleError> {
        let mut memory = Memory::default();
        let mut board = Board::load(self.ledger, self.account, batches)?;
        loop {
            self.read_on(lease, Some(&mut board)).await?;
            let head = self.patiently(|| self.chain.head()).await?;
            memory.see(head);
            let facts = Facts {
                head: head.time,
                may_sign: signer.is_some() && !memory.is_broken(self.chain.nodes()),
            };
            let mut work = self.work(&board, &facts, &memory)?;
            for (payout, reason) in &work.give_up {
                self.give_up(lease, &mut board, *payout, reason.clone())?;
            }
            if work.pending == 0 && work.give_up.is_empty() {
                self.fetch_fees(&board).await?;
                return Ok(memory.last_refusal);
            }
            work.send
                .truncate(MAX_LIVE.saturating_sub(work.follow.len()));
            let live = work.send.len() + work.follow.len();
            let group = MAX_LIVE.saturating_sub(live).min(SIGN_GROUP);
            let mut send: Vec<_> = work
                .send
                .iter()
                .filter_map(|txid| board.attempt(*txid).cloned())
                .collect();
            if let Some(signer) = signer
                && !work.sign.is_empty()
                && group > 0
            {
                let due = work.sign.get(..group).unwrap_or(&work.sign);
                let how = Signing::Here(signer);
                send.extend(self.sign(lease, how, &mut board, due).await?);
            }
            self.hand_over(lease, &mut board, &send, &mut memory)
                .await?;
            let watched = work.follow.into_iter();
            let watched = watched.chain(send.iter().map(|attempt| attempt.get().txid));
            self.look_for_inclusion(lease, &mut board, watched.collect(), &mut memory)
                .await?;
            if reached(&board, until, &memory) {
                return Ok(memory.last_refusal);
            }
            let more = work.sign.len() > group && group > 0;
            if !more {
                let look_every = memory.look_every.unwrap_or(LOOK_EVERY);
                self.chain.pause(look_every).await;
            }
        }
    }

    fn work(&self, board: &Board, facts: &Facts, memory: &Memory) -> Result<Work, SettleError> {
        let now = self.clock.now();
        let mut work = Work::default();
        for (place, entry) in board.entries() {
            if !entry.driven {
                continue;
            }
            let step = next_step(&entry.payout, &entry.attempts, facts);
            let waited_for = entry.is_open() && !matches!(step, Step::Await(_));
            work.pending += usize::from(waited_for);
            match step {
                Step::Sign(ordinal) => work.sign.push((place, ordinal)),
                Step::Send(txid) if memory.is_due(txid, now) => work.send.push(txid),
                Step::Send(txid) | Step::Follow(txid) => work.follow.push(txid),
                Step::GiveUp(reason) => work.give_up.push((entry.payout.id, reason)),
                Step::Done | Step::Await(_) => {}
                Step::Broken(reason) => {
                    return Err(SettleError::Broken {
                        payout: entry.payout.id,
                        reason,
                    });
                }
            }
        }
        Ok(work)
    }

    pub(super) fn give_up(
        &self,
        lease: &AccountLease,
        board: &mut Board,
        payout: PayoutId,
        reason: String,
    ) -> Result<(), SettleError> {
        self.ledger.fail_payout(lease, payout, &reason)?;
        board.failed(payout);
        self.tell(Event::GivenUp(payout, reason));
        Ok(())
    }

    /// Signs a group, or makes it to be signed, and puts it on disk. What the balance does not cover any
    /// more, and what was paid elsewhere meanwhile, is given up instead.
    pub(super) async fn sign(
        &self,
        lease: &AccountLease,
        how: Signing<'_>,
        board: &mut Board,
        due: &[(usize, u32)],
    ) -> Result<Vec<Durable<AttemptRow>>, SettleError> {
        let cursor = self.fresh(lease, board).await?;
        let head = self.patiently(|| self.chain.head()).await?;
        let now = self.clock.now();
        if head.time.since(now) > MAX_SKEW || now.since(head.time) > MAX_SKEW {
            return Err(SettleError::ClockSkew {
                head: head.time,
                clock: now,
            });
        }
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
                let reason = format!("the balance left is {left} raw units");
                self.give_up(lease, board, payout.id, reason)?;
                continue;
            };
            if cursor.foreign.is_some() && self.is_paid_elsewhere(&payout)? {
                let reason = "it was paid outside of this ledger meanwhile".to_owned();
                self.give_up(lease, board, payout.id, reason)?;
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
        for signed in self.sign_all(&order, &orders)? {
            match signed {
                Ok(attempt) => attempts.push(attempt),
                Err((payout, doubt)) => self.give_up(lease, board, payout, doubt)?,
            }
        }
        let durable = self.ledger.insert_attempts(lease, &attempts)?;
        board.add(&durable);
        for attempt in &durable {
            self.tell(Event::Signed(attempt.get().txid));
        }
        Ok(durable)
    }

    /// Checks the receipts behind a group and signs it, on all cores. What does
    /// not verify is not signed, and why.
    fn sign_all(
        &self,
        order: &Order<'_>,
        group: &[(PayoutRow, u32)],
    ) -> Result<Vec<Signed>, SettleError> {
        let sign = |part: &[(PayoutRow, u32)]| -> Result<Vec<_>, SettleError> {
            let mut signed = Vec::with_capacity(part.len());
            for (payout, ordinal) in part {
                signed.push(match self.doubt(payout)? {
                    None => Ok(order.sign(payout, *ordinal)?),
                    Some(doubt) => Err((payout.id, doubt)),
                });
            }
            Ok(signed)
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = group.len().div_ceil(cores);
        if share < FEW {
            return sign(group);
        }
        std::thread::scope(|scope| {
            let parts: Vec<_> = group
                .chunks(share)
                .map(|part| scope.spawn(move || sign(part)))
                .collect();
            let mut signed = Vec::with_capacity(group.len());
            for part in parts {
                match part.join() {
                    Ok(part) => signed.extend(part?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(signed)
        })
    }

    /// Why a payout's receipts are not to be paid.
    fn doubt(&self, payout: &PayoutRow) -> Result<Option<String>, SettleError> {
        let (PayoutKind::Settle, Token::Trc10(token)) = (payout.kind, payout.token) else {
            return Ok(None);
        };
        let doubt = self.verify_issued(&Pair {
            payer: payout.payer,
            payee: payout.payee,
            token,
        })?;
        Ok(doubt.map(|which| format!("a receipt behind it does not verify: {which}")))
    }

    /// Whether the debt behind a planned payout is smaller by now than all that
    /// is on its way to its payee: the account paid with another ledger, or by
    /// hand.
    pub(super) fn is_paid_elsewhere(&self, payout: &PayoutRow) -> Result<bool, SettleError> {
        let Token::Trc10(token) = payout.token else {
            return Ok(false);
        };
        if payout.kind != PayoutKind::Settle {
            return Ok(false);
        }
        let position = self.ledger.position(&Pair {
            payer: payout.payer,
            payee: payout.payee,
            token,
        })?;
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

    /// Hands attempts to the chain, several at a time, and notes what it says.
    /// None of its answers is an end.
    async fn hand_over(
        &self,
        lease: &AccountLease,
        board: &mut Board,
        attempts: &[Durable<AttemptRow>],
        memory: &mut Memory,
    ) -> Result<(), SettleError> {
        let stopped = AtomicBool::new(false);
        let mut answers = stream::iter(attempts)
            .map(async |attempt| {
                if stopped.load(Ordering::Relaxed) {
                    return None;
                }
                Some((attempt.get().txid, self.chain.broadcast(attempt).await))
            })
            .buffer_unordered(SENDERS);
        let mut remarks = Vec::with_capacity(attempts.len());
        let mut wait = None;
        while let Some(answer) = answers.next().await {
            let Some((txid, said)) = answer else {
                continue;
            };
            let remark = match said {
                Ok(()) => "accepted".to_owned(),
                Err(NodeError::Retry { after, .. }) => {
                    // It was not sent: it and the rest wait for the next round.
                    stopped.store(true, Ordering::Relaxed);
                    wait = wait.max(Some(after.unwrap_or_default()));
                    continue;
                }
                Err(error) => {
                    let remark = error.to_string();
                    if let NodeError::Refused { url, code, .. } = &error {
                        if code == "CONTRACT_VALIDATE_ERROR" || code == "BANDWITH_ERROR" {
                            memory.refused.entry(txid).or_default().insert(url.clone());
                        }
                        memory.last_refusal = Some(error);
                    }
                    remark
                }
            };
            memory.sent.insert(txid, self.clock.now());
            self.tell(Event::Sent(txid, remark.clone()));
            remarks.push((txid, remark));
        }
        drop(answers);
        if !remarks.is_empty() {
            self.ledger.mark_sent(lease, &remarks)?;
            let txids: Vec<_> = remarks.iter().map(|(txid, _)| *txid).collect();
            board.refresh(self.ledger, &txids)?;
        }
        if let Some(wait) = wait {
            self.tell(Event::Waiting("the node takes no more for now".to_owned()));
            self.chain.pause(wait.min(LIFETIME)).await;
        }
        Ok(())
    }

    /// Asks in which unsolid blocks the attempts are, while they are few.
    async fn look_for_inclusion(
        &self,
        lease: &AccountLease,
        board: &mut Board,
        watched: Vec<TxId>,
        memory: &mut Memory,
    ) -> Result<(), SettleError> {
        if watched.len() > WATCH_INCLUSION {
            return Ok(());
        }
        let mut seen = Vec::new();
        for txid in watched {
            let Some(attempt) = board.attempt(txid).map(Durable::get) else {
                continue;
            };
            // Only for show: a failure of this question is no news.
            let Ok(block) = self.chain.included(txid).await else {
                continue;
            };
            let before = (attempt.state == AttemptState::Included)
                .then_some(attempt.block)
                .flatten();
            if block == before {
                continue;
            }
            match block {
                Some(number) => self.tell(Event::Included(txid, number)),
                // A fork took it: the bytes go out again at once.
                None => {
                    memory.sent.remove(&txid);
                }
            }
            seen.push((txid, block));
        }
        if !seen.is_empty() {
            self.ledger.mark_included(lease, &seen)?;
            let txids: Vec<_> = seen.iter().map(|(txid, _)| *txid).collect();
            board.refresh(self.ledger, &txids)?;
        }
        Ok(())
    }

    /// Asks what the solid transactions burnt, a block at a time. For show: what
    /// the node does not tell stays unknown.
    async fn fetch_fees(&self, board: &Board) -> Result<(), SettleError> {
        let mut blocks: BTreeMap<u64, Vec<TxId>> = BTreeMap::new();
        for attempt in board.driven().flat_map(|entry| &entry.attempts) {
            let attempt = attempt.get();
            if attempt.state == AttemptState::Solid
                && attempt.fee.is_none()
                && let Some(block) = attempt.block
            {
                blocks.entry(block).or_default().push(attempt.txid);
            }
        }
        let mut fees = Vec::new();
        for (block, txids) in blocks {
            if let Ok(burnt) = self.chain.burnt(block).await {
                fees.extend(
                    txids
                        .into_iter()
                        .filter_map(|txid| Some((txid, *burnt.get(&txid)?))),
                );
            }
        }
        if !fees.is_empty() {
            self.ledger.record_fees(&fees)?;
        }
        Ok(())
    }

    /// Asks again for what the newest batch burnt, where it is not known.
    pub(super) async fn fetch_newest_fees(&self) -> Result<(), SettleError> {
        let newest = self.ledger.batches(self.account, 1)?;
        let newest: Vec<_> = newest.iter().map(|batch| batch.id).collect();
        let board = Board::load(self.ledger, self.account, &newest)?;
        self.fetch_fees(&board).await
    }
}

fn reached(board: &Board, until: Until, memory: &Memory) -> bool {
    if until == Until::Ended {
        return false;
    }
    board.driven().all(|entry| {
        if !entry.is_open() {
            return true;
        }
        entry.current().is_some_and(|attempt| match until {
            Until::Sent => memory.sent.contains_key(&attempt.txid),
            _ => attempt.state == AttemptState::Included || memory.last_refusal.is_some(),
        })
    })
}

fn token_key(token: Token) -> i64 {
    match token {
        Token::Trx => 0,
        Token::Trc10(id) => id.get(),
    }
}

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

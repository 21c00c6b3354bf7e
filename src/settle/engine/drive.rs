//! Driving payouts to their end: sign, make durable, send, follow.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};

use super::{
    Engine, LIFETIME, LOOK_EVERY, SettleError,
    board::{Board, Entry},
    sign::Signing,
};
use crate::{
    ledger::{AccountLease, AttemptRow, AttemptState, BatchId, Durable, PayoutId},
    settle::{
        chain::{Chain, Head},
        recovery::{Facts, Step, next_step},
        report::Event,
        unsolid::Unsolid,
    },
    tron::{keys::Signer, rpc::NodeError},
    types::{TxId, UnixMs},
};

/// How many attempts are signed and committed together at most: a few megabytes of
/// journal.
const SIGN_GROUP: usize = 200;

/// How many are signed before it is known how fast they go out.
const FIRST_GROUP: usize = 50;

/// A group is what goes out in this time: while one is on its way the next is
/// signed, so that nothing waits for half a minute of its life.
const SEND_AHEAD: Duration = Duration::from_secs(15);

/// How many attempts of an account may wait for a block at once: half of what a
/// node keeps pending.
const MAX_PENDING: usize = 1000;

/// The same bytes go out again after this long without a block: a node forgets
/// what is pending after 60 s.
const RESEND_AFTER: Duration = Duration::from_secs(15);

/// Attempts refused for want of balance or bandwidth before signing stops.
const BREAKER: usize = 3;

/// Of how many blocks it is asked at a time what they burnt.
const BLOCKS_AT_ONCE: usize = 4;

/// The least time between two looks at a chain whose blocks come fast.
const LOOK_FASTEST: Duration = Duration::from_millis(50);

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

/// For which payouts new attempts are signed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signs<'a> {
    /// All of the batches.
    All,
    /// These.
    Only(&'a BTreeSet<PayoutId>),
}

impl Signs<'_> {
    fn cover(&self, payout: PayoutId) -> bool {
        match self {
            Self::All => true,
            Self::Only(these) => these.contains(&payout),
        }
    }
}

/// What is to be driven.
pub(super) struct Order<'a> {
    /// Who signs; without one nothing is signed anew.
    pub(super) signer: Option<&'a dyn Signer>,
    /// Of these batches.
    pub(super) batches: &'a [BatchId],
    /// So far.
    pub(super) until: Until,
    /// What may be signed. Payouts that may not, and that nothing was signed for, are left
    /// as they are.
    pub(super) signs: Signs<'a>,
    /// Transfers made outside of this ledger that typed payouts were compared with.
    pub(super) known: BTreeSet<TxId>,
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
    /// What was said of attempts that no node has accepted and none refused.
    doubts: BTreeMap<TxId, NodeError>,
    /// The end of the chain that is not solid.
    unsolid: Unsolid,
    /// The newest head seen.
    head: Option<Head>,
    /// How often to look, as this chain's blocks come.
    look_every: Option<Duration>,
    /// How many attempts go out in [`SEND_AHEAD`], as the last group did.
    pace: Option<usize>,
    /// Transfers made outside of this ledger that typed payouts were compared with.
    known: BTreeSet<TxId>,
}

impl Memory {
    /// Whether so much was refused that nothing more is signed: by two nodes, if
    /// there are two.
    fn is_broken(&self, nodes: usize) -> bool {
        let by: BTreeSet<_> = self.refused.values().flatten().collect();
        self.refused.len() >= BREAKER && by.len() >= nodes.min(2)
    }

    /// What a node said last that was no acceptance, of what no node has accepted since.
    fn objection(self) -> Option<NodeError> {
        let mut doubts = self.doubts.into_values();
        self.last_refusal.or_else(|| doubts.next())
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

    /// Notes how long a group took to go out.
    fn pace(&mut self, sent: usize, took: Duration) {
        if sent > 0 {
            let each = took.as_millis().max(1);
            let ahead = SEND_AHEAD.as_millis().saturating_mul(sent as u128) / each;
            self.pace = Some(usize::try_from(ahead).unwrap_or(usize::MAX).max(1));
        }
    }

    /// How many may go out together, and be signed meanwhile.
    fn group(&self) -> usize {
        self.pace.unwrap_or(FIRST_GROUP).min(SIGN_GROUP)
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
    give_up: Vec<(PayoutId, String)>,
    /// How many attempts were sent lately and are in no block.
    pending: usize,
    /// Whether a payout has not ended.
    is_open: bool,
}

/// What a round found and did.
struct Round {
    /// Nothing is left to do.
    is_over: bool,
    /// To be sent next: what it signed, and what is to be sent again.
    due: Vec<Durable<AttemptRow>>,
}

/// An attempt that went out.
struct Sent {
    txid: TxId,
    at: UnixMs,
    /// What was said of it.
    remark: String,
    /// The same, unless it was accepted.
    refusal: Option<NodeError>,
}

/// What became of attempts that were handed over.
#[derive(Default)]
struct HandedOver {
    sent: Vec<Sent>,
    /// How long it took.
    took: Duration,
    /// The node takes no more for so long; what is not in `sent` was not sent.
    wait: Option<Duration>,
}

impl<C: Chain> Engine<'_, C> {
    /// Drives the payouts of these batches until they have ended, or `until`
    /// is reached; what is offered to the holders of the account's keys is left to
    /// them. Returns the last answer of a node that was no acceptance, if there was one.
    pub(super) async fn drive(
        &self,
        lease: &AccountLease,
        order: Order<'_>,
    ) -> Result<Option<NodeError>, SettleError> {
        let mut memory = Memory {
            known: order.known.clone(),
            ..Memory::default()
        };
        let mut board = Board::load(self.ledger, self.account, order.batches)?;
        check_ended(&board)?;
        let mut outbox: Vec<Durable<AttemptRow>> = Vec::new();
        loop {
            // What is due goes out while the chain is read and the next group signed.
            let (handed, round) = tokio::join!(
                self.hand_over(&outbox),
                self.round(lease, &order, &mut board, &outbox, &mut memory)
            );
            memory.pace(handed.sent.len(), handed.took);
            let was_sent = !handed.sent.is_empty();
            self.note_answers(lease, &mut board, handed.sent, &mut memory)?;
            let round = round?;
            if round.is_over || reached(&board, &order, &memory) {
                return Ok(memory.objection());
            }
            if let Some(wait) = handed.wait {
                self.tell(Event::Waiting("the node takes no more for now".to_owned()));
                self.chain.pause(wait.min(LIFETIME)).await;
                // What is due then is for the next round to say.
                outbox.clear();
                continue;
            }
            outbox = round.due;
            if outbox.is_empty() {
                let look_every = if was_sent {
                    // A devnet makes a block for a transaction, in no time.
                    LOOK_FASTEST
                } else {
                    memory.look_every.unwrap_or(LOOK_EVERY)
                };
                self.chain.pause(look_every).await;
            }
        }
    }

    /// Reads the chain, takes the steps that need no sending, signs a group, and
    /// says what is to be sent next. `outbox` is being sent meanwhile.
    async fn round(
        &self,
        lease: &AccountLease,
        order: &Order<'_>,
        board: &mut Board,
        outbox: &[Durable<AttemptRow>],
        memory: &mut Memory,
    ) -> Result<Round, SettleError> {
        for txid in self.look(lease, board, &mut memory.unsolid).await? {
            // A fork took it out of its block: the bytes go out again at once.
            memory.sent.remove(&txid);
        }
        let head = self.patiently(|| self.chain.head()).await?;
        memory.see(head);
        let facts = Facts {
            head: head.time,
            may_sign: order.signer.is_some() && !memory.is_broken(self.chain.nodes()),
        };
        let outbox = outbox.iter().map(|attempt| attempt.get().txid).collect();
        let mut work = self.work(board, order, &facts, memory, &outbox)?;
        self.give_up(lease, board, &work.give_up)?;
        let room = MAX_PENDING.saturating_sub(work.send.len() + work.pending);
        work.send
            .truncate(MAX_PENDING.saturating_sub(work.pending).min(memory.group()));
        let mut due: Vec<_> = work
            .send
            .iter()
            .filter_map(|txid| board.attempt(*txid).cloned())
            .collect();
        let group = memory.group().saturating_sub(due.len()).min(room);
        if let Some(signer) = order.signer
            && !work.sign.is_empty()
            && group > 0
        {
            let group = work.sign.get(..group).unwrap_or(&work.sign);
            let how = Signing::Here(signer);
            due.extend(
                self.sign(lease, how, board, group, &mut memory.known)
                    .await?,
            );
        }
        Ok(Round {
            is_over: !work.is_open && work.give_up.is_empty(),
            due,
        })
    }

    /// What to do, of all that has begun and of as much as is signed together.
    fn work(
        &self,
        board: &Board,
        order: &Order<'_>,
        facts: &Facts,
        memory: &Memory,
        outbox: &BTreeSet<TxId>,
    ) -> Result<Work, SettleError> {
        let now = self.clock.now();
        let mut work = Work::default();
        let next = if facts.may_sign {
            SIGN_GROUP
        } else {
            usize::MAX
        };
        let planned = board
            .planned()
            .filter(|(_, entry)| order.signs.cover(entry.payout.id));
        for (place, entry) in board.begun().chain(planned.take(next)) {
            let facts = &Facts {
                may_sign: facts.may_sign && order.signs.cover(entry.payout.id),
                ..*facts
            };
            let step = next_step(&entry.payout, &entry.attempts, facts);
            work.is_open |= !matches!(step, Step::Await(_));
            match step {
                Step::Sign(ordinal) => work.sign.push((place, ordinal)),
                Step::Send(txid) if !outbox.contains(&txid) && memory.is_due(txid, now) => {
                    work.send.push(txid);
                }
                Step::Send(_) => work.pending += 1,
                Step::GiveUp(reason) => work.give_up.push((entry.payout.id, reason)),
                Step::Follow(_) | Step::Done | Step::Await(_) => {}
                Step::Broken(reason) => return Err(broken(entry, reason)),
            }
        }
        Ok(work)
    }

    /// Gives payouts up, all of them or none.
    pub(super) fn give_up(
        &self,
        lease: &AccountLease,
        board: &mut Board,
        payouts: &[(PayoutId, String)],
    ) -> Result<(), SettleError> {
        self.give_up_all(lease, payouts)?;
        for (payout, _) in payouts {
            board.failed(*payout);
        }
        Ok(())
    }

    /// Hands attempts to the chain, until it takes no more.
    async fn hand_over(&self, attempts: &[Durable<AttemptRow>]) -> HandedOver {
        let begin = self.clock.now();
        let mut answers = pin!(self.chain.broadcast_all(attempts));
        let mut handed = HandedOver::default();
        while let Some((txid, said)) = answers.next().await {
            if let Err(NodeError::Retry { after, .. }) = said {
                // It was not sent: it and the rest wait for another round.
                handed.wait = handed.wait.max(Some(after.unwrap_or_default()));
                continue;
            }
            let remark = match &said {
                Ok(()) => AttemptRow::ACCEPTED.to_owned(),
                Err(error) => error.to_string(),
            };
            self.tell(Event::Sent(txid, remark.clone()));
            handed.sent.push(Sent {
                txid,
                at: self.clock.now(),
                remark,
                refusal: said.err(),
            });
        }
        handed.took = self.clock.now().since(begin);
        handed
    }

    /// Notes what was said of attempts: no answer is an end.
    fn note_answers(
        &self,
        lease: &AccountLease,
        board: &mut Board,
        sent: Vec<Sent>,
        memory: &mut Memory,
    ) -> Result<(), SettleError> {
        if sent.is_empty() {
            return Ok(());
        }
        let mut remarks = Vec::with_capacity(sent.len());
        for Sent {
            txid,
            at,
            remark,
            refusal,
        } in sent
        {
            if let Some(error @ NodeError::Refused { url, code, .. }) = &refusal {
                if code == "CONTRACT_VALIDATE_ERROR" || code == "BANDWITH_ERROR" {
                    memory.refused.entry(txid).or_default().insert(url.clone());
                }
                memory.last_refusal = Some(error.clone());
            }
            let was_accepted = board
                .attempt(txid)
                .is_some_and(|attempt| attempt.get().is_accepted());
            let remark = match refusal {
                // What was accepted before is so still: a node that knows it says that it
                // is a double.
                Some(NodeError::Unknown { .. }) if was_accepted => AttemptRow::ACCEPTED.to_owned(),
                Some(error) => {
                    memory.doubts.insert(txid, error);
                    remark
                }
                None => {
                    memory.doubts.remove(&txid);
                    remark
                }
            };
            memory.sent.insert(txid, at);
            remarks.push((txid, remark));
        }
        self.ledger.mark_sent(lease, &remarks)?;
        let txids: Vec<_> = remarks.iter().map(|(txid, _)| *txid).collect();
        board.refresh(self.ledger, &txids)?;
        Ok(())
    }

    /// Asks what transactions in solid blocks burnt, a block at a time, and notes what the
    /// node tells. Returns of how many it told.
    pub(super) async fn fetch_fees(
        &self,
        unpriced: Vec<(u64, TxId)>,
    ) -> Result<usize, SettleError> {
        let mut blocks: BTreeMap<u64, Vec<TxId>> = BTreeMap::new();
        for (block, txid) in unpriced {
            blocks.entry(block).or_default().push(txid);
        }
        let mut answers = pin!(
            stream::iter(blocks)
                .map(async |(block, txids)| (block, txids, self.chain.burnt(block).await))
                .buffer_unordered(BLOCKS_AT_ONCE)
        );
        let mut fees = Vec::new();
        while let Some((block, txids, burnt)) = answers.next().await {
            match burnt {
                Ok(burnt) => fees.extend(
                    txids
                        .into_iter()
                        .filter_map(|txid| Some((txid, *burnt.get(&txid)?))),
                ),
                // They stay unknown, and are reported so.
                Err(error) => tracing::info!("the fees of block {block} are not known: {error}"),
            }
        }
        if !fees.is_empty() {
            self.ledger.record_fees(&fees)?;
        }
        Ok(fees.len())
    }
}

fn broken(entry: &Entry, reason: &'static str) -> SettleError {
    SettleError::Broken {
        payout: entry.payout.id,
        reason,
    }
}

/// What has ended must agree with itself, too.
fn check_ended(board: &Board) -> Result<(), SettleError> {
    let facts = Facts {
        head: UnixMs(0),
        may_sign: false,
    };
    for entry in board.driven().filter(|entry| !entry.is_open()) {
        if let Step::Broken(reason) = next_step(&entry.payout, &entry.attempts, &facts) {
            return Err(broken(entry, reason));
        }
    }
    Ok(())
}

fn reached(board: &Board, order: &Order<'_>, memory: &Memory) -> bool {
    if order.until == Until::Ended {
        return false;
    }
    board.driven().all(|entry| {
        if !entry.is_open() {
            return true;
        }
        let is_left = entry.attempts.is_empty() && !order.signs.cover(entry.payout.id);
        let is_there = entry.current().is_some_and(|attempt| match order.until {
            Until::Sent => {
                memory.sent.contains_key(&attempt.txid) || attempt.state == AttemptState::Included
            }
            _ => attempt.state == AttemptState::Included || memory.last_refusal.is_some(),
        });
        is_left || is_there
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FIRST_GROUP, Memory, SIGN_GROUP};

    #[test]
    fn no_more_is_signed_than_goes_out_in_a_moment() {
        let mut memory = Memory::default();
        assert_eq!(memory.group(), FIRST_GROUP);
        for (sent, seconds, group) in [
            (50, 0, SIGN_GROUP),
            (50, 10, 75),
            (1, 60, 1),
            (200, 15, 200),
        ] {
            memory.pace(sent, Duration::from_secs(seconds));
            assert_eq!(memory.group(), group, "{sent} in {seconds} s");
        }
        // A group of which nothing went out says nothing.
        memory.pace(0, Duration::from_secs(30));
        assert_eq!(memory.group(), 200);
    }
}

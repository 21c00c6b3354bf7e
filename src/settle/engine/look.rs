//! Reading the chain: up to its solid head, and whether the ledger knows all
//! that the account did.

use std::{collections::BTreeMap, time::Duration};

use super::{Engine, LIFETIME, LOOK_EVERY, SettleError, board::Board};
use crate::{
    ledger::{
        AccountLease, AttemptEnd, AttemptState, BlockRow, CursorRow, Durable, LEARNING,
        LedgerError, TransferRow,
    },
    settle::{
        chain::Chain,
        patience::{Missing, PATIENCE},
        report::Event,
        state::{LivingAttempts, living, read_block, transfer_of},
        trust::linked_up_to,
        unsolid::Unsolid,
    },
    tron::{
        block::Block,
        rpc::Finality,
        verified::{Trail, Verified},
    },
    types::{BlockId, TxId, UnixMs},
};

/// A gap of more blocks than this is not read when the account was quiet: an
/// hour of the chain.
const LONG_GAP: u64 = 1200;

/// So many solid blocks are found among those of the head; more are read as what
/// they are.
const FEW_BLOCKS: u64 = 50;

/// Solid blocks that are read and not taken in: nobody who is known has built on
/// them yet.
#[derive(Default)]
struct Waiting {
    rows: Vec<BlockRow>,
    /// The attempts that they do not end.
    living: Option<LivingAttempts>,
    /// Why they wait.
    strangers: Option<LedgerError>,
}

impl Waiting {
    /// The number of the block to ask for.
    fn next_after(&self, last: BlockId) -> u64 {
        let waiting = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        last.number().saturating_add(1).saturating_add(waiting)
    }

    /// In as many blocks a known witness had its turn thrice: none will come.
    fn is_full(&self) -> bool {
        self.rows.len() >= usize::try_from(LEARNING).unwrap_or(usize::MAX)
    }

    fn read<C: Chain>(
        &mut self,
        engine: &Engine<'_, C>,
        blocks: &[Verified<Block>],
        board: Option<&Board>,
    ) -> Result<(), SettleError> {
        let mut living = match (self.living.take(), board) {
            (Some(living), _) => living,
            (None, Some(board)) => board.living().clone(),
            (None, None) => {
                let attempts = engine.ledger.live_attempts(engine.account)?;
                living(attempts.iter().map(Durable::get))
            }
        };
        for block in blocks {
            self.rows
                .push(read_block(block, engine.account, &mut living));
        }
        self.living = Some(living);
        Ok(())
    }
}

/// The furthest the newest solid block may be behind the head where something is signed: ten
/// times what is usual.
const MOST_BEHIND: Duration = Duration::from_secs(600);

/// The word of so many nodes is enough that an account did nothing.
const ENOUGH_NODES: usize = 2;

/// How many looks a foreign use of the account may last: ten minutes.
pub(super) const FOREIGN_LOOKS: u32 = 1200;

impl<C: Chain> Engine<'_, C> {
    /// Reads solid blocks until there are no more, binding the account at the
    /// solid head the first time.
    pub(super) async fn catch_up(&self, lease: &AccountLease) -> Result<CursorRow, SettleError> {
        if let Some(cursor) = self.ledger.cursor(self.account)? {
            self.skip_quiet(lease, cursor).await?;
        }
        self.read_on(lease, None).await
    }

    /// [`catch_up`](Self::catch_up), keeping a board true; reads every block.
    pub(super) async fn read_on(
        &self,
        lease: &AccountLease,
        mut board: Option<&mut Board>,
    ) -> Result<CursorRow, SettleError> {
        let mut cursor = match self.ledger.cursor(self.account)? {
            Some(cursor) => cursor,
            None => {
                let head = self.patiently(|| self.chain.solid_head()).await?;
                self.ledger
                    .bind_account(lease, head.id, head.time)?
                    .into_inner()
            }
        };
        let (mut strays, mut moved) = (0, false);
        let mut missing = Missing::default();
        let mut waiting = Waiting::default();
        loop {
            let first = waiting.next_after(cursor.last);
            let blocks = self.patiently(|| self.chain.solid_blocks(first)).await?;
            let refused = if blocks.is_empty() {
                // No blocks are no proof that there are none.
                let head = self.patiently(|| self.chain.solid_head()).await?;
                if head.id.number() >= first {
                    self.wait_for_block(first, &mut missing).await?;
                    continue;
                }
                match waiting.strangers.take() {
                    Some(error) if !moved => error,
                    // What is left waits for a known witness's block.
                    _ => return Ok(cursor),
                }
            } else {
                missing.found();
                waiting.read(self, &blocks, board.as_deref())?;
                match self.take_in_rows(lease, &waiting.rows, board.as_deref_mut()) {
                    Ok(now) => {
                        cursor = now;
                        (strays, moved) = (0, true);
                        waiting = Waiting::default();
                        continue;
                    }
                    // A known witness may have built on them.
                    Err(SettleError::Ledger(error @ LedgerError::Strangers { .. }))
                        if !waiting.is_full() =>
                    {
                        waiting.strangers = Some(error);
                        continue;
                    }
                    Err(SettleError::Ledger(
                        error @ (LedgerError::NotLinked { .. } | LedgerError::Strangers { .. }),
                    )) => error,
                    Err(error) => return Err(error),
                }
            };
            // A node on a fork, or that invents blocks, or whose newest is by a
            // new witness: it may be another next time. Nothing was taken in.
            // Perhaps another chain answers where this one did.
            self.same_chain().await?;
            strays += 1;
            if strays >= PATIENCE {
                return Err(refused.into());
            }
            waiting = Waiting::default();
            self.tell(Event::Waiting(refused.to_string()));
            self.chain.pause(LOOK_EVERY).await;
        }
    }

    /// Solid blocks from one on that the nodes must have.
    pub(super) async fn blocks_there(
        &self,
        first: u64,
    ) -> Result<Vec<Verified<Block>>, SettleError> {
        let mut missing = Missing::default();
        loop {
            let blocks = self.patiently(|| self.chain.solid_blocks(first)).await?;
            if !blocks.is_empty() {
                return Ok(blocks);
            }
            self.wait_for_block(first, &mut missing).await?;
        }
    }

    /// Waits for a block that the nodes must have and do not show.
    async fn wait_for_block(&self, number: u64, missing: &mut Missing) -> Result<(), SettleError> {
        let tell = |event| self.tell(event);
        missing.wait(self.chain, tell, number).await
    }

    /// Reads the chain to its head, each block once, takes in what of it is solid,
    /// and notes which attempts are in a block. Returns those that a fork took out
    /// of theirs.
    pub(super) async fn look(
        &self,
        lease: &AccountLease,
        board: &mut Board,
        unsolid: &mut Unsolid,
    ) -> Result<Vec<TxId>, SettleError> {
        let solid = self.patiently(|| self.chain.solid_head()).await?;
        let mut last = match self.ledger.cursor(self.account)? {
            Some(cursor) if solid.id.number() <= cursor.last.number() + FEW_BLOCKS => cursor.last,
            _ => self.read_on(lease, Some(board)).await?.last,
        };
        if solid.id.number() < last.number() {
            // A node that lags, or a chain that begins anew where this one was.
            self.patiently(|| self.chain.genesis())
                .await
                .and_then(|node| self.is_of_ledger(node))?;
        }
        unsolid.begin_after(last);
        self.read_ahead(last, unsolid).await?;
        if solid.id.number() > last.number() {
            let blocks = unsolid.take_through(solid.id);
            let taken = if blocks.is_empty() {
                None
            } else {
                match self.take_in(lease, &blocks, Some(board)) {
                    Ok(cursor) => Some(cursor),
                    Err(SettleError::Ledger(
                        LedgerError::NotLinked { .. } | LedgerError::Strangers { .. },
                    )) => None,
                    Err(error) => return Err(error),
                }
            };
            last = match taken {
                Some(cursor) => cursor.last,
                // Solid is what the node did not show as its head, or by a stranger.
                None => self.read_on(lease, Some(board)).await?.last,
            };
            unsolid.begin_after(last);
        }
        self.note_inclusion(lease, board, last, unsolid)
    }

    /// Reads what is on top of the blocks read so far.
    async fn read_ahead(&self, last: BlockId, unsolid: &mut Unsolid) -> Result<(), SettleError> {
        // After a fork, from the last solid block on again.
        for _ in 0..2 {
            if unsolid.is_full() {
                break;
            }
            let next = unsolid.end(last).number().saturating_add(1);
            let blocks = self.patiently(|| self.chain.head_blocks(next)).await?;
            if unsolid.extend(last, blocks) {
                break;
            }
            unsolid.clear();
        }
        Ok(())
    }

    /// Notes which attempts are in a block now, and which are no more: these are
    /// returned.
    fn note_inclusion(
        &self,
        lease: &AccountLease,
        board: &mut Board,
        last: BlockId,
        unsolid: &Unsolid,
    ) -> Result<Vec<TxId>, SettleError> {
        let places = unsolid.places();
        let mut seen = Vec::new();
        let mut forked_out = Vec::new();
        for txid in board.living().keys() {
            let Some(attempt) = board.attempt(*txid).map(Durable::get) else {
                continue;
            };
            let before = (attempt.state == AttemptState::Included)
                .then_some(attempt.block)
                .flatten();
            match (before, places.get(txid)) {
                (before, Some(now)) => {
                    if before != Some(*now) && attempt.state != AttemptState::Offered {
                        seen.push((*txid, Some(*now)));
                        self.tell(Event::Included(*txid, *now));
                    }
                }
                (Some(before), None) if before <= last.number() || unsolid.covers(before) => {
                    seen.push((*txid, None));
                    forked_out.push(*txid);
                }
                (_, None) => {}
            }
        }
        if !seen.is_empty() {
            self.ledger.mark_included(lease, &seen)?;
            let txids: Vec<_> = seen.iter().map(|(txid, _)| *txid).collect();
            board.refresh(self.ledger, &txids)?;
        }
        Ok(forked_out)
    }

    /// Applies blocks and tells what they ended.
    fn take_in(
        &self,
        lease: &AccountLease,
        blocks: &[Verified<Block>],
        board: Option<&mut Board>,
    ) -> Result<CursorRow, SettleError> {
        let mut waiting = Waiting::default();
        waiting.read(self, blocks, board.as_deref())?;
        self.take_in_rows(lease, &waiting.rows, board)
    }

    fn take_in_rows(
        &self,
        lease: &AccountLease,
        rows: &[BlockRow],
        board: Option<&mut Board>,
    ) -> Result<CursorRow, SettleError> {
        let cursor = self.ledger.apply_blocks(lease, rows)?.into_inner();
        let mut ended = Vec::new();
        for row in rows {
            if row.id.number() > cursor.last.number() {
                break;
            }
            for end in &row.ends {
                let (txid, event) = match end {
                    AttemptEnd::Solid(txid) => (*txid, Event::Solid(*txid, row.id.number())),
                    AttemptEnd::IncludedFailed(txid) | AttemptEnd::Expired(txid) => {
                        (*txid, Event::Dead(*txid))
                    }
                };
                ended.push(txid);
                self.tell(event);
            }
        }
        if let Some(board) = board
            && !ended.is_empty()
        {
            board.refresh(self.ledger, &ended)?;
        }
        Ok(cursor)
    }

    /// Passes over a long gap in which the account did nothing: no attempt of
    /// ours can be in it, and what others paid us is counted when they say so.
    async fn skip_quiet(&self, lease: &AccountLease, cursor: CursorRow) -> Result<(), SettleError> {
        let head = self.patiently(|| self.chain.solid_head()).await?;
        if head.id.number().saturating_sub(cursor.last.number()) <= LONG_GAP
            || !self.ledger.live_attempts(self.account)?.is_empty()
        {
            return Ok(());
        }
        let told = self.patiently(|| self.chain.last_act(self.account)).await?;
        // An operation is stamped with its block's parent's time.
        if told.at.is_some_and(|at| at >= cursor.last_time) {
            return Ok(());
        }
        // An account that only this ledger uses has nothing in the gap that a node could hide.
        if told.nodes < ENOUGH_NODES && cursor.foreign.is_some() {
            self.tell(Event::Waiting(format!(
                "reading blocks {} to {}: one node alone says that {} did nothing in them, and \
                 the account was used outside of this ledger before; a second --node saves this",
                cursor.last.number(),
                head.id.number(),
                self.account
            )));
            return Ok(());
        }
        self.pass_over(lease, cursor, head.id).await
    }

    /// Moves the cursor towards a solid head: three rounds of 27 witnesses, of whom
    /// enough must be known. Where too many were elected or changed keys meanwhile,
    /// half way first, whose witnesses are known from then on.
    async fn pass_over(
        &self,
        lease: &AccountLease,
        mut cursor: CursorRow,
        head: BlockId,
    ) -> Result<(), SettleError> {
        let mut end = head;
        loop {
            let gap = end.number().saturating_sub(cursor.last.number());
            if gap <= LONG_GAP {
                return Ok(());
            }
            let first = end.number().saturating_sub(u64::from(LEARNING) - 1);
            let skipped = match linked_up_to(self.chain, |event| self.tell(event), first, end).await
            {
                Ok(headers) => self.ledger.skip_to(lease, &headers),
                Err(error) => {
                    tracing::debug!("every block is read: {error}");
                    return Ok(());
                }
            };
            match skipped {
                Ok(moved) if moved.get().last.number() > cursor.last.number() => {
                    cursor = moved.into_inner();
                    end = head;
                }
                Ok(_) => return Ok(()),
                Err(LedgerError::Strangers { .. }) => {
                    let half = cursor.last.number().saturating_add(gap / 2);
                    let blocks = self.blocks_there(half).await?;
                    match blocks.first() {
                        Some(block) if block.header.number == half => end = block.id(),
                        _ => return Ok(()),
                    }
                }
                Err(error @ LedgerError::NotLinked { .. }) => {
                    tracing::debug!("every block is read: {error}");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns once the ledger knows everything that the account did, and
    /// nothing that another holder of its key signed can still happen unseen.
    pub(super) async fn fresh(
        &self,
        lease: &AccountLease,
        board: &mut Board,
    ) -> Result<CursorRow, SettleError> {
        let mut looks = 0;
        let mut before = None;
        let mut end = SettleError::UsedElsewhere {
            account: self.account,
        };
        while looks < FOREIGN_LOOKS {
            let cursor = self.read_on(lease, Some(board)).await?;
            let why = match self.foreign(&cursor, board).await? {
                Some(why) => why,
                None => match self.behind(&cursor).await? {
                    None => return Ok(cursor),
                    Some(behind) => {
                        let why = Event::Waiting(behind.to_string());
                        end = behind;
                        why
                    }
                },
            };
            // A long wait is told though blocks come meanwhile.
            if let Event::WaitingFor(..) = &why {
                self.tell(why.clone());
            }
            // A block that came between the two questions is read at once.
            if before.replace(cursor.last) == Some(cursor.last) {
                looks += 1;
                self.tell(why);
                self.chain.pause(LOOK_EVERY).await;
            }
        }
        Err(end)
    }

    /// Whether the nodes show a head, and what is final only from long before it: what the
    /// account did in between would not be seen.
    async fn behind(&self, cursor: &CursorRow) -> Result<Option<SettleError>, SettleError> {
        let head = self.patiently(|| self.chain.head()).await?;
        let behind = head.time.since(cursor.last_time) > MOST_BEHIND;
        Ok(behind.then_some(SettleError::SolidBehind {
            solid: cursor.last_time,
            head: head.time,
        }))
    }

    /// Why nothing may be signed yet.
    async fn foreign(
        &self,
        cursor: &CursorRow,
        board: &Board,
    ) -> Result<Option<Event>, SettleError> {
        let account = self.account;
        let solid = self
            .patiently(|| self.chain.account(Finality::Solid, account))
            .await?;
        if solid.is_some_and(|solid| solid.latest_operation >= cursor.last_time) {
            let why = format!("{account} acted in a block that is not read yet");
            return Ok(Some(Event::Waiting(why)));
        }
        if board.is_quiet() {
            let head = self
                .patiently(|| self.chain.account(Finality::Head, account))
                .await?;
            if head.is_some_and(|head| head.latest_operation >= cursor.last_time) {
                let why = format!(
                    "{account} did something that is not final yet and not from this ledger"
                );
                return Ok(Some(Event::Waiting(why)));
            }
        }
        if let Some(foreign) = cursor.foreign {
            let left = foreign.at.plus(LIFETIME).since(cursor.last_time);
            if left > Duration::ZERO {
                let why = format!(
                    "{account} made transaction {} outside of this ledger, and others that were \
                     signed with its key then may still happen",
                    foreign.txid
                );
                return Ok(Some(Event::WaitingFor(left, why)));
            }
        }
        Ok(None)
    }

    /// Makes sure that what the account sent since the first receipt it issued is
    /// in the ledger, also where that is before the ledger was bound: after a
    /// lost ledger its receipts come back from peers, and what was paid of them
    /// is on the chain alone.
    pub(super) async fn know_history(&self, lease: &AccountLease) -> Result<(), SettleError> {
        let Some(cursor) = self.ledger.cursor(self.account)? else {
            return Ok(());
        };
        let Some(first) = self.ledger.issued_since(self.account)? else {
            return Ok(());
        };
        if first >= cursor.history {
            return Ok(());
        }
        let told = self.patiently(|| self.chain.last_act(self.account)).await?;
        // What another ledger of the account paid is hidden by no single node.
        let quiet = told.nodes >= ENOUGH_NODES
            && match told.at {
                None => true,
                // An operation is stamped with its block's parent's time.
                Some(at) => (self.known_time(first).await?).is_some_and(|began| at < began),
            };
        let seen = if quiet {
            BTreeMap::new()
        } else {
            self.tell(Event::Waiting(format!(
                "reading what {} paid from block {first} to {}",
                self.account,
                cursor.bound.number()
            )));
            self.outgoing_on_chain(first, cursor.bound).await?
        };
        let seen: Vec<_> = seen.into_values().collect();
        self.ledger.extend_history(lease, first, &seen)?;
        Ok(())
    }

    /// The time of a solid block that a known witness made, or built on; `None` where that is
    /// not shown. A node can invent a block of any time, and its witness.
    async fn known_time(&self, number: u64) -> Result<Option<UnixMs>, SettleError> {
        let known = self.ledger.witnesses()?;
        let mut trail = Trail::starting_at(number);
        let mut time = None;
        while trail.next < number.saturating_add(LEARNING.into()) {
            let blocks = self
                .patiently(|| self.chain.solid_blocks(trail.next))
                .await?;
            if blocks.is_empty() {
                break;
            }
            for block in &blocks {
                if !trail.step(block) {
                    return Ok(None);
                }
                let time = *time.get_or_insert(block.header.timestamp);
                let is_known = block.made_by().is_some_and(|made| {
                    known
                        .iter()
                        .any(|known| known.address == made.witness && known.signer == made.signer)
                });
                if is_known {
                    return Ok(Some(time));
                }
            }
        }
        Ok(None)
    }

    /// Every transfer from the account on the solid chain in the blocks after
    /// `after` and up to `end`, which must be the chain's.
    pub(super) async fn outgoing_on_chain(
        &self,
        after: u64,
        end: BlockId,
    ) -> Result<BTreeMap<TxId, TransferRow>, SettleError> {
        let mut trail = Trail::starting_at(after.saturating_add(1));
        // What each answer held, with the place before it.
        let mut answers: Vec<(Trail, Vec<TransferRow>)> = Vec::new();
        let (mut missing, mut strays, mut furthest) = (Missing::default(), 0, trail.next);
        while trail.next <= end.number() {
            let blocks = self
                .patiently(|| self.chain.solid_blocks(trail.next))
                .await?;
            if blocks.is_empty() {
                self.wait_for_block(trail.next, &mut missing).await?;
                continue;
            }
            missing.found();
            let before = trail;
            let mut own = Vec::new();
            let mut is_linked = true;
            for block in &blocks {
                let id = block.id();
                is_linked = trail.step(block) && (id.number() != end.number() || id == end);
                if !is_linked {
                    break;
                }
                own.extend(self.sent_in(block));
                if id == end {
                    break;
                }
            }
            if is_linked {
                answers.push((before, own));
                if trail.next > furthest {
                    (strays, furthest) = (0, trail.next);
                }
                continue;
            }
            // This answer was wrong, or the one before: both are asked for again.
            let last = before.last.unwrap_or(end);
            trail = answers.pop().map_or(before, |(before, _)| before);
            strays += 1;
            let error = LedgerError::NotLinked {
                found: blocks.first().map_or(end, |block| block.id()),
                last,
            };
            if strays >= PATIENCE {
                return Err(error.into());
            }
            self.same_chain().await?;
            self.tell(Event::Waiting(error.to_string()));
            self.chain.pause(LOOK_EVERY).await;
        }
        let seen = answers.into_iter().flat_map(|(_, own)| own);
        Ok(seen.map(|transfer| (transfer.txid, transfer)).collect())
    }

    /// The transfers that the account made in a block.
    fn sent_in(&self, block: &Verified<Block>) -> Vec<TransferRow> {
        block
            .transactions
            .iter()
            .filter_map(|transaction| transfer_of(block, transaction))
            .filter(|transfer| transfer.payer == self.account)
            .collect()
    }
}

//! The chain as settlement sees it: a trait, so that a simulation can be one.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};

use crate::{
    ledger::{AttemptRow, Durable},
    tron::{
        block::Block,
        fees::IssuerBandwidth,
        permission::Permissions,
        rpc::{Account, AccountResources, ChainParameters, Finality, NodeError, StakeYield},
        verified::Verified,
    },
    types::{Address, BlockId, Sun, TokenId, TxId, UnixMs},
};

/// How many attempts are handed over at a time.
const SENDERS: usize = 16;

/// What a node said of an attempt.
pub type Answer = (TxId, Result<(), NodeError>);

/// A block as a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its id, with its number in it.
    pub id: BlockId,
    /// Its time.
    pub time: UnixMs,
}

/// When an account last acted in solid blocks, by the word of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAct {
    /// The latest time that any of them tells; `None` where none knows the account.
    pub at: Option<UnixMs>,
    /// How many of them told.
    pub nodes: usize,
}

/// What settlement asks of a chain, and the only way it reaches out.
///
/// An implementation answers as well as it can: late, not at all, or
/// differently at each call. What must not be believed, settlement does not:
/// only [`solid_blocks`](Chain::solid_blocks) decides what is paid. All else
/// is for planning and for show.
pub trait Chain: Send + Sync {
    /// The chain's block 0.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn genesis(&self) -> impl Future<Output = Result<BlockId, NodeError>> + Send;

    /// The newest block that may still be forked out.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn head(&self) -> impl Future<Output = Result<Head, NodeError>> + Send;

    /// The newest solid block.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn solid_head(&self) -> impl Future<Output = Result<Head, NodeError>> + Send;

    /// Solid blocks from number `first` on, as many as it likes; empty when it
    /// has none. Consecutive and linked, each of them [verified](Verified).
    ///
    /// # Errors
    /// See [`NodeError`]; anything short of that is `Unknown`.
    fn solid_blocks(
        &self,
        first: u64,
    ) -> impl Future<Output = Result<Vec<Verified<Block>>, NodeError>> + Send;

    /// The solid block of this number; `None` when it has none.
    ///
    /// # Errors
    /// As of [`solid_blocks`](Self::solid_blocks).
    fn solid_block(
        &self,
        number: u64,
    ) -> impl Future<Output = Result<Option<Verified<Block>>, NodeError>> + Send {
        async move { Ok(self.solid_blocks(number).await?.into_iter().next()) }
    }

    /// Blocks from number `first` on that may still be forked out, as many as it
    /// likes, verified and linked like solid ones. They say what is in a block by
    /// now, and are taken in when they have become solid. A chain that is only
    /// asked for solid blocks need not know any.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn head_blocks(
        &self,
        first: u64,
    ) -> impl Future<Output = Result<Vec<Verified<Block>>, NodeError>> + Send {
        let _ = first;
        async { Ok(Vec::new()) }
    }

    /// An account; `None` when the node knows none.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn account(
        &self,
        finality: Finality,
        address: Address,
    ) -> impl Future<Output = Result<Option<Account>, NodeError>> + Send;

    /// When an account last acted in solid blocks: every node is asked, and the latest time
    /// counts, so that one of them hides nothing that another one tells.
    ///
    /// # Errors
    /// See [`NodeError`]: none of them answers.
    fn last_act(
        &self,
        address: Address,
    ) -> impl Future<Output = Result<LastAct, NodeError>> + Send {
        async move {
            let account = self.account(Finality::Solid, address).await?;
            Ok(LastAct {
                at: account.map(|account| account.latest_operation),
                nodes: 1,
            })
        }
    }

    /// Whose signatures the chain takes for an account; for one that does not exist,
    /// its own.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn permissions(
        &self,
        address: Address,
    ) -> impl Future<Output = Result<Permissions, NodeError>> + Send;

    /// An account's bandwidth.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn resources(
        &self,
        address: Address,
    ) -> impl Future<Output = Result<AccountResources, NodeError>> + Send;

    /// What the issuer of a token offers a holder.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn issuer(
        &self,
        token: TokenId,
        holder: Address,
    ) -> impl Future<Output = Result<Option<IssuerBandwidth>, NodeError>> + Send;

    /// What stake gives on the chain.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn stake_yield(
        &self,
        address: Address,
    ) -> impl Future<Output = Result<StakeYield, NodeError>> + Send;

    /// The chain's parameters.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn parameters(&self) -> impl Future<Output = Result<ChainParameters, NodeError>> + Send;

    /// Sends an attempt that is on disk. Whatever it answers, the attempt may
    /// be in a block one day.
    ///
    /// # Errors
    /// See [`NodeError`]: remarks, all of them.
    fn broadcast(
        &self,
        attempt: &Durable<AttemptRow>,
    ) -> impl Future<Output = Result<(), NodeError>> + Send;

    /// Sends several, some at a time, and gives the answers as they come. After a
    /// `Retry` no more are begun: what is not answered was not sent. It may go on
    /// while nobody waits for an answer, until it is dropped.
    fn broadcast_all(&self, attempts: &[Durable<AttemptRow>]) -> impl Stream<Item = Answer> + Send {
        some_at_a_time(attempts, |attempt| self.broadcast(attempt))
    }

    /// What the transactions of a solid block burnt, as far as the node says. For
    /// show.
    ///
    /// # Errors
    /// See [`NodeError`].
    fn burnt(
        &self,
        block: u64,
    ) -> impl Future<Output = Result<BTreeMap<TxId, Sun>, NodeError>> + Send;

    /// Whether the chain's time is moved on purpose, as a devnet's may be: then its head
    /// says what time it is, and not a clock.
    fn moves_time(&self) -> bool {
        false
    }

    /// What is known already of the keys that witnesses sign with.
    fn know_signer(&self, witness: Address, signer: Address) {
        let _ = (witness, signer);
    }

    /// Whether all nodes hold this solid block.
    ///
    /// # Errors
    /// `Unknown` when one of them holds another, or cannot say.
    fn agree_on(&self, block: BlockId) -> impl Future<Output = Result<(), NodeError>> + Send {
        let _ = block;
        async { Ok(()) }
    }

    /// How many nodes answer: a refusal counts more when two of them say it.
    fn nodes(&self) -> usize {
        1
    }

    /// Lets time pass, until something may have changed, at most `time`.
    fn pause(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// Sends each with `broadcast`, as [`Chain::broadcast_all`] says.
pub(super) fn some_at_a_time<'a, F>(
    attempts: &'a [Durable<AttemptRow>],
    broadcast: impl Fn(&'a Durable<AttemptRow>) -> F + Send,
) -> impl Stream<Item = Answer> + Send
where
    F: Future<Output = Result<(), NodeError>> + Send,
{
    let stopped = Arc::new(AtomicBool::new(false));
    stream::iter(attempts)
        .map(move |attempt| {
            let stopped = Arc::clone(&stopped);
            let (txid, sent) = (attempt.get().txid, broadcast(attempt));
            async move {
                if stopped.load(Ordering::Relaxed) {
                    return None;
                }
                let said = sent.await;
                if matches!(said, Err(NodeError::Retry { .. })) {
                    stopped.store(true, Ordering::Relaxed);
                }
                Some((txid, said))
            }
        })
        .buffer_unordered(SENDERS)
        .filter_map(async |answer| answer)
}

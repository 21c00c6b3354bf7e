//! The chain behind real nodes.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::{sync::mpsc, task::JoinSet};

use super::chain::{Answer, Chain, Head, LastAct, some_at_a_time};
use crate::{
    ledger::{AttemptRow, Durable},
    tron::{
        block::{Block, BlockHeader},
        fees::{IssuerBandwidth, read_issuer},
        permission::Permissions,
        rpc::{Account, AccountResources, ChainParameters, Finality, Node, NodeError, StakeYield},
        transaction::Transaction,
        verified::Verified,
    },
    types::{Address, BlockId, Sun, TokenId, TxId},
};

/// How many blocks are asked for at once; the client asks for no more.
const BLOCKS_AT_ONCE: u64 = 50;

/// The chain as nodes tell it; blocks are verified by the client.
#[derive(Debug, Clone)]
pub struct NodeChain {
    /// The nodes.
    pub node: Node,
    /// See [`Chain::moves_time`].
    pub moves_time: bool,
}

impl NodeChain {
    /// A chain whose blocks come at the time that they say.
    pub const fn new(node: Node) -> Self {
        Self {
            node,
            moves_time: false,
        }
    }
}

impl From<Verified<BlockHeader>> for Head {
    fn from(header: Verified<BlockHeader>) -> Self {
        Self {
            id: header.id(),
            time: header.timestamp,
        }
    }
}

impl Chain for NodeChain {
    async fn genesis(&self) -> Result<BlockId, NodeError> {
        self.node.genesis().await
    }

    async fn head(&self) -> Result<Head, NodeError> {
        // Of all nodes, so that one that lags or runs ahead sets no expiration.
        self.node.median_head().await.map(Head::from)
    }

    async fn solid_head(&self) -> Result<Head, NodeError> {
        self.node.head(Finality::Solid).await.map(Head::from)
    }

    async fn solid_blocks(&self, first: u64) -> Result<Vec<Verified<Block>>, NodeError> {
        self.node
            .blocks(Finality::Solid, first, BLOCKS_AT_ONCE)
            .await
    }

    async fn solid_block(&self, number: u64) -> Result<Option<Verified<Block>>, NodeError> {
        self.node.block(Finality::Solid, number).await
    }

    async fn head_blocks(&self, first: u64) -> Result<Vec<Verified<Block>>, NodeError> {
        self.node
            .blocks(Finality::Head, first, BLOCKS_AT_ONCE)
            .await
    }

    async fn account(
        &self,
        finality: Finality,
        address: Address,
    ) -> Result<Option<Account>, NodeError> {
        self.node.account(finality, address).await
    }

    async fn last_act(&self, address: Address) -> Result<LastAct, NodeError> {
        let mut told = LastAct { at: None, nodes: 0 };
        let mut silent = None;
        for answer in self.node.account_everywhere(address).await {
            match answer {
                Ok(account) => {
                    told.nodes += 1;
                    told.at = told.at.max(account.map(|account| account.latest_operation));
                }
                Err(error) => silent = Some(error),
            }
        }
        match silent {
            Some(error) if told.nodes == 0 => Err(error),
            _ => Ok(told),
        }
    }

    async fn permissions(&self, address: Address) -> Result<Permissions, NodeError> {
        let permissions = self.node.permissions(address).await?;
        Ok(permissions.unwrap_or_else(|| Permissions::default_of(address)))
    }

    async fn resources(&self, address: Address) -> Result<AccountResources, NodeError> {
        self.node.resources(address).await
    }

    async fn issuer(
        &self,
        token: TokenId,
        holder: Address,
    ) -> Result<Option<IssuerBandwidth>, NodeError> {
        read_issuer(&self.node, token, holder).await
    }

    async fn stake_yield(&self, address: Address) -> Result<StakeYield, NodeError> {
        self.node.stake_yield(address).await
    }

    async fn parameters(&self) -> Result<ChainParameters, NodeError> {
        self.node.chain_parameters().await
    }

    async fn broadcast(&self, attempt: &Durable<AttemptRow>) -> Result<(), NodeError> {
        let unreadable = |reason: String| NodeError::Unknown {
            url: String::new(),
            reason,
        };
        let transaction = Transaction::decode(&attempt.get().bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        if transaction.txid() != attempt.get().txid {
            return Err(unreadable(format!(
                "the ledger's bytes of {} are another transaction",
                attempt.get().txid
            )));
        }
        self.node.broadcast(&transaction).await
    }

    /// In a task of its own: the next group is signed and written meanwhile, and
    /// neither waits for the other.
    fn broadcast_all(&self, attempts: &[Durable<AttemptRow>]) -> impl Stream<Item = Answer> + Send {
        let (sender, receiver) = mpsc::channel(attempts.len().max(1));
        let (chain, attempts) = (self.clone(), attempts.to_vec());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut answers = pin!(some_at_a_time(&attempts, |attempt| chain.broadcast(attempt)));
            while let Some(answer) = answers.next().await {
                if sender.send(answer).await.is_err() {
                    return;
                }
            }
        });
        stream::unfold((receiver, task), async |(mut receiver, mut task)| {
            if let Some(answer) = receiver.recv().await {
                return Some((answer, (receiver, task)));
            }
            if let Some(Err(error)) = task.join_next().await
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
            None
        })
    }

    async fn burnt(&self, block: u64) -> Result<BTreeMap<TxId, Sun>, NodeError> {
        let infos = self.node.transaction_infos(Finality::Solid, block).await?;
        Ok(infos
            .into_iter()
            .map(|(txid, info)| (txid, info.fee))
            .collect())
    }

    fn moves_time(&self) -> bool {
        self.moves_time
    }

    fn know_signer(&self, witness: Address, signer: Address) {
        self.node.signers().learn(witness, signer);
    }

    async fn agree_on(&self, block: BlockId) -> Result<(), NodeError> {
        self.node.agree_on(block).await
    }

    fn nodes(&self) -> usize {
        self.node.urls().len()
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

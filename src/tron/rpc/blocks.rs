//! Blocks and headers, believed: who signs for whom is looked up where it is not known.

use serde_json::{Value, json};

use super::{
    Finality, Node, NodeError, answers,
    http::{Endpoint, MAX_ANSWER_BYTES, MAX_BLOCKS_BYTES},
    is_empty,
};
use crate::{
    tron::{
        block::{Block, BlockHeader},
        json::{block_from_json, header_from_json},
        verified::{MadeBy, Sealed, Verified, believe_linked},
    },
    types::BlockId,
};

/// At most this many blocks are asked for at once (the node's own limit is 100);
/// fewer when their answer is larger than is read.
const MAX_BLOCKS_AT_ONCE: u64 = 50;

impl Node {
    /// The header of a finality's newest block, believed.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn head(&self, finality: Finality) -> Result<Verified<BlockHeader>, NodeError> {
        let sealed = self
            .ask(finality, "getblock", newest_header(), read_header)
            .await?;
        self.look_up(sealed.made_by().as_slice()).await;
        sealed
            .believe(&self.signers)
            .map_err(|error| self.unbelievable(error))
    }

    /// A block by number, believed; `None` when this node does not have it, which
    /// proves nothing.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn block(
        &self,
        finality: Finality,
        number: u64,
    ) -> Result<Option<Verified<Block>>, NodeError> {
        let sealed = self
            .ask(
                finality,
                "getblockbynum",
                json!({ "num": number, "visible": false }),
                |url, answer| {
                    let Some((claimed, block)) = read_block(url, answer)? else {
                        return Ok(None);
                    };
                    let got = block.header.number;
                    if got != number {
                        return Err(NodeError::unknown(
                            url,
                            format!("asked for block {number}, it sent {got}"),
                        ));
                    }
                    seal(url, claimed, block).map(Some)
                },
            )
            .await?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        self.look_up(sealed.made_by().as_slice()).await;
        sealed
            .believe(&self.signers)
            .map(Some)
            .map_err(|error| self.unbelievable(error))
    }

    /// Up to 50 believed blocks from `first` on: consecutive and linked by their
    /// parents' ids, as many as the node has; fewer when so many are more than is
    /// read at once. The newest are left out while nobody knows who signed them.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn blocks(
        &self,
        finality: Finality,
        first: u64,
        count: u64,
    ) -> Result<Vec<Verified<Block>>, NodeError> {
        let mut count = count.clamp(1, MAX_BLOCKS_AT_ONCE);
        let sealed = loop {
            match self.sealed_blocks(finality, first, count).await {
                Err(NodeError::TooLarge { .. }) if count > 1 => count /= 2,
                answer => break answer?,
            }
        };
        let made: Vec<_> = sealed.iter().filter_map(Sealed::made_by).collect();
        self.look_up(&made).await;
        believe_linked(sealed, &self.signers).map_err(|error| self.unbelievable(error))
    }

    async fn sealed_blocks(
        &self,
        finality: Finality,
        first: u64,
        count: u64,
    ) -> Result<Vec<Sealed<Block>>, NodeError> {
        let end = first.saturating_add(count);
        let body = json!({ "startNum": first, "endNum": end, "visible": false });
        self.ask(finality, "getblockbylimitnext", body, |url, answer| {
            let Some(list) = answer.get("block") else {
                return Ok(Vec::new());
            };
            let list = list
                .as_array()
                .ok_or_else(|| NodeError::unknown(url, "`block` is no list"))?;
            let mut blocks: Vec<Sealed<Block>> = Vec::new();
            let mut parent = None;
            for object in list {
                let (claimed, block) = read_block(url, object)?
                    .ok_or_else(|| NodeError::unknown(url, "an empty block in a list"))?;
                let expected = first + blocks.len() as u64;
                let number = block.header.number;
                let linked = parent.is_none_or(|parent| block.header.parent_hash == parent);
                let sealed = seal(url, claimed, block)?;
                if number != expected || !linked {
                    return Err(NodeError::unknown(
                        url,
                        format!("its blocks from {first} on are not a chain at {expected}"),
                    ));
                }
                parent = Some(claimed);
                blocks.push(sealed);
            }
            if blocks.len() as u64 > count {
                return Err(NodeError::unknown(
                    url,
                    "it sent more blocks than were asked for",
                ));
            }
            Ok(blocks)
        })
        .await
    }

    /// The id of block 0, which says which chain this is. Every configured node
    /// must name the same one; one that does not answer now is asked again before
    /// it is asked anything else. Asked again, it is what the nodes name now; the
    /// client keeps to the first.
    ///
    /// # Errors
    /// See [`NodeError`]; `Unknown` when two nodes are on different chains.
    pub async fn genesis(&self) -> Result<BlockId, NodeError> {
        let solidity = self.solidity.endpoints().iter();
        let known: Vec<_> = self.full.endpoints().iter().map(Endpoint::url).collect();
        let mut endpoints = self.full.endpoints().to_vec();
        endpoints.extend(solidity.filter(|e| !known.contains(&e.url())).cloned());
        self.full.agree_on_genesis(endpoints).await
    }

    /// Whether every node holds this solid block.
    ///
    /// # Errors
    /// `Unknown` when one of them holds another, or cannot say.
    pub async fn agree_on(&self, block: BlockId) -> Result<(), NodeError> {
        let body = json!({ "num": block.number(), "visible": false });
        let answers = self
            .solidity
            .ask_everyone("walletsolidity/getblockbynum", &body, MAX_BLOCKS_BYTES)
            .await;
        for (endpoint, answer) in answers {
            let url = endpoint.url();
            let theirs = match read_block(url, &answer?)? {
                Some((claimed, theirs)) => Some(seal(url, claimed, theirs).map(|_| claimed)?),
                None => None,
            };
            if theirs != Some(block) {
                return Err(NodeError::unknown(
                    url,
                    format!("it does not hold block {block}, which another node holds"),
                ));
            }
        }
        Ok(())
    }

    /// The middle one of the nodes' heads (the lower, of two): a single node that
    /// lags or runs ahead does not decide what time it is on the chain.
    ///
    /// # Errors
    /// See [`NodeError`]: no node has a head that can be believed.
    pub async fn median_head(&self) -> Result<Verified<BlockHeader>, NodeError> {
        let answers = self
            .full
            .ask_everyone("wallet/getblock", &newest_header(), MAX_ANSWER_BYTES)
            .await;
        let mut heads = Vec::new();
        let mut last = None;
        for (endpoint, answer) in answers {
            let head =
                answer.and_then(|answer| endpoint.distrust(read_header(endpoint.url(), &answer)));
            let head = match head {
                Ok(sealed) => {
                    self.look_up(sealed.made_by().as_slice()).await;
                    let url = endpoint.url();
                    sealed
                        .believe(&self.signers)
                        .map_err(|error| NodeError::unknown(url, error))
                }
                Err(error) => Err(error),
            };
            match head {
                Ok(head) => heads.push(head),
                Err(error) => last = Some(error),
            }
        }
        heads.sort_by_key(|head| head.number);
        let middle = heads.len().saturating_sub(1) / 2;
        match heads.into_iter().nth(middle) {
            Some(head) => Ok(head),
            None => Err(last.unwrap_or_else(|| NodeError::unknown("", "no node is configured"))),
        }
    }

    fn unbelievable(&self, error: impl ToString) -> NodeError {
        NodeError::unknown(&self.urls().join(", "), error)
    }

    /// Asks about those witnesses whose blocks a key signed that is not known as
    /// theirs: when every node that knows the witness names that key in its witness
    /// permission, it is.
    async fn look_up(&self, made: &[MadeBy]) {
        let mut asked = std::collections::BTreeSet::new();
        for MadeBy { witness, signer } in made.iter().copied() {
            if self.signers.knows(witness, signer) || !asked.insert(witness) {
                continue;
            }
            let body = json!({ "address": witness.to_string(), "visible": true });
            let answers = self
                .full
                .ask_everyone("wallet/getaccount", &body, MAX_ANSWER_BYTES)
                .await;
            let mut named = Vec::new();
            for (endpoint, answer) in answers {
                let url = endpoint.url();
                let told = answer.and_then(|answer| {
                    answers::witness_key(&answer, witness)
                        .map_err(|reason| NodeError::unknown(url, reason))
                });
                match endpoint.distrust(told) {
                    Ok(key) => named.extend(key),
                    Err(error) => tracing::debug!("{error}"),
                }
            }
            if !named.is_empty() && named.iter().all(|key| *key == signer) {
                self.signers.learn(witness, signer);
            }
        }
    }
}

fn read_block(url: &str, object: &Value) -> Result<Option<(BlockId, Block)>, NodeError> {
    if is_empty(object) {
        return Ok(None);
    }
    block_from_json(object, false)
        .map(Some)
        .map_err(|error| NodeError::unknown(url, error))
}

fn seal(url: &str, claimed: BlockId, block: Block) -> Result<Sealed<Block>, NodeError> {
    Sealed::block(claimed, block).map_err(|error| NodeError::unknown(url, error))
}

/// Asks `getblock` for the newest block, without its transactions.
fn newest_header() -> Value {
    json!({ "detail": false, "visible": false })
}

fn read_header(url: &str, object: &Value) -> Result<Sealed<BlockHeader>, NodeError> {
    if is_empty(object) {
        return Err(NodeError::unknown(url, "it has no head block"));
    }
    let (claimed, header, witness_signature) =
        header_from_json(object, false).map_err(|error| NodeError::unknown(url, error))?;
    Sealed::header(claimed, header, &witness_signature)
        .map_err(|error| NodeError::unknown(url, error))
}

pub(super) fn genesis_id(url: &str, answer: &Value) -> Result<BlockId, NodeError> {
    let id = answer
        .get("blockID")
        .and_then(Value::as_str)
        .ok_or_else(|| NodeError::unknown(url, "it has no block 0: is this a TRON node?"))?;
    let id: BlockId = id.parse().map_err(|error| NodeError::unknown(url, error))?;
    if id.number() != 0 {
        return Err(NodeError::unknown(
            url,
            format!("asked for block 0, it sent {id}"),
        ));
    }
    Ok(id)
}

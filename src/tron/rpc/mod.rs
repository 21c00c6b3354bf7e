//! The node client: what a TRON node is asked over HTTP, and what is believed
//! of its answers.
//!
//! Three kinds of failure, by what the caller may do next ([`NodeError`]):
//! `Retry`, `Refused`, and `Unknown`, which is never treated as failure: it may
//! have happened. Answers are bounded in size and time, integers never go
//! through floats, and whatever can be recomputed is.

mod answers;
mod http;
mod pool;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use answers::{
    Account, AccountResources, Asset, ChainParameters, Stake, StakeYield, TransactionInfo,
};
use serde_json::{Value, json};

use self::{
    http::{Endpoint, MAX_ANSWER_BYTES, MAX_BLOCKS_BYTES},
    pool::Pool,
};
use super::{
    block::{Block, BlockHeader},
    json::{block_from_json, header_from_json, transaction_from_json},
    permission::Permissions,
    transaction::Transaction,
    verified::{MadeBy, Sealed, Signers, Verified, believe_linked},
};
use crate::types::{Address, BlockId, TokenId, TxId};

/// At most this many blocks are asked for at once (the node's own limit is 100);
/// fewer when their answer is larger than is read.
const MAX_BLOCKS_AT_ONCE: u64 = 50;

/// Why a node gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Nothing happened: ask again, or ask another node.
    #[error("{url}: {reason}")]
    Retry {
        /// Which node.
        url: String,
        /// What was wrong.
        reason: String,
        /// The node said when to come back.
        after: Option<Duration>,
    },
    /// The node understood and said no.
    #[error("{url} refused: {message} ({code})")]
    Refused {
        /// Which node.
        url: String,
        /// Its code, as in `Return.response_code`.
        code: String,
        /// Its words.
        message: String,
    },
    /// The request may have had its effect, or the answer cannot be believed.
    #[error("{url}: {reason}")]
    Unknown {
        /// Which node.
        url: String,
        /// What was wrong.
        reason: String,
    },
    /// The answer is larger than is read: ask for less at a time.
    #[error("{url}: its answer is larger than {limit} bytes")]
    TooLarge {
        /// Which node.
        url: String,
        /// What is read, in bytes.
        limit: usize,
    },
}

impl NodeError {
    fn unknown(url: &str, reason: impl ToString) -> Self {
        Self::Unknown {
            url: url.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Where the nodes are and how patient to be.
#[derive(Clone)]
pub struct NodeConfig {
    /// Full nodes, in order of preference; `/wallet/…` is asked there.
    pub urls: Vec<String>,
    /// Where `/walletsolidity/…` is asked; the full nodes themselves if empty.
    pub solidity_urls: Vec<String>,
    /// Sent as `TRON-PRO-API-KEY`.
    pub api_key: Option<String>,
    /// To establish one connection.
    pub connect_timeout: Duration,
    /// For a whole answer, however many nodes it takes to get one.
    pub timeout: Duration,
    /// The most requests that each endpoint is sent; no limit if none is given.
    pub quota: Option<Quota>,
}

/// How many requests an endpoint is sent in a time: so many at once, then one
/// whenever its share of the time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    requests: u32,
    per: Duration,
}

impl Quota {
    /// So many requests in so long; `None` when either is zero.
    pub const fn new(requests: u32, per: Duration) -> Option<Self> {
        if requests == 0 || per.is_zero() {
            None
        } else {
            Some(Self { requests, per })
        }
    }

    /// What one request takes of the time.
    fn share(&self) -> Duration {
        self.per / self.requests
    }

    /// How far ahead of its shares a client may be.
    fn burst(&self) -> Duration {
        self.per - self.share()
    }
}

impl NodeConfig {
    /// One node for everything, with the patience the command line promises:
    /// 4 s to connect, 15 s to answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            solidity_urls: Vec::new(),
            api_key: None,
            connect_timeout: Duration::from_secs(4),
            timeout: Duration::from_secs(15),
            quota: None,
        }
    }
}

/// The key stays out of logs.
impl std::fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeConfig")
            .field("urls", &self.urls)
            .field("solidity_urls", &self.solidity_urls)
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

/// A configuration that makes no client.
#[derive(Debug, thiserror::Error)]
pub enum NodeConfigError {
    /// No node at all.
    #[error("no node URL was given")]
    NoUrl,
    /// Not an http or https URL.
    #[error("`{0}` is not an http:// or https:// URL")]
    Url(String),
    /// A secret in the URL.
    #[error("a URL with a user name or password is refused: give API keys by --api-key-file")]
    Secret,
    /// The HTTP library refused its settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// Which of the node's two states is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// `/wallet`: the head, and for accounts what is merely pending.
    Head,
    /// `/walletsolidity`: what cannot be forked out any more.
    Solid,
}

/// A client of one or more nodes of the same chain. Cheap to clone.
///
/// With several nodes, one that fails is passed over for a while, one that says
/// `Retry-After` is left alone that long, and, once [`Node::genesis`] has told
/// which chain this is, no node is asked before it has named the same block 0.
#[derive(Debug, Clone)]
pub struct Node {
    full: Pool,
    solidity: Pool,
    signers: Signers,
}

impl Node {
    /// Sets the client up; nothing is sent yet.
    ///
    /// # Errors
    /// A URL that is none, or holds a secret.
    pub fn new(config: &NodeConfig) -> Result<Self, NodeConfigError> {
        if config.urls.is_empty() {
            return Err(NodeConfigError::NoUrl);
        }
        let client = http::client(config)?;
        let endpoints = |urls: &[String]| {
            urls.iter()
                .map(|url| Endpoint::new(client.clone(), url, config.quota))
                .collect::<Result<Arc<[_]>, _>>()
        };
        let full = Pool::new(endpoints(&config.urls)?, config.timeout);
        let solidity = if config.solidity_urls.is_empty() {
            full.clone()
        } else {
            full.of_the_same_chain(endpoints(&config.solidity_urls)?)
        };
        Ok(Self {
            full,
            solidity,
            signers: Signers::default(),
        })
    }

    /// The URLs asked, for messages.
    pub fn urls(&self) -> Vec<&str> {
        self.full.endpoints().iter().map(Endpoint::url).collect()
    }

    /// Asks each endpoint in turn until one gives an answer that `read` takes.
    async fn ask<T>(
        &self,
        finality: Finality,
        method: &str,
        body: Value,
        read: impl Fn(&str, &Value) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let (pool, prefix) = match finality {
            Finality::Head => (&self.full, "wallet"),
            Finality::Solid => (&self.solidity, "walletsolidity"),
        };
        let limit = if method.starts_with("getblockby") {
            MAX_BLOCKS_BYTES
        } else {
            MAX_ANSWER_BYTES
        };
        pool.ask(&format!("{prefix}/{method}"), &body, limit, read)
            .await
    }

    /// Which keys sign for which witnesses, as far as is known: what a ledger
    /// remembers of them is put in here.
    pub fn signers(&self) -> &Signers {
        &self.signers
    }

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

    /// An account, or `None` when this node knows none.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn account(
        &self,
        finality: Finality,
        address: Address,
    ) -> Result<Option<Account>, NodeError> {
        let body = json!({ "address": address.to_string(), "visible": true });
        self.ask(finality, "getaccount", body, |url, answer| {
            answers::account(answer, address).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// Who may sign for an account at the head; `None` when this node knows no
    /// such account.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn permissions(&self, address: Address) -> Result<Option<Permissions>, NodeError> {
        let body = json!({ "address": address.to_string(), "visible": true });
        self.ask(Finality::Head, "getaccount", body, |url, answer| {
            let account =
                answers::account(answer, address).map_err(|e| NodeError::unknown(url, e))?;
            account
                .map(|_| Permissions::from_account_json(address, answer))
                .transpose()
                .map_err(|error| NodeError::unknown(url, error))
        })
        .await
    }

    /// An account's bandwidth at the head.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn resources(&self, address: Address) -> Result<AccountResources, NodeError> {
        let body = json!({ "address": address.to_string(), "visible": true });
        self.ask(Finality::Head, "getaccountresource", body, |url, answer| {
            answers::resources(answer).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// What `holder` has used of the bandwidth that the issuer of `token` offers,
    /// in points, recovered to now.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn resources_of_holder(
        &self,
        holder: Address,
        token: TokenId,
    ) -> Result<u64, NodeError> {
        let body = json!({ "address": holder.to_string(), "visible": true });
        self.ask(Finality::Head, "getaccountresource", body, |url, answer| {
            answers::holder_usage(answer, token).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// The chain's parameters.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn chain_parameters(&self) -> Result<ChainParameters, NodeError> {
        self.ask(
            Finality::Head,
            "getchainparameters",
            json!({}),
            |url, answer| {
                answers::chain_parameters(answer).map_err(|reason| NodeError::unknown(url, reason))
            },
        )
        .await
    }

    /// A TRC-10 token, or `None` when this node knows none of that id.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn asset(&self, id: TokenId) -> Result<Option<Asset>, NodeError> {
        let body = json!({ "value": id.to_string(), "visible": true });
        self.ask(Finality::Head, "getassetissuebyid", body, |url, answer| {
            answers::asset(answer, id).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// A page of the chain's tokens, `offset` of them left out, at most `limit`
    /// (the node gives no more than 1,000) in an order of the node's.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn assets(&self, offset: u32, limit: u32) -> Result<Vec<Asset>, NodeError> {
        let body = json!({ "offset": offset, "limit": limit, "visible": true });
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let method = "getpaginatedassetissuelist";
        self.ask(Finality::Head, method, body, |url, answer| {
            answers::assets(answer, most, None).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// The tokens that an account has issued: none, or one.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn assets_of(&self, issuer: Address) -> Result<Vec<Asset>, NodeError> {
        let body = json!({ "address": issuer.to_string(), "visible": true });
        self.ask(
            Finality::Head,
            "getassetissuebyaccount",
            body,
            |url, answer| {
                answers::assets(answer, 1, Some(issuer))
                    .map_err(|reason| NodeError::unknown(url, reason))
            },
        )
        .await
    }

    /// What stake gives on this chain, and the account's energy, at the head.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn stake_yield(&self, address: Address) -> Result<StakeYield, NodeError> {
        let body = json!({ "address": address.to_string(), "visible": true });
        self.ask(Finality::Head, "getaccountresource", body, |url, answer| {
            answers::stake_yield(answer).map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// A transaction; from `/wallet` it may be merely pending.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn transaction(
        &self,
        finality: Finality,
        txid: TxId,
    ) -> Result<Option<Transaction>, NodeError> {
        let body = json!({ "value": txid.to_string(), "visible": false });
        self.ask(finality, "gettransactionbyid", body, |url, answer| {
            if is_empty(answer) {
                return Ok(None);
            }
            let transaction = transaction_from_json(answer, false)
                .map_err(|error| NodeError::unknown(url, error))?;
            if transaction.txid() != txid {
                return Err(NodeError::unknown(
                    url,
                    format!("asked for {txid}, it sent another"),
                ));
            }
            Ok(Some(transaction))
        })
        .await
    }

    /// What became of a transaction that is in a block.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn transaction_info(
        &self,
        finality: Finality,
        txid: TxId,
    ) -> Result<Option<TransactionInfo>, NodeError> {
        let body = json!({ "value": txid.to_string(), "visible": true });
        self.ask(finality, "gettransactioninfobyid", body, |url, answer| {
            answers::transaction_info(answer, txid)
                .map_err(|reason| NodeError::unknown(url, reason))
        })
        .await
    }

    /// The infos of a whole block's transactions.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn transaction_infos(
        &self,
        finality: Finality,
        number: u64,
    ) -> Result<BTreeMap<TxId, TransactionInfo>, NodeError> {
        let body = json!({ "num": number, "visible": true });
        self.ask(
            finality,
            "gettransactioninfobyblocknum",
            body,
            |url, answer| {
                answers::transaction_infos(answer).map_err(|reason| NodeError::unknown(url, reason))
            },
        )
        .await
    }

    /// Sends a signed transaction to the first node that takes a connection.
    /// `Ok` means accepted, which is no promise: follow it until solid.
    ///
    /// # Errors
    /// `Retry`: it was not sent. `Refused`: the node's check failed; other nodes,
    /// or the same one a moment later, may say otherwise. `Unknown`: it may be on
    /// its way (time-outs, cut connections, and the codes that do not prove the
    /// contrary: DUP_TRANSACTION_ERROR, SERVER_BUSY, NO_CONNECTION,
    /// NOT_ENOUGH_EFFECTIVE_CONNECTION, BLOCK_UNSOLIDIFIED, OTHER_ERROR).
    pub async fn broadcast(&self, transaction: &Transaction) -> Result<(), NodeError> {
        let mut last = None;
        for endpoint in self.full.in_order() {
            match self.broadcast_to(&endpoint, transaction).await {
                Err(error @ NodeError::Retry { .. }) => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| NodeError::unknown("", "no node is configured")))
    }

    /// Sends a signed transaction to every node at once; the answers in the order
    /// the nodes were configured in.
    pub async fn broadcast_everywhere(
        &self,
        transaction: &Transaction,
    ) -> Vec<Result<(), NodeError>> {
        let body = broadcast_body(transaction);
        let answers = self
            .full
            .ask_everyone("wallet/broadcasthex", &body, MAX_ANSWER_BYTES)
            .await;
        answers
            .into_iter()
            .map(|(endpoint, answer)| {
                answer.and_then(|answer| read_broadcast(endpoint.url(), &answer, transaction))
            })
            .collect()
    }

    async fn broadcast_to(
        &self,
        endpoint: &Endpoint,
        transaction: &Transaction,
    ) -> Result<(), NodeError> {
        let body = broadcast_body(transaction);
        let answer = self
            .full
            .post(endpoint, "wallet/broadcasthex", &body, MAX_ANSWER_BYTES)
            .await?;
        read_broadcast(endpoint.url(), &answer, transaction)
    }
}

fn broadcast_body(transaction: &Transaction) -> Value {
    json!({ "transaction": hex::encode(transaction.encode()) })
}

fn read_broadcast(url: &str, answer: &Value, transaction: &Transaction) -> Result<(), NodeError> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    // The node hashes its own re-serialisation: another id is another transaction.
    if let Some(echo) = answer.get("txid").and_then(Value::as_str)
        && echo.parse::<TxId>() != Ok(transaction.txid())
    {
        let txid = transaction.txid();
        return Err(NodeError::unknown(
            url,
            format!("sent transaction {txid}, it answered for `{echo}`"),
        ));
    }
    if answer.get("result").and_then(Value::as_bool) == Some(true) {
        return Ok(());
    }
    let code = text("code");
    match code {
        "SIGERROR"
        | "CONTRACT_VALIDATE_ERROR"
        | "CONTRACT_EXE_ERROR"
        | "BANDWITH_ERROR"
        | "TAPOS_ERROR"
        | "TOO_BIG_TRANSACTION_ERROR"
        | "TRANSACTION_EXPIRATION_ERROR" => Err(NodeError::Refused {
            url: url.to_owned(),
            code: code.to_owned(),
            message: clip(text("message")),
        }),
        "" => Err(NodeError::unknown(
            url,
            format!("an answer without a code: {}", clip(&answer.to_string())),
        )),
        other => Err(NodeError::unknown(
            url,
            format!("{} ({})", clip(text("message")), clip(other)),
        )),
    }
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn is_empty(answer: &Value) -> bool {
    answer.as_object().is_some_and(serde_json::Map::is_empty)
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

fn genesis_id(url: &str, answer: &Value) -> Result<BlockId, NodeError> {
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

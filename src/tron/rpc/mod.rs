//! The node client: what a TRON node is asked over HTTP, and what is believed
//! of its answers.
//!
//! Three kinds of failure, by what the caller may do next ([`NodeError`]):
//! `Retry`, `Refused`, and `Unknown`, which is never treated as failure: it may
//! have happened. Answers are bounded in size and time, integers never go
//! through floats, and whatever can be recomputed is.

mod accounts;
mod answers;
mod blocks;
mod config;
mod http;
mod pool;
#[cfg(feature = "devnet")]
mod raw;
mod transactions;

use std::{sync::Arc, time::Duration};

pub use answers::{
    Account, AccountResources, Asset, ChainParameters, Stake, StakeYield, TransactionInfo,
};
use serde_json::Value;

pub use self::config::{NodeConfig, NodeConfigError, Quota};
use self::{
    http::{Endpoint, MAX_ANSWER_BYTES, MAX_BLOCKS_BYTES},
    pool::Pool,
};
use super::verified::Signers;

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
}

/// A node's words, for a sentence.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// The answer of a node that knows nothing.
fn is_empty(answer: &Value) -> bool {
    answer.as_object().is_some_and(serde_json::Map::is_empty)
}

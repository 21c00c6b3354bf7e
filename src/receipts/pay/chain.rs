//! What payments want to know of the chain: plain facts, asked of the user's own node.

use std::{future::Future, pin::Pin};

use crate::{
    ledger::TransferRow,
    types::{Address, RawAmount, TokenId, TxId},
};

/// The node did not answer, or not sensibly: nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node could not say: {0}")]
pub struct ChainError(pub String);

/// An answer that is on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ChainError>> + Send + 'a>>;

/// The solid chain as this side's own node sees it.
pub trait ChainView: Send + Sync {
    /// The number of the newest solid block.
    fn solid_head(&self) -> Answer<'_, u64>;

    /// What the account holds of a token, in raw units; `None` when there is no such
    /// account. One question to the node.
    fn balance(&self, address: Address, token: TokenId) -> Answer<'_, Option<RawAmount>>;

    /// The transfer with this id, if it is in a solid block and is a transfer
    /// that succeeded. Its id is recomputed from its bytes, and its block is signed by a
    /// witness that is known.
    fn settlement(&self, txid: TxId) -> Answer<'_, Option<TransferRow>>;
}

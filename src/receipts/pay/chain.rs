//! What payments want to know of the chain: asked of the user's own node.

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

    /// Whether the account exists.
    fn account_exists(&self, address: Address) -> Answer<'_, bool>;

    /// What the account holds of a token, in raw units; zero without account.
    fn token_balance(&self, address: Address, token: TokenId) -> Answer<'_, RawAmount>;

    /// The transfer with this id, if it is in a solid block and is a transfer
    /// that succeeded. Its id is recomputed from its bytes.
    fn settlement(&self, txid: TxId) -> Answer<'_, Option<TransferRow>>;
}

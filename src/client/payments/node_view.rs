//! The user's own node, as payments ask it: what it says of payments is believed only of
//! blocks by witnesses that the ledger knows.

use std::sync::Arc;

use crate::{
    ledger::{Ledger, TransferRow},
    receipts::pay::{Answer, ChainError, ChainView},
    settle::{Chain as _, NodeChain, settlement},
    tron::rpc::Finality,
    types::{Address, RawAmount, TokenId, TxId},
};

/// A node and the ledger that knows whom to believe.
pub(super) struct NodeView {
    pub(super) chain: NodeChain,
    pub(super) ledger: Arc<dyn Ledger>,
}

fn unknown(error: impl ToString) -> ChainError {
    ChainError(error.to_string())
}

impl ChainView for NodeView {
    fn solid_head(&self) -> Answer<'_, u64> {
        Box::pin(async {
            let head = self.chain.solid_head().await.map_err(unknown)?;
            Ok(head.id.number())
        })
    }

    fn balance(&self, address: Address, token: TokenId) -> Answer<'_, Option<RawAmount>> {
        Box::pin(async move {
            let account = self
                .chain
                .account(Finality::Solid, address)
                .await
                .map_err(unknown)?;
            Ok(account.map(|account| account.tokens.get(&token).copied().unwrap_or_default()))
        })
    }

    fn settlement(&self, txid: TxId) -> Answer<'_, Option<TransferRow>> {
        Box::pin(async move {
            settlement(&self.chain, self.ledger.as_ref(), txid)
                .await
                .map_err(unknown)
        })
    }
}

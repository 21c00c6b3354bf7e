//! Whom a ledger believes, the first time it meets a chain.

use super::{Context, chain::Chain, failure::Outcome, output::Output};
use crate::{
    ledger::ChainLog,
    settle::{NodeChain, Trust, learn_witnesses},
    types::BlockId,
};

/// The chain as a reader of this ledger believes it.
pub(crate) async fn believed(
    context: &Context,
    chain: Chain,
    ledger: &(impl ChainLog + ?Sized),
) -> Outcome<NodeChain> {
    let chain = NodeChain::new(chain.node);
    begin(context.out, ledger, &chain, context.settings.checkpoint).await?;
    Ok(chain)
}

/// Learns who the chain's witnesses are, if the ledger does not know, and says what
/// that rests on.
pub(crate) async fn begin(
    out: Output,
    ledger: &(impl ChainLog + ?Sized),
    chain: &NodeChain,
    checkpoint: Option<BlockId>,
) -> Outcome {
    match learn_witnesses(ledger, chain, checkpoint).await? {
        Trust::Checked(block) => {
            out.note(format!(
                "the chain holds the checkpoint {block}, by witnesses that this ledger knows"
            ));
        }
        Trust::Checkpoint(block) => {
            tracing::info!("the witnesses are those that made the blocks up to {block}");
        }
        Trust::OneNode => tracing::info!(
            "this ledger has read no block before: it believes this node who the witnesses are; \
             --checkpoint BLOCKID or a second --node would tell"
        ),
        Trust::Nodes(nodes) => tracing::info!("{nodes} nodes agree on who the witnesses are"),
        Trust::Known | Trust::Nobody => {}
    }
    Ok(())
}

//! What every command does that changes an account on the chain: price, ask,
//! sign, send, follow, and compare the receipt with the price.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{
    Context, account, chain,
    failure::{Failure, Outcome},
    tx::{self, Wait},
};
use crate::{
    tron::{
        contract::Contract,
        rpc::Finality,
        transaction::{Draft, RefBlock, Transaction},
    },
    types::{Address, Clock, SystemClock},
};

/// The life of a transaction that is sent at once.
const LIFE: Duration = Duration::from_secs(120);

/// What every such command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct ActFlags {
    /// State to wait for.
    #[arg(long, value_enum, default_value_t = Wait::Solid)]
    wait: Wait,
    /// Show what would be done and its cost; sign nothing.
    #[arg(long)]
    dry_run: bool,
    /// Permission that signs: 0 owner, 2 and up active.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=9))]
    permission_id: i32,
}

impl ActFlags {
    /// Whether it is only shown what would be done.
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

/// Does what `contract` makes of the account; `words` say what that is.
pub(super) async fn act(
    context: &Context,
    flags: &ActFlags,
    contract: impl FnOnce(Address) -> Outcome<(Contract, String)>,
) -> Outcome {
    let (from, signer) = account::actor(context, flags.dry_run)?;
    let (contract, words) = contract(from)?;
    let chain = chain::connect(context).await?;
    let head = chain.fresh_head(context).await?.timestamp;
    let reference = chain.node.head(Finality::Solid).await?.id();
    let mut draft = Draft::new(
        contract,
        RefBlock::from(reference),
        head.plus(LIFE),
        SystemClock.now(),
    );
    draft.permission_id = flags.permission_id;
    let unsigned = draft.build();
    let price = tx::price(&chain, &Transaction::from(unsigned.clone())).await?;
    let network = context.settings.network;
    let words = format!("{from} {words} on {network}; {}", tx::price_text(&price));
    let Some(signer) = signer else {
        let document = json!({
            "from": from,
            "txid": unsigned.txid(),
            "raw_data_hex": hex::encode(unsigned.raw_bytes()),
            "fee_sun_estimate": price.total_sun.0,
            "fee_sun_worst": price.worst_case_sun.0,
            "bandwidth": price.bandwidth,
        });
        return context
            .out
            .result(&document, || format!("would do: {words}"));
    };
    chain::guard_mainnet(context)?;
    context.out.note(words);
    context.out.confirm("Do it?", context.settings.yes)?;
    let signed = unsigned
        .sign(signer.as_ref())
        .map_err(|error| Failure::failed("sign", error))?;
    tx::check_approval(&chain, &signed).await?;
    // Told before it is sent: whatever happens then, it can be looked up.
    context.out.note(format!("transaction {}", signed.txid()));
    tx::hand_over(context, &chain.node, &signed, &price, flags.wait).await
}

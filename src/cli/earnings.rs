//! `seedrail earnings`: what was earned, and what of it is on the chain.

use clap::Args;
use serde_json::json;

use super::{Context, account, chain, failure::Outcome, receipts::amount_text, store};
use crate::{
    settle::{NodeChain, claims},
    types::{RawAmount, TokenId},
};

#[derive(Debug, Args)]
pub(crate) struct Earnings {}

impl Earnings {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let token = TokenId::BTT;
        let account = account::address(context)?;
        let chain = chain::connect(context).await?;
        let ledger = store::open(context, chain.genesis)?;
        let claims = claims(ledger.as_ref(), &NodeChain(chain.node), account, token).await?;
        let sum = |amount: fn(&crate::settle::Claim) -> RawAmount| {
            claims
                .by_payer
                .iter()
                .try_fold(RawAmount::ZERO, |total, claim| {
                    total.checked_add(amount(claim))
                })
                .unwrap_or(RawAmount::MAX)
        };
        let earned = sum(|claim| claim.earned);
        let settled = sum(|claim| claim.settled);
        let pending = sum(crate::settle::Claim::pending);
        let payers: Vec<_> = claims
            .by_payer
            .iter()
            .map(|claim| {
                json!({
                    "payer": claim.payer,
                    "earned_raw": claim.earned,
                    "pending_raw": claim.pending(),
                    "final_raw": claim.settled,
                })
            })
            .collect();
        let document = json!({
            "account": account,
            "token": token,
            "earned_raw": earned,
            "pending_raw": pending,
            "final_raw": settled,
            "receipts": claims.receipts,
            "by_payer": payers,
        });
        context.out.result(&document, || {
            let mut text = format!(
                "earned {}, of which {} is on the chain and {} is owed",
                amount_text(earned, token),
                amount_text(settled, token),
                amount_text(pending, token)
            );
            for claim in &claims.by_payer {
                text.push_str(&format!(
                    "\n  {}  earned {}, paid {}",
                    claim.payer,
                    amount_text(claim.earned, token),
                    amount_text(claim.settled, token)
                ));
            }
            text
        })
    }
}

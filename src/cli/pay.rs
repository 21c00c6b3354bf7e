//! Payments for `seed` and `get`: the account, the ledger and the node behind
//! the `sr_pay` extension.

use std::{io::IsTerminal as _, sync::Arc};

use clap::ValueEnum;

use super::{
    Context, account, chain,
    failure::{Failure, Outcome},
    session::{self, GrantFlags},
    settings::Network,
    store, trust,
    units::{Size, btt_text, counted},
};
use crate::{
    client::{Consent, Payments, PaymentsConfig, Settling, Trade},
    receipts::{Exposure, HoldReason, pay::PayEvent},
    settle::NodeChain,
    tron::rpc::{Finality, Node},
    types::{Address, RawAmount, Token, TokenId},
};

/// Starts payments; without a price there are none, and no key, node or ledger is touched.
/// `piece_length` is the longest of any torrent, in bytes; `None` when it is not known yet.
pub(super) async fn start(
    context: &Context,
    trade: Trade,
    grant: &GrantFlags,
    piece_length: Option<u32>,
    settling: Option<Settling>,
) -> Outcome<Option<Payments>> {
    if !trade.sells() && !trade.buys() {
        return Ok(None);
    }
    let begun = begin(context, trade, grant, piece_length, settling);
    context.or_interrupt(begun).await.map(Some)
}

async fn begin(
    context: &Context,
    trade: Trade,
    grant: &GrantFlags,
    piece_length: Option<u32>,
    settling: Option<Settling>,
) -> Outcome<Payments> {
    let token = TokenId::BTT;
    session::no_raw_key_among_strangers(context)?;
    let own = account::address(context)?;
    let chain = chain::connect(context).await?;
    chain::guard_mainnet(context)?;
    chain.token(context, Token::Trc10(token)).await?;
    let ledger = store::open(context, chain.genesis)?;
    let node = NodeChain {
        node: chain.node.clone(),
        moves_time: context.settings.network == Network::Devnet,
    };
    let checkpoint = context.settings.checkpoint;
    trust::begin(context.out, ledger.as_ref(), &node, checkpoint).await?;
    if trade.buys() {
        let balance = balance_of(&chain.node, own, token)
            .await
            .map_err(Failure::from)?;
        if balance == RawAmount::ZERO {
            return Err(Failure::funds(format!("{own} holds no BTT to bid with"))
                .hint("send it some, or leave --bid out and download for free"));
        }
    }
    let account = chain.node.account(Finality::Solid, own).await?;
    if let (true, None) = (trade.sells(), &account) {
        context.out.warn(format!(
            "your account {own} is not on the chain yet: who pays you first pays for making it, and many will wait. `seedrail account activate {own}`, from another account, makes it"
        ));
    }
    if trade.buys() && account.is_some_and(|account| account.balance.0 == 0) {
        context.out.note(
            "your account holds no TRX: it can pay a few sellers a day from its free bandwidth, and none whose account is not on the chain yet",
        );
    }
    let spends = trade.buys().then_some(trade.max_spend);
    let identity = session::identity(context, chain.genesis, ledger.as_ref(), grant, spends)?;
    if let Some(bounds) = trade.exposure(piece_length.unwrap_or(0)) {
        exposure(context, &bounds, piece_length);
    }
    let renew = session::renewal(context, chain.genesis, &ledger)?;
    let (out, pays) = (context.out, settling.is_some());
    Payments::start(PaymentsConfig {
        identity,
        chain: node,
        ledger,
        token,
        trade,
        on_event: Arc::new(move |event| tell(out, pays, event)),
        renew,
        settling,
    })
    .await
    .map_err(|error| Failure::failed("payments", error))
}

/// A time to come, in its largest unit.
fn span(left: std::time::Duration) -> String {
    match left.as_secs() {
        secs @ 0..=7199 => format!("{} min", secs / 60),
        secs @ 7200..=172_799 => format!("{} h", secs / 3600),
        secs => format!("{} days", secs / 86_400),
    }
}

/// What a seller can lose to strangers, before it begins.
fn exposure(context: &Context, bounds: &Exposure, piece_length: Option<u32>) {
    if context.settings.network != Network::Devnet {
        context
            .out
            .note("a receipt is an unsecured promise: it is worth what its signer pays");
    }
    let btt = |raw: u128| btt_text(u64::try_from(raw).unwrap_or(u64::MAX));
    context.out.note(format!(
        "you sell on credit: at most {} to a peer that never settled, {} to all such of one network (/24), {} to all \
         such together; `seed --unproven-cap` changes that",
        btt(bounds.per_address),
        btt(bounds.per_network),
        btt(bounds.total),
    ));
    let (more, kept) = match piece_length {
        Some(_) => (String::new(), Size(bounds.written_off).to_string()),
        None => (
            ", more where pieces are large (two of them and 1 MiB)".to_owned(),
            "two pieces, 1 MiB".to_owned(),
        ),
    };
    context.out.note(format!(
        "ahead of its receipts a payer gets {} at first and up to {} later{more}; one that leaves without paying may \
         keep {kept} and 2 % of what it paid",
        Size(bounds.first_window),
        Size(bounds.largest_window),
    ));
}

/// Whether what is owed is paid by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Settle {
    /// At a seller's credit limit, as long as no fee is burnt; a terminal is asked about
    /// fees.
    #[default]
    Auto,
    /// By `seedrail settle` alone.
    Off,
}

impl Settle {
    /// What settles the debts of a command in the foreground. The wallet is opened when
    /// something is to be paid, and closed again: the program that talks to strangers does
    /// not keep it.
    pub(super) fn settling(self, context: &Context, trade: &Trade) -> Outcome<Option<Settling>> {
        if self == Self::Off || !trade.buys() {
            return Ok(None);
        }
        let is_person = std::io::stdin().is_terminal() && !context.out.json;
        let account = account::address(context)?;
        let typed = account::is_asked_for(context)?;
        if account::signer_is_missing(context)? || (typed && !is_person) {
            return Ok(None);
        }
        let (opens, asks) = (context.clone(), context.clone());
        let consent: Consent = Arc::new(move |plan| {
            let fees = format!(
                "{} are due to {}; paying them burns {}, {} at most. Pay?",
                btt_text(plan.total.unsigned()),
                counted(plan.payouts.len() as u64, "account"),
                plan.fee_expected,
                plan.fee_worst,
            );
            asks.out.confirm(&fees, asks.settings.yes).is_ok()
        });
        Ok(Some(Settling {
            account,
            wallet: Arc::new(move || {
                let signer = account::signer(&opens).map_err(|failure| failure.message)?;
                Ok(Arc::from(signer))
            }),
            policy: context.settings.settle.policy(),
            every: None,
            holder: super::settle::desk::holder(),
            consent: is_person.then_some(consent),
        }))
    }
}

fn tell(out: super::output::Output, pays: bool, event: &PayEvent) {
    match event {
        PayEvent::Met { peer } => tracing::info!("met {peer}"),
        PayEvent::Selling { peer, price } => tracing::info!("selling to {peer} at {} per GiB", btt_text(*price)),
        PayEvent::NotSelling { peer, reason } => out.note(format!("not selling to {peer}: {reason}")),
        PayEvent::Issued { peer, amount, .. } => tracing::debug!("issued to {peer}: {amount}"),
        PayEvent::Received { peer, amount, .. } => tracing::debug!("received from {peer}: {amount}"),
        PayEvent::Settled { peer, txid, amount } => {
            out.note(format!("{peer} paid you {}: {txid} is final", btt_text(amount.unsigned())));
        }
        PayEvent::Defaulted { peer, amount } => {
            out.note(format!("{peer} did not pay {}; it is remembered (`seedrail peers`)", btt_text(amount.unsigned())));
        }
        PayEvent::Contradiction { peer } => {
            out.warn(format!("{peer} signed two different receipts under one number and is not served again"));
        }
        PayEvent::Evidence { peer, amount } => out.warn(format!(
            "{peer} holds a receipt of ours over {} that this ledger did not make: is this key used on another machine?",
            btt_text(amount.unsigned())
        )),
        PayEvent::TurnedBack { peer, why, owed } => out.warn(turned_back(*peer, *why, *owed, pays)),
        PayEvent::LimitReached => out.warn("the spending limit is used up: the rest is downloaded for free"),
        // The client renews it, or tells of it as a problem.
        PayEvent::KeyEnds { left } => {
            tracing::info!("the session key ends in {}", span(*left));
        }
        PayEvent::PayeeUnknown { peer } => out.note(format!(
            "{peer} has no account on the chain yet: to pay it the first time makes the account, which costs TRX"
        )),
        PayEvent::NodeSilent { reason: Some(reason) } => out.warn(format!(
            "the node does not answer ({reason}): no new payer gets credit and no payment is seen until it does"
        )),
        PayEvent::NodeSilent { reason: None } => out.note("the node answers again"),
        PayEvent::NodeBehind { seen, now } => out.warn(format!(
            "the node's newest final block is {now}, and was {seen} before: is it another chain?"
        )),
        PayEvent::Stopped { reason } => out.warn(format!(
            "nothing is bought or sold any more: {reason}. Start again to go on"
        )),
    }
}

/// Why a seller does not sell, and what to do about it.
fn turned_back(peer: Address, why: HoldReason, owed: RawAmount, pays: bool) -> String {
    let free = "the download goes on for free";
    match why {
        HoldReason::Cap if pays => format!(
            "{peer} sells no more on credit: you owe it {}; it is paid now, and buying goes on by itself. Until then {free}",
            btt_text(owed.unsigned())
        ),
        HoldReason::Cap => format!(
            "{peer} sells no more on credit: you owe it {}; {free}. Pay it with `seedrail settle run`, and buying goes on by itself",
            btt_text(owed.unsigned())
        ),
        HoldReason::Account => {
            format!("{peer} does not sell to you: your account is not on the chain; {free}")
        }
        HoldReason::Balance => format!(
            "{peer} does not sell to you: your account holds less BTT than you would owe; {free}"
        ),
        HoldReason::Strangers => format!(
            "{peer} does not sell to you now: it gives no more credit to addresses that did not settle with it; {free}"
        ),
        HoldReason::Default => {
            format!("{peer} does not sell to you: it says that you did not pay it before; {free}")
        }
        HoldReason::Busy => format!("{peer} cannot sell to you now; {free} until it can"),
        HoldReason::Window => {
            format!("{peer} sends nothing more although all was receipted; {free}")
        }
    }
}

async fn balance_of(
    node: &Node,
    address: Address,
    token: TokenId,
) -> Result<RawAmount, crate::tron::rpc::NodeError> {
    let account = node.account(Finality::Solid, address).await?;
    Ok(account
        .and_then(|account| account.tokens.get(&token).copied())
        .unwrap_or_default())
}

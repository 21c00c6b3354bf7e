//! The chain a command works on: its node, its identity, its tokens.

use std::io::IsTerminal;

use super::{
    Context,
    failure::{Failure, Outcome},
    output::ask,
    settings::{Network, private_folder},
};
use crate::{
    tron::{
        block::BlockHeader,
        rpc::{self, Asset, Finality, Node},
        verified::Verified,
    },
    types::{
        Address, AmountError, BlockId, Clock, Decimals, Sun, SystemClock, Token, TokenId,
        UnitAmount,
    },
};

/// What everybody who types `BTT` should know.
pub(crate) const REDENOMINATION: &str = "since 2021-12 this is the old BTT (BTTOLD): one of it is \
    1000 of the TRC-20 BTT that exchanges list, which is another token";

/// An amount as typed. A bare number on mainnet is told why it must not be
/// guessed.
pub(crate) fn amount(context: &Context, text: &str) -> Outcome<UnitAmount> {
    text.parse().map_err(|error: AmountError| {
        let failure = Failure::usage(&error);
        match error {
            AmountError::NoUnit(_) if context.settings.network == Network::Mainnet => {
                failure.hint(format!(
                    "`BTT` here is TRC-10 {} with 6 decimals: {REDENOMINATION}; an amount meant in \
                     it is divided by 1000",
                    TokenId::BTT
                ))
            }
            _ => failure,
        }
    })
}

/// A node whose chain is the one that was meant.
pub(crate) struct Chain {
    pub(crate) node: Node,
    pub(crate) genesis: BlockId,
}

/// Sets the client up and asks which chain it is.
pub(crate) async fn connect(context: &Context) -> Outcome<Chain> {
    context.settings.refuse_open_api_key()?;
    let node = Node::new(&context.settings.node).map_err(Failure::usage)?;
    let genesis = node.genesis().await?;
    let network = context.settings.network;
    if let Some(expected) = network.genesis()
        && expected != genesis
    {
        return Err(Failure::failed(
            "wrong_network",
            format!("the node is not on {network}: its genesis block is {genesis}, not {expected}"),
        )
        .hint("check --network and --node"));
    }
    // What is allowed on a devnet must not happen on a network of strangers.
    if let Some(other) = Network::of(genesis).filter(|other| *other != network) {
        return Err(Failure::failed(
            "wrong_network",
            format!("the node is on {other}, not on {network}"),
        )
        .hint(format!("to use that network, give --network {other}")));
    }
    Ok(Chain { node, genesis })
}

/// How a token is called and divided on this chain.
pub(crate) struct TokenInfo {
    pub(crate) name: String,
    pub(crate) decimals: Decimals,
}

impl Chain {
    /// The head, refused when it is so old that the node has lost the chain, or
    /// when it disagrees with the local clock by more than a minute.
    pub(crate) async fn fresh_head(&self, context: &Context) -> Outcome<Verified<BlockHeader>> {
        let head = self.node.head(Finality::Head).await?;
        let now = SystemClock.now();
        let apart = now.since(head.timestamp).max(head.timestamp.since(now));
        // A devnet's clock may be moved on purpose.
        if context.settings.network != Network::Devnet && apart.as_secs() > 60 {
            return Err(Failure::new(
                super::failure::Exit::Node,
                "stale_head",
                format!(
                    "the node's head block {} is {} s away from this machine's clock",
                    head.number,
                    apart.as_secs()
                ),
            )
            .hint("the node may be lagging, or this clock wrong: nothing was signed"));
        }
        Ok(head)
    }

    /// An account that must be on the chain.
    pub(crate) async fn existing(&self, address: Address) -> Outcome<rpc::Account> {
        let account = self.node.account(Finality::Head, address).await?;
        account.ok_or_else(|| {
            Failure::failed(
                "account_not_found",
                format!("this node knows no account {address}"),
            )
            .hint("an account exists once it was paid, or by `seedrail account activate`")
        })
    }

    /// A TRC-10 token as the chain has it.
    pub(crate) async fn asset(&self, id: TokenId) -> Outcome<Asset> {
        self.node.asset(id).await?.ok_or_else(|| {
            Failure::failed(
                "unknown_token",
                format!("there is no token {id} on this chain"),
            )
            .hint("check the id and --network")
        })
    }

    /// What the chain says of a token, compared with what is built in: BTT has
    /// six decimals everywhere, or nothing is signed.
    pub(crate) async fn token(&self, context: &Context, token: Token) -> Outcome<TokenInfo> {
        let id = match token {
            Token::Trx => {
                return Ok(TokenInfo {
                    name: "TRX".into(),
                    decimals: Decimals::TRX,
                });
            }
            Token::Trc10(id) => id,
        };
        let asset = self.asset(id).await?;
        if id == TokenId::BTT && asset.decimals != Decimals::BTT {
            return Err(Failure::failed(
                "token_mismatch",
                format!(
                    "token {id} is called `{}` and has {} decimals on this chain, but BTT has {}",
                    asset.name,
                    asset.decimals.get(),
                    Decimals::BTT.get()
                ),
            )
            .hint("this is not the BTT that the amount was written in: nothing was signed"));
        }
        if id == TokenId::BTT && context.settings.network == Network::Mainnet {
            context.out.note(format!(
                "BTT here is TRC-10 {id}, which the chain calls `{}` ({} decimals): {REDENOMINATION}",
                asset.name,
                asset.decimals.get()
            ));
        }
        Ok(TokenInfo {
            // Anybody may call a token TRX or BTT: what is not built in has its id.
            name: if id == TokenId::BTT {
                "BTT".into()
            } else {
                format!("{} (TRC-10 {id})", asset.abbr)
            },
            decimals: asset.decimals,
        })
    }
}

/// What a token is called in a list beside its id: the built-in BTT by one name
/// everywhere, whatever the chain calls it.
pub(crate) fn listed_name(id: TokenId, abbr: &str) -> String {
    let name = if id == TokenId::BTT { "BTT" } else { abbr };
    format!("{name} (TRC-10 {id})")
}

/// Says when the receipts tell of other fees than were expected. Why they differ is not
/// known: bandwidth was used or came back, or somebody else made a payee's account.
pub(crate) fn note_fee(context: &Context, burnt: Sun, expected: Sun) {
    if burnt != expected {
        context
            .out
            .note(format!("the fee was {burnt}; {expected} was expected"));
    }
}

/// Before anything moves on mainnet: once per home, a sentence to type.
pub(crate) fn guard_mainnet(context: &Context) -> Outcome {
    const SENTENCE: &str = "I understand";
    if context.settings.network != Network::Mainnet {
        return Ok(());
    }
    let marker = context.settings.home.join("mainnet-confirmed");
    if marker.exists() {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::usage("the first action on mainnet must be confirmed on a terminal")
                .hint("run any sending command once by hand"),
        );
    }
    context
        .out
        .warn("this is mainnet, with real money; Seedrail is young and unaudited");
    if ask(&format!("Type `{SENTENCE}` to go on: "))? != SENTENCE {
        return Err(Failure::failed("declined", "nothing was done"));
    }
    private_folder(&context.settings.home)?;
    std::fs::write(&marker, "confirmed\n").map_err(|error| Failure::file(&marker, error))
}
